//! One request, repeated without what the model refuses.

use std::borrow::Cow;
use std::sync::Arc;

use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::timeout;

use super::{Network, probe};
use crate::final_tool::FinalTool;
use crate::media_plan::{self, Used};
use crate::model::ModelRef;
use crate::provider::body;
use crate::provider::failure::Failure;
use crate::provider::quirks::Quirks;
use crate::provider::target::Target;
use crate::provider::tool_form::{self, Refused, ToolForm};
use crate::request::{LlmRequest, Message};

/// How often a request is repeated at most because a part of it was refused: several tools in two steps
/// each, and some parameters.
const MAX_REPEATS: usize = 16;

/// What the reader of a response has to know of the request.
pub(super) struct Sent {
    /// The tools as they were sent.
    pub(super) tools: Arc<ToolForm>,
    /// The one that takes the answer.
    pub(super) final_tool: Option<FinalTool>,
    /// What became of the images and documents.
    pub(super) used: Used,
}

/// A request with other messages, if they are.
fn with_messages<'a>(request: &'a LlmRequest, messages: Cow<'a, [Message]>) -> Cow<'a, LlmRequest> {
    match messages {
        Cow::Borrowed(_) => Cow::Borrowed(request),
        Cow::Owned(messages) => Cow::Owned(LlmRequest {
            model: request.model.clone(),
            messages,
            tools: request.tools.clone(),
            response_schema: request.response_schema.clone(),
            ..*request
        }),
    }
}

impl Network {
    /// Sends the request, and returns the response with the tools as they were sent. Repeats it without
    /// what the model refuses: a parameter, a tool. The answer is asked for as a stream, or as a whole.
    pub(super) async fn open(
        &self,
        target: &Target,
        model: &ModelRef,
        request: &LlmRequest,
        traceparent: Option<&str>,
        is_streamed: bool,
    ) -> Result<(Response, Sent), Failure> {
        let support = self.media_support(model);
        let (messages, mut used) = media_plan::shown(&request.messages, &support);
        let mut given = with_messages(request, messages);
        let mut quirks = self.quirks.of(model);
        quirks.is_whole = !is_streamed;
        let (mut refused, mut repeats) = (self.refused.of(model), MAX_REPEATS);
        loop {
            if quirks.no_media {
                let (messages, told) = media_plan::refused(&request.messages, &support);
                (given, used) = (with_messages(request, messages), told);
            }
            let (fitting, final_tool) = target.answer_form(model, &given, &quirks).apply(&given);
            let asked = &*fitting;
            let tools = target.tools(model, &asked.tools, quirks.plain_schemas, refused.clone());
            let body = target.body(model, asked, &quirks, &tools);
            let url = target.url(&model.name);
            let headers = headers(target, traceparent, is_streamed);
            let asking = self.http.library().post(url).headers(headers).body(body).build();
            let asking = asking.map_err(|error| Failure::of_reqwest(&error))?;
            let sending = self.http.execute(asking);
            let limit = self.timeouts.first_byte;
            let response = timeout(limit, sending)
                .await
                .map_err(|_| body::timed_out(limit))?
                .map_err(|error| Failure::unsent(&error))?;
            if response.status().is_success() {
                // xllamacpp 2026.10: `text.format` is ignored there.
                quirks.schema_of_chat |= target.is_responses()
                    && asked.response_schema.is_some()
                    && probe::is_llama_cpp(response.headers());
                self.quirks.keep(model, quirks);
                self.refused.keep(model, refused);
                if asked.sends_tools() && tools.json().is_some() {
                    probe::look(
                        &self.unseen,
                        self.http.library(),
                        target,
                        model,
                        response.headers(),
                    );
                }
                return Ok((response, Sent { tools, final_tool, used }));
            }
            let (status, headers) = (response.status(), response.headers().clone());
            let text = body::read_error(response, &self.timeouts).await;
            let failure = Failure::of_response(model.provider, status, &headers, &text);
            let failure = target.scrub(failure);
            let form = |plain: bool, refused: Option<&Refused>| {
                target.tools(model, &asked.tools, plain, refused.cloned())
            };
            let after = |more: &Refused| form(quirks.plain_schemas, Some(more));
            let more = tool_form::refused_after(refused.as_ref(), &failure, &text, &tools, after);
            // An error may repeat what somebody wrote of tools.
            let more = more.filter(|_| !tool_form::speaks_of_tools(&asked.messages));
            if more.is_some() {
                refused = more;
                if repeats == 0 {
                    // The next request gets on from here.
                    self.refused.keep(model, refused);
                    return Err(failure);
                }
                repeats -= 1;
                continue;
            }
            let more = quirks.after(asked, &failure).filter(|_| repeats > 0);
            // What was not sent cannot be left out.
            let changed = |more: &Quirks| {
                let (other, _) = target.answer_form(model, &given, more).apply(&given);
                let (plain, refused) = (more.plain_schemas, refused.clone());
                let form = target.tools(model, &other.tools, plain, refused);
                more.no_media != quirks.no_media
                    || target.draft(model, &other, more, &form)
                        != target.draft(model, asked, &quirks, &tools)
            };
            quirks = more.filter(changed).ok_or(failure)?;
            repeats -= 1;
        }
    }
}

/// The headers of a request, and of a question.
pub(super) fn headers(target: &Target, traceparent: Option<&str>, is_streamed: bool) -> HeaderMap {
    let mut headers = target.headers();
    let accepted = if is_streamed { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // An invalid value is left out.
    if let Some(value) = traceparent.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert("traceparent", value);
    }
    headers
}

/// Whether a response comes straight from a Python server, as llama-cpp-python is one (it names each
/// request in `x-request-id`, and its time in `openai-processing-ms`), and from no gateway that says
/// that it stands before others.
pub(super) fn is_bare_uvicorn(response: &HeaderMap) -> bool {
    let gateways =
        ["x-litellm-", "cf-", "via", "request-id", "openai-", "x-ratelimit-", "x-envoy-"];
    response.get("server").is_some_and(|server| server == "uvicorn")
        && !response.keys().map(http::HeaderName::as_str).any(|name| {
            name != "openai-processing-ms" && gateways.iter().any(|of| name.starts_with(of))
        })
}
