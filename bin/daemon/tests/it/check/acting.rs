//! Whether an agent can act in the application, as `check` tells, and what `init --beside` keeps.

use std::fs;

use mc_client::token::{Algorithm, Key, TokenVerifier};
use serde_json::json;
use tempfile::TempDir;
use wiremock::matchers::{header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{backend, daemon, said};
use crate::harness::SECRET;

/// The lines of `check` with this in them.
async fn lines(
    dir: &TempDir,
    arguments: &[&str],
    settings: &[(&str, &str)],
    with: &str,
) -> Vec<String> {
    let all: Vec<_> = [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline")]
        .into_iter()
        .chain(settings.iter().copied())
        .collect();
    let output = daemon(dir.path(), &[&["check"], arguments].concat(), &all).await;
    said(&output).into_iter().filter(|line| line.contains(with)).collect()
}

#[tokio::test]
async fn the_application_is_tried_as_one_of_its_users() {
    let (dir, plane, application) =
        (TempDir::new().unwrap(), backend().await, MockServer::start().await);
    let skill = dir.path().join("workspace/skills/shop");
    fs::create_dir_all(&skill).unwrap();
    let text = "---\nname: shop\ndescription: d\n---\n```\nGET /orders/{id}\nGET /orders\n```\n";
    fs::write(skill.join("SKILL.md"), text).unwrap();
    let (theirs, ours) = (application.uri(), plane.uri());
    let settings = [("BACKEND_URL", theirs.as_str()), ("WOMBAT_CONTROL_PLANE_URL", ours.as_str())];
    let declared = "note  policy: 2 endpoints declared by skills; whether a role may call one: \
                    wombat-daemon can --role agent --user ID 'GET /orders/1'";
    assert_eq!(lines(&dir, &[], &settings, "declared by skills").await, [declared]);
    let unsaid = lines(&dir, &[], &settings, "was not checked").await;
    assert!(unsaid.len() == 1 && unsaid[0].starts_with("note  "), "{unsaid:?}");
    let user = ["--user", "7", "--role", "agent"];
    let orders = || Mock::given(method("GET")).and(path("/orders"));
    // It answers everybody, nobody, and whoever has a token.
    for (with, without, told) in [
        (
            200,
            200,
            "warn  application: GET /orders as user \"7\", role \"agent\": 200, but 200 without",
        ),
        (401, 401, "FAIL  application: GET /orders as user \"7\", role \"agent\": 401: "),
        (500, 401, "FAIL  application: GET /orders as user \"7\", role \"agent\": 500: "),
        (404, 404, "warn  application: GET /orders as user \"7\", role \"agent\": 404: "),
        (
            200,
            401,
            "ok    application: GET /orders as user \"7\", role \"agent\": 200, and 401 without a token",
        ),
    ] {
        application.reset().await;
        let answer =
            |status| ResponseTemplate::new(status).set_body_json(json!({ "detail": "so" }));
        orders()
            .and(header_exists("x-agent-token"))
            .respond_with(answer(with))
            .mount(&application)
            .await;
        orders().respond_with(answer(without)).with_priority(9).mount(&application).await;
        let found = lines(&dir, &user, &settings, "GET /orders as").await;
        assert!(found.len() == 1 && found[0].starts_with(told), "{found:?}");
        // Who is refused may be unknown: that says nothing of others.
        let no_run = lines(&dir, &user, &settings, "No run").await;
        let of_user = "No run of this user can work in the application. Correct what is marked FAIL, or try an id";
        assert_eq!(no_run.is_empty(), !told.starts_with("FAIL"), "{no_run:?}");
        assert!(no_run.iter().all(|line| line.starts_with(of_user)), "{no_run:?}");
    }
    let asked = application.received_requests().await.unwrap();
    let token = asked
        .iter()
        .filter(|request| request.url.path() == "/orders")
        .find_map(|request| request.headers.get("x-agent-token"));
    let key = Key::Secret(SECRET.to_owned().into());
    let verifier = TokenVerifier::new(&key, Algorithm::Hs256).unwrap();
    let claims = verifier.verify(token.unwrap().to_str().unwrap()).unwrap();
    assert_eq!((claims.user_id.as_str(), claims.agent_role.as_str()), ("7", "agent"));
}

#[tokio::test]
async fn a_role_that_the_workspace_lacks_fails_and_its_token_is_warned_of() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let souls = dir.path().join("workspace/souls");
    fs::create_dir_all(&souls).unwrap();
    fs::write(souls.join("gardener.md"), "You garden.").unwrap();
    fs::write(souls.join("scout.md"), "You scout.").unwrap();
    let url = backend.uri();
    let settings =
        [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", url.as_str())];
    for (role, told) in [
        ("gardner", "\"gardner\"; did you mean \"gardener\"? Its roles are gardener, scout"),
        ("wizard", "\"wizard\"; its roles are gardener, scout"),
        ("scout", ""),
    ] {
        let is_known = told.is_empty();
        let check = ["check", "--user", "1", "--role", role];
        let output = daemon(dir.path(), &check, &settings).await;
        let line = format!("FAIL  application: --role: the workspace has no role {told}");
        assert_eq!(said(&output).contains(&line), !is_known, "{output:?}");
        assert!(is_known || output.status.code() == Some(1), "{output:?}");
        let token = ["token", "--user", "1", "--role", role];
        let output = daemon(dir.path(), &token, &settings).await;
        let warned = String::from_utf8(output.stderr.clone()).unwrap();
        let line = format!("warning: --role: the workspace has no role {told}\n");
        assert_eq!(warned == line, !is_known, "{warned}");
        assert!(output.status.success() && said(&output).len() == 1, "{output:?}");
    }
}

#[tokio::test]
async fn an_address_of_the_daemon_that_leads_nowhere_is_told() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let url = backend.uri();
    for (daemon_url, told) in [
        ("http://127.0.0.1:9001", "set WOMBAT_PORT=9001, or correct AGENT_DAEMON_URL"),
        ("http://127.0.0.1:9", "start wombat-daemon"),
        (url.as_str(), "answers 404 to GET /livez"),
    ] {
        let port = daemon_url.rsplit(':').next().unwrap();
        let port = if port == "9001" { "8081" } else { port };
        let settings = [
            ("BACKEND_URL", url.as_str()),
            ("AGENT_DAEMON_URL", daemon_url),
            ("WOMBAT_PORT", port),
        ];
        let found = lines(&dir, &[], &settings, "AGENT_DAEMON_URL").await;
        assert!(
            found.len() == 1 && found[0].starts_with("warn  ") && found[0].contains(told),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn beside_an_application_what_a_person_edited_is_kept_and_a_wrong_document_writes_nothing() {
    let (dir, application) = (TempDir::new().unwrap(), MockServer::start().await);
    let url = application.uri();
    let beside = ["init", "--beside", url.as_str()];
    let wrong = daemon(dir.path(), &[&beside[..], &["--openapi", "/spec"]].concat(), &[]).await;
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    // Without a document there is a workspace, and the skill follows.
    assert!(daemon(dir.path(), &beside, &[]).await.status.success());
    // Nobody knows yet whether something will delete.
    let rules = fs::read_to_string(dir.path().join("workspace/agent-config.json")).unwrap();
    assert!(rules.contains(r#""approval": ["DELETE /**"]"#), "{rules}");
    let agents = dir.path().join("workspace/AGENTS.md");
    fs::write(&agents, "mine").unwrap();
    let serve = async |paths: serde_json::Value| {
        application.reset().await;
        let document =
            json!({ "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": paths });
        let answer = ResponseTemplate::new(200).set_body_json(document);
        Mock::given(path("/spec")).respond_with(answer).mount(&application).await;
    };
    serve(json!({ "/orders": { "get": {} } })).await;
    let output = daemon(dir.path(), &[&beside[..], &["--openapi", "/spec"]].concat(), &[]).await;
    assert!(said(&output)[0].ends_with("skills/application/SKILL.md"), "{output:?}");
    serve(json!({ "/orders": { "get": {}, "post": {} } })).await;
    let output = daemon(dir.path(), &beside, &[]).await;
    let skill = dir.path().join("workspace/skills/application/SKILL.md");
    let told = "SKILL.md: kept; not in it: POST /orders. ";
    assert!(said(&output).iter().any(|line| line.contains(told)), "{output:?}");
    assert!(!fs::read_to_string(&skill).unwrap().contains("POST"));
    // What `agent-config.json` says of deletions, whoever wrote it.
    serve(json!({ "/orders": { "post": {}, "delete": {} } })).await;
    let config = dir.path().join("workspace/agent-config.json");
    let force = [&beside[..], &["--force"]].concat();
    for (rules, told) in [
        (rules.as_str(), ". Calls with DELETE wait for a person's approval (agent-config.json)"),
        (r#"{"agents": [{"role": "agent"}]}"#, ", it has to say so (tools.approval)"),
        ("no JSON", ", it has to say so (tools.approval)"),
    ] {
        fs::write(&config, rules).unwrap();
        let output = daemon(dir.path(), &force, &[]).await;
        assert!(said(&output).iter().any(|line| line.ends_with(told)), "{told}: {output:?}");
    }
    assert!(fs::read_to_string(&skill).unwrap().contains("POST /orders"));
    assert_eq!(fs::read_to_string(&agents).unwrap(), "mine");
}
