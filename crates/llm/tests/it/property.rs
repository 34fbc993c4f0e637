//! Whatever workspaces, tools, threads and models hold: no request is ever one that its provider refuses.

mod any;

use llm::model::ModelRef;
use llm::request::{AssistantMessage, LlmRequest, Message, ToolChoice, ToolSpec};
use llm::{CallContext, LlmClient};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError};
use serde_json::json;
use test_support::strict::{Profile, Refusal};
use test_support::strict_llm::{Answer, StrictLlm};
use tokio::runtime::Runtime;

use crate::strict::settings_for;

/// Few enough to be quick, the same in each run.
fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(7),
        rng_algorithm: RngAlgorithm::ChaCha,
        failure_persistence: None,
        ..Config::default()
    }
}

/// The strict servers of all profiles, and their clients.
struct Providers {
    runtime: Runtime,
    http: reqwest::Client,
    all: Vec<(Profile, StrictLlm)>,
}

impl Providers {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let all = Profile::ALL.map(|profile| {
            let server = runtime.block_on(StrictLlm::start(profile, [Answer::text("Fine.")]));
            (profile, server)
        });
        Self { runtime, http: reqwest::Client::new(), all: all.into() }
    }

    /// Asks all, each with a new client, which has learned nothing yet. `ask` says whether it got the
    /// answers that it should.
    fn each(
        &self,
        answers: &[Answer],
        ask: impl AsyncFn(Profile, &LlmClient) -> bool,
    ) -> Result<(), TestCaseError> {
        for (profile, server) in &self.all {
            server.next(answers.iter().cloned());
            let before = server.asked_so_far();
            let settings = settings_for(*profile, &server.base_url());
            let client = LlmClient::new(settings, self.http.clone()).unwrap();
            let is_answered = self.runtime.block_on(ask(*profile, &client));
            let refusals: Vec<Refusal> = server.refusals();
            if let Some(Refusal { rule, message, .. }) = refusals.first() {
                let name = profile.name();
                return Err(TestCaseError::fail(format!("{name} refuses: {rule}: {message}")));
            }
            prop_assert!(server.asked_so_far() > before, "{} was not asked", profile.name());
            prop_assert!(is_answered, "no answer of {}", profile.name());
        }
        Ok(())
    }
}

/// A request with nothing special.
fn plain(profile: Profile) -> LlmRequest {
    LlmRequest {
        model: ModelRef::new(profile.provider().parse().unwrap(), profile.model()),
        messages: vec![Message::system("Be kind."), Message::user("Hello")],
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        max_output_tokens: None,
        temperature: None,
        response_schema: None,
    }
}

/// More models of a profile, with other limits.
fn models(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::OpenAi => &["gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "o3", "gpt-5"],
        Profile::Responses => &["gpt-4o", "gpt-5", "o4-mini"],
        Profile::Anthropic => &["claude-3-haiku-20240307", "claude-sonnet-4-5", "claude-opus-4-7"],
        Profile::Gemini => &["gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-pro"],
        Profile::Groq => &["llama-3.3-70b-versatile", "openai/gpt-oss-20b"],
        _ => &[],
    }
}

fn plain_tools() -> Vec<ToolSpec> {
    (0..3).map(any::plain_tool).collect()
}

async fn ask(client: &LlmClient, request: &LlmRequest) -> Option<AssistantMessage> {
    let answer = client.complete(request, &CallContext::default()).await;
    answer
        .inspect_err(|error| eprintln!("{}: {error:?}", request.model))
        .ok()
        .map(|answer| answer.message)
}

fn choice() -> impl Strategy<Value = ToolChoice> {
    prop::sample::select(vec![ToolChoice::Auto, ToolChoice::None])
}

#[test]
fn tools_of_any_kind_are_taken() {
    let providers = Providers::start();
    proptest!(config(64), |(tools in any::tools())| {
        providers.each(&[Answer::text("Fine.")], async |profile, client| {
            let request = LlmRequest { tools: tools.clone().into(), ..plain(profile) };
            ask(client, &request).await.is_some()
        })?;
    });
}

