//! The runs whose traces the tests look at: one that calls a tool, one that fails, one that waits for a person.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Stack, StackOptions};

/// The runs' traces, as their caller names them.
pub(crate) const CALLS: &str = "0000000000000000000000000000ca11";
pub(crate) const FAILS: &str = "000000000000000000000000000fa115";
pub(crate) const WAITS: &str = "0000000000000000000000000000a175";
pub(crate) const EARLY: &str = "00000000000000000000000000000b0d";
pub(crate) const DETACHED: &str = "0000000000000000000000000000de7a";

/// What the user asks for.
pub(crate) const ASKED: &str = "Plan the picnic.";
/// What the agent answers.
pub(crate) const ANSWERED: &str = "The picnic is planned.";

pub(crate) struct Traced {
    pub(crate) stack: Stack,
    /// The task of all runs.
    pub(crate) task_id: String,
    _dir: TempDir,
}

/// What a model answers, with an id and tokens that its provider had read before.
fn answer(id: &str, mut reply: Value) -> Reply {
    reply["id"] = json!(id);
    reply["object"] = json!("chat.completion");
    reply["model"] = json!("gpt-4o-mini");
    reply["usage"] = json!({ "prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200,
        "prompt_tokens_details": { "cached_tokens": 400 } });
    Reply::json(200, reply)
}

fn says(id: &str, text: &str) -> Reply {
    let message = json!({ "role": "assistant", "content": text });
    answer(id, json!({ "choices": [{ "index": 0, "finish_reason": "stop", "message": message }] }))
}

fn calls(id: &str, tool: &str, arguments: &Value) -> Reply {
    let call = json!({ "id": "call_1", "type": "function",
        "function": { "name": tool, "arguments": arguments.to_string() } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let choice = json!({ "index": 0, "finish_reason": "tool_calls", "message": message });
    answer(id, json!({ "choices": [choice] }))
}

/// Has the runs made by programs that export to this endpoint, with everything that was said; returns when all
/// is exported.
pub(crate) async fn traced(endpoint: String, headers: &str) -> Traced {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("workspace/AGENTS.md", "Be brief.");
    let scout = json!({ "role": "scout", "tools": { "approval": ["create_document"] } });
    write("config/agent-config.json", &json!({ "agents": [scout] }).to_string());
    let llm = ScriptedLlm::start([Reply::text("")]).await;
    let options = StackOptions {
        everywhere: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", headers.to_owned()),
            ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true".to_owned()),
        ],
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
            ("WOMBAT_RETRY_ATTEMPTS", "1".to_owned()),
            // Its price is not known.
            ("LLM_MODEL_BEST", "scripted".to_owned()),
        ],
        example: dir.path().to_owned(),
        ..StackOptions::default()
    };
    let stack = Stack::start(&options).await.unwrap();
    let task = stack.person("ann").post("/tasks", &json!({ "title": "Work" })).await.unwrap();
    let task_id = task["id"].as_str().unwrap().to_owned();
    let mut traced = Traced { stack, task_id, _dir: dir };

    llm.say([
        calls("chatcmpl-1", "create_task", &json!({ "title": "Buy bread" })),
        says("chatcmpl-2", ANSWERED),
    ]);
    let (status, said) = traced.send(CALLS, json!({})).await;
    assert_eq!((status, said["response"].as_str()), (200, Some(ANSWERED)), "{said}");

    llm.say([Reply::json(500, json!({ "error": { "message": "down", "type": "server_error" } }))]);
    let (status, said) = traced.send(FAILS, json!({})).await;
    assert!(status >= 500, "{said}");

    let document = json!({ "title": "List", "content": "Bread." });
    llm.say([calls("chatcmpl-3", "create_document", &document)]);
    let (status, said) = traced.send(WAITS, json!({})).await;
    assert_eq!((status, said["status"].as_str()), (200, Some("awaiting_approval")), "{said}");

    // Nothing of a task is known when it fails.
    let by_title = json!({ "task_id": null, "task_title": "Other", "metadata": { "model_tier": "best" },
        "limits": { "max_cost_usd": 1.0 } });
    let (status, said) = traced.send(EARLY, by_title).await;
    assert!(status >= 400, "{said}");

    llm.say([says("chatcmpl-4", ANSWERED)]);
    let (status, said) = traced.send(DETACHED, json!({ "detached": true })).await;
    assert_eq!((status, said["response"].as_str()), (200, Some(ANSWERED)), "{said}");
    // What is left is sent when the programs stop.
    traced.stack.stop().await.unwrap();
    traced
}

impl Traced {
    async fn send(&self, trace: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "user_id": "ann", "session_key": "user:ann:scout", "message": ASKED,
            "task_id": self.task_id, "idempotency_key": trace });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body = body.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        let body: serde_json::Map<_, _> = body.map(|(n, v)| (n.clone(), v.clone())).collect();
        let call = reqwest::Client::new()
            .post(format!("{}/api/agents/send", self.stack.daemon_url))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .header("x-trace-id", trace)
            .json(&body);
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}
