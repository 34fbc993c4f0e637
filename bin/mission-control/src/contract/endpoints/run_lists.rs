//! Lists of runs, and what people think of them.

use super::{Answer, Endpoint, Who};

/// What of runs can be asked for.
static LIST: [(&str, bool); 13] = [
    ("run_key", false),
    ("user_id", false),
    ("role", false),
    ("status", false),
    ("model", false),
    ("digest", false),
    ("rating", false),
    ("label", false),
    ("from", false),
    ("to", false),
    ("q", false),
    ("limit", false),
    ("cursor", false),
];

/// The same, and what they have in common.
static SUMMARY: [(&str, bool); 12] = [
    ("by", true),
    ("run_key", false),
    ("user_id", false),
    ("role", false),
    ("status", false),
    ("model", false),
    ("digest", false),
    ("rating", false),
    ("label", false),
    ("from", false),
    ("to", false),
    ("q", false),
];

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 4] = [
    Endpoint {
        method: "get",
        path: "/runs",
        feature: "runs_list",
        id: "list_runs",
        summary: "Runs, newest first; an agent sees its own role's",
        who: Who::Anybody,
        query: &LIST,
        body: None,
        answer: Answer::Page("ListedRun"),
    },
    Endpoint {
        method: "get",
        path: "/runs/summary",
        feature: "runs_list",
        id: "total_runs",
        summary: "What runs come to by model, role, workspace or digest",
        who: Who::Anybody,
        query: &SUMMARY,
        body: None,
        answer: Answer::List("items", "RunTotals"),
    },
    Endpoint {
        method: "post",
        path: "/feedback",
        feature: "feedback",
        id: "give_feedback",
        summary: "What a person, or a service, thinks of a run, in place of what they thought before",
        who: Who::Service,
        query: &[],
        body: Some("CreateFeedback"),
        answer: Answer::One("Feedback"),
    },
    Endpoint {
        method: "get",
        path: "/feedback",
        feature: "feedback",
        id: "list_feedback",
        summary: "What people think of a run, oldest first",
        who: Who::Service,
        query: &[
            ("run_key", true),
            ("user_id", false),
            ("role", false),
            ("limit", false),
            ("cursor", false),
        ],
        body: None,
        answer: Answer::Page("Feedback"),
    },
];
