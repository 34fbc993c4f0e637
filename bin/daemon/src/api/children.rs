//! The runs below a run, as its report shows them: from the journals, which name them, so that every instance
//! and every backend says the same.

use std::collections::HashSet;

use daemon_api::ChildRun;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::runs::Run;
use mc_client::steps::{CALLING, CallingStep, ChildCall, Parent};
use mc_client::tool_requests::ToolRequest;
use serde::Deserialize as _;
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use super::detached::{Found, backend};
use super::detached_report::time;
use super::error::ApiError;
use crate::agent::detach::pending;
use crate::run::standing::Standing;
use crate::run::written;
use crate::state::App;

/// How many journals are read at once.
const AT_ONCE: usize = 8;

/// How far down is looked: further than runs may be below each other.
const DEEPEST: usize = 64;

/// The run above, from a run's step 0.
pub(super) fn parent_of(run: &Run) -> Option<Parent> {
    let first = run.steps.iter().find(|step| step.index == 0)?;
    Parent::deserialize(first.payload.get("parent")?).ok()
}

/// The children that a journal names.
fn named(run: &Run) -> Vec<ChildCall> {
    let steps = run.steps.iter().filter(|step| step.kind == CALLING);
    let steps = steps.filter_map(|step| CallingStep::deserialize(&step.payload).ok());
    let mut children: Vec<_> = steps.flat_map(|step| step.children).collect();
    children.sort_by_key(|child| child.at);
    children
}

/// Reads the journals below a run.
#[derive(Clone)]
struct Reader {
    app: App,
    user: String,
    traceparent: String,
}

impl Reader {
    fn new(app: &App, traceparent: String, run: &Run) -> Option<Self> {
        let session = SessionKey::parse(run.session_key.as_deref()?).ok()?;
        let user = session.user().as_str().to_owned();
        Some(Self { app: app.clone(), user, traceparent })
    }

    fn client(&self, role: &str) -> Result<AgentClient, McError> {
        Ok(self.app.backend.agent(&self.user, role)?.with_trace(&self.traceparent))
    }

    fn below<'a>(
        &'a self,
        run: &'a Run,
        depth: usize,
    ) -> BoxFuture<'a, Result<Vec<ChildRun>, McError>> {
        async move {
            if depth >= DEEPEST {
                return Ok(Vec::new());
            }
            let children = named(run).into_iter().map(|child| self.child(child, depth + 1).boxed());
            let children: Vec<_> = children.collect();
            let children: Vec<_> = stream::iter(children).buffered(AT_ONCE).collect().await;
            children.into_iter().collect()
        }
        .boxed()
    }

    async fn child(&self, child: ChildCall, depth: usize) -> Result<ChildRun, McError> {
        let found = self.client(&child.role)?.run(&child.run_key).await?;
        let mut told = ChildRun { run_key: child.run_key, role: child.role, ..ChildRun::default() };
        // It is named before it begins.
        let Some(run) = found else {
            told.status = Standing::Queued.as_str().to_owned();
            return Ok(told);
        };
        told.status = Standing::of(&run).as_str().to_owned();
        told.created_at = run.created_at.map(time);
        told.updated_at = run.updated_at.map(time);
        told.usage = run.extra.get(written::USAGE).cloned();
        told.cost = run.extra.get(written::COST).cloned();
        told.children = self.below(&run, depth).await?;
        Ok(told)
    }

    fn cancel<'a>(&'a self, run: &'a Run, depth: usize) -> BoxFuture<'a, ()> {
        async move {
            for child in named(run).into_iter().filter(|_| depth < DEEPEST) {
                let Ok(client) = self.client(&child.role) else { continue };
                let Ok(Some(run)) = client.run(&child.run_key).await else { continue };
                let _over_already = client.cancel_run(&child.run_key).await;
                self.cancel(&run, depth + 1).await;
            }
        }
        .boxed()
    }
}

/// The runs below a run.
pub(super) async fn of(app: &App, trace: &TraceId, run: &Run) -> Result<Vec<ChildRun>, ApiError> {
    let Some(reader) = Reader::new(app, trace.traceparent(), run) else { return Ok(Vec::new()) };
    reader.below(run, 0).await.map_err(|error| backend(&error))
}

/// What people are asked on behalf of a run and of those below it. It stands under the run at the top.
pub(super) async fn asked(
    app: &App,
    trace: &TraceId,
    found: &Found,
    children: &[ChildRun],
) -> Result<Vec<ToolRequest>, ApiError> {
    let Some(parent) = parent_of(&found.run) else {
        return Ok(pending(&found.client, &found.key).await?);
    };
    let (Ok(root), Some(key)) =
        (SessionKey::parse(&parent.root_session_key), RunKey::parse(&parent.root_run_key))
    else {
        return Ok(Vec::new());
    };
    let client = app.backend.agent(root.user().as_str(), root.role().as_str());
    let client = client.map_err(|error| backend(&error))?.with_trace(&trace.traceparent());
    let mut own = HashSet::from([found.key.as_str()]);
    collect(children, &mut own);
    let mut asked = pending(&client, &key).await?;
    asked.retain(|asked| asked.asked_by.as_ref().is_some_and(|by| own.contains(&*by.run_key)));
    Ok(asked)
}

fn collect<'a>(children: &'a [ChildRun], keys: &mut HashSet<&'a str>) {
    for child in children {
        keys.insert(&child.run_key);
        collect(&child.children, keys);
    }
}

/// Whether one of these runs says that it waits.
pub(super) fn wait(children: &[ChildRun]) -> bool {
    children.iter().any(|child| waits(child) || wait(&child.children))
}

fn waits(child: &ChildRun) -> bool {
    child.status.starts_with("awaiting")
}

/// Runs that waited and whose requests are decided are at work, or are as soon as the run at the top is.
pub(super) fn settle(children: &mut [ChildRun], asked: &[ToolRequest]) -> bool {
    let mut any = false;
    for child in children {
        let below = settle(&mut child.children, asked);
        let own = asked.iter().filter_map(|asked| asked.asked_by.as_ref());
        let is_asked = below || own.into_iter().any(|by| by.run_key == child.run_key);
        if waits(child) && !is_asked {
            child.status = Standing::Running.as_str().to_owned();
        }
        any |= waits(child);
    }
    any
}

/// Cancels the runs below a cancelled one, for backends that do not do so themselves.
pub(super) async fn cancel(app: App, client: AgentClient, key: RunKey) {
    let Ok(Some(run)) = client.run(key.as_str()).await else { return };
    if let Some(reader) = Reader::new(&app, TraceId::random().traceparent(), &run) {
        reader.cancel(&run, 0).await;
    }
}
