//! The tool calls of one turn of the model: concurrent, journaled, with approval where needed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use daemon_api::{Step, ToolRequest};
use futures::StreamExt as _;
use futures::stream;
use mc_client::steps::KeptResult;
use service::otel::Side;

use super::approval::{Decision, Word};
use super::attempts::{Attempt, Attempts, TurnOrigin, was_asked};
use super::context::RunContext;
use super::handing_on::Handed;
use super::journal::{ChildReport, ToolStep, millis, report};
use super::mentions;
use super::redaction;
use super::replay::{self, Replay};
use crate::run::attachments::{KnownFile, known};
use crate::run::error::RunError;
use crate::run::events::RunEvent;
use crate::run::state_machine::PlannedCall;
use crate::tools::{Mentions, OwnCall, Question, READ_RESULT, ToolContext, ToolReply};

/// How many calls of one turn are made concurrently (docs/RUNS.md).
pub(super) const PARALLEL_CALLS: usize = 8;

/// The result of the calls of one turn.
pub(super) enum Turn {
    /// All are done.
    Done {
        /// Their results.
        steps: Vec<ToolStep>,
        /// How many steps of the journal the turn takes.
        places: u32,
    },
    /// These wait for a person.
    Waits(Vec<ToolRequest>),
}

/// What came of one call.
pub(super) enum Called {
    Done(Box<ToolStep>),
    /// It waits for a person.
    Waits(Need),
    /// A run below this one waits for these.
    Below(Vec<ToolRequest>),
}

/// What a person is needed for.
pub(super) enum Need {
    /// To approve the call; `by_rule` unless only because it may have taken effect already.
    Approval { by_rule: bool },
    /// To answer this question.
    Answer(Box<Question>),
}

/// A call that was made, or tried.
struct Made {
    reply: ToolReply,
    took: Duration,
    /// What a run below this one waits for; there is no reply then.
    waits: Vec<ToolRequest>,
    /// The run that it was handed on to.
    child: Option<Box<ChildReport>>,
    /// The roles that it has named.
    mentions: Option<Mentions>,
    /// What the model gets of a long result, and what is kept of that.
    kept: Option<(String, Option<KeptResult>)>,
}

impl Made {
    /// A call that took no time.
    fn at_once(reply: ToolReply) -> Self {
        let (took, waits) = (Duration::ZERO, Vec::new());
        Self { reply, took, waits, child: None, mentions: None, kept: None }
    }
}

impl Need {
    /// Whether a rule of the role wants a person's approval, for which a standing rule may stand.
    fn is_by_rule(&self) -> bool {
        matches!(self, Self::Approval { by_rule: true })
    }
}

/// The reports of the calls of one turn that are done, by their places in the journal. They outlive the
/// turn when that is given up at the run's deadline.
#[derive(Default)]
pub(super) struct Finished(Mutex<BTreeMap<u32, Step>>);

impl Finished {
    fn add(&self, at: u32, step: &ToolStep) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(at, report(step));
    }

    /// The reports, in the model's order.
    pub(super) fn into_reports(self) -> impl Iterator<Item = Step> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_values()
    }
}

