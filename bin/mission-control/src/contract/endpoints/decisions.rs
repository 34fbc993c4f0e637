//! A person's word: decisions with more than yes or no, and standing rules.

use super::{Answer, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 5] = [
    Endpoint {
        method: "post",
        path: "/tool-requests/{id}/decision",
        feature: "decisions",
        id: "decide",
        summary: "Decides a call, with other arguments or a rule; or answers a question, which an agent may for its own session",
        who: Who::Tenant,
        query: &[],
        body: Some("Decide"),
        answer: Answer::One("ToolRequest"),
    },
    Endpoint {
        method: "get",
        path: "/approval-rules",
        feature: "approval_rules",
        id: "list_approval_rules",
        summary: "The rules in force, oldest first",
        who: Who::Tenant,
        query: &[("role", false), ("tool", false), ("limit", false), ("cursor", false)],
        body: None,
        answer: Answer::Page("ApprovalRule"),
    },
    Endpoint {
        method: "post",
        path: "/approval-rules",
        feature: "approval_rules",
        id: "create_approval_rule",
        summary: "Writes a rule: calls that need no approval for a while",
        who: Who::Person,
        query: &[],
        body: Some("CreateApprovalRule"),
        answer: Answer::One("ApprovalRule"),
    },
    Endpoint {
        method: "delete",
        path: "/approval-rules/{id}",
        feature: "approval_rules",
        id: "revoke_approval_rule",
        summary: "Takes a rule back",
        who: Who::Person,
        query: &[],
        body: None,
        answer: Answer::Nothing,
    },
    Endpoint {
        method: "post",
        path: "/approval-rules/{id}/uses",
        feature: "approval_rules",
        id: "use_approval_rule",
        summary: "Uses a rule for a call, right before it is made",
        who: Who::Agent,
        query: &[],
        body: Some("UseRule"),
        answer: Answer::One("RuleUse"),
    },
];
