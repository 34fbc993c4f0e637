//! A person's word: questions, changed arguments, standing rules.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::suite::Suite;
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

/// How long a question whose time is over may take to end.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks for that.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a decision needs.
const DECISIONS: [&str; 2] = ["decisions", "tool_requests"];

/// A request that waits: its task, its path, and the answer to the create.
struct Asked {
    task: String,
    path: String,
    made: Answer,
}

impl Asked {
    fn decision(&self) -> String {
        format!("{}/decision", self.path)
    }

    fn id(&self) -> Result<&str, NotPassed> {
        self.made.text_at("id")
    }
}

/// Stores a tool request of the first user.
async fn ask(w: &World, more: Value) -> Result<Asked, NotPassed> {
    let task = w.task(&w.one, "decision").await?;
    let mut body = json!({
        "task_id": task, "run_key": format!("conformance-{}", uuid::Uuid::new_v4()),
        "session_key": w.session(&w.one), "idempotency_key": w.key()
    });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    let made = w.agent(&w.one).post("/tool-requests", body).await?;
    made.created()?;
    let path = format!("/tool-requests/{}", made.text_at("id")?);
    Ok(Asked { task, path, made })
}

async fn question(w: &World) -> Result<Asked, NotPassed> {
    let arguments = json!({ "question": "Which colour?", "options": ["Red", "Dark blue"] });
    ask(w, json!({ "kind": "question", "tool": "ask_user", "arguments": arguments })).await
}

async fn call(w: &World) -> Result<Asked, NotPassed> {
    let amount = json!({ "type": "number", "maximum": 100 });
    let parameters =
        json!({ "type": "object", "required": ["amount"], "properties": { "amount": amount } });
    ask(w, json!({ "tool": "refund", "arguments": { "amount": 40 }, "parameters": parameters }))
        .await
}

/// The request has this status still, or by now.
async fn has_status(w: &World, asked: &Asked, status: &str) -> Result<Answer, NotPassed> {
    let found = w.agent(&w.one).get(&asked.path).await?;
    found.ok()?;
    found.has_fields(&[("status", json!(status))])?;
    Ok(found)
}

/// The error names what does not fit.
fn says_what(answer: &Answer, code: &str) -> Result<(), NotPassed> {
    answer.fails_with(400, code)?;
    let errors = answer.body["details"]["errors"].as_array().map_or(0, Vec::len);
    ensure(errors > 0, || format!("expected details.errors, got {}", answer.text))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence =
        "A question is stored with the agent's message that asks it, which has its tool_request_id";
    suite
        .check(
            "question",
            &["decisions", "tool_requests", "messages_list"],
            sentence,
            asked_in_thread,
        )
        .await;
    let sentence = "POST /tool-requests/{id}/decision {answer}: what does not fit is 400 answer_mismatch with details.errors, and the question stays pending";
    suite.check("answer", &DECISIONS, sentence, answered).await;
    let sentence = "A decided request is 409 already_decided, but for the same Idempotency-Key and body, which are answered as before";
    suite.check("decided-once", &DECISIONS, sentence, once).await;
    let sentence =
        "edited.arguments are checked against parameters, and kept beside the requested ones";
    suite.check("edited", &DECISIONS, sentence, edited).await;
    let sentence = "A person's message on the task answers the only question there, unless it does not fit; one that names a question and does not fit it is 400, and is not stored";
    suite
        .check(
            "answered-by-message",
            &["decisions", "tool_requests", "messages_list"],
            sentence,
            by_message,
        )
        .await;
    let sentence = "An agent may answer its own session's questions, nothing else: 403";
    suite.check("agents", &DECISIONS, sentence, agents).await;
    let sentence =
        "A question whose time is over is expired, and its session is notified as of a decision";
    let features = ["decisions", "tool_requests", "notifications", "notifications_dispatch"];
    suite.check("expired", &features, sentence, expired).await;
    let sentence = "POST /approval-rules/{id}/uses: 200 for a call that fits, whose repeat is answered the same; 409 rule_void with details.reason used_up or revoked after that";
    suite.check("rule", &["approval_rules"], sentence, rule).await;
    let sentence = "A rule's when is checked when it is written: 400";
    suite.check("rule-form", &["approval_rules"], sentence, rule_form).await;
    let sentence = "rule within a decision makes one of the request's role and tool";
    suite
        .check("rule-of-a-decision", &["decisions", "approval_rules"], sentence, rule_within)
        .await;
}

