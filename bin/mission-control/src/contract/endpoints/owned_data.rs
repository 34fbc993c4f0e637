//! What is kept of a user, its erasure, and for how long things are kept.

use super::{Answer, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 3] = [
    Endpoint {
        method: "get",
        path: "/users/{id}/agent-data",
        feature: "erasure",
        id: "export_user",
        summary: "All that is kept of a user, a line of JSON each; a person has only their own",
        who: Who::Service,
        query: &[],
        body: None,
        answer: Answer::Lines("OwnedItem"),
    },
    Endpoint {
        method: "delete",
        path: "/users/{id}/agent-data",
        feature: "erasure",
        id: "erase_user",
        summary: "Erases it, and answers how much of each kind; with dry_run it is only counted",
        who: Who::Service,
        query: &[("messages", true), ("dry_run", false)],
        body: None,
        answer: Answer::One("Erasure"),
    },
    Endpoint {
        method: "get",
        path: "/retention",
        feature: "retention",
        id: "get_retention",
        summary: "For how many days each kind is kept, and how many are due to go",
        who: Who::Service,
        query: &[],
        body: None,
        answer: Answer::One("Retention"),
    },
];