impl RunContext<'_> {
    /// Makes the calls of one turn, several at once; their steps come in the model's order. Calls
    /// that need approval are made once all of them are decided; until then the run waits.
    /// `reason` is what the model said with the calls; what is done goes into `finished`, too.
    pub(super) async fn call_tools(
        &self,
        (calls, at): (&[PlannedCall], u32),
        reason: &str,
        earlier: &Attempts,
        origin: &TurnOrigin,
        finished: &Finished,
    ) -> Result<Turn, RunError> {
        let after = at.saturating_add(count(calls));
        let callings = self.journal.callings(after)?;
        let (key, tools) = (self.run.run_key, (&*self.tools, &self.profile));
        let attempts = Attempt::of_turn((calls, at), key, tools, earlier, origin, &callings);
        let mut places = count(calls).saturating_add(count(&callings));
        self.handed_on.set_place(at.saturating_add(places));
        // The futures are made before they are put into the stream: a closure there would not be
        // `Send` for every lifetime. Boxed, as the stream moves them several times.
        let first: Vec<_> = attempts
            .iter()
            .map(|attempt| Box::pin(self.call_at(attempt, None, finished)))
            .collect();
        let first: Vec<_> = stream::iter(first).buffered(PARALLEL_CALLS).collect().await;
        places = self.handed_on.place().saturating_sub(at);
        let mut below = Vec::new();
        let mut steps = Vec::with_capacity(calls.len());
        let (mut waiting, mut asked) = (Vec::new(), earlier.questions());
        for (attempt, called) in attempts.iter().zip(first) {
            match called? {
                Called::Done(step) => {
                    asked += usize::from(was_asked(&step));
                    steps.push((attempt.at, *step));
                }
                Called::Below(requests) => below.extend(requests),
                Called::Waits(need) => {
                    asked += usize::from(matches!(need, Need::Answer(_)));
                    waiting.push((attempt, need, asked));
                }
            }
        }
        if !waiting.is_empty() {
            let by_rule = waiting.iter().filter(|(_, need, _)| need.is_by_rule());
            let by_rule: Vec<_> = by_rule.map(|(attempt, ..)| *attempt).collect();
            let grants = self
                .grants(&by_rule, (&callings, origin.is_fresh), at.saturating_add(places))
                .await?;
            places += grants.places;
            let (granted, waiting): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|(attempt, ..)| grants.rules.contains_key(&attempt.at));
            let granted = granted.into_iter().map(|(attempt, ..)| {
                let rule_id = grants.rules.get(&attempt.at).cloned();
                (attempt.clone(), Decision::Approved(Word { rule_id, ..Word::default() }, None))
            });
            let granted = granted.collect();
            let carried = self.carry_out(granted, (at, &mut places), finished).await?;
            steps.extend(carried.steps);
            below.extend(carried.below);

            let mut decisions = Vec::with_capacity(waiting.len());
            for (attempt, need, nth) in &waiting {
                decisions.push(match need {
                    _ if self.run.replay.is_some() => replay::undecided(attempt, need),
                    Need::Approval { by_rule } => {
                        self.informed_decision(attempt, *by_rule, reason, earlier).await?
                    }
                    Need::Answer(question) => self.answer_to(attempt, question, *nth).await?,
                });
            }
            below.extend(decisions.iter().filter_map(Decision::pending));
            if !below.is_empty() {
                return Ok(Turn::Waits(below));
            }
            let decided = waiting.into_iter().map(|(attempt, ..)| attempt).zip(decisions);
            let decided = self.as_decided(decided.collect(), (&attempts, &steps), earlier);
            let carried = self.carry_out(decided, (at, &mut places), finished).await?;
            steps.extend(carried.steps);
            below.extend(carried.below);
        }
        if !below.is_empty() {
            return Ok(Turn::Waits(below));
        }
        steps.sort_by_key(|(at, _)| *at);
        let steps = steps.into_iter().map(|(_, step)| step).collect();
        Ok(Turn::Done { steps, places })
    }

    /// One call: its step from the journal, or made and written there; or it waits for a person, where
    /// no decision is given.
    pub(super) async fn call_at(
        &self,
        attempt: &Attempt<'_>,
        decision: Option<Decision>,
        finished: &Finished,
    ) -> Result<Called, RunError> {
        let (planned, at) = (&*attempt.planned, attempt.at);
        if let Some(step) = self.journal.tool(at)? {
            finished.add(at, &step);
            if let Some(child) = &step.child {
                self.run.handle.meter.add(child.usage, &child.cost);
            }
            // Readers of a detached run have it from the journal.
            if self.run.sink.recorded().is_none() {
                self.send_call(planned).await;
                self.send_result(&step).await;
            }
            return Ok(Called::Done(Box::new(step)));
        }
        let (made, word) = match decision {
            Some(Decision::Denied(word, why)) => (Made::at_once(ToolReply::Denied(why)), word),
            Some(Decision::Answered(word, answer)) => {
                (Made::at_once(ToolReply::Answered(answer)), word)
            }
            Some(Decision::Refused(why)) => {
                (Made::at_once(ToolReply::NotMade(why)), Word::default())
            }
            // Its event was sent when it was found to need approval.
            Some(Decision::Approved(word, _)) => (self.make_call(attempt, true).await?, word),
            Some(Decision::Pending(_)) | None => {
                self.send_call(planned).await;
                let made = self.make_call(attempt, false).await?;
                let can_ask = self.can_request_approval();
                match made.reply {
                    ToolReply::NeedsApproval(_) if can_ask => {
                        return Ok(Called::Waits(Need::Approval { by_rule: true }));
                    }
                    ToolReply::InDoubt(_) if can_ask => {
                        return Ok(Called::Waits(Need::Approval { by_rule: false }));
                    }
                    ToolReply::OfRun(OwnCall::Question(question)) if can_ask => {
                        return Ok(Called::Waits(Need::Answer(question)));
                    }
                    reply => (Made { reply, ..made }, Word::default()),
                }
            }
        };
        let Made { reply, took, waits, child, mentions, kept } = made;
        if !waits.is_empty() {
            return Ok(Called::Below(waits));
        }
        let refused = self.of_whole(&reply, ToolReply::refusal).map(|said| {
            let session = &self.run.request.session;
            let (user, role) = (session.user().as_str(), session.role().as_str());
            format!("{said} (user {user:?}, role {role:?})")
        });
        let (files, saved) = Box::pin(self.files_of(&reply)).await;
        let (content, artifact) = match kept {
            Some((content, artifact)) => (self.noted(content, attempt), artifact),
            None => (self.content_of(&reply, attempt), None),
        };
        let mut loaded = self.tools.loaded_by(&planned.call);
        let reads = artifact.is_some() || self.run.replay.is_some_and(Replay::reads_results);
        loaded.extend(reads.then(|| READ_RESULT.to_owned()));
        let mut step = ToolStep {
            files,
            saved,
            call_id: planned.call.id.clone(),
            name: planned.call.name.clone(),
            arguments: planned.call.arguments.clone(),
            nth: planned.nth,
            ok: reply.is_ok(),
            unclear: reply.is_unclear(),
            operation: attempt.identity.operation.clone(),
            key: reply.is_made().then(|| attempt.key.clone()),
            content,
            artifact,
            refused,
            error: self.of_whole(&reply, ToolReply::failure),
            rule: reply.rule().cloned(),
            duration_ms: millis(took),
            requested_arguments: attempt.requested.clone(),
            tool_request_id: word.request_id,
            decided_by: word.decided_by,
            rule_id: word.rule_id,
            child: child.map(|child| *child),
            loaded,
            ..ToolStep::default()
        };
        mentions::note(&mut step, mentions);
        let known = self.tools.has(&step.name).then_some(step.name.as_str());
        self.run.app.metrics.tool(known, step.ok, took);
        // The model may have written anything.
        let logged = known.unwrap_or("unknown");
        let told = |text: &Option<String>| {
            let text = text.as_deref()?;
            Some(redaction::logged(self.redactor.as_ref(), text).into_owned())
        };
        let (ok, duration_ms, error) = (step.ok, step.duration_ms, told(&step.error));
        tracing::info!(tool = logged, ok, duration_ms, error, "tool called");
        if let Some(refused) = told(&step.refused) {
            tracing::warn!(tool = logged, refused, "the backend refused the call");
        }
        finished.add(at, &step);
        if let Some(recording) = self.run.sink.recorded() {
            step.first_event = recording.push(call_event(planned));
            step.last_event = recording.push(result_event(&step));
        } else {
            self.send_result(&step).await;
        }
        self.journal.put_tool(at, step).await.map(|step| Called::Done(Box::new(step)))
    }

    /// The files of a reply: those of its result, and the one that the call has made.
    async fn files_of(&self, reply: &ToolReply) -> (Vec<KnownFile>, Option<KnownFile>) {
        (self.keep_files(reply.files()).await, reply.saved().map(known))
    }

    /// Makes a call, within a span of its own.
    async fn make_call(&self, attempt: &Attempt<'_>, approved: bool) -> Result<Made, RunError> {
        let planned = &*attempt.planned;
        let call = &planned.call;
        let (name, id) = (self.logged(&call.name), self.logged(&call.id));
        let mut span = self.run.span.child(Side::Internal, || format!("execute_tool {name}"));
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", name.into_owned());
        span.set("gen_ai.tool.type", "function");
        span.set("gen_ai.tool.call.id", id.into_owned());
        span.set_content("gen_ai.tool.call.arguments", || {
            redaction::traced(self.redactor.as_ref(), call.arguments.clone())
        });
        let traceparent = span.traceparent();
        let client = self.client.clone().with_trace(&traceparent);
        let mentions = self.mentions_of_call(call).await;
        let loaded = self.loaded.names();
        let context = ToolContext {
            client: &client,
            snapshot: &self.snapshot,
            profile: &self.profile,
            tools: &self.tools,
            user: self.run.request.session.user().as_str(),
            tenant: self.run.request.customer.tenant_id.as_deref(),
            task_id: &self.task_id,
            zone: self.run.request.options.timezone,
            run_key: self.run.run_key.as_str(),
            traceparent: Some(&traceparent),
            approved,
            approval_required: false,
            in_doubt: attempt.is_in_doubt(),
            dry: self.run.replay.is_some() && replay::is_answered(call),
            mentions: mentions.as_ref(),
            loaded: &loaded,
        };
        let started = Instant::now();
        let reply = self.tools.call(&context, call, &attempt.key).await;
        let reply = match self.run.replay {
            Some(replay) => replay.answer(&self.tools, attempt, reply)?,
            None => reply,
        };
        let mentions = self.settle_mentions(mentions, &reply).await;
        let mut made = Made { mentions, ..Made::at_once(reply) };
        match &made.reply {
            ToolReply::OfRun(OwnCall::Agent(errand)) => {
                match Box::pin(self.hand_on(attempt, errand, &span)).await? {
                    Handed::Done(reply, child) => made = Made { child, ..Made::at_once(reply) },
                    Handed::Waits(waits) => made.waits = waits,
                }
            }
            ToolReply::OfRun(OwnCall::Mention(errand)) => {
                let (reply, mentions) = self.mention(attempt, errand).await;
                made = Made { mentions: Some(mentions), ..Made::at_once(reply) };
            }
            ToolReply::OfRun(OwnCall::Result(read)) => {
                let reply = Box::pin(self.read_result(read)).await;
                made = Made::at_once(reply);
            }
            _ => {}
        }
        made.took = started.elapsed();
        made.kept = self.keep_result(&made.reply, planned).await;
        let kept = made.kept.as_ref().map(|(content, _)| content.as_str());
        self.trace_reply(&mut span, (&made.reply, kept), !made.waits.is_empty(), planned);
        Ok(made)
    }

    /// Sends the event of a call.
    async fn send_call(&self, planned: &PlannedCall) {
        self.run.sink.send(|| call_event(planned)).await;
    }

    /// Sends the event of a result.
    async fn send_result(&self, step: &ToolStep) {
        self.run.sink.send(|| result_event(step)).await;
    }
}

fn call_event(planned: &PlannedCall) -> RunEvent {
    let call = &planned.call;
    RunEvent::ToolCall {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    }
}

fn result_event(step: &ToolStep) -> RunEvent {
    RunEvent::ToolResult {
        id: step.call_id.clone(),
        name: step.name.clone(),
        ok: step.ok,
        duration_ms: step.duration_ms,
        error: step.error.clone(),
    }
}

/// How many there are; a turn never has more than fit.
fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
