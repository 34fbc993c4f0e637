//! Agents that hand on: runs below a run, and whom an agent's message notifies.

use serde_json::{Value, json};

use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

/// The role that work is handed on to.
const OTHER: &str = "conformance-other";

fn run_key() -> String {
    format!("conformance-{}", uuid::Uuid::new_v4())
}

/// A run under the lease of its session, whose journal names a child of another role.
struct Tree {
    task: String,
    fence: String,
    parent: String,
    child: String,
}

impl Tree {
    async fn begin(w: &World) -> Result<Self, NotPassed> {
        let task = w.task(&w.one, "a run below a run").await?;
        let wish = json!({ "session_key": w.session(&w.one), "task_id": task, "holder": "conformance", "ttl_secs": 60 });
        let lease = w.agent(&w.one).post("/sessions/lease", wish).await?;
        lease.created()?;
        let fence = format!("{}:{}", lease.text_at("lease_id")?, lease.body["fence"]);
        let tree = Self { task, fence, parent: run_key(), child: run_key() };
        let own = w.agent(&w.one).with("x-session-fence", tree.fence.clone());
        let run =
            json!({ "session_key": w.session(&w.one), "task_id": tree.task, "status": "running" });
        own.put(&format!("/runs/{}", tree.parent), run).await?.ok()?;
        let children = json!([{ "at": 2, "run_key": tree.child, "role": OTHER }]);
        let step = json!({ "kind": "calling", "payload": { "calls": [], "run_id": "r", "children": children } });
        own.put(&format!("/runs/{}/steps/3", tree.parent), step).await?.ok()?;
        Ok(tree)
    }

    /// Begins the child under its parent's lease.
    async fn hand_on(&self, w: &World) -> Result<(), NotPassed> {
        let other = w.agent_as(&w.one, OTHER).with("x-session-fence", self.fence.clone());
        let run = json!({ "session_key": format!("user:{}:{OTHER}", w.one), "task_id": self.task,
            "status": "running", "parent_run_key": self.parent });
        let path = format!("/runs/{}", self.child);
        other.put(&path, run).await?.ok()?;
        let step = json!({ "kind": "request", "payload": {} });
        other.put(&format!("{path}/steps/0"), step).await?.ok()?;
        Ok(())
    }

    async fn free(&self, w: &World) -> Result<(), NotPassed> {
        let id = self.fence.rsplit_once(':').map_or("", |(id, _)| id);
        w.agent(&w.one).delete(&format!("/sessions/lease/{id}")).await?;
        Ok(())
    }
}

/// Runs below a run.
pub(super) async fn children(suite: &mut Suite<'_>) {
    let features = ["run_journal", "session_leases"];
    let sentence = "A backend that binds leases to roles takes the parent's fence from a child of another role, once the parent's journal names it";
    suite.check("child-of-a-role", &features, sentence, under_the_lease).await;
    let sentence =
        "When a run is cancelled, all runs below it that are not over are cancelled with it";
    suite.check("children-end", &features, sentence, ends_with_it).await;
    let sentence = "when it is interrupted or fails, those at work become interrupted. A request to cancel a running one reaches those below it, too.";
    suite.check("children-hear", &features, sentence, hears_of_it).await;
}

async fn under_the_lease(w: &World) -> Verdict {
    let tree = Tree::begin(w).await?;
    tree.hand_on(w).await?;
    let other = w.agent_as(&w.one, OTHER);
    let path = format!("/runs/{}", tree.child);
    let message = json!({ "task_id": tree.task, "content": w.title("of a child"), "idempotency_key": w.key() });
    let fenced = other.with("x-session-fence", tree.fence.clone());
    fenced.post("/messages", message).await?.created()?;
    fenced.put(&path, json!({ "status": "completed" })).await?.ok()?;
    let found = w.agent_as(&w.one, OTHER).get(&path).await?;
    let parent = &found.ok()?["parent_run_key"];
    ensure(*parent == tree.parent, || {
        format!("expected \"parent_run_key\": {:?}, got {parent}", tree.parent)
    })?;
    tree.free(w).await?;
    Ok("the child wrote under its parent's lease".to_owned())
}

