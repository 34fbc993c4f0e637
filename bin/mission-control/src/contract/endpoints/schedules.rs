//! Schedules.

use super::{Answer, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 5] = [
    Endpoint {
        method: "get",
        path: "/schedules",
        feature: "schedules",
        id: "list_schedules",
        summary: "Schedules, oldest first: the caller's, or from a service everybody's",
        who: Who::Anybody,
        query: &[
            ("user_id", false),
            ("role", false),
            ("status", false),
            ("limit", false),
            ("cursor", false),
        ],
        body: None,
        answer: Answer::Page("Schedule"),
    },
    Endpoint {
        method: "post",
        path: "/schedules",
        feature: "schedules",
        id: "create_schedule",
        summary: "Schedules notifications: once, or by a cron line",
        who: Who::Anybody,
        query: &[],
        body: Some("CreateSchedule"),
        answer: Answer::One("Schedule"),
    },
    Endpoint {
        method: "get",
        path: "/schedules/{id}",
        feature: "schedules",
        id: "get_schedule",
        summary: "A schedule, with as many of its slots as are asked for",
        who: Who::Anybody,
        query: &[("slots", false), ("from", false)],
        body: None,
        answer: Answer::One("Schedule"),
    },
    Endpoint {
        method: "patch",
        path: "/schedules/{id}",
        feature: "schedules",
        id: "update_schedule",
        summary: "Changes a schedule, pauses it or lets it go on",
        who: Who::Anybody,
        query: &[],
        body: Some("UpdateSchedule"),
        answer: Answer::One("Schedule"),
    },
    Endpoint {
        method: "delete",
        path: "/schedules/{id}",
        feature: "schedules",
        id: "delete_schedule",
        summary: "Deletes a schedule, and takes back what it has made and nobody has leased",
        who: Who::Anybody,
        query: &[],
        body: None,
        answer: Answer::Nothing,
    },
];
