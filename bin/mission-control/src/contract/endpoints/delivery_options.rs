//! Quiet hours, and dead letters as people see them.

use super::{Answer, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 4] = [
    Endpoint {
        method: "get",
        path: "/users/{id}/quiet-hours",
        feature: "delivery_options",
        id: "get_quiet_hours",
        summary: "A user's quiet hours; a person has only their own",
        who: Who::Service,
        query: &[],
        body: None,
        answer: Answer::One("QuietHours"),
    },
    Endpoint {
        method: "put",
        path: "/users/{id}/quiet-hours",
        feature: "delivery_options",
        id: "put_quiet_hours",
        summary: "Sets the hours in which only what is urgent is delivered, in place of earlier ones",
        who: Who::Service,
        query: &[],
        body: Some("QuietHours"),
        answer: Answer::One("QuietHours"),
    },
    Endpoint {
        method: "delete",
        path: "/users/{id}/quiet-hours",
        feature: "delivery_options",
        id: "delete_quiet_hours",
        summary: "Ends them for good; repeating it is harmless",
        who: Who::Service,
        query: &[],
        body: None,
        answer: Answer::Nothing,
    },
    Endpoint {
        method: "get",
        path: "/dead-letters",
        feature: "delivery_options",
        id: "list_dead_letters",
        summary: "A person's dead letters by session and cause, newest first",
        who: Who::Person,
        query: &[("limit", false), ("cursor", false)],
        body: None,
        answer: Answer::Page("DeadLetterGroup"),
    },
];