async fn ends_with_it(w: &World) -> Verdict {
    let tree = Tree::begin(w).await?;
    tree.hand_on(w).await?;
    let own = w.agent(&w.one);
    let parent = format!("/runs/{}", tree.parent);
    own.put(&parent, json!({ "status": "cancelled" })).await?.ok()?;
    let found = w.agent_as(&w.one, OTHER).get(&format!("/runs/{}", tree.child)).await?;
    let status = &found.ok()?["status"];
    ensure(status == "cancelled", || format!("expected the child cancelled, got {status}"))?;
    tree.free(w).await?;
    Ok("the child was cancelled with its parent".to_owned())
}

async fn hears_of_it(w: &World) -> Verdict {
    let tree = Tree::begin(w).await?;
    tree.hand_on(w).await?;
    let (own, other) = (w.agent(&w.one), w.agent_as(&w.one, OTHER));
    let (parent, child) = (format!("/runs/{}", tree.parent), format!("/runs/{}", tree.child));
    own.post(&format!("{parent}/cancel"), json!({})).await?.ok()?;
    let fenced = w.agent_as(&w.one, OTHER).with("x-session-fence", tree.fence.clone());
    let told = fenced.put(&child, json!({ "status": "running" })).await?;
    told.ok()?;
    told.has_fields(&[("cancel_requested", json!(true))])?;
    tree.free(w).await?;
    let tree = Tree::begin(w).await?;
    tree.hand_on(w).await?;
    own.put(&format!("/runs/{}", tree.parent), json!({ "status": "interrupted" })).await?.ok()?;
    let found = other.get(&format!("/runs/{}", tree.child)).await?;
    found.has_fields(&[("status", json!("interrupted"))])?;
    tree.free(w).await?;
    Ok("the child was to be cancelled, and interrupted, with its parent".to_owned())
}

/// Whom an agent's message notifies.
pub(super) async fn mentions(suite: &mut Suite<'_>) {
    let sentence = "An agent's message notifies exactly the roles in mentions, whatever its text says; deliveries carry the chain in metadata.chain";
    let features = ["agent_mentions", "notifications", "notifications_dispatch"];
    suite.check("agent-mention", &features, sentence, named).await;
}

async fn named(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let task = w.task(&user, "agent mention").await?;
    let chain = json!({ "root_run_key": run_key(), "roles": [ROLE] });
    let body = json!({ "task_id": task, "content": format!("@{ROLE} look"), "mentions": [OTHER],
        "chain": chain, "idempotency_key": w.key() });
    w.agent(&user).post("/messages", body).await?.created()?;
    let plain = json!({ "task_id": task, "content": format!("@{OTHER} look") });
    w.agent(&user).post("/messages", plain).await?.created()?;
    let query = "limit_users=1000&limit_notifications=1000";
    let answer = w.service()?.undelivered(query).await?;
    let all = answer.ok()?["deliveries"].as_array().cloned().unwrap_or_default();
    let own: Vec<Value> = all.into_iter().filter(|one| one["user_id"] == *user).collect();
    let [one] = own.as_slice() else {
        return failed(format!(
            "expected one delivery, for the role that was named, got {}",
            json!(own)
        ));
    };
    let fits = one["session_key"] == format!("user:{user}:{OTHER}") && one["task_id"] == task;
    ensure(fits, || format!("expected the named role's session on the message's task, got {one}"))?;
    ensure(one["metadata"]["chain"] == chain, || {
        format!("expected \"metadata\": {{\"chain\": {chain}}}, got {one}")
    })?;
    Ok("the named role, with the chain, and no other".to_owned())
}
