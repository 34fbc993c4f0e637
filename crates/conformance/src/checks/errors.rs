//! Wrong requests are refused, with errors in one shape.

use http::Method;
use serde_json::json;

use crate::suite::Suite;

const JSON: Option<&str> = Some("application/json");

/// A larger body than any backend accepts for a task.
const HUGE: usize = 48 * 1024 * 1024;

pub(crate) async fn run(suite: &mut Suite<'_>) {
    suite
        .required("malformed-json", "Malformed JSON → 400", async |w| {
            let mut seen = String::new();
            for body in ["{", "nonsense", "[]", "7", "\"text\""] {
                let agent = w.agent(&w.one);
                seen = agent.text(Method::POST, "/tasks", JSON, body).await?.fails(400)?;
            }
            Ok(seen)
        })
        .await;
    suite
        .required("wrong-field", "A field that is missing or of another kind → 400", async |w| {
            let title = w.title("wrong-field");
            let mut seen = String::new();
            for (path, body) in [
                ("/tasks", json!({})),
                ("/tasks", json!({ "title": 7 })),
                ("/tasks", json!({ "title": title, "status": "lost" })),
                ("/messages", json!({ "content": title })),
                ("/messages", json!({ "task_id": "x" })),
                ("/documents", json!({ "title": title })),
            ] {
                seen = w.agent(&w.one).post(path, body).await?.fails(400)?;
            }
            Ok(seen)
        })
        .await;
    suite
        .required("unknown-field", "Unknown fields are ignored", async |w| {
            let body = json!({ "title": w.title("unknown-field"), "colour": "red" });
            let answer = w.agent(&w.one).post("/tasks", body).await?;
            answer.created()?;
            Ok("a task with an unknown field is created".to_owned())
        })
        .await;
    suite
        .required("unknown-path", "An endpoint that does not exist → 404", async |w| {
            w.agent(&w.one).get("/no-such-endpoint").await?.fails(404)
        })
        .await;
    suite
        .required("wrong-method", "A method that an endpoint does not take → 405", async |w| {
            w.agent(&w.one).delete("/tasks").await?.fails(405)
        })
        .await;
    suite
        .required("wrong-type", "A body that is no JSON → 415", async |w| {
            let body = json!({ "title": w.title("wrong-type") }).to_string();
            let agent = w.agent(&w.one);
            agent.text(Method::POST, "/tasks", Some("text/plain"), body).await?.fails(415)
        })
        .await;
    suite
        .required("too-large", "A body that is too large → 413", async |w| {
            let chunks = futures::stream::unfold(0, |sent| async move {
                // A backend that refuses early can answer before it closes the connection.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                let chunk = match sent {
                    0 => "{\"title\":\"".to_owned(),
                    sent if sent < HUGE => "x".repeat(1024 * 1024),
                    _ => return None,
                };
                let sent = sent + chunk.len();
                Some((Ok::<_, std::io::Error>(chunk), sent))
            });
            let body = reqwest::Body::wrap_stream(chunks);
            w.agent(&w.one).text(Method::POST, "/tasks", JSON, body).await?.fails(413)
        })
        .await;
}
