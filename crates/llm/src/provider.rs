//! The providers that have a server: one try each, as pure translation between our types and the
//! wire formats. No retries, no failover, no deadline of a call: that is `client`'s and `retry`'s.

mod anthropic;
mod body;
mod chat;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gemini;
mod quirks;
mod responses;
mod schema;
mod target;
mod wire;

use std::collections::HashMap;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::time::timeout;

use crate::event::{FinishReason, Usage};
use crate::model::{ModelRef, Provider};
use crate::request::{AssistantMessage, LlmRequest, Message, ToolChoice};
use crate::settings::{LlmConfigError, LlmSettings, Timeouts};

use body::Events;
pub(crate) use failure::Failure;
use quirks::Known;
use target::Target;
use wire::{Reader, Told};

/// How long the rest of an answer that has ended may take before its connection is given up.
const TAIL: Duration = Duration::from_secs(1);

/// A whole answer, before the client writes down who gave it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) message: AssistantMessage,
    pub(crate) finish_reason: FinishReason,
    pub(crate) usage: Usage,
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// More text; never empty.
    Text(String),
    /// The end, with all of it.
    Done(Box<Answer>),
}

/// All providers that have a server, behind one HTTP client.
#[derive(Debug)]
pub(crate) struct Network {
    http: reqwest::Client,
    targets: HashMap<Provider, Target>,
    timeouts: Timeouts,
    known: Known,
}

impl Network {
    pub(crate) fn new(
        settings: &LlmSettings,
        http: reqwest::Client,
    ) -> Result<Self, LlmConfigError> {
        let mut targets = HashMap::new();
        for provider in Provider::ALL {
            let endpoint = settings.endpoints.get(&provider).cloned().unwrap_or_default();
            if let Some(target) = Target::new(provider, &endpoint, settings.openai_api)? {
                targets.insert(provider, target);
            }
        }
        Ok(Self { http, targets, timeouts: settings.timeouts.clone(), known: Known::default() })
    }

    /// Whether a provider can be asked: it has the key that it needs.
    pub(crate) fn has_key(&self, provider: Provider) -> bool {
        self.targets.get(&provider).is_some_and(|target| target.missing_key().is_none())
    }

    /// One try for a whole answer.
    pub(crate) async fn complete(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
    ) -> Result<Answer, Failure> {
        let target = self.target(model.provider)?;
        let read = async {
            let response = self.open(target, model, request, traceparent, false).await?;
            let bytes = body::whole(response, &self.timeouts).await?;
            target.whole(&read_json(&bytes)?)
        };
        read.await.map_err(|failure| target.scrub(failure))
    }

    /// One try for a streamed answer.
    pub(crate) async fn stream(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
    ) -> Result<LiveStream, Failure> {
        let target = self.target(model.provider)?;
        let opened = async {
            let response = self.open(target, model, request, traceparent, true).await?;
            let mut live = LiveStream {
                events: None,
                whole: Vec::new(),
                reader: target.reader(),
                target: target.clone(),
            };
            if body::is_whole(&response) {
                // The server does not stream, or what answers is no such server.
                let bytes = body::whole(response, &self.timeouts).await?;
                let answer = target.whole(&read_json(&bytes)?)?;
                live.whole = vec![Piece::Done(Box::new(answer.clone()))];
                if !answer.message.text.is_empty() {
                    live.whole.push(Piece::Text(answer.message.text));
                }
            } else {
                live.events = Some(body::events(response, &self.timeouts));
            }
            Ok(live)
        };
        opened.await.map_err(|failure: Failure| target.scrub(failure))
    }

