//! What is remembered from run to run.

use super::{Answer, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 4] = [
    Endpoint {
        method: "get",
        path: "/memories",
        feature: "memories",
        id: "list_memories",
        summary: "What is remembered: newest first, or with `q` those first that fit best",
        who: Who::Anybody,
        query: &[
            ("scope", false),
            ("task_id", false),
            ("q", false),
            ("user_id", false),
            ("tenant_id", false),
            ("limit", false),
            ("cursor", false),
        ],
        body: None,
        answer: Answer::Page("Memory"),
    },
    Endpoint {
        method: "post",
        path: "/memories",
        feature: "memories",
        id: "create_memory",
        summary: "Remembers something; what says the same is one memory",
        who: Who::Anybody,
        query: &[],
        body: Some("CreateMemory"),
        answer: Answer::One("Memory"),
    },
    Endpoint {
        method: "patch",
        path: "/memories/{id}",
        feature: "memories",
        id: "update_memory",
        summary: "Changes what is remembered, or for how long; an agent only what agents wrote",
        who: Who::Anybody,
        query: &[],
        body: Some("UpdateMemory"),
        answer: Answer::One("Memory"),
    },
    Endpoint {
        method: "delete",
        path: "/memories/{id}",
        feature: "memories",
        id: "delete_memory",
        summary: "Forgets something; an agent only what agents wrote",
        who: Who::Anybody,
        query: &[],
        body: None,
        answer: Answer::Nothing,
    },
];
