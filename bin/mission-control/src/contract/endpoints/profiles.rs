//! Customers' profiles.

use super::{Answer, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 2] = [
    Endpoint {
        method: "get",
        path: "/profile",
        feature: "profile",
        id: "get_profile",
        summary: "What narrows the agents of a user and a role; an agent reads its own",
        who: Who::Anybody,
        query: &[("user_id", false), ("role", false)],
        body: None,
        answer: Answer::One("Profile"),
    },
    Endpoint {
        method: "put",
        path: "/profile",
        feature: "profile",
        id: "put_profile",
        summary: "Replaces it; without a role, the one of all roles that have none",
        who: Who::Service,
        query: &[("user_id", true), ("role", false)],
        body: Some("Profile"),
        answer: Answer::One("Profile"),
    },
];
