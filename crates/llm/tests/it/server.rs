//! A provider that answers from a queue and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use llm::event::{Completion, StreamEvent};
use llm::model::{ModelRef, Provider};
use llm::request::{LlmRequest, Message, ToolChoice, ToolSpec};
use llm::{CallContext, Endpoint, LlmClient, LlmError, LlmSettings, RetrySettings};
use serde_json::{Value, json};
use test_support::strict::{self, Call, Profile};

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// Whether the connection breaks after the body, or stays silent.
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Good,
    Cut,
    Silence,
    /// Not even headers come.
    Never,
    /// Line by line, with a pause of so many milliseconds after each.
    Drip(u64),
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string(), end: End::Good }
    }

    /// A body of this content type.
    pub(crate) fn of_kind(content_type: &str, body: &str) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { status: 200, headers, body: body.to_owned(), end: End::Good }
    }

    /// A body that is no JSON.
    pub(crate) fn text(status: u16, body: &str) -> Self {
        let headers = vec![("content-type", "text/html".to_owned())];
        Self { status, headers, body: body.to_owned(), end: End::Good }
    }

    /// An SSE stream of these events.
    pub(crate) fn events(events: &[&str]) -> Self {
        let body = events.iter().map(|event| format!("{event}\n\n")).collect();
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        Self { status: 200, headers, body, end: End::Good }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    pub(crate) fn never() -> Self {
        Self { end: End::Never, ..Self::json(200, &json!({})) }
    }

    pub(crate) fn drip(mut self, pause_ms: u64) -> Self {
        self.end = End::Drip(pause_ms);
        self
    }

    pub(crate) fn silent(mut self) -> Self {
        self.end = End::Silence;
        self
    }

    /// An answer of OpenAI's kind.
    pub(crate) fn chat(text: &str) -> Self {
        Self::json(
            200,
            &json!({
                "id": "c1", "object": "chat.completion", "model": "m-2026",
                "choices": [{ "index": 0, "finish_reason": "stop",
                    "message": { "role": "assistant", "content": text } }],
                "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
                    "prompt_tokens_details": { "cached_tokens": 40 } },
            }),
        )
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) at: tokio::time::Instant,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Mutex<(VecDeque<Reply>, Vec<Asked>)>>,
    /// Whether it answers only what the server of the protocol would.
    is_strict: bool,
    /// Silent answers whose reader has gone.
    pub(crate) gone: Arc<AtomicUsize>,
}

struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Server {
    /// A server that refuses what OpenAI's, Anthropic's or Google's would, by the path.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::serve(replies, true).await
    }

    /// A server with fields of its own, or one that sends thoughts: this one would not know them again.
    /// (`StrictLlm` does.)
    pub(crate) async fn start_lenient(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::serve(replies, false).await
    }

    async fn serve(replies: impl IntoIterator<Item = Reply>, is_strict: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new((replies.into_iter().collect(), Vec::new())));
        let server = Self { url, shared, is_strict, gone: Arc::default() };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.lock().unwrap().1.clone()
    }
}

async fn answer(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let body = serde_json::from_str(&body).unwrap_or_default();
    let path = uri.path_and_query().unwrap().to_string();
    if server.is_strict
        && let Some(response) = refused(&path, &headers, &body)
    {
        return response;
    }
    let reply = {
        let mut shared = server.shared.lock().unwrap();
        shared.1.push(Asked { path, headers, body, at: tokio::time::Instant::now() });
        // The last reply stays.
        if shared.0.len() > 1 { shared.0.pop_front() } else { shared.0.front().cloned() }
    };
    let reply = reply.expect("a reply");
    if reply.end == End::Never {
        let _held = Gone(server.gone.clone());
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if let End::Drip(pause) = reply.end {
        let lines: Vec<String> = reply.body.split_inclusive('\n').map(str::to_owned).collect();
        let lines = futures::stream::unfold(lines.into_iter(), move |mut lines| async move {
            let line = lines.next()?;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Some((Ok::<_, std::io::Error>(line), lines))
        });
        return response.body(Body::from_stream(lines)).unwrap();
    }
    let first = futures::stream::iter([Ok(bytes(reply.body))]);
    let body = match reply.end {
        End::Good | End::Never | End::Drip(_) => Body::from_stream(first),
        End::Cut => {
            // The text is to leave before the connection breaks.
            let broken = futures::stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("cut"))
            });
            Body::from_stream(futures::StreamExt::chain(first, broken))
        }
        End::Silence => {
            // Held by the body, and dropped with it.
            let gone = Gone(server.gone.clone());
            let silence = futures::stream::once(async move {
                let _held = gone;
                std::future::pending().await
            });
            Body::from_stream(futures::StreamExt::chain(first, silence))
        }
    };
    response.body(body).unwrap()
}

