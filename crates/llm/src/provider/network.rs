//! All providers that have a server, behind one HTTP client: one attempt each.

mod opening;
mod probe;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use outbound::HttpClient;
use serde_json::Value;
use tokio::time::timeout;

use self::probe::UnseenTools;
use super::answer::{Answer, Piece};
use super::body::{self, Body, Events};
use super::failure::Failure;
use super::history;
use super::quirks::LearnedQuirks;
use super::target::Target;
use super::thought_filter::{self, ThoughtFilter};
use super::tool_form::{RefusedTools, ToolForm};
use super::wire::{Delta, Reader};
use crate::context::{CallContext, Received};
use crate::error::LlmErrorKind;
use crate::event::FinishReason;
use crate::final_tool::FinalTool;
use crate::media::{MediaSupport, Said};
use crate::media_plan::Used;
use crate::model::{ModelRef, Provider};
use crate::request::{LlmRequest, ToolChoice, ToolList, ToolProblem};
use crate::settings::{LlmConfigError, LlmSettings, Timeouts};

/// How long to wait for the end of a response after its answer is complete, so that the connection can
/// be reused.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest event of a stream, bytes.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// The largest answer, bytes as JSON: what is paid for must fit into a step of a run's journal, which may
/// have 8 MiB (docs/CONTROL_PLANE_CONTRACT.md).
const MAX_MESSAGE: usize = 7 * 1024 * 1024;

/// All providers that have a server, behind one HTTP client.
#[derive(Debug)]
pub(crate) struct Network {
    http: HttpClient,
    targets: HashMap<Provider, Target>,
    timeouts: Timeouts,
    quirks: LearnedQuirks,
    refused: RefusedTools,
    unseen: Arc<UnseenTools>,
    /// The models that read images and PDFs, as the operator says.
    readers: [Vec<ModelRef>; 2],
}

impl Network {
    pub(crate) fn new(settings: &LlmSettings, http: HttpClient) -> Result<Self, LlmConfigError> {
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
            unseen: Arc::default(),
            readers: [settings.image_models.clone(), settings.pdf_models.clone()],
        })
    }

    /// Which images and documents a model gets.
    pub(crate) fn media_support(&self, model: &ModelRef) -> MediaSupport {
        let target = self.targets.get(&model.provider);
        let is_own_server = target.is_none_or(Target::is_own_server);
        let [images, pdfs] =
            self.readers.each_ref().map(|all| all.iter().any(|known| model.fits(known)));
        MediaSupport::at(model.provider, &model.name, is_own_server, Said { images, pdfs })
    }

    /// Whether a provider has the key that it needs.
    pub(crate) fn has_key(&self, provider: Provider) -> bool {
        self.targets.get(&provider).is_some_and(|target| target.missing_key().is_none())
    }

    /// The variable of the key that a provider lacks.
    pub(crate) fn missing_key(&self, provider: Provider) -> Option<&'static str> {
        self.targets.get(&provider)?.missing_key()
    }

    /// One attempt for a streamed answer.
    pub(crate) async fn stream(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        call: &CallContext,
        mode: Mode,
    ) -> Result<LiveStream, Failure> {
        let target = self.target(model.provider)?;
        let traceparent = call.traceparent.as_deref();
        let opened = async {
            let plain = mode.is_plain.then(|| history::without_tools(request));
            let request = plain.as_ref().unwrap_or(request);
            let (response, mut sent) = self.open(target, model, request, traceparent, true).await?;
            let may_ask = target.may_answer_whole() && opening::is_bare_uvicorn(response.headers());
            let mut body = body::open(response, &self.timeouts).await?;
            if matches!(body, Body::Nothing) && may_ask {
                // llama-cpp-python 0.3.36 ends the stream of a failed call so: unstreamed, it tells why.
                // A gateway may have paid for the first answer, so that it is not asked within one attempt.
                let asked = self.open(target, model, request, traceparent, false).await?;
                body = body::open(asked.0, &self.timeouts).await?;
                sent = asked.1;
            }
            let mut live = LiveStream::new(target.clone(), sent.tools, request.tool_choice, mode);
            live.final_tool = sent.final_tool;
            live.used = sent.used;
            live.limit = target.unsaid_limit(model, request, &self.quirks.of(model));
            match body {
                Body::Nothing => return Err(Failure::cut_off()),
                Body::Events(events) => live.events = Some(events),
                Body::Whole(bytes) => {
                    live.size = bytes.len();
                    call.received.look(&bytes);
                    let answer = target.parse(&read_json(&bytes)?)?;
                    let reply = thought_filter::reply_in(&answer.message, true);
                    let answer = live.checked(answer, Some(reply))?;
                    let text = answer.message.text.clone();
                    live.ready.push(Piece::Done(Box::new(answer)));
                    if !text.is_empty() {
                        live.ready.push(Piece::Text(text));
                    }
                }
            }
            Ok(live)
        };
        opened.await.map_err(|failure: Failure| target.scrub(failure))
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

    /// Why a model sees no tools although they are sent.
    pub(crate) fn unseen_tools(&self, model: &ModelRef) -> Option<String> {
        self.unseen.of(model)
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
        .map_err(|_| Failure::garbled("the answer is not JSON, or incomplete"))
}

/// How an attempt is made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mode {
    /// The caller waits for the whole answer, and drops the pieces of its text.
    pub(crate) is_whole: bool,
    /// Without tools, and with the calls of the conversation as plain text.
    pub(crate) is_plain: bool,
}

