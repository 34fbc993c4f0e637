//! Streams and webhooks as clients see them: through proxies, with third-party parsers, with faults,
//! overload and restarts.

mod detached;
mod endings;
mod load;
mod model;
mod other_parsers;
mod proxies;
mod proxy_servers;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::gate::Gate;
use test_support::stack::{Stack, StackOptions};

pub(crate) use model::{Model, PIECES};

const USER: &str = "ann";

struct World {
    stack: Stack,
    model: Model,
    gate: Gate,
    options: StackOptions,
    dir: TempDir,
}

/// All three programs with a model of the test's own, and how to start another daemon.
async fn stack_with(
    model_url: &str,
    settings: &[(&'static str, &str)],
) -> (Stack, StackOptions, TempDir) {
    stack_of(r#"{"agents": [{"role": "scout"}]}"#, model_url, settings).await
}

/// The same with this `agent-config.json`.
async fn stack_of(
    agents: &str,
    model_url: &str,
    settings: &[(&'static str, &str)],
) -> (Stack, StackOptions, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
    std::fs::create_dir_all(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
    std::fs::write(dir.path().join("config/agent-config.json"), agents).unwrap();
    let mut daemon = vec![
        ("LLM_PROVIDER", "openai".to_owned()),
        ("OPENAI_BASE_URL", format!("{model_url}/v1")),
        ("WOMBAT_RETRY_DELAY_MS", "1".to_owned()),
        ("WOMBAT_RETRY_MAX_DELAY_MS", "2".to_owned()),
    ];
    daemon.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let options =
        StackOptions { daemon, example: dir.path().to_owned(), ..StackOptions::default() };
    let stack = Stack::start(&options).await.unwrap();
    (stack, options, dir)
}

impl World {
    async fn new(go: bool, settings: &[(&'static str, &str)]) -> Self {
        let (model, url) = Model::start(go).await;
        let (stack, options, dir) = stack_with(&url, settings).await;
        Self { stack, model, gate: Gate::new(), options, dir }
    }

    fn call(&self, daemon: &str, way: &str, title: &str, message: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(format!("{daemon}/api/agents/{way}"))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .json(&json!({
                "user_id": USER, "session_key": format!("user:{USER}:scout"), "task_title": title,
                "message": message,
            }))
    }
}

/// The events of a stream's text; a minimal parser by the rules of the HTML standard.
pub(crate) fn events(text: &str) -> Vec<(String, Value)> {
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let name = field("event: ")?.to_owned();
            Some((name, serde_json::from_str(field("data: ")?).unwrap()))
        })
        .collect()
}