async fn asked_in_thread(w: &World) -> Verdict {
    let asked = question(w).await?;
    asked.made.has_fields(&[("kind", json!("question")), ("status", json!("pending"))])?;
    ensure(asked.made.body["expires_at"].is_string(), || {
        format!("expected expires_at, got {}", asked.made.text)
    })?;
    let thread = w.agent(&w.one).get(&format!("/messages?task_id={}", asked.task)).await?;
    let message = thread.items()?.last().cloned().unwrap_or_default();
    let is_it = message["tool_request_id"] == asked.made.body["id"]
        && message["actor_type"] == "agent"
        && message["content"].as_str().is_some_and(|text| text.contains("Which colour?"));
    ensure(is_it, || format!("expected the question as the agent's message, got {message}"))?;
    Ok("a message with tool_request_id".to_owned())
}

async fn answered(w: &World) -> Verdict {
    let asked = question(w).await?;
    let person = w.person(&w.one).await?;
    let refused = person.post(&asked.decision(), json!({ "answer": "Green" })).await?;
    says_what(&refused, "answer_mismatch")?;
    has_status(w, &asked, "pending").await?;
    w.person(&w.two)
        .await?
        .post(&asked.decision(), json!({ "answer": "Red" }))
        .await?
        .fails(404)?;
    person.post(&asked.decision(), json!({ "answer": " dark BLUE " })).await?.ok()?;
    let found = has_status(w, &asked, "answered").await?;
    found.has_fields(&[("answer", json!("Dark blue"))])?;
    let denied = question(w).await?;
    person.post(&denied.decision(), json!({ "status": "denied" })).await?.ok()?;
    has_status(w, &denied, "denied").await?;
    Ok("answered with the option as it is written".to_owned())
}

async fn once(w: &World) -> Verdict {
    let asked = question(w).await?;
    let key = w.key();
    let person = w.person(&w.one).await?.with("idempotency-key", key.clone());
    let red = json!({ "answer": "Red" });
    let first = person.post(&asked.decision(), red.clone()).await?;
    let again = person.post(&asked.decision(), red.clone()).await?;
    ensure(first.ok()? == again.ok()?, || format!("expected {}, got {}", first.text, again.text))?;
    let other = w.person(&w.one).await?.with("idempotency-key", key);
    other
        .post(&asked.decision(), json!({ "answer": "Dark blue" }))
        .await?
        .fails_with(409, "already_decided")?;
    w.person(&w.one).await?.post(&asked.decision(), red).await?.fails_with(409, "already_decided")
}

async fn edited(w: &World) -> Verdict {
    let asked = call(w).await?;
    let person = w.person(&w.one).await?;
    let with = |amount: u32| json!({ "status": "approved", "edited": { "arguments": { "amount": amount } } });
    let refused = person.post(&asked.decision(), with(500)).await?;
    says_what(&refused, "arguments_mismatch")?;
    has_status(w, &asked, "pending").await?;
    person.post(&asked.decision(), with(20)).await?.ok()?;
    let found = has_status(w, &asked, "approved").await?;
    found.has_fields(&[
        ("arguments", json!({ "amount": 40 })),
        ("edited", json!({ "arguments": { "amount": 20 } })),
    ])?;
    ensure(found.body["decided_by"]["type"] == "person", || {
        format!("expected decided_by, got {}", found.text)
    })?;
    Ok("both kept, and who decided".to_owned())
}

