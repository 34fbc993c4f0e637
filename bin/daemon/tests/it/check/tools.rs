//! What `check` tells of tools, and of the models that are to use them.

use std::fs;

use serde_json::json;
use tempfile::TempDir;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{backend, daemon, said};
use crate::harness::{SECRET, answer};

fn with_document<'a>(url: &'a str, place: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("AGENT_JWT_SECRET", SECRET),
        ("LLM_PROVIDER", "offline"),
        ("BACKEND_URL", url),
        ("WOMBAT_BACKEND_OPENAPI", place),
    ]
}

#[tokio::test]
async fn a_pattern_that_can_match_nothing_is_told_whatever_could_be_asked() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let root = dir.path().join("workspace");
    fs::create_dir_all(root.join("skills/shop")).unwrap();
    let skill = "---\nname: shop\ndescription: d\n---\n```\nPOST /app/orders/{action}\nGET /app/orders\n```\n";
    fs::write(root.join("skills/shop/SKILL.md"), skill).unwrap();
    fs::write(root.join("mcp.json"), r#"{"mcpServers": {"files": {"url": "http://127.0.0.1:9"}}}"#)
        .unwrap();
    let document = dir.path().join("openapi.json");
    let operation = json!({ "operationId": "repos/get" });
    let paths = json!({ "/repos/{id}.json": { "get": operation } });
    let text =
        json!({ "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": paths });
    fs::write(&document, text.to_string()).unwrap();
    let good = [
        "POST /app/Orders/refund.json",
        "create_*",
        "repos/get",
        "GET /repos/*.json",
        "files__read",
        "POST /api/mission-control/tasks",
    ];
    let dead = [
        "POST /app/ordres/refund",
        "refund_ordr",
        "DELETE /app/orders/*",
        "create_taks",
        "mails__read",
        "GET /repos/*.xml",
    ];
    let (url, place) = (backend.uri(), format!("file://{}", document.display()));
    for list in ["deny", "approval"] {
        let all: Vec<_> = good.iter().chain(&dead).collect();
        let config = json!({ "agents": [{ "role": "agent", "tools": { list: all } }] });
        fs::write(root.join("agent-config.json"), serde_json::to_string_pretty(&config).unwrap())
            .unwrap();
        for (settings, asked) in [
            (with_document(&url, &place), true),
            (with_document(&url, "/nowhere.json"), false),
            (with_document("http://127.0.0.1:9", &place), false),
        ] {
            let lines = said(&daemon(dir.path(), &["check"], &settings).await);
            let told = |pattern: &str| {
                let line =
                    lines.iter().find(|line| line.contains(&format!("\"{pattern}\" of agent")));
                line.filter(|line| line.contains("matches no tool")).cloned()
            };
            for pattern in dead {
                let line = told(pattern).unwrap_or_else(|| panic!("{pattern}: {lines:#?}"));
                assert!(line.starts_with("warn  workspace: agent-config.json:"), "{line}");
                assert_eq!(line.contains("not asked"), !asked, "{line}");
            }
            for pattern in good.iter().filter(|pattern| asked || !pattern.contains("repos")) {
                assert_eq!(told(pattern), None, "{lines:#?}");
            }
            let near = told("create_taks").unwrap();
            assert!(near.contains("did you mean \"create_task\"?"), "{near}");
        }
    }
}

#[tokio::test]
async fn what_a_models_provider_does_not_take_of_the_tools_is_told() {
    let dir = TempDir::new().unwrap();
    let backend = MockServer::start().await;
    let capabilities = json!({ "contract_version": "v1", "features": { "tools": true } });
    answer(&backend, "GET", "/capabilities", 200, capabilities).await;
    let many = (0..130).map(|n| json!({ "name": format!("tool_{n}"), "description": "Does it." }));
    let mut tools: Vec<_> = many.collect();
    tools[0] = json!({ "name": "3d_render", "description": "A sentence. ".repeat(150) });
    Mock::given(method("GET"))
        .and(path("/api/tools"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "tools": tools })))
        .mount(&backend)
        .await;
    assert!(daemon(dir.path(), &["init"], &[]).await.status.success());
    let url = backend.uri();
    let settings = [
        ("AGENT_JWT_SECRET", SECRET),
        ("BACKEND_URL", &url),
        ("LLM_PROVIDER", "google"),
        ("LLM_MODEL_DEFAULT", "gemini-x"),
        ("LLM_MODEL_FALLBACK", "openai/gpt-x"),
        ("GEMINI_API_KEY", "key"),
        ("OPENAI_API_KEY", "key"),
        ("WOMBAT_TOOLS_DIRECT", "1000"),
    ];
    let lines = said(&daemon(dir.path(), &["check"], &settings).await);
    let line = |start: &str, what: &str| {
        let found = lines.iter().any(|line| line.starts_with(start) && line.contains(what));
        assert!(found, "{start} {what}\n{lines:#?}");
    };
    line("ok    tools: google/gemini-x: \"3d_render\": ", "there it is _3d_render");
    line("warn  tools: openai/gpt-x: \"3d_render\": its description", "the end is cut");
    line(
        "warn  tools: openai/gpt-x: \"tool_129\": left out: ",
        "the limit of the provider is 128,",
    );
}

#[tokio::test]
async fn a_model_without_tools_and_a_key_that_may_be_wrong_are_told() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    assert!(daemon(dir.path(), &["init"], &[]).await.status.success());
    let llama = MockServer::start().await;
    let on = |at: &str, body: serde_json::Value| {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        let answer = answer.insert_header("server", "llama.cpp");
        Mock::given(method("GET")).and(path(at)).respond_with(answer)
    };
    on("/v1/models", json!({ "data": [{ "id": "x.gguf" }] })).mount(&llama).await;
    let props = json!({ "chat_template_caps": { "supports_tools": false } });
    on("/props", props).mount(&llama).await;
    let proxy = MockServer::start().await;
    let refusal = json!({ "error": { "message": "No connected db.", "type": "no_db_connection",
        "param": null, "code": "400" } });
    let refused = ResponseTemplate::new(400).set_body_json(refusal);
    Mock::given(path("/v1/models")).respond_with(refused).mount(&proxy).await;
    for (model, key, start, what, code) in [
        (&llama, "", "warn  model: openai/m: ", "will never see its tools", 0),
        (
            &proxy,
            "sk-wrong",
            "FAIL  model: openai/m: ",
            "No connected db); OPENAI_API_KEY may be wrong",
            1,
        ),
    ] {
        let (url, base) = (backend.uri(), format!("{}/v1", model.uri()));
        let settings = [
            ("AGENT_JWT_SECRET", SECRET),
            ("BACKEND_URL", &url),
            ("LLM_PROVIDER", "openai"),
            ("LLM_MODEL_DEFAULT", "m"),
            ("OPENAI_BASE_URL", &base),
            ("OPENAI_API_KEY", key),
        ];
        let output = daemon(dir.path(), &["check"], &settings).await;
        let lines = said(&output);
        let is_told = |line: &String| line.starts_with(start) && line.contains(what);
        assert!(lines.iter().any(is_told), "{lines:#?}");
        assert_eq!(output.status.code(), Some(code), "{lines:#?}");
    }
}
