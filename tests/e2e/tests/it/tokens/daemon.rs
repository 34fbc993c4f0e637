//! The real daemon and an application whose middleware reads `Authorization` only.

use serde_json::json;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;

use super::app::{App, Place};
use crate::example::{INTERNAL, SECRET, send};

const SKILL: &str = "---\nname: me\ndescription: Who the user is.\n---\n```http\nGET /me\n```\n";

#[tokio::test]
async fn the_daemon_sends_its_token_where_the_middleware_looks() {
    let packages = ["hono", "@hono/node-server"];
    let app = App::node(&packages, "hono_app.mjs", &["hono-bearer"], Place::Bearer).await;
    let Some(app) = app else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("workspace/skills/me")).unwrap();
    std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
    std::fs::write(dir.path().join("workspace/skills/me/SKILL.md"), SKILL).unwrap();
    let agents = r#"{"agents": [{"role": "scout"}]}"#;
    std::fs::write(dir.path().join("agent-config.json"), agents).unwrap();
    let secret = ("AGENT_JWT_SECRET", SECRET.to_owned());
    let own = [
        secret.clone(),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("MC_DATA_DIR", dir.path().join("data").display().to_string()),
        ("MC_PORT", "0".to_owned()),
    ];
    let mut plane = Program::start("wombat-mission-control", dir.path(), &own, &[]).unwrap();
    let plane_url = plane.url().await.unwrap();
    for (bearer, expected) in [(false, "401"), (true, r#""role":"scout""#)] {
        let call = Reply::call("call_backend", &json!({ "method": "GET", "path": "/me" }));
        let llm = ScriptedLlm::start([call, Reply::text("Done.")]).await;
        let settings = [
            secret.clone(),
            ("AGENT_JWT_BEARER", bearer.to_string()),
            ("BACKEND_URL", app.url.clone()),
            ("WOMBAT_CONTROL_PLANE_URL", plane_url.clone()),
            ("WOMBAT_PORT", "0".to_owned()),
            ("WOMBAT_WORKSPACE", dir.path().join("workspace").display().to_string()),
            ("WOMBAT_AGENT_CONFIG", dir.path().join("agent-config.json").display().to_string()),
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
        ];
        let mut daemon = Program::start("wombat-daemon", dir.path(), &settings, &[]).unwrap();
        let url = daemon.url().await.unwrap();
        let (status, answer) = send(&url, if bearer { "ann" } else { "bob" }).await;
        assert_eq!((status, &answer["steps"][0]["ok"]), (200, &json!(bearer)), "{answer}");
        let asked = llm.asked();
        let told = asked[1]["messages"].as_array().unwrap().last().unwrap();
        assert!(told["content"].as_str().unwrap().contains(expected), "{told}");
    }
}
