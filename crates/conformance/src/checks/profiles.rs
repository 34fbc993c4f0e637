//! Customers' profiles: what narrows the agents of a user.

use http::header::{CACHE_CONTROL, ETAG};
use serde_json::{Value, json};

use super::encode;
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure, failed};
use crate::world::World;

fn path(user: &str, role: Option<&str>) -> String {
    let role = role.map(|role| format!("&role={}", encode(role))).unwrap_or_default();
    format!("/profile?user_id={}{role}", encode(user))
}

/// Sets a profile.
async fn set(w: &World, user: &str, role: Option<&str>, body: &Value) -> Result<(), NotPassed> {
    let put = w.service()?.put(&path(user, role), body.clone()).await?;
    let stored = put.ok()?;
    ensure(stored == body, || format!("expected the profile {body}, got {}", put.summary()))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "GET /profile?user_id&role → the profile of that user and role, with ETag and Cache-Control: max-age; with If-None-Match of the same one 304";
    suite
        .check("read", &["profile"], sentence, async |w| {
            let user = w.fresh_user()?;
            let empty = w.agent_as(&user, "scout").get(&path(&user, Some("scout"))).await?;
            ensure(empty.ok()?.is_object(), || format!("expected {{}}, got {}", empty.text))?;
            let body = json!({ "tenant_id": "t1", "tools": { "deny": ["x_*"] }, "limits": { "max_steps": 3 } });
            set(w, &user, Some("scout"), &body).await?;
            let agent = w.agent_as(&user, "scout");
            let read = agent.get(&path(&user, Some("scout"))).await?;
            ensure(*read.ok()? == body, || format!("expected {body}, got {}", read.text))?;
            let header = |name: &http::HeaderName| {
                read.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
            };
            let (tag, age) = (header(&ETAG).to_owned(), header(&CACHE_CONTROL).to_owned());
            ensure(!tag.is_empty() && age.contains("max-age="), || {
                format!("expected ETag and Cache-Control: max-age, got {tag:?} and {age:?}")
            })?;
            let agent = w.agent_as(&user, "scout").unwatched().with("if-none-match", tag.clone());
            let same = agent.get(&path(&user, Some("scout"))).await?;
            ensure(same.status == 304, || format!("expected 304, got {}", same.summary()))?;
            set(w, &user, Some("scout"), &json!({})).await?;
            let agent = w.agent_as(&user, "scout").with("if-none-match", tag);
            let changed = agent.get(&path(&user, Some("scout"))).await?;
            ensure(changed.status == 200, || format!("expected 200, got {}", changed.summary()))?;
            Ok(format!("ETag, {age}, 304"))
        })
        .await;
    let sentence = "PUT /profile?user_id&role (internal token alone) replaces it; without role it is the one of all roles that have none";
    suite
        .check("of-a-role", &["profile"], sentence, async |w| {
            let user = w.fresh_user()?;
            let (all, own) = (json!({ "tenant_id": "all" }), json!({ "locale": "de" }));
            set(w, &user, None, &all).await?;
            set(w, &user, Some("scout"), &own).await?;
            for (role, expected) in [("scout", &own), ("jarvis", &all)] {
                let read = w.agent_as(&user, role).get(&path(&user, Some(role))).await?;
                ensure(read.ok()? == expected, || {
                    format!("expected {expected} for {role}, got {}", read.text)
                })?;
            }
            Ok("its own, else that of all roles".to_owned())
        })
        .await;
    let sentence = "An agent that asks for another user's profile gets 404, for another role's 403; so does a person";
    suite
        .check("access", &["profile"], sentence, async |w| {
            let user = w.fresh_user()?;
            set(w, &user, None, &json!({ "tenant_id": "secret" })).await?;
            let other = w.agent_as(&w.two, "scout");
            other.get(&path(&user, Some("scout"))).await?.fails(404)?;
            let own = w.agent_as(&user, "scout");
            own.get(&path(&user, Some("jarvis"))).await?.fails(403)?;
            let set = own.put(&path(&user, Some("scout")), json!({})).await?;
            if set.status != 403 {
                return failed(format!("expected 403 for PUT by an agent, got {}", set.summary()));
            }
            w.person(&user).await?.get(&path(&user, None)).await?.fails(403)?;
            Ok("404, 403, 403, 403".to_owned())
        })
        .await;
    let sentence = "prompt_append has at most 8,000 characters, tenant_id, locale and timezone 128, and the percentages of workspace are 100 together: else 400 invalid_payload";
    suite
        .check("bounds", &["profile"], sentence, async |w| {
            let user = w.fresh_user()?;
            let service = w.service()?;
            set(w, &user, None, &json!({ "prompt_append": "ü".repeat(8_000) })).await?;
            for wrong in [
                json!({ "prompt_append": "ü".repeat(8_001) }),
                json!({ "tenant_id": "x".repeat(129) }),
                json!({ "workspace": { "a": 60, "b": 30 } }),
            ] {
                let put = service.put(&path(&user, None), wrong).await?;
                put.fails_with(400, "invalid_payload")?;
            }
            Ok("400 invalid_payload".to_owned())
        })
        .await;
}
