//! Files with the real programs: kept by the reference backend, given to a model by whichever daemon has
//! the run, saved by the agent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Stack, StackOptions};
use test_support::wait_within;

const USER: &str = "ann";

/// A dead instance's lease alone takes ten seconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// A picture of one pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\
    \x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\
    \x00\x00IEND\xaeB`\x82";

struct World {
    stack: Stack,
    options: StackOptions,
    llm: ScriptedLlm,
    _example: TempDir,
}

impl World {
    async fn start() -> Self {
        let llm = ScriptedLlm::start([Reply::text("seen")]).await;
        let example = tempfile::tempdir().unwrap();
        for folder in ["workspace", "config"] {
            std::fs::create_dir(example.path().join(folder)).unwrap();
        }
        let roles =
            json!({ "agents": [{ "role": "scout", "tools": { "enable": ["save_file"] } }] });
        std::fs::write(example.path().join("config/agent-config.json"), roles.to_string()).unwrap();
        let daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
        ];
        let options =
            StackOptions { daemon, example: example.path().into(), ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        Self { stack, options, llm, _example: example }
    }

    async fn post(&self, daemon: &str, path: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "user_id": USER, "session_key": "user:ann:scout", "task_title": "T",
            "message": "look at this" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = reqwest::Client::new().post(format!("{daemon}{path}")).json(&body);
        let response = request.header("x-agent-daemon-key", self.stack.daemon_key()).send().await;
        let response = response.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn thread(&self, task_id: &Value) -> Vec<Value> {
        let path = format!("/messages?task_id={}", task_id.as_str().unwrap());
        self.stack.person(USER).list(&path).await.unwrap()
    }

    async fn file(&self, file_id: &str) -> (u16, Vec<u8>) {
        let url = format!("{}/api/mission-control/files/{file_id}", self.stack.backend_url);
        let request = reqwest::Client::new().get(url).header("x-on-behalf-of", USER);
        let response = request.header("x-internal-token", self.stack.internal_token()).send().await;
        let response = response.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }
}

fn picture() -> Value {
    json!({ "name": "cat.png", "media_type": "image/png", "data": STANDARD.encode(PNG) })
}

#[tokio::test]
async fn a_file_is_kept_shown_again_and_gone_when_it_is_deleted() {
    let mut world = World::start().await;
    let daemon = world.stack.daemon_url.clone();
    let more = json!({ "attachments": [picture()], "idempotency_key": "one" });
    let (status, answer) = world.post(&daemon, "/api/agents/send", more.clone()).await;
    assert_eq!((status, &answer["attachments"][0]["used"]), (200, &json!("image")), "{answer}");
    let file_id = answer["attachments"][0]["file_id"].as_str().unwrap().to_owned();
    assert_eq!(world.file(&file_id).await, (200, PNG.to_vec()));
    let thread = world.thread(&answer["task_id"]).await;
    assert_eq!(thread[0]["attachments"][0]["file_id"], file_id, "{thread:?}");
    // The next message of the thread shows it again.
    let next = json!({ "message": "and now?", "task_id": answer["task_id"] });
    let (_, second) = world.post(&daemon, "/api/agents/send", next).await;
    assert_eq!(second.get("attachments"), None, "{second}");
    let asked = world.llm.asked().pop().unwrap().to_string();
    assert_eq!(asked.matches(&STANDARD.encode(PNG)).count(), 1, "{asked}");
    // A repetition is the same answer, also once the file is deleted; a new message is refused.
    let url = format!("{}/api/mission-control/files/{file_id}", world.stack.backend_url);
    let delete = reqwest::Client::new().delete(url).header("x-on-behalf-of", USER);
    let deleted = delete.header("x-internal-token", world.stack.internal_token()).send().await;
    assert_eq!(deleted.unwrap().status(), 204);
    let (status, replayed) = world.post(&daemon, "/api/agents/send", more).await;
    assert_eq!((status, &replayed["replayed"]), (200, &json!(true)), "{replayed}");
    assert_eq!(replayed["attachments"], answer["attachments"]);
    let by_id = json!({ "attachments": [{ "file_id": file_id }] });
    let (status, refused) = world.post(&daemon, "/api/agents/send", by_id).await;
    assert_eq!((status, &refused["code"]), (404, &json!("file_not_found")), "{refused}");
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn another_instance_fetches_the_files_of_a_run_whose_own_one_died() {
    let mut world = World::start().await;
    let (mut first, url) = world.stack.another_daemon(&world.options).await.unwrap();
    world.llm.say([Reply::never(), Reply::text("seen")]);
    let more = json!({ "attachments": [picture()], "idempotency_key": "one" });
    let (status, accepted) = world.post(&url, "/api/agents/runs", more).await;
    assert_eq!(status, 202, "{accepted}");
    let asked = async || (!world.llm.asked().is_empty()).then_some(());
    wait_within(PATIENCE, "the model is asked", asked).await;
    first.kill().await.unwrap();
    let run = format!("/runs/{}", accepted["run_key"].as_str().unwrap());
    let person = world.stack.person(USER);
    let ended = async || {
        let run = person.get(&run).await.unwrap();
        (run["status"] == "completed").then_some(run)
    };
    let run = wait_within(PATIENCE, "the run is completed", ended).await;
    assert_eq!(run["answer"]["attachments"][0]["used"], "image", "{run}");
    // The journal has hashes; both instances showed the model the picture.
    assert!(!run["steps"].to_string().contains(&STANDARD.encode(PNG)), "{run}");
    let asked = world.llm.asked();
    assert_eq!(asked.len(), 2);
    for body in asked {
        assert_eq!(body.to_string().matches(&STANDARD.encode(PNG)).count(), 1, "{body}");
    }
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn the_agent_saves_a_file_that_its_reply_has() {
    let mut world = World::start().await;
    let daemon = world.stack.daemon_url.clone();
    let table = json!({ "name": "t.csv", "media_type": "text/csv", "content": "a,b\n1,2\n" });
    world.llm.say([Reply::call("save_file", &table), Reply::text("here it is")]);
    let (status, answer) = world.post(&daemon, "/api/agents/send", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let file_id = answer["files"][0]["file_id"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(world.file(file_id).await, (200, b"a,b\n1,2\n".to_vec()));
    let thread = world.thread(&answer["task_id"]).await;
    assert_eq!(thread.last().unwrap()["attachments"][0]["name"], "t.csv", "{thread:?}");
    world.stack.stop().await.unwrap();
}
