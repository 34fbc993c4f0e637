//! `wombat-daemon eval diff` and `eval rerun`: two runs side by side.

use evals::{Answered, Difference, RunView, ViewedCall, differences};
use service::exit;
use service::settings::Layers;

use crate::eval::{Diff, Failed, Rerun};
use crate::eval_case::{FileTools, Tried};
use crate::eval_export::Source;
use crate::eval_journal::view;
use crate::eval_run::{Asking, trial};

/// Compares two runs of the backend.
pub(crate) async fn diff(layers: &Layers, diff: Diff) -> Result<bool, Failed> {
    let source = Source::connect(layers).await?;
    let user = diff.user.as_deref();
    let left = source.run(&diff.left, user).await?;
    let right = source.run(&diff.right, user).await?;
    let most = source.heartbeat_ack_max();
    source.close().await;
    let [left, right] = [&left, &right].map(|found| {
        view(&found.run, most)
            .map_err(|why| Failed::new(format!("run {}: {why}", found.run.run_key)))
    });
    Ok(tell(&left?, &right?))
}

/// Replays a run, and compares the replay with it.
pub(crate) async fn rerun(
    layers: &impl Fn(Vec<(&'static str, String)>) -> Layers,
    flags: Vec<(&'static str, String)>,
    rerun: Rerun,
) -> Result<bool, Failed> {
    let source = Source::connect(&layers(Vec::new())).await?;
    let found = source.run(&rerun.run, rerun.user.as_deref()).await?;
    let failed = |why: String| Failed::new(format!("run {}: {why}", found.run.run_key));
    let case = source.case(&found).await.map_err(failed)?;
    let catalogue = source.catalogue(&[&found]).await;
    source.close().await;
    let tools = FileTools::new(&catalogue).map_err(failed)?;
    let asking = Asking { model: rerun.model, ..Asking::default() };
    let trial = trial(layers, flags, &asking)?;
    let Tried { ended, model, .. } = trial.replay(&case, &tools).await.map_err(failed)?;
    let left = view(&found.run, source.heartbeat_ack_max()).map_err(failed)?;
    let diverged = ended.calls.iter().find(|call| call.answered == Answered::Diverged);
    let diverged = diverged.map(|call| format!("{} {}", call.tool, call.arguments));
    let unasked: Vec<_> = ended.calls.iter().filter(|call| call.unasked).collect();
    for call in &unasked {
        let (tool, arguments) = (&call.tool, &call.arguments);
        exit::say(format!(
            "approval: {tool} {arguments} was approved by a person; no rule asks for that any more"
        ));
    }
    let is_asked = unasked.is_empty();
    let call = |call: &evals::MadeCall| ViewedCall {
        tool: call.tool.clone(),
        arguments: call.arguments.clone(),
        refused: call.answered == Answered::Refused,
    };
    let right = RunView {
        name: "replay".to_owned(),
        calls: ended.calls.iter().filter(|call| !call.waits).map(call).collect(),
        status: if diverged.is_some() { "diverged".to_owned() } else { ended.status },
        response: ended.response,
        model,
        workspace_digest: Some(trial.app.workspace.snapshot().digest().to_owned()),
        turns: ended.turns,
        tokens: ended.tokens,
        cost_usd: ended.cost_usd,
    };
    if let Some(call) = diverged {
        exit::say(format!("diverged: nothing answers the call {call}"));
    }
    Ok(tell(&left, &right) && is_asked)
}

/// Tells what two runs do not have in common. Whether they are the same.
fn tell(left: &RunView, right: &RunView) -> bool {
    let all = differences(left, right);
    exit::say(format!("--- {}", left.name));
    exit::say(format!("+++ {}", right.name));
    for Difference { what, left, right, counts } in &all {
        let mark = if *counts { "" } else { " (does not count)" };
        exit::say(format!("{what}{mark}\n- {left}\n+ {right}"));
    }
    let is_same = !all.iter().any(|one| one.counts);
    exit::say(if is_same { "the same" } else { "different" });
    is_same
}