async fn by_message(w: &World) -> Verdict {
    let (asked, person) = (question(w).await?, w.person(&w.one).await?);
    let count = async || {
        let thread = w.agent(&w.one).get(&format!("/messages?task_id={}", asked.task)).await?;
        Ok::<_, NotPassed>(thread.items()?.len())
    };
    let before = count().await?;
    let say = |content: &str, named: Option<&str>| {
        let mut body = json!({ "task_id": asked.task, "content": content });
        if let Some(id) = named {
            body["tool_request_id"] = json!(id);
        }
        body
    };
    let misfit = person.post("/messages", say("green", Some(asked.id()?))).await?;
    says_what(&misfit, "answer_mismatch")?;
    ensure(count().await? == before, || "expected nothing stored, got a message".to_owned())?;
    person.post("/messages", say("green", None)).await?.created()?;
    person.post("/messages", say("@somebody-else red", None)).await?.created()?;
    has_status(w, &asked, "pending").await?;
    person.post("/messages", say(" red ", None)).await?.created()?;
    has_status(w, &asked, "answered").await?.has_fields(&[("answer", json!("Red"))])?;
    Ok("answered by the message that fits".to_owned())
}

async fn agents(w: &World) -> Verdict {
    let (asked, call) = (question(w).await?, call(w).await?);
    let agent = w.agent(&w.one);
    agent.post(&call.decision(), json!({ "status": "approved" })).await?.fails(403)?;
    agent.post(&asked.decision(), json!({ "status": "denied" })).await?.fails(403)?;
    let other = w
        .agent_as(&w.one, "conformance-other")
        .post(&asked.decision(), json!({ "answer": "Red" }))
        .await?;
    other.fails_as_one_of(&[403, 404])?;
    has_status(w, &asked, "pending").await?;
    agent.post(&asked.decision(), json!({ "answer": "Red" })).await?.ok()?;
    has_status(w, &asked, "answered").await?;
    has_status(w, &call, "pending").await?;
    Ok("its own question only".to_owned())
}

