//! An agent token is for one role of its user: sessions, journals, leases, heartbeats and tool
//! requests of the user's other roles are out of its reach.

use serde_json::{Value, json};

use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure};
use crate::world::World;

/// Another role of the same user.
const OTHER: &str = "conformance-other";

fn session(user: &str, role: &str) -> String {
    format!("user:{user}:{role}")
}

fn run_body(user: &str, role: &str, task: &str) -> Value {
    json!({ "session_key": session(user, role), "task_id": task, "status": "running" })
}

/// A key for a run that nobody has used.
fn run_key() -> String {
    format!("conformance-{}", uuid::Uuid::new_v4())
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    journals(suite).await;
    keys(suite).await;
    leases(suite).await;
    heartbeats(suite).await;
    requests(suite).await;
    usage(suite).await;
    super::handing_on::children(suite).await;
}

async fn journals(suite: &mut Suite<'_>) {
    let sentence = "An agent of another role cannot read, write or cancel the run of a role (404), nor begin one in its session (403)";
    suite
        .check("journal-of-a-role", &["run_journal"], sentence, async |w| {
            let (own, other) = (w.agent(&w.one), w.agent_as(&w.one, OTHER));
            let task = w.task(&w.one, "journal of a role").await?;
            let path = format!("/runs/{}", run_key());
            own.put(&path, run_body(&w.one, ROLE, &task)).await?.ok()?;
            let step = |text: &str| json!({ "kind": "model", "payload": { "text": text } });
            own.put(&format!("{path}/steps/0"), step("own")).await?.ok()?;
            other.get(&path).await?.fails(404)?;
            other.post(&format!("{path}/cancel"), json!({})).await?.fails(404)?;
            let foreign = run_body(&w.one, ROLE, &task);
            other.put(&format!("/runs/{}", run_key()), foreign).await?.fails(403)?;
            // Refused, or a run of its own under the same key.
            other.put(&format!("{path}/steps/1"), step("forged")).await?;
            let run = own.get(&path).await?;
            let steps = run.ok()?["steps"].as_array().map_or(0, Vec::len);
            ensure(steps == 1 && run.body["cancel_requested"] != true, || {
                format!("expected the run as its role left it, got {}", run.text)
            })?;
            Ok("404 and 403; the journal is as its role wrote it".to_owned())
        })
        .await;
}

async fn keys(suite: &mut Suite<'_>) {
    let sentence = "A run key is unique per user and role: the same key of another user or another role is another run";
    suite
        .check("run-key-of-a-role", &["run_journal"], sentence, async |w| {
            let path = format!("/runs/{}", run_key());
            let owners = [(&w.one, OTHER), (&w.one, ROLE), (&w.two, ROLE)];
            for (place, (user, role)) in owners.into_iter().enumerate() {
                let task = w.task(user, "run key of a role").await?;
                let agent = w.agent_as(user, role);
                agent.put(&path, run_body(user, role, &task)).await?.ok()?;
                let step = json!({ "kind": "model", "payload": { "place": place } });
                agent.put(&format!("{path}/steps/0"), step).await?.ok()?;
            }
            for (place, (user, role)) in owners.into_iter().enumerate() {
                let run = w.agent_as(user, role).get(&path).await?;
                let found = &run.ok()?["steps"][0]["payload"]["place"];
                ensure(*found == place && run.body["session_key"] == session(user, role), || {
                    format!(
                        "expected each user and role to have a run of its own, got {}",
                        run.text
                    )
                })?;
            }
            Ok("three runs under one key, each with its own journal".to_owned())
        })
        .await;
}

async fn leases(suite: &mut Suite<'_>) {
    let sentence = "An agent of another role gets no lease of a role's session (403), cannot renew or free one (404), nor write under its fence";
    suite
        .check("lease-of-a-role", &["session_leases"], sentence, async |w| {
            let (own, other) = (w.agent(&w.one), w.agent_as(&w.one, OTHER));
            let task = w.task(&w.one, "lease of a role").await?;
            let wish = json!({ "session_key": w.session(&w.one), "task_id": task, "holder": "one", "ttl_secs": 60 });
            other.post("/sessions/lease", wish.clone()).await?.fails(403)?;
            let lease = own.post("/sessions/lease", wish).await?;
            lease.created()?;
            let id = lease.text_at("lease_id")?;
            let path = format!("/sessions/lease/{id}");
            other.put(&path, json!({ "ttl_secs": 60 })).await?.fails(404)?;
            other.delete(&path).await?.fails(404)?;
            let message = json!({ "task_id": task, "content": w.title("under another role's lease") });
            let fenced = other.with("x-session-fence", format!("{id}:{}", lease.body["fence"]));
            fenced.post("/messages", message).await?.fails_as_one_of(&[403, 404, 409])?;
            own.put(&path, json!({ "ttl_secs": 60 })).await?.ok()?;
            own.delete(&path).await?;
            Ok("403 and 404; the lease stayed its role's".to_owned())
        })
        .await;
}

async fn heartbeats(suite: &mut Suite<'_>) {
    let sentence =
        "An agent of another role sends no heartbeat of a role (403), and so cannot claim its slot";
    suite
        .check("heartbeat-of-a-role", &["heartbeat"], sentence, async |w| {
            let beat = json!({ "user_id": w.one, "role": ROLE });
            w.agent_as(&w.one, OTHER).post("/heartbeat", beat.clone()).await?.fails(403)?;
            w.agent(&w.one).post("/heartbeat", beat).await?.ok()?;
            Ok("403 for the other role, 200 for its own".to_owned())
        })
        .await;
}

async fn requests(suite: &mut Suite<'_>) {
    let sentence = "An agent of another role makes no tool request in a role's session (403), and sees none of it (404)";
    suite.check("tool-request-of-a-role", &["tool_requests"], sentence, request_of_a_role).await;
}

async fn request_of_a_role(w: &World) -> Verdict {
    let (own, other) = (w.agent(&w.one), w.agent_as(&w.one, OTHER));
    let task = w.task(&w.one, "tool request of a role").await?;
    let body = json!({
        "task_id": task, "run_key": run_key(), "session_key": w.session(&w.one), "tool": "send_mail",
        "arguments": {}, "idempotency_key": w.key()
    });
    other.post("/tool-requests", body.clone()).await?.fails(403)?;
    let made = own.post("/tool-requests", body).await?;
    made.created()?;
    let id = made.text_at("id")?;
    other.get(&format!("/tool-requests/{id}")).await?.fails(404)?;
    let list = other.get("/tool-requests?limit=200").await?;
    let listed = list.items()?.iter().any(|item| item["id"] == id);
    ensure(!listed, || "expected no tool request of another role in the list, got one".to_owned())?;
    own.get(&format!("/tool-requests/{id}")).await?.ok()?;
    Ok::<_, NotPassed>("403, 404, and not listed".to_owned())
}

async fn usage(suite: &mut Suite<'_>) {
    let sentence = "An agent of another role books no usage of a role (403)";
    suite
        .check("usage-of-a-role", &["budgets"], sentence, async |w| {
            let usage = json!({
                "run_id": "r", "role": ROLE, "model": "m", "prompt_tokens": 1, "completion_tokens": 1,
                "cost_usd": 0.0, "estimated": false, "idempotency_key": w.key()
            });
            w.agent_as(&w.one, OTHER).post("/usage", usage.clone()).await?.fails(403)?;
            w.agent(&w.one).post("/usage", usage).await?.created()?;
            Ok("403 for the other role, booked for its own".to_owned())
        })
        .await;
}
