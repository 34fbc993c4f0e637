//! A control plane beside the application (`WOMBAT_CONTROL_PLANE_URL`): each call goes to the one that has it.

use serde_json::{Value, json};
use wiremock::matchers::{header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{Daemon, MC, World, calls, message, says};

const SKILL: &str = "---\nname: schools\ndescription: Finds schools.\n---\n\
    ```http\nPOST /api/schools/search\nGET /api/mission-control/tasks\n```\n";

/// The world with a daemon whose backend is split, and its application.
async fn split(document: &str) -> (World, Daemon, MockServer) {
    let (world, application) = (World::new().await, MockServer::start().await);
    world.write("skills/schools/SKILL.md", SKILL);
    let plane = world.backend.uri();
    let settings =
        [("WOMBAT_CONTROL_PLANE_URL", plane.as_str()), ("WOMBAT_BACKEND_OPENAPI", document)];
    let workspace = world.dir.path().into();
    let daemon = Daemon::start(&settings, &application.uri(), &world.llm.uri(), workspace).await;
    (world, daemon, application)
}

async fn serve(application: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(application)
        .await;
}

async fn paths(server: &MockServer) -> Vec<String> {
    let got = server.received_requests().await.unwrap();
    got.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

#[tokio::test]
async fn the_control_plane_gets_the_contract_and_the_application_everything_else() {
    let (world, daemon, application) = split("/openapi.json").await;
    let operation = json!({ "operationId": "search_schools", "summary": "Find schools." });
    let document = json!({ "openapi": "3.1.0", "info": { "title": "Schools", "version": "1" },
        "paths": { "/api/schools/search": { "post": operation } } });
    serve(&application, "GET", "/openapi.json", 200, document).await;
    let own = json!({ "tools": [{ "name": "price", "description": "A price." }] });
    serve(&application, "GET", "/api/tools", 200, own).await;
    serve(&application, "POST", "/api/tools/price", 200, json!({ "price": 7 })).await;
    serve(&application, "POST", "/api/schools/search", 200, json!([{ "id": "sch_1" }])).await;
    let tasks = json!({ "method": "GET", "path": "/api/mission-control/tasks" });
    let search = json!({ "method": "POST", "path": "/api/schools/search" });
    let wanted = [
        ("call_backend", tasks),
        ("call_backend", search),
        ("search_schools", json!({})),
        ("price", json!({})),
    ];
    world.model(vec![calls(&wanted), says("done")]).await;
    daemon.until("/health", |health| health["tools"]["openapi"]["status"] == "ok").await;

    let (status, answer) = daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("done")), "{answer}");
    let oks: Vec<_> = answer["steps"].as_array().unwrap().iter().map(|step| &step["ok"]).collect();
    assert_eq!(oks, [&json!(true); 4], "{answer}");

    let (plane, application) = (paths(&world.backend).await, application);
    assert!(plane.contains(&format!("POST {MC}/messages")), "{plane:?}");
    assert!(plane.contains(&format!("GET {MC}/tasks")), "{plane:?}");
    assert!(plane.iter().all(|call| call.contains(MC)), "{plane:?}");
    let app = paths(&application).await;
    for call in ["GET /openapi.json", "GET /api/tools", "POST /api/tools/price"] {
        assert!(app.contains(&call.to_owned()), "{app:?}");
    }
    assert_eq!(app.iter().filter(|call| *call == "POST /api/schools/search").count(), 2, "{app:?}");
    assert!(!app.iter().any(|call| call.contains(MC)), "{app:?}");
    // The application knows the user by the same token.
    for request in application.received_requests().await.unwrap() {
        assert!(request.headers.contains_key("x-agent-token"), "{}", request.url);
    }
}