/// A streamed answer. Dropping it closes the connection.
pub(crate) struct LiveStream {
    /// `None` once the answer is complete, or if it was not streamed.
    pub(super) events: Option<Events>,
    /// Pieces that are known already, the next one last.
    ready: Vec<Piece>,
    reader: Box<dyn Reader>,
    filter: ThoughtFilter,
    target: Target,
    /// The tools as they were sent: the answer's calls get their own names back.
    tools: Arc<ToolForm>,
    /// The tool that takes the answer. Until the end it is not known whether it is called, so that the
    /// text is held back until then.
    final_tool: Option<FinalTool>,
    /// What became of the request's images and documents.
    used: Used,
    tool_choice: ToolChoice,
    mode: Mode,
    /// The output limit that was sent, tokens, if the server may not say that it has cut an answer.
    limit: Option<u64>,
    /// The bytes of all events, or of the whole answer.
    size: usize,
}

impl LiveStream {
    pub(super) fn new(
        target: Target,
        tools: Arc<ToolForm>,
        tool_choice: ToolChoice,
        mode: Mode,
    ) -> Self {
        Self {
            events: None,
            ready: Vec::new(),
            reader: target.reader(),
            filter: ThoughtFilter::new(),
            target,
            tools,
            final_tool: None,
            used: Used::new(),
            tool_choice,
            mode,
            limit: None,
            size: 0,
        }
    }

    /// What became of the request's images and documents.
    pub(crate) fn used(&mut self) -> Used {
        std::mem::take(&mut self.used)
    }

    /// The next piece. After [`Piece::Done`] or a failure there is none.
    pub(crate) async fn next(&mut self, received: &Received) -> Result<Piece, Failure> {
        self.read(received).await.map_err(|failure| self.target.scrub(failure))
    }