async fn expired(w: &World) -> Verdict {
    let arguments = json!({ "question": "Still there?" });
    let soon =
        json!({ "kind": "question", "tool": "ask_user", "arguments": arguments, "ttl_secs": 1 });
    let (asked, begun) = (ask(w, soon).await?, Instant::now());
    let service = w.service()?;
    let delivery = loop {
        let queue = service.undelivered("limit_users=1000&limit_notifications=1000").await?;
        let all = queue.ok()?["deliveries"].as_array().cloned().unwrap_or_default();
        let of_run = |one: &Value| one["metadata"]["tool_request_id"] == asked.made.body["id"];
        if let Some(found) = all.into_iter().find(of_run) {
            break found;
        }
        if begun.elapsed() > EXPIRY_PATIENCE {
            return failed(format!(
                "expected a notification within {} s, got none",
                EXPIRY_PATIENCE.as_secs()
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    ensure(delivery["run_key"] == asked.made.body["run_key"], || {
        format!("expected the question's run_key, got {delivery}")
    })?;
    has_status(w, &asked, "expired").await?;
    let id = delivery["notification_id"].as_str().unwrap_or_default();
    let path = format!("/dispatch/notifications/{id}/deliver?user_id={}", super::encode(&w.one));
    service.post(&path, json!({})).await?.done()?;
    let late = w.person(&w.one).await?.post(&asked.decision(), json!({ "answer": "yes" })).await?;
    late.fails_with(409, "already_decided")
}

/// A rule for the suite's role.
fn small_refunds(max_uses: u32) -> Value {
    let tomorrow = chrono::Utc::now() + chrono::Duration::days(1);
    json!({
        "role": crate::token::ROLE, "tool": "refund", "when": { "amount": { "lte": 50 } },
        "expires_at": tomorrow, "max_uses": max_uses
    })
}

fn use_of(amount: u32, key: &str) -> Value {
    let run = format!("conformance-{key}");
    json!({ "run_key": run, "arguments": { "amount": amount }, "idempotency_key": key })
}

async fn rule(w: &World) -> Verdict {
    let (agent, person) = (w.agent(&w.one), w.person(&w.one).await?);
    let made = person.post("/approval-rules", small_refunds(1)).await?;
    made.created()?;
    let id = made.text_at("id")?.to_owned();
    let uses = format!("/approval-rules/{id}/uses");
    let listed = agent
        .all(&format!("/approval-rules?role={}&tool=refund&limit=200", crate::token::ROLE))
        .await?;
    ensure(listed.iter().any(|one| one["id"] == id.as_str()), || {
        "expected the rule in the list, got one without it".to_owned()
    })?;
    agent.post(&uses, use_of(51, &w.key())).await?.refuses()?;
    w.agent(&w.two).post(&uses, use_of(1, &w.key())).await?.fails(404)?;
    let call = use_of(50, &w.key());
    let first = agent.post(&uses, call.clone()).await?;
    first.created()?;
    let again = agent.post(&uses, call).await?;
    ensure(again.created()? == &first.body, || {
        format!("expected {}, got {}", first.text, again.text)
    })?;
    let void = agent.post(&uses, use_of(1, &w.key())).await?;
    void.fails_with(409, "rule_void")?;
    ensure(void.body["details"]["reason"] == "used_up", || {
        format!("expected details.reason used_up, got {}", void.text)
    })?;
    let other = person.post("/approval-rules", small_refunds(9)).await?;
    let path = format!("/approval-rules/{}", other.text_at("id")?);
    agent.delete(&path).await?.fails(403)?;
    w.person(&w.two).await?.delete(&path).await?.fails(404)?;
    person.delete(&path).await?.done()?;
    let void = agent.post(&format!("{path}/uses"), use_of(1, &w.key())).await?;
    void.fails_with(409, "rule_void")?;
    ensure(void.body["details"]["reason"] == "revoked", || {
        format!("expected details.reason revoked, got {}", void.text)
    })?;
    Ok("used once, and void after".to_owned())
}

async fn rule_form(w: &World) -> Verdict {
    let person = w.person(&w.one).await?;
    for (field, value) in [
        ("when", json!({ "amount": { "greater": 1 } })),
        ("when", json!({ "amount": 5 })),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("expires_at", json!(chrono::Utc::now() + chrono::Duration::days(370))),
    ] {
        let mut body = small_refunds(1);
        body[field] = value;
        person.post("/approval-rules", body).await?.fails(400)?;
    }
    let agent = w.agent(&w.one).post("/approval-rules", small_refunds(1)).await?;
    agent.fails(403)
}

async fn rule_within(w: &World) -> Verdict {
    let (asked, person) = (call(w).await?, w.person(&w.one).await?);
    let mut rule = small_refunds(1);
    for own in ["role", "tool"] {
        rule.as_object_mut().map(|fields| fields.remove(own));
    }
    let decided =
        person.post(&asked.decision(), json!({ "status": "approved", "rule": rule })).await?;
    decided.ok()?;
    let listed = person.all("/approval-rules?tool=refund&limit=200").await?;
    let made = listed.iter().find(|one| one["tool_request_id"] == asked.made.body["id"]);
    let Some(made) = made else {
        return failed("expected a rule with the request's tool_request_id, got none".to_owned());
    };
    let hash = made["parameters_sha256"].as_str().unwrap_or_default();
    ensure(hash.len() == 64 && made["role"] == crate::token::ROLE, || {
        format!("expected the request's role, and parameters_sha256, got {made}")
    })?;
    let path = format!("/approval-rules/{}", made["id"].as_str().unwrap_or_default());
    person.delete(&path).await?.done()?;
    Ok("one of the request's role and tool".to_owned())
}
