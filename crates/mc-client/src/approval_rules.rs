//! Standing rules: calls of a tool that need no approval for a while (feature `approval_rules`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::files::sha256_hex;
use crate::idempotency::canonical_json;
use crate::jcs;
use crate::tool_requests::DecidedBy;
use crate::types::Page;
use crate::url::{path, with_query};

/// The largest page.
const MAX_LIMIT: u32 = 200;

/// How many pages of rules are read at most: more than a user may have.
const MAX_PAGES: usize = 50;

/// Why a rule does not hold: `details.reason` of 409 `rule_void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// Its time is over.
    Expired,
    /// A person has taken it back.
    Revoked,
    /// It was used as often as it may be.
    UsedUp,
    /// Whoever wrote it may not decide for this user any more.
    Author,
    /// The tool takes other arguments than when the rule was written.
    Schema,
}

/// `POST /approval-rules`, and `rule` of a decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateApprovalRule {
    /// The role whose calls need no approval. Within a decision it is that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The tool. Within a decision it is that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Schemas by the names of arguments, which a call has to fit; any call when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Value>,
    /// Until when it holds: at most 366 days.
    pub expires_at: DateTime<Utc>,
    /// For how many calls it holds; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    /// [`parameters_sha256`] of the tool that is meant; where it is absent, the backend takes what it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_sha256: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A standing rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalRule {
    /// The backend's id.
    pub id: String,
    /// The role whose calls need no approval.
    pub role: String,
    /// The tool.
    pub tool: String,
    /// What a call has to fit; any call when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Value>,
    /// Until when it holds.
    pub expires_at: DateTime<Utc>,
    /// For how many calls it holds; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    /// For how many calls it has been used.
    #[serde(default)]
    pub uses: u64,
    /// Who wrote it.
    pub author: DecidedBy,
    /// [`parameters_sha256`] of the tool that is meant. Absent where the backend has not seen the tool yet: the
    /// first use that names one binds the rule to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_sha256: Option<String>,
    /// The tool request with whose decision it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_request_id: Option<String>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
}

/// `POST /approval-rules/{id}/uses`: a call that is about to be made under a rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UseRule {
    /// The run that makes the call.
    pub run_key: String,
    /// The arguments of the call.
    pub arguments: Map<String, Value>,
    /// [`parameters_sha256`] of the tool as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_sha256: Option<String>,
    /// Makes the call safe to repeat: the write's own key.
    pub idempotency_key: String,
}

/// The answer to [`UseRule`]: the call may be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleUse {
    /// The rule.
    pub rule_id: String,
    /// For how many calls it has been used, this one included.
    #[serde(default)]
    pub uses: u64,
}

/// What binds a rule to a tool: the SHA-256, in hexadecimal digits, of the JSON Schema of its arguments in canonical
/// form (RFC 8785).
pub fn parameters_sha256(parameters: &Value) -> String {
    // A number that RFC 8785 does not know is written as it is.
    let text = jcs::canonical(parameters).unwrap_or_else(|_| canonical_json(parameters));
    sha256_hex(text.as_ref())
}

impl AgentClient {
    /// The rules in force for calls of a tool by a role, oldest first.
    pub async fn approval_rules(
        &self,
        role: &str,
        tool: &str,
    ) -> Result<Vec<ApprovalRule>, McError> {
        let (mut rules, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let query = [
                ("role", Some(role.to_owned())),
                ("tool", Some(tool.to_owned())),
                ("limit", Some(MAX_LIMIT.to_string())),
                ("cursor", cursor.take()),
            ];
            let url = with_query(path(&["approval-rules"]), &query);
            let page: Page<ApprovalRule> = self.caller.fetch(Call::get(&url)).await?;
            rules.extend(page.items);
            cursor = page.next_cursor.filter(|next| !next.is_empty());
            if cursor.is_none() {
                break;
            }
        }
        Ok(rules)
    }

    /// Uses a rule for a call, right before it is made. A repeat is answered as the first time.
    pub async fn use_approval_rule(&self, id: &str, call: &UseRule) -> Result<RuleUse, McError> {
        let key = Some(call.idempotency_key.as_str());
        self.caller.fetch(Call::create(&path(&["approval-rules", id, "uses"]), call, key)?).await
    }
}