    async fn read(&mut self, received: &Received) -> Result<Piece, Failure> {
        if let Some(piece) = self.ready.pop() {
            return Ok(piece);
        }
        if self.events.is_some() && self.reader.has_ended() {
            self.release_connection();
            return self.end();
        }
        let Some(events) = &mut self.events else { return Err(Failure::cut_off()) };
        while let Some(event) = events.next().await {
            let event = event?;
            let is_error = event.event.as_deref() == Some("error");
            self.size += event.data.as_deref().map_or(0, str::len);
            let delta = match event.data.as_deref().map(str::trim) {
                None | Some("") => continue,
                Some("[DONE]") => self.reader.done(),
                Some(data) if data.len() > MAX_EVENT => {
                    return Err(Failure::bad_answer(
                        "an event of the stream exceeds the size limit",
                    ));
                }
                Some(data) if is_error => return Err(self.target.error(data)),
                Some(data) => {
                    received.look(data.as_bytes());
                    match self.reader.usual_event(data) {
                        Some(delta) => delta?,
                        None => {
                            let event: Value = serde_json::from_str(data).map_err(|_| {
                                Failure::garbled("an event of the stream is not JSON")
                            })?;
                            self.reader.event(&event)?
                        }
                    }
                }
            };
            match delta {
                Delta::Nothing => received.hidden(),
                Delta::Text(text) => {
                    received.text(&text);
                    let text = self.filter.push(text);
                    if !text.is_empty() && self.final_tool.is_none() {
                        return Ok(Piece::Text(text));
                    }
                    if self.reader.has_ended() {
                        self.release_connection();
                        return self.end();
                    }
                }
                Delta::End => {
                    self.release_connection();
                    return self.end();
                }
            }
        }
        self.events = None;
        if !self.reader.is_complete() {
            return Err(Failure::cut_off());
        }
        self.end()
    }

    /// The rest of the text, or the end.
    fn end(&mut self) -> Result<Piece, Failure> {
        let answer = self.reader.answer()?;
        let rest = self.filter.finish();
        let is_whole = self.mode.is_whole;
        let has_thoughts = self.filter.has_thoughts(is_whole);
        let reply = has_thoughts.then(|| thought_filter::reply_in(&answer.message, is_whole));
        let answer = self.checked(answer, reply)?;
        let rest = if self.final_tool.is_some() { answer.message.text.clone() } else { rest };
        let done = Piece::Done(Box::new(answer));
        if rest.is_empty() {
            return Ok(done);
        }
        self.ready.push(done);
        Ok(Piece::Text(rest))
    }

    /// The answer with its text without thoughts, if it has some, with the tools' own names, and without
    /// calls where none were allowed.
    ///
    /// # Errors
    /// When nothing is left of it.
    fn checked(&self, mut answer: Answer, reply: Option<String>) -> Result<Answer, Failure> {
        // What was received is larger than what is kept of it.
        let kept = || serde_json::to_vec(&answer.message).map_or(usize::MAX, |json| json.len());
        if self.size > MAX_MESSAGE && kept() > MAX_MESSAGE {
            return Err(Failure::bad_answer("the answer exceeds the size limit"));
        }
        self.tools.incoming(&mut answer);
        // More than the limit shows that the server does not keep to it.
        if answer.finish_reason == FinishReason::Stop
            && self.limit == Some(answer.usage.completion_tokens)
        {
            answer.finish_reason = FinishReason::Length;
        }
        let message = &mut answer.message;
        if let Some(reply) = reply.filter(|reply| *reply != message.text) {
            let text = std::mem::replace(&mut message.text, reply);
            self.target.keep_text(message, text);
        }
        if let Some(tool) = &self.final_tool {
            tool.take(&mut answer);
            return Ok(answer);
        }
        if self.tool_choice == ToolChoice::None && !message.tool_calls.is_empty() {
            // What was cut off would be cut off again.
            if answer.finish_reason == FinishReason::Length {
                return Ok(answer);
            }
            if message.text.trim().is_empty() {
                return Err(Failure {
                    retryable: !self.mode.is_plain,
                    ..Failure::bad_end("a tool call, although none is allowed")
                });
            }
            message.tool_calls.clear();
            if answer.finish_reason == FinishReason::ToolCalls {
                answer.finish_reason = FinishReason::Stop;
            }
        }
        Ok(answer)
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