#[test]
fn conversations_in_any_order_are_taken() {
    let providers = Providers::start();
    proptest!(config(96), |(messages in any::messages(), choice in choice(), with in any::<bool>())| {
        providers.each(&[Answer::text("Fine.")], async |profile, client| {
            let tools = if with { plain_tools() } else { Vec::new() };
            let mut request = LlmRequest {
                messages: messages.clone(), tools: tools.into(), tool_choice: choice, ..plain(profile)
            };
            if messages.iter().any(|message| !message.media().is_empty()) {
                crate::media::model(profile).clone_into(&mut request.model.name);
            }
            ask(client, &request).await.is_some()
        })?;
    });
}

#[test]
fn any_limit_temperature_and_format_is_taken() {
    let providers = Providers::start();
    let limit = prop::option::of(prop_oneof![1_u32..20, 1_000_u32..300_000, Just(u32::MAX)]);
    let temperature = prop::option::of(0.0..2.0_f64);
    proptest!(config(96), |(limit in limit, temperature in temperature, which in 0_usize..5,
        schema in any::response_schema(), with_tools in any::<bool>(), choice in choice())| {
        providers.each(&[Answer::text("{}")], async |profile, client| {
            let mut request = plain(profile);
            if with_tools {
                request.tools = plain_tools().into();
            }
            request.tool_choice = choice;
            if let Some(name) = models(profile).get(which) {
                (*name).clone_into(&mut request.model.name);
            }
            (request.max_output_tokens, request.temperature) = (limit, temperature);
            request.response_schema.clone_from(&schema);
            ask(client, &request).await.is_some()
        })?;
    });
}

/// Asks; while calls come back, they are answered and the next request is made. Whether all was
/// answered.
async fn run(client: &LlmClient, mut request: LlmRequest) -> bool {
    for _ in 0..3 {
        let Some(answer) = ask(client, &request).await else { return false };
        let calls = answer.tool_calls.clone();
        request.messages.push(Message::Assistant(answer));
        if calls.is_empty() {
            request.messages.push(Message::user("And?"));
        }
        request
            .messages
            .extend(calls.into_iter().map(|call| Message::tool(call.id, call.name, "done")));
    }
    true
}

#[test]
fn the_request_after_any_answer_is_taken() {
    let providers = Providers::start();
    let calls = prop::collection::vec((any::name(), any::arguments()), 0..3);
    proptest!(config(64), |(calls in calls, text in any::text())| {
        let calls: Vec<_> = calls.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let answer = if calls.is_empty() { Answer::text(&text) } else { Answer::calls(&calls) };
        let is_empty = text.trim().is_empty() && calls.is_empty();
        providers.each(&[answer], async |profile, client| {
            run(client, LlmRequest { tools: plain_tools().into(), ..plain(profile) }).await
                // An empty answer is an error.
                || is_empty
        })?;
    });
}

#[test]
fn thoughts_go_back_through_any_number_of_turns() {
    let providers = Providers::start();
    proptest!(config(24), |(n in 1_usize..4, text in "[a-z]{0,9}")| {
        let calls = vec![("tool_0", json!({ "a": "b" })); n];
        providers.each(&[Answer::calls(&calls).thinking(&text)], async |profile, client| {
            run(client, LlmRequest { tools: plain_tools().into(), ..plain(profile) }).await
        })?;
    });
}

#[test]
fn all_of_it_at_once_is_taken() {
    let providers = Providers::start();
    let limit = prop::option::of(1_u32..u32::MAX);
    proptest!(config(64), |(tools in any::tools(), messages in any::messages(), choice in choice(),
        limit in limit, temperature in prop::option::of(0.0..2.0_f64))| {
        let called = tools[0].name.clone();
        let answers = [Answer::call(&called, json!({ "a": 1 })).thinking("Hm"), Answer::text("Fine.")];
        providers.each(&answers, async |profile, client| {
            let request = LlmRequest {
                messages: messages.clone(), tools: tools.clone().into(), tool_choice: choice,
                max_output_tokens: limit, temperature, ..plain(profile)
            };
            run(client, request).await
        })?;
    });
}
