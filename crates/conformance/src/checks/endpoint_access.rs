//! Access: every endpoint authenticates its caller, and an agent may not do what a person may. Part
//! of the chapter `auth`.

use http::Method;
use serde_json::{Value, json};

use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::ensure;
use crate::world::World;

/// Method and path of an endpoint.
type Endpoint = (Method, &'static str);

/// A long result of a run.
const ARTIFACT: &str =
    "/runs/x/artifacts/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

/// The endpoints of each feature; those of the required part have an empty name.
const ENDPOINTS: [(&str, &[(&str, &str)]); 25] = [
    (
        "",
        &[
            // Not the capabilities, which may be public.
            ("GET", "/tasks"),
            ("POST", "/tasks"),
            ("POST", "/messages"),
            ("POST", "/documents"),
        ],
    ),
    ("tasks_get", &[("GET", "/tasks/x")]),
    ("tasks_update", &[("PATCH", "/tasks/x")]),
    ("messages_list", &[("GET", "/messages?task_id=x")]),
    ("message_lookup", &[("GET", "/messages?idempotency_key=x")]),
    ("documents_list", &[("GET", "/documents"), ("GET", "/documents/x")]),
    ("files", &[("PUT", "/files?name=x"), ("GET", "/files/x"), ("DELETE", "/files/x")]),
    ("artifacts", &[("PUT", ARTIFACT), ("GET", ARTIFACT)]),
    (
        "notifications",
        &[("GET", "/notifications"), ("POST", "/notifications"), ("POST", "/notifications/x/read")],
    ),
    (
        "notifications_dispatch",
        &[
            ("POST", "/dispatch/undelivered"),
            ("POST", "/dispatch/notifications/x/deliver?user_id=x"),
        ],
    ),
    (
        "notifications_fail",
        &[
            ("POST", "/dispatch/notifications/x/fail?user_id=x"),
            ("GET", "/dispatch/dead"),
            ("POST", "/dispatch/notifications/x/requeue?user_id=x"),
        ],
    ),
    ("dispatch_batch", &[("POST", "/dispatch/deliver")]),
    ("events_sse", &[("GET", "/events")]),
    ("heartbeat", &[("POST", "/heartbeat")]),
    ("standup", &[("POST", "/standup")]),
    (
        "tool_requests",
        &[
            ("GET", "/tool-requests"),
            ("POST", "/tool-requests"),
            ("GET", "/tool-requests/x"),
            ("PATCH", "/tool-requests/x"),
        ],
    ),
    ("decisions", &[("POST", "/tool-requests/x/decision")]),
    (
        "approval_rules",
        &[
            ("GET", "/approval-rules"),
            ("POST", "/approval-rules"),
            ("DELETE", "/approval-rules/x"),
            ("POST", "/approval-rules/x/uses"),
        ],
    ),
    (
        "run_journal",
        &[
            ("GET", "/runs/x"),
            ("PUT", "/runs/x"),
            ("PUT", "/runs/x/steps/0"),
            ("POST", "/runs/x/cancel"),
        ],
    ),
    ("run_stream", &[("GET", "/runs/x/deltas"), ("POST", "/runs/x/deltas")]),
    ("orphans", &[("POST", "/dispatch/orphans")]),
    (
        "schedules",
        &[
            ("GET", "/schedules"),
            ("POST", "/schedules"),
            ("GET", "/schedules/x"),
            ("PATCH", "/schedules/x"),
            ("DELETE", "/schedules/x"),
        ],
    ),
    ("audit", &[("GET", "/audit"), ("POST", "/audit")]),
    (
        "session_leases",
        &[
            ("POST", "/sessions/lease"),
            ("PUT", "/sessions/lease/x"),
            ("DELETE", "/sessions/lease/x"),
        ],
    ),
    (
        "budgets",
        &[("GET", "/budget"), ("PUT", "/budget"), ("POST", "/budget/reserve"), ("POST", "/usage")],
    ),
];

pub(super) async fn run(suite: &mut Suite<'_>) {
    let sentence = "A call without a valid token is a 401.";
    for (feature, endpoints) in ENDPOINTS {
        let (name, features) = match feature {
            "" => ("closed-to-nobody".to_owned(), &[][..]),
            feature => (format!("closed-to-nobody-{}", feature.replace('_', "-")), &[feature][..]),
        };
        let check = async |w: &World| {
            let task = w.task(&w.one, "closed to nobody").await?;
            for (method, path) in endpoints.iter().map(endpoint) {
                let body = (method != Method::GET).then(|| whole_body(w, path, &task));
                let path = with_ids(path);
                let answer = match path.starts_with("/dispatch/undelivered") {
                    true => w.anonymous().undelivered("limit_users=1").await?,
                    false => w.anonymous().send(method, &path, body.as_ref()).await?,
                };
                answer.fails(401)?;
            }
            Ok(format!("401 at {}", shown::counted(endpoints.len(), "endpoint")))
        };
        suite.check(&name, features, sentence, check).await;
    }
    suite
        .check("closed-to-nobody-tools", &["tools"], sentence, async |w| {
            w.anonymous().get("/api/tools").await?.fails(401)?;
            w.anonymous().post("/api/tools/x", json!({ "arguments": {} })).await?.fails(401)
        })
        .await;
    agents(suite).await;
    persons(suite).await;
}

/// A path with ids that no object has, in a form that most backends' ids have.
fn with_ids(path: &str) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    let parts: Vec<_> = path.split('/').map(|part| if part == "x" { &*id } else { part }).collect();
    parts.join("/").replace("/x?", &format!("/{id}?")).replace("=x", &format!("={id}"))
}

