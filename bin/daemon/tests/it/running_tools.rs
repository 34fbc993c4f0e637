//! The tools that a running daemon has: they follow the workspace and the OpenAPI document, and `check`
//! compares them with the files.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::process::Command;
use wiremock::matchers::{method, path};
use wiremock::{Mock, Request, ResponseTemplate};

use crate::harness::{ROLES, SECRET, World, message, says};

const SEARCH: &str =
    "---\nname: schools\ndescription: Finds schools.\n---\n```http\nGET /schools\n```\n";
const BOTH: &str =
    "---\nname: schools\ndescription: Finds schools.\n---\n```http\nGET /schools\nGET /fees\n```\n";

fn document(paths: &[&str]) -> Value {
    let mut all = json!({});
    for path in paths {
        all[format!("/{path}")] = json!({ "get": { "operationId": format!("list_{path}") } });
    }
    json!({ "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": all })
}

/// A daemon whose application serves a document that the test can change.
async fn world() -> (World, Arc<Mutex<Value>>) {
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", "/openapi.json")], json!({})).await;
    let served = Arc::new(Mutex::new(document(&["schools"])));
    let now = served.clone();
    Mock::given(method("GET"))
        .and(path("/openapi.json"))
        .respond_with(move |_: &Request| {
            ResponseTemplate::new(200).set_body_json(&*now.lock().unwrap())
        })
        .mount(&world.backend)
        .await;
    world.write("agent-config.json", ROLES);
    world.write("skills/schools/SKILL.md", SEARCH);
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    (world, served)
}

async fn names(world: &World) -> Vec<String> {
    let tools: Value = world.daemon.get("/tools").await.json().await.unwrap();
    let tools = tools["roles"][0]["tools"].as_array().unwrap().clone();
    let external = tools.iter().filter(|tool| tool["source"] == "openapi");
    external.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_skill_that_changes_has_the_document_read_again() {
    let (world, served) = world().await;
    world.model(vec![says("hello")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    *served.lock().unwrap() = document(&["schools", "fees"]);
    world.write("skills/schools/SKILL.md", BOTH);
    let has_both = |skills: &Value| skills["skills"][0]["endpoints"].as_array().unwrap().len() == 2;
    world.daemon.until("/skills", has_both).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let got = world.model_got().await;
    let tools = got.last().unwrap()["tools"].as_array().unwrap();
    let offered = |name: &str| tools.iter().any(|tool| tool["function"]["name"] == name);
    assert!(offered("list_schools") && offered("list_fees"), "{tools:?}");
}

#[tokio::test]
async fn the_tools_of_all_roles_can_be_asked_for() {
    let (world, served) = world().await;
    assert_eq!(names(&world).await, ["list_schools"]);
    let tools: Value = world.daemon.get("/tools").await.json().await.unwrap();
    assert_eq!(tools["openapi_operations"], 1, "{tools}");
    assert_eq!(tools["roles"][0]["role"], "scout", "{tools}");
    let builtin = json!({ "name": "create_task", "source": "built-in" });
    assert!(tools["roles"][0]["tools"].as_array().unwrap().contains(&builtin), "{tools}");
    let folder = world.dir.path().canonicalize().unwrap();
    assert_eq!(tools["workspace"], folder.display().to_string());
    // The application starts again after the skill has changed.
    world.write("skills/schools/SKILL.md", BOTH);
    *served.lock().unwrap() = document(&["schools", "fees"]);
    world.daemon.until("/tools", |tools| tools["openapi_operations"] == 2).await;
    let has_fees = |tools: &Value| tools.to_string().contains("\"list_fees\"");
    world.daemon.until("/tools", has_fees).await;
}

async fn check(world: &World, workspace: &Path, settings: &[(&str, &str)]) -> Vec<String> {
    let port = world.daemon.url.rsplit(':').next().unwrap().to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_wombat-daemon"))
        .arg("check")
        .current_dir(world.dir.path())
        .env_clear()
        .envs([
            ("AGENT_JWT_SECRET", SECRET),
            ("LLM_PROVIDER", "offline"),
            ("BACKEND_URL", &world.backend.uri()),
            ("WOMBAT_PORT", &port),
        ])
        .env("WOMBAT_WORKSPACE", workspace)
        .envs(settings.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter(|line| line.contains("  daemon: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn check_compares_the_files_with_the_running_daemon() {
    let (world, _) = world().await;
    let url = &world.daemon.url;
    let document = ("WOMBAT_BACKEND_OPENAPI", "/openapi.json");
    let dir = world.dir.path();
    assert_eq!(
        check(&world, dir, &[document]).await,
        [format!("ok    daemon: {url} is running, and has the same workspace and tools")]
    );
    assert_eq!(
        check(&world, dir, &[]).await,
        [format!(
            "warn  daemon: {url} is running: scout has list_schools there, and not by these files and \
             settings; restart it if its settings have changed"
        )]
    );
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("agent-config.json"), ROLES).unwrap();
    let told = check(&world, other.path(), &[document]).await;
    let another = format!("note  daemon: the one at {url} has another workspace (");
    assert!(told.len() == 1 && told[0].starts_with(&another), "{told:?}");
    let nobody = [document, ("WOMBAT_PORT", "9")];
    assert_eq!(
        check(&world, dir, &nobody).await,
        ["note  daemon: none is running at http://127.0.0.1:9; the above is what it would have"]
    );
}
