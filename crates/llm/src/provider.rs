//! The providers that have a server: pure translation between our types and the wire formats,
//! which the genai crate speaks. No retries, no failover, no deadline of a call: that is
//! `client`'s and `retry`'s.

mod failure;
mod retry_after;
mod target;
mod translate;

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use genai::chat::{ChatOptions, ChatStream, ChatStreamEvent};
use reqwest::header::HeaderValue;
use tokio::time::timeout;

use crate::event::{FinishReason, Usage};
use crate::model::{ModelRef, Provider};
use crate::request::{AssistantMessage, LlmRequest};
use crate::settings::{LlmConfigError, LlmSettings, Timeouts};

pub(crate) use failure::Failure;
use target::Target;

/// The most text and arguments that one answer may hold, bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

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
    /// The end: its text is all the pieces together.
    Done(Box<Answer>),
}

/// All providers that have a server, behind one HTTP client.
#[derive(Debug)]
pub(crate) struct Network {
    client: genai::Client,
    targets: HashMap<Provider, Target>,
    timeouts: Timeouts,
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
        let client = genai::Client::builder()
            .with_reqwest(http)
            .build()
            .map_err(|error| LlmConfigError::Client(error.to_string()))?;
        Ok(Self { client, targets, timeouts: settings.timeouts.clone() })
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
        // The bytes of an answer that comes in one piece are not seen one by one, so that both
        // limits together hold for the whole.
        let limit = self.timeouts.first_byte + self.timeouts.idle;
        let options = options(model, request, traceparent).with_capture_raw_body(true);
        let asked = self.client.exec_chat(
            target.for_model(&model.name),
            translate::request(request),
            Some(&options),
        );
        let result = match timeout(limit, asked).await {
            Err(_) => Err(too_slow(limit)),
            Ok(Ok(response)) => translate::answer(model.provider, response),
            Ok(Err(error)) => translate::rescue(model.provider, error),
        };
        result.map_err(|failure| target.scrub(failure))
    }

    /// One try for a streamed answer. Nothing is sent before the first piece is asked for.
    pub(crate) async fn stream(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
    ) -> Result<LiveStream, Failure> {
        let target = self.target(model.provider)?;
        let options = options(model, request, traceparent)
            .with_capture_usage(true)
            .with_capture_content(true)
            .with_capture_tool_calls(true);
        let opened = self
            .client
            .exec_chat_stream(
                target.for_model(&model.name),
                translate::request(request),
                Some(&options),
            )
            .await
            .map_err(|error| target.scrub(Failure::of_genai(model.provider, &error)))?;
        Ok(LiveStream {
            stream: opened.stream,
            target: target.clone(),
            provider: model.provider,
            timeouts: self.timeouts.clone(),
            started: false,
            text: String::new(),
        })
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

/// An answer that is coming in. Dropping it drops the connection.
pub(crate) struct LiveStream {
    stream: ChatStream,
    target: Target,
    provider: Provider,
    timeouts: Timeouts,
    started: bool,
    text: String,
}

impl LiveStream {
    /// The next piece. After [`Piece::Done`] or a failure there is none.
    pub(crate) async fn next(&mut self) -> Result<Piece, Failure> {
        self.read().await.map_err(|failure| self.target.scrub(failure))
    }

    async fn read(&mut self) -> Result<Piece, Failure> {
        loop {
            let limit = if self.started { self.timeouts.idle } else { self.timeouts.first_byte };
            let event = timeout(limit, self.stream.next()).await.map_err(|_| too_slow(limit))?;
            let Some(event) = event else { return Err(Failure::cut_off()) };
            match event.map_err(|error| Failure::of_genai(self.provider, &error))? {
                // Said before the request is even sent, so that the first byte is still to come.
                ChatStreamEvent::Start => {}
                ChatStreamEvent::Chunk(chunk) if chunk.content.is_empty() => {}
                ChatStreamEvent::Chunk(chunk) => {
                    self.started = true;
                    self.text.push_str(&chunk.content);
                    if self.text.len() > MAX_ANSWER {
                        return Err(Failure::bad_answer(
                            "the answer is larger than any honest one",
                        ));
                    }
                    return Ok(Piece::Text(chunk.content));
                }
                ChatStreamEvent::ReasoningChunk(_)
                | ChatStreamEvent::ThoughtSignatureChunk(_)
                | ChatStreamEvent::ToolCallChunk(_)
                | ChatStreamEvent::Heartbeat => self.started = true,
                ChatStreamEvent::End(end) => {
                    let answer = translate::end(end, std::mem::take(&mut self.text));
                    return Ok(Piece::Done(Box::new(answer)));
                }
            }
        }
    }
}

fn too_slow(limit: Duration) -> Failure {
    Failure::unavailable(format!("no answer for {} seconds", limit.as_secs_f32()))
}

fn options(model: &ModelRef, request: &LlmRequest, traceparent: Option<&str>) -> ChatOptions {
    let mut options = translate::options(model, request);
    // Only a value that may stand in a header is one.
    if let Some(value) = traceparent.filter(|value| HeaderValue::from_str(value).is_ok()) {
        options = options.with_extra_headers([("traceparent".to_owned(), value.to_owned())]);
    }
    options
}
