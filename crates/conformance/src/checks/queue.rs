//! Notifications and the dispatch queue.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::text_of;
use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

/// How long after its time a lease may take to expire.
const EXPIRY_TOLERANCE: Duration = Duration::from_secs(20);

/// The lease of the check that waits until it expires, in seconds.
const LEASE_SECS: u64 = 2;

/// A fresh user, and the ids of the notifications that were created for it.
struct Queued {
    user: String,
    ids: Vec<String>,
}

async fn enqueue(w: &World, texts: &[&str]) -> Result<Queued, NotPassed> {
    let user = w.fresh_user()?;
    let mut ids = Vec::new();
    for text in texts {
        let body = json!({ "user_id": user, "session_key": w.session(&user), "content": text });
        let made = w.service()?.post("/notifications", body).await?;
        made.created()?;
        ids.push(made.text_at("id")?.to_owned());
    }
    Ok(Queued { user, ids })
}

/// The deliveries of a user, in the queue's order.
async fn queue(w: &World, user: &str, lease: Option<u64>) -> Result<Vec<Value>, NotPassed> {
    let lease = lease.map(|seconds| format!("&lease_seconds={seconds}")).unwrap_or_default();
    let query = format!("limit_users=1000&limit_notifications=1000{lease}");
    let answer = w.service()?.undelivered(&query).await?;
    let Some(all) = answer.ok()?["deliveries"].as_array() else {
        return failed(format!("expected {{deliveries: […]}}, got {}", answer.summary()));
    };
    Ok(all.iter().filter(|one| one["user_id"] == *user).cloned().collect())
}

fn ids(deliveries: &[Value]) -> Vec<&str> {
    crate::answer::column(deliveries, "notification_id")
}

async fn post_action(w: &World, queued: &Queued, n: usize, verb: &str, body: Value) -> Verdict {
    let (id, user) = (&queued.ids[n], super::encode(&queued.user));
    let path = format!("/dispatch/notifications/{id}/{verb}?user_id={user}");
    let answer = w.service()?.post(&path, body).await?;
    answer.done()?;
    Ok(answer.what)
}

/// Whether a notification leaves the queue although the suite does not take it.
pub(crate) async fn is_taken_by_others(w: &World) -> bool {
    if !["notifications", "notifications_dispatch"].iter().all(|feature| w.features.has(feature)) {
        return false;
    }
    let Ok(made) = enqueue(w, &["whether a dispatcher takes it"]).await else { return false };
    // A dispatcher hears of it at once, or asks every two seconds.
    let until = Instant::now() + Duration::from_secs(4);
    loop {
        match queue(w, &made.user, None).await {
            Ok(left) if left.is_empty() => return true,
            Ok(_) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(_) | Err(_) => break,
        }
    }
    let _tidied = post_action(w, &made, 0, "deliver", json!({})).await;
    false
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    notifications(suite).await;
    super::handing_on::mentions(suite).await;
    dispatch(suite).await;
    failures(suite).await;
}

async fn notifications(suite: &mut Suite<'_>) {
    let sentence = "POST /notifications makes one; GET /notifications?unread=true → the tenant's own; POST /notifications/{id}/read";
    suite
        .check("notification", &["notifications"], sentence, async |w| {
            let made = enqueue(w, &["look ü"]).await?;
            let unread = async || w.agent(&made.user).get("/notifications?unread=true").await;
            let before = unread().await?;
            let [one] = before.items()? else {
                return failed(format!(
                    "expected the one unread notification, got {}",
                    before.text
                ));
            };
            let fits = one["content"] == "look ü" && one["id"] == made.ids[0].as_str();
            ensure(fits, || format!("expected the notification that was created, got {one}"))?;
            let path = format!("/notifications/{}/read", made.ids[0]);
            w.person(&made.user).await?.post(&path, json!({})).await?.done()?;
            w.person(&made.user).await?.post(&path, json!({})).await?.done()?;
            let after = unread().await?;
            ensure(after.items()?.is_empty(), || {
                format!("expected no unread notification after read, got {}", after.text)
            })?;
            Ok("listed until it was read; reading it twice is harmless".to_owned())
        })
        .await;
    let sentence =
        "a user's message that mentions @role makes one for that role's session on that task";
    suite
        .check("mention", &["notifications"], sentence, async |w| {
            let user = w.fresh_user()?;
            let task = w.task(&user, "mention").await?;
            let said = json!({ "task_id": task, "content": format!("@{ROLE} look"), "actor_type": "user" });
            w.person(&user).await?.post("/messages", said).await?.created()?;
            let list = w.agent(&user).get("/notifications").await?;
            let [one] = list.items()? else {
                return failed(format!("expected one notification, for the user's message; got {}", list.text));
            };
            let fits = one["session_key"] == w.session(&user) && one["task_id"] == task;
            ensure(fits, || format!("expected the mentioned role's session and the message's task, got {one}"))?;
            Ok("one for the user's message".to_owned())
        })
        .await;
}

