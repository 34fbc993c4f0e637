//! Where `check` and `init` find the application's OpenAPI document, and what they say of it.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use wiremock::matchers::{any, header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{backend, daemon, said};
use crate::harness::SECRET;

const YAML: &str = "openapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths:\n  /a:\n    get: {operationId: a}\n    post: {operationId: b}\n";

fn json_document() -> String {
    let paths = json!({ "/a": { "get": { "operationId": "a" }, "post": { "operationId": "b" } } });
    json!({ "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": paths })
        .to_string()
}

async fn serve(server: &MockServer, at: &str, media_type: &str, text: &str) {
    let answer = ResponseTemplate::new(200).set_body_raw(text, media_type);
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
}

/// The line on the document that `check` prints.
async fn line(dir: &Path, backend: &MockServer, place: &str, more: &[(&str, &str)]) -> String {
    let url = backend.uri();
    let mut settings =
        vec![("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", &url)];
    settings.extend(more);
    if !place.is_empty() {
        settings.push(("WOMBAT_BACKEND_OPENAPI", place));
    }
    let lines = said(&daemon(dir, &["check"], &settings).await);
    let found = lines.iter().find(|line| line.contains("OpenAPI document: "));
    found.cloned().unwrap_or_default()
}

/// A folder with a workspace.
async fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    let settings = [("BACKEND_URL", "http://127.0.0.1:9")];
    assert!(daemon(dir.path(), &["init"], &settings).await.status.success());
    dir
}

#[tokio::test]
async fn the_document_at_a_usual_address_is_found_and_its_setting_told() {
    let dir = folder().await;
    let json = json_document();
    let swagger =
        json!({ "swagger": "2.0", "paths": { "/a": { "get": {}, "post": {} } } }).to_string();
    for (at, media_type, text) in [
        ("/openapi.json", "application/json", &json),
        ("/schema/openapi.json", "application/vnd.oai.openapi+json", &json),
        ("/api/schema/", "application/vnd.oai.openapi; charset=utf-8", &YAML.to_owned()),
        ("/documentation/json", "application/json", &swagger),
        ("/v3/api-docs", "text/plain", &json),
    ] {
        let backend = backend().await;
        serve(&backend, at, media_type, text).await;
        let setting =
            format!("the application has one with 2 operations: set WOMBAT_BACKEND_OPENAPI={at}");
        let unset = line(dir.path(), &backend, "", &[]).await;
        assert!(
            unset.starts_with("ok    OpenAPI document: ") && unset.contains(&setting),
            "{unset}"
        );
        let wrong = line(dir.path(), &backend, "/nowhere.json", &[]).await;
        let why = "WOMBAT_BACKEND_OPENAPI: the backend answered 404 to GET of it, and no file has that path";
        assert!(
            wrong.starts_with("warn  ") && wrong.contains(why) && wrong.contains(&setting),
            "{wrong}"
        );
        let right = line(dir.path(), &backend, at, &[]).await;
        assert_eq!(right, "ok    OpenAPI document: a path of the backend: 2 operations");
        let url = format!("{}{at}", backend.uri());
        assert_eq!(line(dir.path(), &backend, &url, &[]).await, right, "{url}");
        let settings = [("BACKEND_URL", backend.uri())];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let started = said(&daemon(dir.path(), &["init", "--force"], &settings).await);
        assert!(started.iter().any(|line| line.contains(&setting)), "{started:?}");
    }
}

#[tokio::test]
async fn a_page_is_no_document_but_may_name_one() {
    let dir = folder().await;
    let backend = backend().await;
    let page = "<!doctype html><title>My API</title><script>SwaggerUIBundle({url: './hidden/openapi.yaml'})</script>";
    serve(&backend, "/docs", "text/html", page).await;
    serve(&backend, "/hidden/openapi.yaml", "text/plain", YAML).await;
    let found = line(dir.path(), &backend, "/docs", &[]).await;
    assert!(found.contains("this is an HTML page"), "{found}");
    assert!(found.contains("set WOMBAT_BACKEND_OPENAPI=/hidden/openapi.yaml"), "{found}");

    // An application of one page answers so to everything.
    let other = super::backend().await;
    let answer = ResponseTemplate::new(200).set_body_raw("<html><title>App</title>", "text/html");
    Mock::given(any()).respond_with(answer).with_priority(255).mount(&other).await;
    assert_eq!(line(dir.path(), &other, "", &[]).await, "");
    let wrong = line(dir.path(), &other, "/openapi.json", &[]).await;
    assert!(wrong.contains("this is an HTML page"), "{wrong}");
    assert!(wrong.ends_with("none was found at the usual addresses either"), "{wrong}");
}

