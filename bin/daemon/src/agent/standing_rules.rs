//! Standing rules: calls that a person has approved in advance (feature `approval_rules`; docs/RUNS.md,
//! "Standing rules"). A rule takes the place of an approval, never of what the role may do.
//!
//! Which rule a call is about to be made by is written down before the rule is used, so that after a crash
//! the same use is repeated, under the same key. Once a person has been asked about a call, their word counts
//! and no rule.

use std::collections::BTreeMap;

use chrono::Utc;
use mc_client::approval_rules::{ApprovalRule, UseRule, parameters_sha256};
use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::{ToolRequest, ToolRequestQuery};
use serde_json::Value;

use super::approval::arguments_of;
use super::attempts::Attempt;
use super::context::RunContext;
use super::journal::CallingStep;
use crate::run::error::RunError;
use crate::tools::RequestedCall;
use schemas::condition::Condition;

/// What is written down in place of a rule that is void: a person is asked.
const NONE: &str = "";

/// Which calls go by a rule.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// The rules' ids, by the places of the calls' results.
    pub(super) rules: BTreeMap<u32, String>,
    /// How many steps of the journal were written.
    pub(super) places: u32,
}

/// What a person has been asked about.
#[derive(Debug, Default)]
struct Asked {
    requests: Vec<ToolRequest>,
    there_are_more: bool,
}

impl Asked {
    /// Whether a person has been asked, or may have been, about such a call.
    fn about(&self, attempt: &Attempt<'_>) -> bool {
        let requested = RequestedCall::of(&attempt.planned.call);
        let arguments = canonical_json(&Value::Object(arguments_of(&requested)));
        let is_same = |asked: &ToolRequest| {
            let theirs = canonical_json(&Value::Object(asked.arguments.clone()));
            asked.tool == requested.tool && theirs == arguments
        };
        self.there_are_more || self.requests.iter().any(is_same)
    }
}

impl RunContext<'_> {
    /// Uses a standing rule for each of these calls that one fits. `next` is the next place in the journal,
    /// `callings` what was written down earlier; `is_fresh` says that this run has had the turn just now.
    pub(super) async fn grants(
        &self,
        waiting: &[&Attempt<'_>],
        (callings, is_fresh): (&[CallingStep], bool),
        next: u32,
    ) -> Result<Grants, RunError> {
        let mut grants = Grants::default();
        let waiting: Vec<_> =
            waiting.iter().copied().filter(|attempt| attempt.may_go_by_rule()).collect();
        if waiting.is_empty() || !self.capabilities.has("approval_rules") {
            return Ok(grants);
        }
        let known = |attempt: &Attempt<'_>| {
            callings.iter().rev().find_map(|step| step.rules.get(&attempt.at))
        };
        let has_new = waiting.iter().any(|attempt| known(attempt).is_none());
        // Nobody can have been asked about calls of a turn that is new.
        let asked = if is_fresh || !has_new { Asked::default() } else { self.asked().await? };
        let (mut chosen, mut fresh) = (Vec::new(), BTreeMap::new());
        for attempt in waiting {
            match known(attempt) {
                Some(rule) if rule == NONE => {}
                Some(rule) => chosen.push((attempt, rule.clone())),
                None if asked.about(attempt) => {}
                None => {
                    if let Some(rule) = self.rule_for(attempt).await {
                        fresh.insert(attempt.at, rule.id.clone());
                        chosen.push((attempt, rule.id));
                    }
                }
            }
        }
        self.note(fresh, next, &mut grants).await?;
        let mut void = BTreeMap::new();
        for (attempt, rule) in chosen {
            if self.use_rule(attempt, &rule).await? {
                grants.rules.insert(attempt.at, rule);
            } else {
                void.insert(attempt.at, NONE.to_owned());
            }
        }
        self.note(void, next, &mut grants).await?;
        Ok(grants)
    }

    /// What a person has been asked about in this run.
    async fn asked(&self) -> Result<Asked, RunError> {
        let desk = self.desk()?;
        let query = ToolRequestQuery {
            run_key: Some(desk.run_key.clone()),
            limit: Some(200),
            ..ToolRequestQuery::default()
        };
        let page = desk.client.tool_requests(&query).await;
        let page = page.map_err(|error| RunError::backend(&error))?;
        let is_own =
            |asked: &ToolRequest| asked.run_key == desk.run_key && asked.asked_by == desk.asked_by;
        let own = page.items.into_iter().filter(is_own);
        Ok(Asked { requests: own.collect(), there_are_more: page.next_cursor.is_some() })
    }

    async fn note(
        &self,
        rules: BTreeMap<u32, String>,
        next: u32,
        grants: &mut Grants,
    ) -> Result<(), RunError> {
        if rules.is_empty() {
            return Ok(());
        }
        let run_id = self.run.handle.run_id.clone();
        let step = CallingStep { run_id, rules, ..CallingStep::default() };
        self.journal.put_calling(next.saturating_add(grants.places), &step).await?;
        grants.places += 1;
        Ok(())
    }

    /// The oldest rule that fits a call. Where the backend does not tell, a person is asked.
    async fn rule_for(&self, attempt: &Attempt<'_>) -> Option<ApprovalRule> {
        let requested = RequestedCall::of(&attempt.planned.call);
        let role = self.run.request.session.role().as_str();
        let own = parameters_sha256(self.tools.parameters(requested.tool)?);
        let rules = match self.client.approval_rules(role, requested.tool).await {
            Ok(rules) => rules,
            Err(error) => {
                tracing::warn!(%error, "standing rules could not be read; a person is asked");
                return None;
            }
        };
        let arguments = arguments_of(&requested);
        let fits = |rule: &ApprovalRule| {
            let is_same_schema = rule.parameters_sha256.as_ref().is_none_or(|hash| *hash == own);
            let is_its = rule.role == role && rule.tool == requested.tool;
            let is_fulfilled = match &rule.when {
                None => true,
                Some(when) => {
                    Condition::parse(when).is_ok_and(|when| when.judge(&arguments).allows())
                }
            };
            is_its && is_same_schema && is_fulfilled && rule.expires_at > Utc::now()
        };
        rules.into_iter().find(fits)
    }

    /// Uses a rule, right before the call. `false` where it is void, or the backend does not say.
    async fn use_rule(&self, attempt: &Attempt<'_>, rule: &str) -> Result<bool, RunError> {
        let requested = RequestedCall::of(&attempt.planned.call);
        let body = UseRule {
            run_key: self.run.run_key.as_str().to_owned(),
            arguments: arguments_of(&requested),
            idempotency_key: attempt.use_key(self.run.run_key, rule),
            parameters_sha256: self.tools.parameters(requested.tool).map(parameters_sha256),
        };
        match self.client.use_approval_rule(rule, &body).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_stale_fence() => Err(RunError::backend(&error)),
            Err(error) => {
                tracing::info!(rule_id = rule, %error, "standing rule not used; a person is asked");
                Ok(false)
            }
        }
    }
}