async fn dispatch(suite: &mut Suite<'_>) {
    let features = ["notifications_dispatch", "notifications"];
    let sentence = "POST /dispatch/undelivered → deliveries, oldest first per session; deliver marks one, repeating it is harmless";
    suite
        .check("undelivered", &features, sentence, async |w| {
            let made = enqueue(w, &["first", "second", "third"]).await?;
            let given = queue(w, &made.user, None).await?;
            ensure(ids(&given) == made.ids, || {
                format!(
                    "expected the notifications {:?} in this order, got {}",
                    made.ids,
                    json!(given)
                )
            })?;
            for (one, content) in given.iter().zip(["first", "second", "third"]) {
                let fits = one["content"] == content
                    && text_of(one, "session_key") == Some(&w.session(&made.user));
                ensure(fits, || format!("expected content and session as created, got {one}"))?;
            }
            for _ in 0..2 {
                post_action(w, &made, 0, "deliver", json!({})).await?;
            }
            let left = queue(w, &made.user, None).await?;
            ensure(ids(&left) == made.ids[1..], || {
                format!(
                    "expected the other two after the first was acknowledged, got {}",
                    json!(left)
                )
            })?;
            for n in 1..3 {
                post_action(w, &made, n, "deliver", json!({})).await?;
            }
            let left = queue(w, &made.user, None).await?;
            ensure(left.is_empty(), || {
                format!("expected nothing after all were acknowledged, got {}", json!(left))
            })?;
            Ok("in order, each until it was delivered".to_owned())
        })
        .await;
    suite
        .check("deliver-anothers", &features, "Another tenant's object answers 404", async |w| {
            let made = enqueue(w, &["mine"]).await?;
            let path = format!("/dispatch/notifications/{}/deliver?user_id={}", made.ids[0], w.one);
            let seen = w.service()?.post(&path, json!({})).await?.fails(404)?;
            let left = queue(w, &made.user, None).await?;
            ensure(left.len() == 1, || {
                "expected it to stay in the queue, got it acknowledged by another user".to_owned()
            })?;
            post_action(w, &made, 0, "deliver", json!({})).await?;
            Ok(seen)
        })
        .await;
    let features = ["dispatch_leases", "notifications_dispatch", "notifications"];
    let sentence = "A backend that leases hands a delivery to one caller until its lease ends";
    suite
        .check("lease-of-a-delivery", &features, sentence, async |w| {
            let made = enqueue(w, &["held", "after it"]).await?;
            let first = queue(w, &made.user, Some(LEASE_SECS)).await?;
            ensure(!first.is_empty(), || {
                "expected the waiting notifications, got none".to_owned()
            })?;
            let second = queue(w, &made.user, Some(LEASE_SECS)).await?;
            ensure(second.is_empty(), || {
                format!("expected nothing while leased, got {}", json!(second))
            })?;
            let until = Instant::now() + Duration::from_secs(LEASE_SECS) + EXPIRY_TOLERANCE;
            let again = loop {
                let again = queue(w, &made.user, None).await?;
                if !again.is_empty() || Instant::now() > until {
                    break again;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            let fits = ids(&again).first() == Some(&made.ids[0].as_str());
            ensure(fits, || {
                format!(
                    "expected the first notification again after the lease expired, got {}",
                    json!(again)
                )
            })?;
            for n in 0..2 {
                post_action(w, &made, n, "deliver", json!({})).await?;
            }
            Ok("one caller's until the lease expired, then handed out again".to_owned())
        })
        .await;
    let features = ["dispatch_batch", "notifications_dispatch", "notifications"];
    let sentence = "POST /dispatch/deliver marks many, and names those it does not know";
    suite
        .check("deliver-many", &features, sentence, async |w| {
            let made = enqueue(w, &["a", "b"]).await?;
            let nowhere = uuid::Uuid::new_v4().to_string();
            let all = made.ids.iter().chain([&nowhere]);
            let all: Vec<_> =
                all.map(|id| json!({ "notification_id": id, "user_id": made.user })).collect();
            let answer =
                w.service()?.post("/dispatch/deliver", json!({ "deliveries": all })).await?;
            let unknown = &answer.ok()?["not_found"];
            ensure(*unknown == json!([nowhere]), || {
                format!("expected only the unknown id in \"not_found\", got {unknown}")
            })?;
            let left = queue(w, &made.user, None).await?;
            ensure(left.is_empty(), || {
                format!("expected an empty queue after all were acknowledged, got {}", json!(left))
            })?;
            Ok(answer.summary())
        })
        .await;
}

async fn failures(suite: &mut Suite<'_>) {
    let features = ["notifications_fail", "notifications_dispatch", "notifications"];
    let sentence = "fail with dead: true takes it out of the queue into the dead letters; requeue puts it back with its attempts at zero";
    suite
        .check("dead-letter", &features, sentence, async |w| {
            let made = enqueue(w, &["poison"]).await?;
            let fails = |dead: bool| json!({ "error": "no model", "attempts": 3, "dead": dead });
            post_action(w, &made, 0, "fail", fails(false)).await?;
            let left = queue(w, &made.user, None).await?;
            ensure(left.len() == 1, || {
                format!(
                    "expected it to stay in the queue after fail with dead: false, got {}",
                    json!(left)
                )
            })?;
            post_action(w, &made, 0, "fail", fails(true)).await?;
            let left = queue(w, &made.user, None).await?;
            ensure(left.is_empty(), || {
                format!(
                    "expected it to leave the queue after fail with dead: true, got {}",
                    json!(left)
                )
            })?;
            let dead = w.service()?.all("/dispatch/dead?limit=200").await?;
            let is_it = |one: &Value| {
                ["notification_id", "id"].iter().any(|name| one[*name] == made.ids[0].as_str())
            };
            let found = dead.iter().find(|one| is_it(one));
            ensure(found.is_some_and(|one| one.to_string().contains("no model")), || {
                format!("expected it in GET /dispatch/dead with its error, got {}", json!(found))
            })?;
            post_action(w, &made, 0, "requeue", json!({})).await?;
            let back = queue(w, &made.user, None).await?;
            let zero = back.first().is_some_and(|one| one["attempts"].as_u64().unwrap_or(0) == 0);
            ensure(zero, || {
                format!(
                    "expected it in the queue with zero attempts after requeue, got {}",
                    json!(back)
                )
            })?;
            post_action(w, &made, 0, "deliver", json!({})).await?;
            Ok("out of the queue, among the dead letters with its error, and back".to_owned())
        })
        .await;
}