#[tokio::test]
async fn nothing_is_asked_of_another_host_and_no_token_is_sent_where_none_is_demanded() {
    let dir = folder().await;
    let (backend, elsewhere) = (backend().await, MockServer::start().await);
    serve(&elsewhere, "/openapi.json", "application/json", &json_document()).await;
    let there = format!("{}/openapi.json", elsewhere.uri());
    let moved = ResponseTemplate::new(302).insert_header("location", there.as_str());
    Mock::given(path("/openapi.json")).respond_with(moved).mount(&backend).await;
    let page = format!("<html><script>SwaggerUIBundle({{url: '{there}'}})</script>");
    serve(&backend, "/docs", "text/html", &page).await;
    // Guarded, and behind a slash that is missing.
    let guarded = ResponseTemplate::new(200).set_body_string(json_document());
    Mock::given(path("/api-json"))
        .and(header_exists("x-agent-token"))
        .respond_with(guarded)
        .mount(&backend)
        .await;
    Mock::given(path("/api-json"))
        .respond_with(ResponseTemplate::new(401))
        .with_priority(9)
        .mount(&backend)
        .await;
    let slash = ResponseTemplate::new(301).insert_header("location", "/late/");
    Mock::given(path("/late")).respond_with(slash).mount(&backend).await;
    serve(&backend, "/late/", "application/json", &json_document()).await;
    let found = line(dir.path(), &backend, "", &[]).await;
    assert!(found.contains("set WOMBAT_BACKEND_OPENAPI=/api-json"), "{found}");
    let read = line(dir.path(), &backend, "/late", &[]).await;
    assert!(read.starts_with("ok  ") && read.ends_with("2 operations"), "{read}");
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
    for asked in backend.received_requests().await.unwrap() {
        let may = ["/api-json", "/late", "/api/mission-control/capabilities", "/api/tools"];
        let has_token = asked.headers.contains_key("x-agent-token");
        assert!(!has_token || may.contains(&asked.url.path()), "{}", asked.url);
    }
}

#[tokio::test]
async fn a_path_is_that_of_a_file_where_there_is_one_with_a_document() {
    let dir = folder().await;
    let backend = backend().await;
    let file = dir.path().join("api.yaml");
    let place = file.display().to_string();
    let missing = line(dir.path(), &backend, &place, &[]).await;
    assert!(
        missing.starts_with("warn  ")
            && missing.contains("404 to GET of it, and no file has that path"),
        "{missing}"
    );
    fs::write(&file, "just: a file\n").unwrap();
    let other = line(dir.path(), &backend, &place, &[]).await;
    assert!(other.contains("404 to GET of it, and the file of that path is none"), "{other}");
    fs::write(&file, YAML).unwrap();
    let read = line(dir.path(), &backend, &place, &[]).await;
    assert_eq!(
        read,
        format!(
            "ok    OpenAPI document: the file {place}, and no path of the backend: it exists: 2 operations"
        )
    );
    fs::write(&file, "openapi: 3.0.3\npaths: {/a: {}, /a: {}}\n").unwrap();
    let broken = line(dir.path(), &backend, &place, &[]).await;
    assert!(
        broken.contains(&format!("the file {place}: ")) && broken.contains("line 2"),
        "{broken}"
    );
    // Where the backend has that path and the file is none, the path is meant.
    fs::write(&file, "just: a file\n").unwrap();
    serve(&backend, &place, "application/json", &json_document()).await;
    let path = line(dir.path(), &backend, &place, &[]).await;
    assert_eq!(path, "ok    OpenAPI document: a path of the backend: 2 operations");
    let relative = line(dir.path(), &backend, "openapi.json", &[]).await;
    assert!(relative.contains("a path of the backend begins with a slash"), "{relative}");
}

#[tokio::test]
async fn beside_a_control_plane_the_applications_document_counts() {
    let dir = folder().await;
    let (plane, application) = (backend().await, MockServer::start().await);
    let contract =
        json!({ "openapi": "3.1.0", "paths": { "/api/mission-control/tasks": { "get": {} } } });
    serve(&plane, "/openapi.json", "application/json", &json_document()).await;
    serve(&application, "/openapi.json", "application/json", &contract.to_string()).await;
    serve(&application, "/spec", "application/json", &json_document()).await;
    let url = plane.uri();
    let found =
        line(dir.path(), &application, "", &[("WOMBAT_CONTROL_PLANE_URL", url.as_str())]).await;
    assert!(found.contains("set WOMBAT_BACKEND_OPENAPI=/spec"), "{found}");
}

#[tokio::test]
async fn a_login_page_does_not_hide_why_the_agent_was_refused() {
    let dir = folder().await;
    let backend = backend().await;
    // With a token a refusal, and without one a redirect to the form.
    let errors: Vec<_> = (0..9_999).map(|n| json!({ "code": n, "text": "a\nb" })).collect();
    let refused = ResponseTemplate::new(401).set_body_json(json!({ "errors": errors }));
    Mock::given(path("/openapi.json"))
        .and(header_exists("x-agent-token"))
        .respond_with(refused)
        .mount(&backend)
        .await;
    let moved = ResponseTemplate::new(302).insert_header("location", "/login");
    Mock::given(path("/openapi.json")).respond_with(moved).with_priority(9).mount(&backend).await;
    serve(&backend, "/login", "text/html", "<!doctype html><title>Sign in</title>").await;
    let told = line(dir.path(), &backend, "/openapi.json", &[]).await;
    assert!(told.contains("the backend answered 401 to GET of it by"), "{told}");
    assert!(told.contains("errors") && told.len() < 700, "{}: {told}", told.len());
}

