//! Wrong requests are refused, with errors in one shape.

use http::Method;
use serde_json::json;

use crate::suite::Suite;

const JSON: Option<&str> = Some("application/json");

const WRONG: &str =
    "A request that lacks a required field, or whose body is no JSON object, is a 4xx";

/// A larger body than any backend accepts for a task.
const HUGE: usize = 48 * 1024 * 1024;

pub(crate) async fn run(suite: &mut Suite<'_>) {
    suite
        .required("malformed-json", WRONG, async |w| {
            let mut seen = String::new();
            for body in ["{", "nonsense", "[]", "7", "\"text\""] {
                let agent = w.agent(&w.one);
                seen = agent.text(Method::POST, "/tasks", JSON, body).await?.refuses()?;
            }
            Ok(seen)
        })
        .await;
    suite
        .required("missing-field", WRONG, async |w| {
            let title = w.title("missing-field");
            let mut seen = String::new();
            for (path, body) in [
                ("/tasks", json!({})),
                ("/messages", json!({ "content": title })),
                ("/messages", json!({ "task_id": "x" })),
                ("/documents", json!({ "title": title })),
            ] {
                seen = w.agent(&w.one).post(path, body).await?.refuses()?;
            }
            Ok(seen)
        })
        .await;
    suite
        .recommended("wrong-field", &[], "A field of another kind is refused", async |w| {
            let title = w.title("wrong-field");
            let mut seen = String::new();
            for body in [json!({ "title": 7 }), json!({ "title": title, "status": "lost" })] {
                seen = w.agent(&w.one).unwatched().post("/tasks", body).await?.refuses()?;
            }
            Ok(seen)
        })
        .await;
    suite
        .required("unknown-field", "Unknown fields are ignored on both sides.", async |w| {
            let body = json!({ "title": w.title("unknown-field"), "colour": "red" });
            let answer = w.agent(&w.one).post("/tasks", body).await?;
            answer.created()?;
            Ok("a task with an unknown field is created".to_owned())
        })
        .await;
    suite
        .recommended("unknown-path", &[], "An endpoint that does not exist → 404", async |w| {
            w.agent(&w.one).unwatched().get("/no-such-endpoint").await?.fails(404)
        })
        .await;
    suite
        .recommended(
            "wrong-method",
            &[],
            "A method that an endpoint does not take → 405",
            async |w| w.agent(&w.one).unwatched().delete("/tasks").await?.fails(405),
        )
        .await;
    suite
        .recommended("wrong-type", &[], "A body that is no JSON → 415", async |w| {
            let body = json!({ "title": w.title("wrong-type") }).to_string();
            let agent = w.agent(&w.one).unwatched();
            agent.text(Method::POST, "/tasks", Some("text/plain"), body).await?.fails(415)
        })
        .await;
    suite
        .recommended("too-large", &[], "A body that is too large → 413", async |w| {
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
            let agent = w.agent(&w.one).unwatched();
            agent.text(Method::POST, "/tasks", JSON, body).await?.fails(413)
        })
        .await;
}
