//! Operations as real documents have them: what a call sends, byte for byte, and what rules mean by them.

use serde_json::{Value, json};
use wiremock::matchers::path_regex;
use wiremock::{Mock, Request, ResponseTemplate};

use crate::external_tools::{offered, told};
use crate::harness::{World, calls, message, says};

/// A daemon with a document and a role's rules. Everything below `/app` answers `{}`.
async fn world(document: &Value, tools: Value, skill: Option<&str>) -> World {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    let place = format!("file://{}", file.path().display());
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", &place)], json!({})).await;
    world.daemon.until("/health", |health| health["tools"]["openapi"]["status"] == "ok").await;
    let anything = ResponseTemplate::new(200).set_body_json(json!({ "ok": true }));
    Mock::given(path_regex("^/app")).respond_with(anything).mount(&world.backend).await;
    if let Some(endpoints) = skill {
        let skill =
            format!("---\nname: app\ndescription: The app.\n---\n```http\n{endpoints}\n```\n");
        world.write("skills/app/SKILL.md", &skill);
        world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    }
    let config = json!({ "agents": [{ "role": "scout", "tools": tools }] });
    world.write("agent-config.json", &config.to_string());
    world.write("SOUL.md", "The rules are in place.");
    world.daemon.reloaded("The rules are in place.").await;
    world
}

fn document(paths: Value) -> Value {
    json!({ "openapi": "3.0.3", "info": { "title": "App", "version": "1" }, "paths": paths })
}

fn operation(id: &str, more: Value) -> Value {
    let mut operation = json!({ "operationId": id, "responses": {} });
    operation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    operation
}

/// What the application got: method, path and query as they were sent, media type and body.
async fn got(world: &World) -> Vec<String> {
    let all = world.backend.received_requests().await.unwrap();
    let text = |request: &Request| {
        let kind = request.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        let url = request.url.as_str();
        let path = &url[url.find("/app").unwrap()..];
        let body = String::from_utf8(request.body.clone()).unwrap();
        format!("{} {path} {kind} {body}", request.method).trim_end().to_owned()
    };
    all.iter().filter(|request| request.url.path().starts_with("/app")).map(text).collect()
}