/// A body with all fields that any endpoint wants, so that a backend that reads it first finds nothing
/// wrong with it.
fn whole_body(w: &World, path: &str, task: &str) -> Value {
    let status = match path {
        path if path.starts_with("/runs") => "running",
        path if path.starts_with("/tool-requests") => "approved",
        _ => "pending",
    };
    let mut body = json!({
        "title": w.title("nobody's"), "content": w.title("nobody's"), "status": status,
        "task_id": task, "user_id": w.one, "session_key": w.session(&w.one), "timezone": "UTC",
        "run_key": w.key(), "tool": "t", "arguments": {}, "idempotency_key": w.key(),
        "kind": "model", "payload": {}, "holder": "nobody", "ttl_secs": 60, "limit_usd": 1.0,
        "period": "day", "run_id": "r", "estimate_usd": 0.1, "role": ROLE, "model": "m",
        "prompt_tokens": 1, "completion_tokens": 1, "cost_usd": 0.0, "estimated": false,
        "act": "daemon.conformance", "details": {}, "error": "e", "attempts": 1, "dead": false,
        "deliveries": [], "fence": 1, "seq": 1, "events": [], "lease_seconds": 1, "limit": 1
    });
    if path.starts_with("/approval-rules") {
        body["expires_at"] = json!(chrono::Utc::now() + chrono::Duration::days(1));
    }
    body
}

fn endpoint((method, path): &(&'static str, &'static str)) -> Endpoint {
    let method = match *method {
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        _ => Method::GET,
    };
    (method, path)
}

async fn agents(suite: &mut Suite<'_>) {
    let sentence = "an agent token permits none of them (403)";
    suite
        .required("agent-as-user", sentence, async |w| {
            let task = w.task(&w.one, "agent-as-user").await?;
            let body =
                json!({ "task_id": task, "content": w.title("not mine"), "actor_type": "user" });
            w.agent(&w.one).post("/messages", body).await?.fails(403)
        })
        .await;
    suite
        .required("agent-names-a-person", sentence, async |w| {
            let task = w.task(&w.one, "agent-names-a-person").await?;
            let body =
                json!({ "task_id": task, "content": w.title("not mine"), "actor_type": "user" });
            let agent = w.agent(&w.one).with("x-on-behalf-of", w.one.clone());
            agent.post("/messages", body).await?.fails_as_one_of(&[400, 401, 403])
        })
        .await;
    suite
        .check("agent-notifies", &["notifications"], sentence, async |w| {
            let body = json!({
                "user_id": w.one, "session_key": w.session(&w.one), "content": w.title("not mine")
            });
            w.agent(&w.one).post("/notifications", body).await?.fails_as_one_of(&[401, 403])?;
            let path = with_ids("/notifications/x/read");
            w.agent(&w.one).post(&path, json!({})).await?.fails_as_one_of(&[401, 403, 404])
        })
        .await;
    suite
        .check("agent-sets-a-budget", &["budgets"], sentence, async |w| {
            let body = json!({ "user_id": w.one, "limit_usd": 1_000, "period": "day" });
            w.agent(&w.one).put("/budget", body).await?.fails_as_one_of(&[401, 403])
        })
        .await;
    suite
        .check("agent-dispatches", &["notifications_dispatch"], sentence, async |w| {
            let answer = w.agent(&w.one).undelivered("limit_users=1&limit_notifications=1").await?;
            answer.fails_as_one_of(&[401, 403])?;
            let path = with_ids("/dispatch/notifications/x/deliver") + "?user_id=" + &w.one;
            w.agent(&w.one).post(&path, json!({})).await?.fails_as_one_of(&[401, 403])
        })
        .await;
    suite
        .check("agent-requeues", &["notifications_fail"], sentence, async |w| {
            let path = with_ids("/dispatch/notifications/x/requeue") + "?user_id=" + &w.one;
            w.agent(&w.one).post(&path, json!({})).await?.fails_as_one_of(&[401, 403, 404])?;
            let path = with_ids("/dispatch/notifications/x/fail") + "?user_id=" + &w.one;
            let failure = json!({ "error": "x", "attempts": 1, "dead": true });
            w.agent(&w.one).post(&path, failure).await?.fails_as_one_of(&[401, 403])
        })
        .await;
}

async fn persons(suite: &mut Suite<'_>) {
    let sentence = "Actions of a person come from your own pages, or from one of your services as X-Internal-Token with X-On-Behalf-Of: {user_id}";
    suite
        .required("person-writes", sentence, async |w| {
            let person = w.person(&w.one).await?;
            let task = w.task(&w.one, "person-writes").await?;
            let body = json!({ "task_id": task, "content": w.title("from a person"), "actor_type": "user" });
            let answer = person.post("/messages", body).await?;
            answer.created()?;
            answer.has_fields(&[("task_id", json!(task))])?;
            let actor = answer.body["actor_type"].as_str().unwrap_or("user");
            ensure(actor == "user", || format!("expected \"actor_type\": \"user\" for a message on behalf of a person, got {actor}"))?;
            Ok(answer.what)
        })
        .await;
    suite
        .required("person-without-a-service", "A call without a valid token is a 401.", async |w| {
            let nameless = w.anonymous().with("x-on-behalf-of", w.one.clone());
            nameless.get("/tasks").await?.fails(401)
        })
        .await;
}
