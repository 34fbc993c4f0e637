//! A notification that no daemon can process: others are delivered on time, and the dead letter can
//! be requeued.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use test_support::program::Program;
use test_support::stack::Person;
use test_support::wait_for;
use tokio::net::TcpListener;

const TOKEN: &str = "the-internal-token-of-the-tests";

/// A daemon that fails on messages with `poison`, until it is healed.
async fn daemon(healed: Arc<AtomicBool>) -> String {
    let send = async |State(healed): State<Arc<AtomicBool>>, Json(body): Json<Value>| -> Response {
        if body["message"] == "poison" && !healed.load(Ordering::SeqCst) {
            let error = json!({ "error": "it breaks", "code": "internal" });
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response();
        }
        Json(json!({ "status": "ok" })).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/agents/send", post(send)).with_state(healed);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn notify(person: &Person, user: &str, content: &str) -> String {
    let session = format!("user:{user}:scout");
    let body = json!({ "user_id": user, "session_key": session, "content": content });
    let made = person.post("/notifications", &body).await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

async fn delivered(url: &str, user: &str, id: &str) {
    let person = Person::new(url, TOKEN, user);
    wait_for("a delivery", async || {
        let items = person.list("/notifications?limit=200").await.unwrap();
        items.into_iter().find(|item| item["id"] == id && item["delivered"] == true)
    })
    .await;
}

#[tokio::test]
async fn a_poison_notification_delays_nobody_ends_dead_and_goes_through_once_it_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
        ("MC_DATA_DIR", dir.path().join("data").display().to_string()),
        ("MC_PORT", "0".to_owned()),
    ];
    let mut backend = Program::start("wombat-mission-control", dir.path(), &settings, &[]).unwrap();
    let url = backend.url().await.unwrap();
    let healed = Arc::new(AtomicBool::new(false));
    let daemon = daemon(Arc::clone(&healed)).await;
    let dispatcher = |interval: &str, attempts: &str| {
        let settings = [
            ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
            ("BACKEND_URL", url.clone()),
            ("AGENT_DAEMON_URL", daemon.clone()),
            ("DISPATCH_MIN_INTERVAL_SEC", interval.to_owned()),
            ("DISPATCH_MAX_INTERVAL_SEC", interval.to_owned()),
            ("DISPATCH_MAX_ATTEMPTS", attempts.to_owned()),
            ("DISPATCH_LEASE_SECONDS", "1".to_owned()),
        ];
        Program::start("wombat-dispatcher", dir.path(), &settings, &[]).unwrap()
    };
    let person = Person::new(&url, TOKEN, "ann");

    // Its repeat is an hour away: whoever waited for it would not be delivered in time.
    let mut patient = dispatcher("3600", "8");
    let poison = notify(&person, "ann", "poison").await;
    wait_for("its first try", async || {
        patient.log().contains("forward failed; will retry").then_some(())
    })
    .await;
    for n in 0..20 {
        let user = format!("u{n}");
        let id = notify(&person, &user, "fine").await;
        delivered(&url, &user, &id).await;
    }
    assert!(patient.stop().await.unwrap().success());

    let mut quick = dispatcher("0.05", "3");
    let letter = wait_for("its end", async || {
        person.list("/dispatch/dead").await.unwrap().into_iter().next()
    })
    .await;
    assert_eq!(letter["notification_id"], poison.as_str());
    assert_eq!(letter["attempts"], 3);
    assert_eq!(letter["error"], "the daemon answered 500 internal: it breaks");

    healed.store(true, Ordering::SeqCst);
    let path = format!("/dispatch/notifications/{poison}/requeue?user_id=ann");
    person.post(&path, &json!({})).await.unwrap();
    delivered(&url, "ann", &poison).await;
    assert!(person.list("/dispatch/dead").await.unwrap().is_empty());
    assert!(quick.stop().await.unwrap().success());
    assert!(backend.stop().await.unwrap().success());
}
