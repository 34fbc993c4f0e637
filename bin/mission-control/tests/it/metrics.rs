//! What Prometheus is told.

use http::Method;
use serde_json::json;

use crate::harness::{Backend, Caller, INTERNAL, send};

async fn scrape(caller: &Caller) -> crate::harness::Answer {
    send(caller.raw(Method::GET, "/metrics")).await
}

#[tokio::test]
async fn requests_and_the_queue_are_counted_under_bounded_names_and_shown_to_prometheus_alone() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    ann.task("T").await;
    ann.get("/tasks/made-up").await;
    let odd = Method::from_bytes(b"MADEUP").unwrap();
    ann.raw(odd, "/made/up").send().await.unwrap();
    let note = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "Hello" });
    backend.internal().post("/notifications", note).await.ok();
    for (name, value) in
        [("authorization", "Bearer for-prometheus"), ("x-internal-token", INTERNAL)]
    {
        let answer = scrape(&backend.nobody().with(name, value)).await;
        assert_eq!(answer.status, 200, "{name}");
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let text = answer.text;
        for line in [
            "wombat_backend_requests_total{route=\"/api/mission-control/tasks\",method=\"POST\",status=\"2xx\"} 1",
            "wombat_backend_requests_total{route=\"/api/mission-control/tasks/{id}\",method=\"GET\",status=\"4xx\"} 1",
            "wombat_backend_requests_total{route=\"other\",method=\"other\",status=\"4xx\"} 1",
            "wombat_backend_request_duration_seconds_count{route=\"/api/mission-control/tasks\"} 1",
            "wombat_backend_notifications_waiting 1",
            "wombat_backend_event_streams 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("wombat_backend_oldest_notification_age_seconds 0."), "{text}");
        for private in ["ann", "made-up", "MADEUP", "Hello", "scout"] {
            assert!(!text.contains(private), "{private}\n{text}");
        }
    }
    assert_eq!(scrape(&ann).await.status, 403);
    scrape(&backend.nobody()).await.fails(401, "unauthorized");
    let wrong = backend.nobody().with("authorization", "Bearer wrong");
    scrape(&wrong).await.fails(401, "unauthorized");
    // The token opens nothing else.
    let elsewhere = backend.nobody().with("authorization", "Bearer for-prometheus");
    elsewhere.get("/dispatch/dead").await.fails(401, "unauthorized");
    backend.stop().await;
}
