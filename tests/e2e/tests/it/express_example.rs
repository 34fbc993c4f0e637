//! The Express example: agents call it, and its chat calls the daemon through a generated client.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::program::{Program, ProgramError};
use test_support::wait_for;
use tokio::process::Command;

use crate::example::{self, Example, INTERNAL, SECRET, token};
use crate::peers::{free_port, npm_ci};

const NAME: &str = "express-backend";
const DAEMON_KEY: &str = "daemon-key-of-the-example";
const REPLY: &str = "A visit of Dune Street Primary is booked for 2030-05-07.";

/// A copy of the application beside its packages, if they are installed.
fn copy() -> Option<TempDir> {
    let folder = example::folder(NAME);
    let packages = npm_ci("WOMBAT_TEST_EXPRESS", &folder)?;
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(packages.join("node_modules"), dir.path().join("node_modules"))
        .unwrap();
    for file in ["package.json", "tsconfig.json"] {
        std::fs::copy(folder.join(file), dir.path().join(file)).unwrap();
    }
    for part in ["src", "src/generated"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                let to = dir.path().join(part).join(file.file_name().unwrap());
                std::fs::copy(file, to).unwrap();
            }
        }
    }
    Some(dir)
}

/// The environment of every Node process.
fn environment(dir: &Path) -> [(&'static str, String); 2] {
    // What tsx has compiled is kept in TMPDIR.
    [("PATH", std::env::var("PATH").unwrap()), ("TMPDIR", dir.display().to_string())]
}

/// Runs a tool of the copy to its end, without a timeout, for busy machines.
async fn tool(dir: &Path, arguments: &[&str]) {
    let mut tool = Command::new("node");
    tool.args(arguments).current_dir(dir).env_clear().envs(environment(dir)).kill_on_drop(true);
    let ended = tool.output().await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The application in that copy, once it listens.
async fn serve(dir: &Path, settings: &[(&str, String)]) -> Result<(Program, String), ProgramError> {
    let mut all = vec![
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("DEMO_PASSWORD", "open sesame".to_owned()),
    ];
    all.extend(environment(dir));
    all.extend(settings.iter().cloned());
    let arguments = ["--import", "tsx", "src/main.ts"];
    let mut server = Program::start_path(Path::new("node"), dir, &all, &arguments)?;
    let url = server.url().await?;
    Ok((server, url))
}

async fn start() -> Option<Example> {
    let dir = copy()?;
    let (server, url) = serve(dir.path(), &[("PORT", "0".to_owned())]).await.unwrap();
    Some(Example { url, dir, server, folder: example::folder(NAME) })
}

#[tokio::test]
async fn an_agent_searches_and_books_once() {
    let Some(mut example) = start().await else { return };
    let (mut daemon, url) = example.daemon(&[]).await;
    example::books_a_visit_once(&example, &url, ["call_backend", "call_backend"]).await;
    assert!(daemon.stop().await.unwrap().success());
    assert!(example.server.stop().await.unwrap().success());
}

#[tokio::test]
async fn the_example_takes_the_tokens_of_agents_and_no_others() {
    let Some(example) = start().await else { return };
    example::takes_the_tokens_of_agents_and_no_others(&example).await;
}

#[tokio::test]
async fn the_example_passes_the_conformance_suite() {
    let Some(example) = start().await else { return };
    example::passes_the_conformance_suite(&example).await;
}

#[tokio::test]
async fn the_example_keeps_the_required_part_of_the_contract() {
    let Some(example) = start().await else { return };
    example::keeps_the_required_part_of_the_contract(&example).await;
}

/// A person who has logged in.
struct Person {
    url: String,
    session: String,
}

impl Person {
    async fn login(example: &Example, user: &str, password: &str) -> Result<Self, u16> {
        let login = reqwest::Client::new().post(format!("{}/login", example.url));
        let login = login.json(&json!({ "user": user, "password": password }));
        let answer = login.send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        let session = answer["session"].as_str().ok_or(status)?.to_owned();
        Ok(Self { url: example.url.clone(), session })
    }

    async fn says(&self, path: &str, key: &str, message: &str) -> reqwest::Response {
        let call = reqwest::Client::new().post(format!("{}{path}", self.url));
        let call = call.bearer_auth(&self.session).header("idempotency-key", key);
        call.json(&json!({ "message": message })).send().await.unwrap()
    }

    async fn chats(&self, key: &str, message: &str) -> (u16, Value) {
        let answer = self.says("/chat", key, message).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// The application and the daemon, each of which knows the other's address and key.
async fn both(settings: &[(&str, String)]) -> Option<(Example, Program, String)> {
    let dir = copy()?;
    let folder = example::folder(NAME);
    let key = ("AGENT_DAEMON_API_KEY", DAEMON_KEY.to_owned());
    let mut given = settings.to_vec();
    given.push(key.clone());
    loop {
        let port = free_port();
        let backend = format!("http://127.0.0.1:{port}");
        let (daemon, daemon_url) = example::daemon(&folder, &backend, &given).await;
        let own = [("PORT", port.to_string()), ("WOMBAT_URL", daemon_url.clone()), key.clone()];
        match serve(dir.path(), &own).await {
            Ok((server, url)) => {
                return Some((Example { url, dir, server, folder }, daemon, daemon_url));
            }
            // Somebody else took the port in between.
            Err(error) if error.0.contains("EADDRINUSE") => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_person_chats_through_the_generated_client() {
    let Some((example, mut daemon, _)) = both(&[]).await else { return };
    assert_eq!(Person::login(&example, "ann", "wrong").await.err(), Some(401));
    let ann = Person::login(&example, "ann", "open sesame").await.unwrap();
    let (status, first) = ann.chats("c1", "A school near the beach and a visit, please.").await;
    assert_eq!((status, first["reply"].as_str()), (200, Some(REPLY)), "{first}");
    assert_eq!(first["replayed"], false);
    let (status, again) = ann.chats("c1", "A school near the beach and a visit, please.").await;
    assert_eq!((status, &again["message_id"]), (200, &first["message_id"]), "{again}");
    assert_eq!(again["replayed"], true);
    assert_eq!(example.visits("ann").await.len(), 1);
    let (status, other) = ann.chats("c1", "A school near the river, please.").await;
    assert_eq!((status, &other["code"]), (409, &json!("idempotency_conflict")), "{other}");

    // Told live, in the same thread.
    let told = ann.says("/chat/stream", "c2", "A visit to a school near the river, please.").await;
    assert_eq!(told.headers()["content-type"], "text/event-stream");
    let told = told.text().await.unwrap();
    let events = told.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|data| serde_json::from_str(data).unwrap()).collect();
    let chunks = events.iter().filter(|event| event["type"] == "chunk");
    let text: String = chunks.map(|chunk| chunk["data"].as_str().unwrap()).collect();
    assert_eq!(text, "A visit of Harbour Grammar is booked for 2030-05-07.", "{told}");
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("start", "done"), "{told}");
    assert!(kinds.contains(&"tool_call") && kinds.contains(&"tool_result"), "{told}");
    assert_eq!(example.visits("ann").await.len(), 2);
    let task = first["task_id"].as_str().unwrap();
    let path = format!("/api/mission-control/messages?task_id={task}");
    let thread = example.as_person("ann", &path).await;
    let thread = thread["items"].as_array().unwrap();
    let actors: Vec<_> = thread.iter().map(|said| said["actor_type"].as_str().unwrap()).collect();
    assert_eq!(actors, ["user", "agent", "user", "agent"], "{thread:?}");

    // Another person's chat is another one.
    let bob = Person::login(&example, "bob", "open sesame").await.unwrap();
    let (status, answer) = bob.chats("c1", "Hello").await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(false)), "{answer}");
    assert!(answer["task_id"] != first["task_id"] && example.visits("bob").await.is_empty());

    // What the daemon refuses before a run begins, and a daemon that is away, are errors of the chat.
    for path in ["/chat", "/chat/stream"] {
        let refused = ann.says(path, "k", " ").await;
        assert_eq!(refused.status(), 400, "{path}");
        let refused = ann.says(path, &"k".repeat(600), "Hello").await;
        assert_eq!(refused.status(), 502, "{path}");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "agent_failed");
    }
    assert!(daemon.stop().await.unwrap().success());
    for path in ["/chat", "/chat/stream"] {
        let away = ann.says(path, "c9", "Hello").await;
        assert_eq!(away.status(), 503, "{path}");
        assert!(away.headers().contains_key("retry-after"), "{path}");
        assert_eq!(away.json::<Value>().await.unwrap()["code"], "agent_unavailable");
    }
}

/// How many runs the daemon has going, as its metrics say.
async fn runs(daemon: &str) -> Option<u64> {
    let metrics = reqwest::Client::new().get(format!("{daemon}/metrics"));
    let metrics = metrics.header("x-agent-daemon-key", DAEMON_KEY).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let runs = metrics.lines().find_map(|line| line.strip_prefix("wombat_runs_in_flight "));
    runs?.parse().ok()
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_run() {
    let script = "rules: [{say: Too late., delay_ms: 600000}]";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("slow.yaml");
    std::fs::write(&file, script).unwrap();
    let slow = ("LLM_OFFLINE_SCRIPT", file.display().to_string());
    let Some((example, _daemon, daemon_url)) = both(&[slow]).await else { return };
    let ann = Person::login(&example, "ann", "open sesame").await.unwrap();
    let mut told = ann.says("/chat/stream", "c1", "Hello").await;
    let first = told.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: start"), "{first:?}");
    assert_eq!(runs(&daemon_url).await, Some(1));
    drop(told);
    wait_for("the end of the run", async || (runs(&daemon_url).await? == 0).then_some(())).await;
}

#[tokio::test]
async fn a_session_is_no_agents_token_and_the_other_way_round() {
    let Some(example) = start().await else { return };
    let ann = Person::login(&example, "ann", "open sesame").await.unwrap();
    let tasks = "/api/mission-control/tasks";
    let bearer = |token: &str| format!("Bearer {token}");
    let session = bearer(&ann.session);
    assert_eq!(example.get(tasks, &[("authorization", &session)]).await.0, 200);
    assert_eq!(example.get(tasks, &[("x-agent-token", &ann.session)]).await.0, 401);
    let agent = bearer(&token(SECRET, json!({})));
    assert_eq!(example.get(tasks, &[("authorization", &agent)]).await.0, 401);
    let chat = reqwest::Client::new().post(format!("{}/chat", example.url));
    let chat = chat.json(&json!({ "message": "Hello" }));
    assert_eq!(chat.try_clone().unwrap().send().await.unwrap().status(), 401);
    let as_agent = chat.header("x-agent-token", token(SECRET, json!({})));
    assert_eq!(as_agent.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn it_compiles_strictly() {
    let Some(dir) = copy() else { return };
    tool(dir.path(), &["node_modules/typescript/bin/tsc", "--noEmit"]).await;
}

#[tokio::test]
async fn the_generated_types_are_those_of_this_daemon() {
    let Some(dir) = copy() else { return };
    let folder = example::folder(NAME);
    let (_daemon, url) = example::daemon(&folder, "http://127.0.0.1:9", &[]).await;
    let document = format!("{url}/openapi.json");
    let script = "node_modules/openapi-typescript/bin/cli.js";
    tool(dir.path(), &[script, &document, "--output", "generated.ts"]).await;
    let generated = std::fs::read_to_string(dir.path().join("generated.ts")).unwrap();
    let kept = std::fs::read_to_string(folder.join("src/generated/wombat.ts")).unwrap();
    // Not assert_eq: that would print both.
    let stale = "src/generated/wombat.ts is stale: start the daemon, then npm run generate";
    assert!(generated == kept, "{stale}");
}

#[test]
fn its_lockfile_names_no_registry() {
    let folder = example::folder(NAME);
    let lock = std::fs::read_to_string(folder.join("package-lock.json")).unwrap();
    assert!(!lock.contains("\"resolved\""));
    let package: Value =
        serde_json::from_slice(&std::fs::read(folder.join("package.json")).unwrap()).unwrap();
    for kind in ["dependencies", "devDependencies"] {
        for (name, version) in package[kind].as_object().unwrap() {
            let version = version.as_str().unwrap();
            assert!(version.chars().all(|c| c.is_ascii_digit() || c == '.'), "{name} {version}");
        }
    }
}