#[tokio::test]
async fn an_application_need_not_have_tools_of_its_own() {
    for (status, body, problems) in [
        (404, json!({ "detail": "Not Found" }), 0),
        (405, json!({ "error": "method" }), 0),
        (401, json!({ "error": "no session" }), 1),
        (200, json!([{ "hammer": "for rent" }]), 1),
    ] {
        let (world, daemon, application) = split("openapi.json").await;
        serve(&application, "GET", "/api/tools", status, body).await;
        world.model(vec![says("fine")]).await;
        let (answered, answer) = daemon.send(&message(json!({}))).await;
        assert_eq!(answered, 200, "{status}: {answer}");
        let health: Value = daemon.get("/health").await.json().await.unwrap();
        let source = &health["tools"]["backend"];
        assert_eq!(source["status"], "ok", "{status}: {health}");
        assert_eq!(source["tools"], 0, "{status}: {health}");
        let told = source["problems"].as_array().unwrap();
        assert_eq!(told.len(), problems, "{status}: {health}");
    }
}

#[tokio::test]
async fn health_tells_which_of_the_two_does_not_answer() {
    let (world, daemon, application) = split("openapi.json").await;
    let health: Value = daemon.get("/health?deep=true").await.json().await.unwrap();
    assert_eq!(health["control_plane"]["url"], world.backend.uri(), "{health}");
    assert_eq!(health["control_plane"]["status"], "ok", "{health}");
    assert_eq!(health["backend"]["status"], "ok", "{health}");

    serve(&application, "GET", "/", 500, json!({})).await;
    let plane = world.backend.uri();
    let settings = [("WOMBAT_CONTROL_PLANE_URL", plane.as_str())];
    let workspace = world.dir.path().into();
    let daemon = Daemon::start(&settings, &application.uri(), &world.llm.uri(), workspace).await;
    let health: Value = daemon.get("/health?deep=true").await.json().await.unwrap();
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["control_plane"]["status"], "ok", "{health}");
    assert_eq!(health["backend"]["status"], "error", "{health}");
}

/// An application that looks up whoever calls and breaks where there is no such user.
async fn looks_up_everybody(application: &MockServer, at: &str, anybody: ResponseTemplate) {
    let with_token = Mock::given(path(at)).and(header_exists("x-agent-token"));
    with_token.respond_with(ResponseTemplate::new(500)).with_priority(1).mount(application).await;
    Mock::given(path(at)).respond_with(anybody).with_priority(2).mount(application).await;
}

#[tokio::test]
async fn an_application_that_breaks_on_a_token_of_nobody_is_asked_without_one() {
    let (world, daemon, application) = split("/openapi.json").await;
    let operation = json!({ "operationId": "search_schools", "summary": "Find schools." });
    let document = json!({ "openapi": "3.1.0", "info": { "title": "Schools", "version": "1" },
        "paths": { "/api/schools/search": { "post": operation } } });
    let public = ResponseTemplate::new(200).set_body_json(document);
    looks_up_everybody(&application, "/openapi.json", public).await;
    let refused = ResponseTemplate::new(401).set_body_json(json!({ "message": "Please log in" }));
    looks_up_everybody(&application, "/api/tools", refused.clone()).await;
    looks_up_everybody(&application, "/", refused).await;
    let refused = json!({ "detail": "Unknown user" });
    serve(&application, "POST", "/api/schools/search", 401, refused).await;
    world.model(vec![calls(&[("search_schools", json!({}))]), says("It refuses.")]).await;
    daemon.until("/health", |health| health["tools"]["openapi"]["status"] == "ok").await;
    let health: Value = daemon.get("/health?deep=true").await.json().await.unwrap();
    assert_eq!(health["backend"]["status"], "ok", "{health}");

    // A refusal is told with the application's own words, and with the user that was refused.
    let (status, answer) = daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("It refuses.")), "{answer}");
    let health: Value = daemon.get("/health").await.json().await.unwrap();
    let own = &health["tools"]["backend"];
    assert_eq!((&own["status"], &own["tools"]), (&json!("ok"), &json!(0)), "{health}");
    let told = own["problems"][0].as_str().unwrap();
    assert!(told.contains("answered 500") && told.contains("Please log in"), "{told}");
    let refused = answer["steps"][0]["refused"].as_str();
    let expected = r#"401: Unknown user (user "u1", role "scout")"#;
    assert_eq!((&answer["steps"][0]["ok"], refused), (&json!(false), Some(expected)), "{answer}");
}