#[tokio::test]
async fn two_documents_with_as_many_operations_are_two() {
    let backend = backend().await;
    let of = |at: &str| {
        json!({ "openapi": "3.1.0", "paths": { at: { "get": {}, "post": {} } } }).to_string()
    };
    serve(&backend, "/openapi.json", "application/json", &of("/a")).await;
    serve(&backend, "/swagger.json", "application/json", &of("/a")).await;
    serve(&backend, "/api-json", "application/json", &of("/b")).await;
    let (http, url) = (reqwest::Client::new(), backend.uri());
    let found = wombat_daemon::tools::Asker::new(&http, &url).discover().await.unwrap();
    let paths: Vec<_> = found.iter().map(|found| found.path.as_str()).collect();
    assert_eq!(paths, ["/openapi.json", "/api-json"]);
}

#[tokio::test]
async fn init_beside_says_why_a_document_cannot_be_used_and_takes_a_file() {
    let dir = TempDir::new().unwrap();
    let text = json_document();
    let cut = &text[..text.len() - 3];
    let empty = r#"{"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}}"#;
    let application = MockServer::start().await;
    for (media_type, text, why) in [
        ("application/json", cut, "EOF while parsing"),
        ("text/html", "<!doctype html><title>App</title>", "this is an HTML page"),
        ("application/json", empty, "it has no operation"),
    ] {
        application.reset().await;
        serve(&application, "/openapi.json", media_type, text).await;
        let told = beside(dir.path(), &application, &[]).await.join("\n");
        let begin = "The OpenAPI document at /openapi.json cannot be used: ";
        assert!(told.contains(begin) && told.contains(why), "{told}");
        let named = beside(dir.path(), &application, &["--openapi", "/openapi.json"]).await;
        let named = named.join("\n");
        assert!(named.contains("/openapi.json is no OpenAPI document: ") && named.contains(why));
    }
    let missing = beside(dir.path(), &application, &["--openapi", "openapi.json"]).await.join("\n");
    let why = "a path of the application begins with a slash";
    assert!(missing.contains("the file openapi.json: ") && missing.contains(why), "{missing}");
    let file = dir.path().join("openapi.json");
    fs::write(&file, &text).unwrap();
    for place in ["openapi.json", file.to_str().unwrap()] {
        let read = beside(dir.path(), &application, &["--force", "--openapi", place]).await;
        assert!(read.join("\n").contains("declares 2 of its operations"), "{read:?}");
    }
}

async fn beside(dir: &Path, application: &MockServer, more: &[&str]) -> Vec<String> {
    let url = application.uri();
    let arguments: Vec<&str> =
        ["init", "--beside", &url].into_iter().chain(more.iter().copied()).collect();
    let done = daemon(dir, &arguments, &[]).await;
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    said(&done).into_iter().chain([errors]).collect()
}

#[tokio::test]
async fn a_document_without_what_skills_declare_is_told_and_the_last_line_says_so() {
    let dir = folder().await;
    let skill = dir.path().join("workspace/skills/things");
    fs::create_dir_all(&skill).unwrap();
    let text = "---\nname: things\ndescription: Things\n---\n```http\nGET /things\n```\n";
    fs::write(skill.join("SKILL.md"), text).unwrap();
    let backend = backend().await;
    let empty = r#"{"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}}"#;
    let right = json_document().replace("/a", "/things");
    serve(&backend, "/empty.json", "application/json", empty).await;
    serve(&backend, "/other.json", "application/json", &json_document()).await;
    serve(&backend, "/right.json", "application/json", &right).await;
    let url = backend.uri();
    for (place, why) in [
        (
            "/empty.json",
            "has no operation: there is no tool for the 1 endpoint that skills declare",
        ),
        ("/other.json", "has 2 operations, and none of the 1 endpoint that skills declare"),
        ("/none.json", "the backend answered 404"),
        ("/right.json", "2 operations"),
    ] {
        let settings = [
            ("AGENT_JWT_SECRET", SECRET),
            ("LLM_PROVIDER", "offline"),
            ("BACKEND_URL", &url),
            ("WOMBAT_BACKEND_OPENAPI", place),
        ];
        let lines = said(&daemon(dir.path(), &["check"], &settings).await);
        let line = lines.iter().find(|line| line.contains("OpenAPI document: ")).unwrap();
        assert!(line.contains(why), "{line}");
        let (mark, last) = match place {
            "/right.json" => ("ok  ", "Runs can work."),
            _ => ("warn", "Runs can work, but without tools for the declared endpoints."),
        };
        assert!(line.starts_with(mark), "{line}");
        assert_eq!(lines.last().unwrap(), last, "{place}");
    }
}
