//! Mentions that agents write (feature `agent_mentions`): the backend notifies the roles that the daemon names,
//! and the daemon names only those that the limits of handing on let pass.

use llm::request::ToolCall as Call;
use mc_client::mentions::mentioned_roles;
use mc_client::steps::RefusedMention;
use mc_client::types::{ActorType, CreateMessage};
use serde_json::json;
use wombat_core::agent_config::{Permission, ToolCall};

use super::attempts::Attempt;
use super::context::RunContext;
use super::journal::ToolStep;
use crate::run::lineage::below;
use crate::tools::{Errand, MENTION, Mentions, RequestedCall, ToolReply};

/// The tool that writes a message into a thread.
const POST_MESSAGE: &str = "post_message";

/// Why a role is not notified by a text that nobody has approved.
const NEEDS_APPROVAL: &str = "needs_approval";

impl RunContext<'_> {
    /// The roles that a text of this run mentions; `None` where its text mentions nobody, because the role may
    /// not, or the backend does not know of it.
    pub(super) async fn mentions_in(&self, text: &str) -> Option<Mentions> {
        if !self.tools.has(MENTION) {
            return None;
        }
        let operations = self.tools.known_operations();
        let call = ToolCall { tool: MENTION, endpoint: None, operations, arguments: None };
        let needs_approval = match self.profile.tools.decide(call) {
            Permission::Allowed => false,
            Permission::NeedsApproval => true,
            Permission::Denied(_) => return None,
        };
        let chain = below(self.run.request, self.run.run_key);
        let mut mentions = Mentions { chain, ..Mentions::default() };
        let mut given = self.handed_on.given.lock().await;
        for role in mentioned_roles(text) {
            let code = match self.refuses(&role, given.count()) {
                Some(ToolReply::Refused { code, .. }) => code,
                _ if needs_approval => NEEDS_APPROVAL,
                _ => {
                    given.mentions += 1;
                    mentions.named.push(role);
                    continue;
                }
            };
            mentions.refused.push(RefusedMention { role, code: code.to_owned() });
        }
        Some(mentions)
    }

    /// The roles that a call names which writes a message.
    pub(super) async fn mentions_of_call(&self, call: &Call) -> Option<Mentions> {
        let asked = RequestedCall::of(call);
        if asked.tool != POST_MESSAGE {
            return None;
        }
        self.mentions_in(asked.arguments["content"].as_str()?).await
    }

    /// The same once the call has a reply: a call that was not made has named nobody.
    pub(super) async fn settle_mentions(
        &self,
        mentions: Option<Mentions>,
        reply: &ToolReply,
    ) -> Option<Mentions> {
        let mentions = mentions?;
        if reply.is_ok() || reply.is_unclear() {
            return Some(mentions);
        }
        self.take_mentions_back(&mentions).await;
        None
    }

    /// Takes back mentions of a text that was not stored.
    pub(super) async fn take_mentions_back(&self, mentions: &Mentions) {
        let mut given = self.handed_on.given.lock().await;
        given.mentions = given.mentions.saturating_sub(mentions.named.len());
    }

    /// Writes a message into the thread that notifies a role.
    pub(super) async fn mention(
        &self,
        attempt: &Attempt<'_>,
        errand: &Errand,
    ) -> (ToolReply, Mentions) {
        let role = errand.role.clone();
        let mut mentions =
            Mentions { chain: below(self.run.request, self.run.run_key), ..Mentions::default() };
        let refused = {
            let mut given = self.handed_on.given.lock().await;
            let refused = self.refuses(&role, given.count());
            given.mentions += usize::from(refused.is_none());
            refused
        };
        if let Some(refused) = refused {
            if let ToolReply::Refused { code, .. } = &refused {
                mentions.refused.push(RefusedMention { role, code: (*code).to_owned() });
            }
            return (refused, mentions);
        }
        let is_named = mentioned_roles(&errand.message).contains(&role);
        let content = match is_named {
            true => errand.message.clone(),
            false => format!("@{role} {}", errand.message),
        };
        let message = CreateMessage {
            task_id: self.task_id.clone(),
            content,
            actor_type: Some(ActorType::Agent),
            agent_role: Some(self.profile.role.as_str().to_owned()),
            mentions: Some(vec![role.clone()]),
            chain: Some(mentions.chain.clone()),
            idempotency_key: Some(attempt.key.clone()),
            ..CreateMessage::default()
        };
        mentions.named.push(role.clone());
        match self.client.post_message(&message).await {
            Ok(stored) => {
                let told = json!({ "message_id": stored.id, "notified": role });
                (ToolReply::Data(told.to_string()), mentions)
            }
            Err(error) => {
                self.take_mentions_back(&mentions).await;
                mentions.named.clear();
                (ToolReply::failed(&error), mentions)
            }
        }
    }
}

/// Writes into a call's step whom it has notified.
pub(super) fn note(step: &mut ToolStep, mentions: Option<Mentions>) {
    let Some(Mentions { named, refused, .. }) = mentions else { return };
    step.mentioned = named;
    step.mentions_refused = refused;
}