/// What the server of the protocol would refuse is not answered here, either.
fn refused(path: &str, headers: &HeaderMap, body: &Value) -> Option<Response<Body>> {
    let profile = if path.ends_with("/chat/completions") {
        Profile::OpenAi
    } else if path.ends_with("/messages") {
        Profile::Anthropic
    } else if path.ends_with("/responses") {
        Profile::Responses
    } else if path.contains("GenerateContent") || path.contains(":generateContent") {
        Profile::Gemini
    } else {
        return None;
    };
    let call = Call { profile, path, headers, body, needs_key: false, sent: &[] };
    let refusal = strict::check(&call).err()?;
    eprintln!("refused: {refusal:?}");
    let body = Body::from(refusal.body.to_string());
    Some(Response::builder().status(refusal.status).body(body).unwrap())
}

fn bytes(text: String) -> Vec<u8> {
    text.into_bytes()
}

/// Settings with short waits and one server.
pub(crate) fn settings(provider: Provider, model: &str, url: &str) -> LlmSettings {
    let endpoint =
        Endpoint { base_url: Some(url.to_owned()), api_key: Some("sk-canary".to_owned().into()) };
    LlmSettings {
        endpoints: HashMap::from([(provider, endpoint)]),
        retry: RetrySettings {
            attempts: 3,
            delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(40),
            jitter: 0.0,
        },
        ..LlmSettings::new(ModelRef::new(provider, model))
    }
}

pub(crate) fn client(settings: LlmSettings) -> LlmClient {
    LlmClient::new(settings, reqwest::Client::new()).unwrap()
}

pub(crate) fn open_ai(server: &Server) -> LlmClient {
    client(settings(Provider::OpenAi, "gpt-4o-mini", &format!("{}/v1", server.url)))
}

pub(crate) fn request(client: &LlmClient, messages: Vec<Message>) -> LlmRequest {
    LlmRequest {
        model: client.model(llm::Tier::Default).clone(),
        messages,
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        max_output_tokens: None,
        temperature: None,
        response_schema: None,
    }
}

pub(crate) fn hello(client: &LlmClient) -> LlmRequest {
    request(client, vec![Message::system("Be kind."), Message::user("Hello")])
}

pub(crate) fn weather() -> ToolSpec {
    ToolSpec {
        name: "weather".to_owned(),
        description: "The weather.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "place": { "type": "string" } } }),
    }
}

pub(crate) async fn ask(client: &LlmClient) -> Result<Completion, LlmError> {
    client.complete(&hello(client), &CallContext::default()).await
}

/// All of a stream: its texts and its end.
pub(crate) async fn drain(
    client: &LlmClient,
    request: LlmRequest,
) -> (Vec<String>, Result<Completion, LlmError>) {
    let mut events = client.stream(request, CallContext::default());
    let mut texts = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(StreamEvent::Text(text)) => texts.push(text),
            Ok(StreamEvent::Again) => texts.clear(),
            Ok(StreamEvent::Done(completion)) => {
                assert!(events.next().await.is_none());
                return (texts, Ok(*completion));
            }
            Err(error) => {
                assert!(events.next().await.is_none());
                return (texts, Err(error));
            }
        }
    }
    panic!("a stream without an end")
}