    /// Asks, until an answer begins that is no refusal; once more where the refusal says what part
    /// of the request the model does not take.
    async fn open(
        &self,
        target: &Target,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
        stream: bool,
    ) -> Result<Response, Failure> {
        loop {
            let body = target.body(model, request, &self.known.of(model), stream);
            let url = target.url(&model.name, stream);
            let headers = headers(target, traceparent, stream);
            let asked = self.http.post(url).headers(headers).body(body).send();
            let limit = self.timeouts.first_byte;
            let response = timeout(limit, asked)
                .await
                .map_err(|_| body::too_slow(limit))?
                .map_err(|error| Failure::of_reqwest(&error))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (status, headers) = (response.status(), response.headers().clone());
            let text = body::beginning(response, &self.timeouts).await;
            let failure = Failure::of_response(model.provider, status, &headers, &text);
            if !self.known.learn(model, request, &failure) {
                return Err(failure);
            }
        }
    }

    fn target(&self, provider: Provider) -> Result<&Target, Failure> {
        let target = self.targets.get(&provider).ok_or_else(|| {
            Failure::new(crate::LlmErrorKind::InvalidRequest, "the provider has no server")
        })?;
        match target.missing_key() {
            Some(variable) => Err(Failure::not_configured(variable)),
            None => Ok(target),
        }
    }
}

fn read_json(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|_| Failure::bad_answer("the answer is no JSON, or only a part of it"))
}

fn headers(target: &Target, traceparent: Option<&str>, stream: bool) -> HeaderMap {
    let mut headers = target.headers();
    let accepted = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Only a value that may stand in a header is one.
    if let Some(value) = traceparent.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert("traceparent", value);
    }
    headers
}

/// An answer that is coming in. Dropping it drops the connection.
pub(crate) struct LiveStream {
    /// `None` once the answer has ended, or when it came as a whole.
    events: Option<Events>,
    /// The pieces of an answer that came as a whole, the next one last.
    whole: Vec<Piece>,
    reader: Box<dyn Reader>,
    target: Target,
}

impl LiveStream {
    /// The next piece. After [`Piece::Done`] or a failure there is none.
    pub(crate) async fn next(&mut self) -> Result<Piece, Failure> {
        self.read().await.map_err(|failure| self.target.scrub(failure))
    }

    async fn read(&mut self) -> Result<Piece, Failure> {
        if let Some(piece) = self.whole.pop() {
            return Ok(piece);
        }
        let Some(events) = &mut self.events else { return Err(Failure::cut_off()) };
        while let Some(event) = events.next().await {
            let told = match event?.data.as_deref().map(str::trim) {
                None | Some("") => Told::Nothing,
                Some("[DONE]") => self.reader.done_mark(),
                Some(data) => match self.reader.words(data) {
                    Some(told) => told,
                    None => {
                        let event: Value = serde_json::from_str(data).map_err(|_| {
                            Failure::bad_answer("an event of the stream is no JSON")
                        })?;
                        self.reader.event(&event)?
                    }
                },
            };
            match told {
                Told::Nothing => {}
                Told::Text(text) => return Ok(Piece::Text(text)),
                Told::End => {
                    self.let_go();
                    return Ok(Piece::Done(Box::new(self.reader.answer())));
                }
            }
        }
        if !self.reader.is_whole() {
            return Err(Failure::cut_off());
        }
        self.events = None;
        Ok(Piece::Done(Box::new(self.reader.answer())))
    }

    /// The answer is whole; its connection serves the next one only when it has been read to its
    /// very end, which mostly has arrived already.
    fn let_go(&mut self) {
        let Some(mut events) = self.events.take() else { return };
        if let Some(None) = events.next().now_or_never() {
            return;
        }
        let _detached = tokio::spawn(async move {
            timeout(TAIL, async { while let Some(Ok(_)) = events.next().await {} }).await
        });
    }
}

/// Tools that may not be called are still sent where the conversation has used them: some providers
/// refuse such a conversation otherwise.
fn sends_tools(request: &LlmRequest) -> bool {
    let used = || request.messages.iter().any(|message| matches!(message, Message::Tool { .. }));
    !request.tools.is_empty() && (request.tool_choice == ToolChoice::Auto || used())
}
