//! What the steps of a journal hold, with the daemon's own types of messages and providers.

use daemon_api::{RunOfRole, Step};
use llm::model::Provider;
use llm::request::Message;
use mc_client::steps::{RefusedMention, Rule, RuleSource};

use crate::run::output::OutputFormat;

pub(crate) use mc_client::steps::Detached;
pub(in crate::agent) use mc_client::steps::{CallingStep, ChildReport, ToolStep};

/// Step 0: the request, complete enough to resume the run on any instance. Its fingerprint:
/// [`crate::run::request::fingerprint`].
pub(crate) type RecordedRequest = mc_client::steps::RequestStep<Message, OutputFormat>;

/// Step 1 of a run without a caller.
pub(in crate::agent) type ThreadStep = mc_client::steps::ThreadStep<Message>;

/// An answer of the model.
pub(in crate::agent) type LlmStep = mc_client::steps::LlmStep<Provider>;

/// A tool call as callers see it.
pub(in crate::agent) fn report(step: &ToolStep) -> Step {
    Step {
        kind: "tool".into(),
        name: step.name.clone(),
        arguments: step.arguments.clone(),
        ok: step.ok,
        refused: step.refused.clone(),
        error: step.error.clone(),
        duration_ms: step.duration_ms,
        requested_arguments: step.requested_arguments.clone(),
        tool_request_id: step.tool_request_id.clone(),
        decided_by: step.decided_by.clone(),
        rule_id: step.rule_id.clone(),
        rule: step.rule.as_ref().map(rule),
        child: step
            .child
            .as_ref()
            .map(|child| RunOfRole { run_key: child.run_key.clone(), role: child.role.clone() }),
    }
}

/// A rule as callers see it.
pub(in crate::agent) fn rule(rule: &Rule) -> daemon_api::Rule {
    let source = match rule.source {
        RuleSource::AgentConfig => daemon_api::RuleSource::AgentConfig,
        RuleSource::Profile => daemon_api::RuleSource::Profile,
        RuleSource::Skill => daemon_api::RuleSource::Skill,
        RuleSource::Undeclared => daemon_api::RuleSource::Undeclared,
        RuleSource::Schema => daemon_api::RuleSource::Schema,
    };
    daemon_api::Rule {
        source,
        list: rule.list.clone(),
        pattern: rule.pattern.clone(),
        file: rule.file.clone(),
        line: rule.line,
    }
}

/// The roles that a call named and that were not notified, as callers see them.
pub(in crate::agent) fn refused(mentions: &[RefusedMention]) -> Vec<daemon_api::RefusedMention> {
    let told = |mention: &RefusedMention| daemon_api::RefusedMention {
        role: mention.role.clone(),
        code: mention.code.clone(),
    };
    mentions.iter().map(told).collect()
}
