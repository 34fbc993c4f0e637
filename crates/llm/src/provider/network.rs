//! All providers that have a server, behind one HTTP client: one attempt each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::time::timeout;

use super::answer::Piece;
use super::body::{self, Events};
use super::failure::Failure;
use super::quirks::LearnedQuirks;
use super::target::Target;
use super::tool_form::{self, RefusedTools, ToolForm};
use super::wire::{Delta, Reader};
use crate::context::Received;
use crate::error::LlmErrorKind;
use crate::model::{ModelRef, Provider};
use crate::request::{LlmRequest, ToolList, ToolProblem};
use crate::settings::{LlmConfigError, LlmSettings, Timeouts};

/// How long to wait for the end of a response after its answer is complete, so that the connection can
/// be reused.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a request is repeated at most because a tool was refused.
const MAX_REPEATS: usize = 8;

/// All providers that have a server, behind one HTTP client.
#[derive(Debug)]
pub(crate) struct Network {
    http: reqwest::Client,
    targets: HashMap<Provider, Target>,
    timeouts: Timeouts,
    quirks: LearnedQuirks,
    refused: RefusedTools,
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
        Ok(Self {
            http,
            targets,
            timeouts: settings.timeouts.clone(),
            quirks: LearnedQuirks::default(),
            refused: RefusedTools::default(),
        })
    }

    /// Whether a provider has the key that it needs.
    pub(crate) fn has_key(&self, provider: Provider) -> bool {
        self.targets.get(&provider).is_some_and(|target| target.missing_key().is_none())
    }

    /// One attempt for a streamed answer.
    pub(crate) async fn stream(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
    ) -> Result<LiveStream, Failure> {
        let target = self.target(model.provider)?;
        let opened = async {
            let (response, tools) = self.open(target, model, request, traceparent).await?;
            let mut live = LiveStream {
                events: None,
                whole: Vec::new(),
                reader: target.reader(),
                tools,
                target: target.clone(),
            };
            if body::is_not_streamed(&response) {
                // The server does not support streaming, or is something else.
                let bytes = body::read_all(response, &self.timeouts).await?;
                let mut answer = target.parse(&read_json(&bytes)?)?;
                live.tools.incoming(&mut answer);
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

    /// Sends the request until a response succeeds, and returns it with the tools as they were sent.
    /// Repeats it when the model rejects a parameter or a tool that can be omitted.
    async fn open(
        &self,
        target: &Target,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
    ) -> Result<(Response, Arc<ToolForm>), Failure> {
        let (mut refused, mut repeats) = (self.refused.of(model), MAX_REPEATS);
        loop {
            let quirks = self.quirks.of(model);
            let tools = target.tools(model, &request.tools, quirks.plain_schemas, refused.clone());
            let body = target.body(model, request, &quirks, &tools);
            let url = target.url(&model.name);
            let headers = headers(target, traceparent);
            let sending = self.http.post(url).headers(headers).body(body).send();
            let limit = self.timeouts.first_byte;
            let response = timeout(limit, sending)
                .await
                .map_err(|_| body::timed_out(limit))?
                .map_err(|error| Failure::of_reqwest(&error))?;
            if response.status().is_success() {
                self.refused.keep(model, refused);
                return Ok((response, tools));
            }
            let (status, headers) = (response.status(), response.headers().clone());
            let text = body::read_error(response, &self.timeouts).await;
            let more = tool_form::refused_after(refused.as_ref(), status.as_u16(), &text, &tools);
            if repeats > 0 && more.is_some() {
                repeats -= 1;
                refused = more;
                continue;
            }
            let failure = Failure::of_response(model.provider, status, &headers, &text);
            if !self.quirks.learn(model, request, &failure) {
                return Err(failure);
            }
        }
    }

    /// How tools differ at a model's provider from their definitions.
    pub(crate) fn tool_problems(&self, model: &ModelRef, tools: &ToolList) -> Vec<ToolProblem> {
        let target = self.targets.get(&model.provider);
        target
            .map(|target| {
                let plain = self.quirks.of(model).plain_schemas;
                target.tools(model, tools, plain, self.refused.of(model)).problems().to_vec()
            })
            .unwrap_or_default()
    }

    fn target(&self, provider: Provider) -> Result<&Target, Failure> {
        let target = self.targets.get(&provider).ok_or_else(|| {
            Failure::new(LlmErrorKind::InvalidRequest, "the provider has no server")
        })?;
        match target.missing_key() {
            Some(variable) => Err(Failure::not_configured(variable)),
            None => Ok(target),
        }
    }
}

pub(super) fn read_json(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|_| Failure::bad_answer("the answer is not JSON, or incomplete"))
}

fn headers(target: &Target, traceparent: Option<&str>) -> HeaderMap {
    let mut headers = target.headers();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // An invalid value is left out.
    if let Some(value) = traceparent.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert("traceparent", value);
    }
    headers
}

/// A streamed answer. Dropping it closes the connection.
pub(crate) struct LiveStream {
    /// `None` once the answer is complete, or if it was not streamed.
    pub(super) events: Option<Events>,
    /// The pieces of an answer that was not streamed, the next one last.
    pub(super) whole: Vec<Piece>,
    pub(super) reader: Box<dyn Reader>,
    /// The tools as they were sent: the answer's calls get their own names back.
    pub(super) tools: Arc<ToolForm>,
    pub(super) target: Target,
}

impl LiveStream {
    /// The next piece. After [`Piece::Done`] or a failure there is none.
    pub(crate) async fn next(&mut self, received: &Received) -> Result<Piece, Failure> {
        self.read(received).await.map_err(|failure| self.target.scrub(failure))
    }

    async fn read(&mut self, received: &Received) -> Result<Piece, Failure> {
        if let Some(piece) = self.whole.pop() {
            return Ok(piece);
        }
        let Some(events) = &mut self.events else { return Err(Failure::cut_off()) };
        while let Some(event) = events.next().await {
            let delta = match event?.data.as_deref().map(str::trim) {
                None | Some("") => Delta::Nothing,
                Some("[DONE]") => self.reader.done(),
                Some(data) => match self.reader.text_delta(data) {
                    Some(delta) => delta,
                    None => {
                        let event: Value = serde_json::from_str(data).map_err(|_| {
                            Failure::bad_answer("an event of the stream is not JSON")
                        })?;
                        self.reader.event(&event)?
                    }
                },
            };
            match delta {
                Delta::Nothing => received.hidden(),
                Delta::Text(text) => {
                    received.text(&text);
                    return Ok(Piece::Text(text));
                }
                Delta::End => {
                    self.release_connection();
                    return self.answer();
                }
            }
        }
        if !self.reader.is_complete() {
            return Err(Failure::cut_off());
        }
        self.events = None;
        self.answer()
    }

    fn answer(&mut self) -> Result<Piece, Failure> {
        let mut answer = self.reader.answer()?;
        self.tools.incoming(&mut answer);
        Ok(Piece::Done(Box::new(answer)))
    }

    /// Reads the response to its end, which has mostly arrived already: only then can the connection be
    /// reused.
    fn release_connection(&mut self) {
        let Some(mut events) = self.events.take() else { return };
        if let Some(None) = events.next().now_or_never() {
            return;
        }
        let _detached = tokio::spawn(async move {
            timeout(DRAIN_TIMEOUT, async { while let Some(Ok(_)) = events.next().await {} }).await
        });
    }
}