async fn run(world: &World, made: &[(&str, Value)]) -> Vec<String> {
    world.model(vec![calls(made), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    told(world).await
}

fn body(content: Value) -> Value {
    json!({ "requestBody": { "content": content } })
}

#[tokio::test]
async fn a_call_is_sent_as_the_document_says() {
    let query = |name: &str, more: Value| {
        let mut parameter = json!({ "name": name, "in": "query", "schema": {} });
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    let integer = json!({ "type": "integer" });
    let document = document(json!({
        "/app/list": { "get": operation("list", json!({ "parameters": [
            query("page[size]", json!({ "schema": integer })), query("ids[]", json!({})), query("$top", json!({})),
            query("filter", json!({ "style": "deepObject" })), query("tags", json!({ "style": "pipeDelimited" })) ] })) },
        "/app/threads?beta=true": { "get": operation("threads", json!({ "parameters": [query("q", json!({}))] })) },
        "/app/files/{id}#metadata": { "get": operation("metadata", json!({})) },
        "/app/a,b/{ids}": { "get": operation("several", json!({ "parameters": [
            { "name": "ids", "in": "path", "required": true, "schema": { "type": "array" } }] })) },
        "/app/items/{n}": { "put": operation("put_item", json!({
            "parameters": [{ "name": "n", "in": "path", "schema": integer }],
            "requestBody": { "content": { "application/json": { "schema": { "properties": {
                "n": { "oneOf": [{ "type": "integer" }, { "type": "number" }] }, "k": integer, "due": { "oneOf": [
                    { "type": "string", "format": "date" }, { "type": "string", "format": "date-time" }] } } } } } } })) },
        "/app/api": { "post": operation("json_api", json!({
            "requestBody": { "content": { "application/vnd.api+json": {} } },
            "responses": { "200": { "content": { "application/vnd.api+json": {} } } } })) },
        "/app/text": { "post": operation("text", body(json!({ "text/plain": { "schema": { "type": "string" } } }))) },
        "/app/form": { "post": operation("form", body(json!({ "multipart/form-data": { "schema": { "properties": {
            "name": { "type": "string" }, "n": integer } } } }))) },
    }));
    let all = ["list", "threads", "metadata", "several", "put_item", "json_api", "text", "form"];
    let world = world(&document, json!({ "allow": all }), None).await;
    let told = run(
        &world,
        &[
            ("list", json!({ "page[size]": 5.0, "ids[]": [1, 2], "$top": 3, "filter": { "a": { "gte": 1 } }, "tags": ["x", "y z"] })),
            ("threads", json!({ "q": "x&y" })),
            ("metadata", json!({ "id": "7" })),
            ("several", json!({ "ids": ["a,b", "c;d"] })),
            ("put_item", json!({ "n": 7.0, "body": { "n": 7, "k": 2.0, "due": "2026-11-29" } })),
            ("json_api", json!({ "body": { "data": {} } })),
            ("text", json!({ "body": "hello" })),
            ("form", json!({ "body": { "name": "ü", "n": 1.0 } })),
        ],
    )
    .await;
    assert!(told.iter().all(|told| told.contains("ok")), "{told:#?}");
    let form = "--wombat-0000000000000000\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nü\r\n\
                --wombat-0000000000000000\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n\
                --wombat-0000000000000000--";
    let mut expected = [
        "GET /app/list?page%5Bsize%5D=5&ids%5B%5D=1&ids%5B%5D=2&%24top=3&filter%5Ba%5D%5Bgte%5D=1&tags=x%7Cy%20z".to_owned(),
        "GET /app/threads?beta=true&q=x%26y".to_owned(),
        "GET /app/files/7".to_owned(),
        "GET /app/a,b/a%2Cb,c%3Bd".to_owned(),
        r#"PUT /app/items/7 application/json {"n":7,"k":2,"due":"2026-11-29"}"#.to_owned(),
        r#"POST /app/api application/vnd.api+json {"data":{}}"#.to_owned(),
        "POST /app/text text/plain hello".to_owned(),
        format!("POST /app/form multipart/form-data; boundary=wombat-0000000000000000 {form}"),
    ];
    let all = world.backend.received_requests().await.unwrap();
    let json_api = all.iter().find(|request| request.url.path() == "/app/api").unwrap();
    assert_eq!(json_api.headers["accept"], "application/vnd.api+json");
    let mut got = got(&world).await;
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

/// Discourse, Google, OData, Mastodon, Twilio.
fn templates() -> Value {
    document(json!({
        "/app/posts/{id}.json": { "get": operation("post", json!({})) },
        "/app/things/{id}:archive": { "post": operation("archive", json!({})) },
        "/app/Products({key})": { "get": operation("product", json!({})) },
        "/app/@{name}": { "get": operation("profile", json!({})) },
        "/app/threads?beta=true": { "get": operation("threads", json!({})) },
    }))
}

const TEMPLATES: [(&str, &str, &str); 5] = [
    ("post", "GET /app/posts/{id}.json", "GET /app/posts/7.json"),
    ("archive", "POST /app/things/{id}:archive", "POST /app/things/7:archive"),
    ("product", "GET /app/Products({key})", "GET /app/Products(7)"),
    ("profile", "GET /app/@{name}", "GET /app/@7"),
    ("threads", "GET /app/threads?beta=true", "GET /app/threads?beta=true"),
];

fn all_called() -> Vec<(&'static str, Value)> {
    let arguments = [
        json!({ "id": "7" }),
        json!({ "id": "7" }),
        json!({ "key": "7" }),
        json!({ "name": "7" }),
        json!({}),
    ];
    TEMPLATES.iter().map(|(name, ..)| *name).zip(arguments).collect()
}

#[tokio::test]
async fn text_around_a_parameter_is_matched_by_skills_and_allow() {
    let endpoints: Vec<&str> = TEMPLATES.iter().map(|(_, endpoint, _)| *endpoint).collect();
    let names: Vec<&str> = TEMPLATES.iter().map(|(name, ..)| *name).collect();
    let allowed: Vec<&str> = endpoints.iter().map(|e| e.split('?').next().unwrap()).collect();
    let skill = endpoints.join("\n");
    for (tools, skill) in [
        (json!({}), Some(skill.as_str())),
        (json!({ "allow": names }), None),
        (json!({ "allow": allowed }), None),
    ] {
        let world = world(&templates(), tools.clone(), skill).await;
        let told = run(&world, &all_called()).await;
        assert!(told.iter().all(|told| told.contains("ok")), "{tools}: {told:#?}");
        let mut sent: Vec<&str> = TEMPLATES.iter().map(|(.., sent)| *sent).collect();
        let mut got: Vec<String> =
            got(&world).await.iter().map(|got| got.replace(" application/json {}", "")).collect();
        got.sort();
        sent.sort_unstable();
        assert_eq!(got, sent, "{tools}");
    }
}

#[tokio::test]
async fn text_around_a_parameter_is_matched_by_deny_and_approval() {
    let endpoints: Vec<&str> =
        TEMPLATES.iter().map(|(_, endpoint, _)| endpoint.split('?').next().unwrap()).collect();
    let names: Vec<&str> = TEMPLATES.iter().map(|(name, ..)| *name).collect();
    for rules in [&endpoints, &names] {
        let world = world(&templates(), json!({ "allow": names, "approval": rules }), None).await;
        let told = run(&world, &all_called()).await;
        assert!(told.iter().all(|told| told.contains("approval")), "{told:#?}");
        assert_eq!(got(&world).await, [""; 0]);
    }
    let skill = endpoints.join("\n");
    for rules in [&endpoints, &names] {
        let world = world(&templates(), json!({ "deny": rules }), Some(&skill)).await;
        let by_path: Vec<_> = TEMPLATES
            .iter()
            .map(|(.., sent)| {
                let (method, path) = sent.split_once(' ').unwrap();
                ("call_backend", json!({ "method": method, "path": path }))
            })
            .collect();
        let told = run(&world, &by_path).await;
        assert!(told.iter().all(|told| told.contains("may not call")), "{told:#?}");
        let offered = offered(&world).await;
        assert!(!names.iter().any(|name| offered.contains(&(*name).to_owned())), "{offered:?}");
        assert_eq!(got(&world).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_cannot_be_a_tool_is_named_and_a_pattern_that_cannot_be_checked_costs_itself() {
    let file = json!({ "properties": { "photo": { "type": "string", "format": "binary" } } });
    let patterns = [
        r"^\d+\Z",
        "\\ud83d[\\ude00-\\ude4f]",
        "^{.*}$",
        "^(?!x).*$",
        r"(a)\1",
        "(?<=a)b",
        "[a--b&&c",
        "*x",
    ];
    let properties: Value = patterns
        .iter()
        .enumerate()
        .map(|(n, pattern)| (format!("p{n}"), json!({ "type": "string", "pattern": pattern })))
        .collect();
    let document = document(json!({
        "/app/upload": { "post": operation("upload", body(json!({ "multipart/form-data": { "schema": file } }))) },
        "/app/both": { "post": operation("both", body(json!({ "multipart/form-data": { "schema": file },
            "application/json": { "schema": { "properties": { "url": { "type": "string" } } } } }))) },
        "/app/xml": { "post": operation("xml", body(json!({ "application/xml": {} }))) },
        "/app/patterns": { "post": operation("patterns", body(json!({ "application/json": { "schema": {
            "properties": properties } } }))) },
    }));
    let world =
        world(&document, json!({ "allow": ["upload", "both", "xml", "patterns"] }), None).await;
    let values: Value = (0..patterns.len()).map(|n| (format!("p{n}"), json!("anything"))).collect();
    let made =
        [("both", json!({ "body": { "url": "x" } })), ("patterns", json!({ "body": values }))];
    let told = run(&world, &made).await;
    assert!(told.iter().all(|told| told.contains("ok")), "{told:#?}");
    let offered = offered(&world).await;
    assert!(!offered.iter().any(|name| name == "upload" || name == "xml"), "{offered:?}");
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    let problems = health["tools"]["openapi"]["problems"].as_array().unwrap();
    let about =
        |what: &str| problems.iter().filter(|line| line.as_str().unwrap().contains(what)).count();
    assert_eq!(
        about("POST /app/upload: its body is multipart/form-data with a file (\"photo\")"),
        1,
        "{problems:#?}"
    );
    assert_eq!((about("/app/xml"), about("/app/both")), (1, 0), "{problems:#?}");
    assert_eq!(about("POST /app/patterns: the pattern"), patterns.len(), "{problems:#?}");
}
