//! The contract's endpoints.

mod control;
mod decisions;
mod delivery_options;
mod files;
mod memories;
mod notifications;
mod objects;
mod owned_data;
mod profiles;
mod run_lists;
mod runs;
mod schedules;

use serde_json::{Value, json};

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// An agent, a service, or a service for a person.
    Anybody,
    /// An agent, or a service for a person.
    Tenant,
    /// An agent.
    Agent,
    /// A service.
    Service,
    /// A service for a person.
    Person,
}

impl Who {
    /// The security requirements of OpenAPI: one of these must be met.
    pub(super) fn security(self) -> Value {
        let (agent, service) = (json!({ "agent": [] }), json!({ "internal": [] }));
        let person = json!({ "internal": [], "person": [] });
        match self {
            Self::Anybody => json!([agent, service]),
            Self::Tenant => json!([agent, person]),
            Self::Agent => json!([agent]),
            Self::Service => json!([service]),
            Self::Person => json!([person]),
        }
    }
}

/// The body of a success.
pub(super) enum Answer {
    /// An object of a type.
    One(&'static str),
    /// A page of a type's objects.
    Page(&'static str),
    /// All of a type's objects, under a name.
    List(&'static str, &'static str),
    /// The outcome of many acknowledgements.
    Batch,
    /// An object with a status.
    Status,
    /// An object of a type: 201 where it is new.
    New(&'static str),
    /// Bytes of any type; an object of a type where that is asked for.
    Bytes(&'static str),
    /// Nothing (204).
    Nothing,
    /// Objects of a type, one on each line.
    Lines(&'static str),
    /// Any JSON.
    Any,
    /// Server-sent events.
    Events,
}

/// A body that is no JSON.
pub(super) const BYTES: &str = "bytes";

/// An endpoint.
pub(super) struct Endpoint {
    /// In lower case.
    pub(super) method: &'static str,
    /// Under `/api/mission-control`, unless it begins with `/api`.
    pub(super) path: &'static str,
    /// The feature that it belongs to.
    pub(super) feature: &'static str,
    /// Its operation id.
    pub(super) id: &'static str,
    /// One line for people.
    pub(super) summary: &'static str,
    /// Who may call.
    pub(super) who: Who,
    /// Query parameters, and whether each is required.
    pub(super) query: &'static [(&'static str, bool)],
    /// The schema of the body; any object if empty, and bytes if [`BYTES`].
    pub(super) body: Option<&'static str>,
    /// The body of a success.
    pub(super) answer: Answer,
}

impl Endpoint {
    /// Whether a request can be invalid.
    pub(super) fn may_fail(&self) -> bool {
        self.body.is_some() || !self.query.is_empty() || self.is_fenced() || self.path == "/events"
    }

    /// Whether it names an object that may not exist.
    pub(super) fn may_be_missing(&self) -> bool {
        let named = [
            "CreateMessage",
            "CreateDocument",
            "CreateNotification",
            "CreateToolRequest",
            "CreateSchedule",
            "CreateMemory",
            "CreateFeedback",
        ];
        self.path.contains('{')
            || self.body.is_some_and(|body| named.contains(&body))
            || matches!(
                self.id,
                "list_messages"
                    | "take_turn"
                    | "book_usage"
                    | "put_budget"
                    | "heartbeat"
                    | "standup"
                    | "put_run"
                    | "put_step"
                    | "list_feedback"
                    | "list_runs"
                    | "total_runs"
                    | "list_memories"
                    | "get_profile"
            )
    }

    /// Whether it creates something, once for an idempotency key.
    pub(super) fn is_create(&self) -> bool {
        self.method == "post"
            && self.body.is_some_and(|body| {
                body.starts_with("Create")
                    || matches!(
                        body,
                        "LeaseRequest" | "RecordAct" | "Reserve" | "Usage" | "UseRule"
                    )
            })
    }

    /// Whether a body is required.
    pub(super) fn needs_body(&self) -> bool {
        self.body.is_some_and(|body| {
            !matches!(
                body,
                "" | "UpdateTask"
                    | "UpdateSchedule"
                    | "UpdateMemory"
                    | "PutRun"
                    | "RenewLease"
                    | "Profile"
            )
        })
    }

    /// Whether it is a write that may name a session lease.
    pub(super) fn is_fenced(&self) -> bool {
        let is_write =
            (self.who == Who::Tenant || self.feature == "memories") && self.method != "get";
        (is_write && !self.path.starts_with("/sessions")) || self.needs_fence()
    }

    /// Whether it cannot be called without a session lease.
    pub(super) fn needs_fence(&self) -> bool {
        self.id == "post_deltas"
    }
}

/// All endpoints, in the order of the document.
pub(super) fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    [
        &objects::ENDPOINTS[..],
        &files::ENDPOINTS,
        &notifications::ENDPOINTS,
        &delivery_options::ENDPOINTS,
        &runs::ENDPOINTS,
        &control::ENDPOINTS,
        &profiles::ENDPOINTS,
        &decisions::ENDPOINTS,
        &schedules::ENDPOINTS,
        &memories::ENDPOINTS,
        &run_lists::ENDPOINTS,
        &owned_data::ENDPOINTS,
    ]
    .into_iter()
    .flatten()
}

/// Links of OpenAPI, for what one endpoint creates and another takes: from, to, the parameter there,
/// where the value is found.
pub(super) const LINKS: [(&str, &str, &str, &str); 23] = [
    ("create_task", "get_task", "id", "$response.body#/id"),
    ("create_task", "update_task", "id", "$response.body#/id"),
    ("create_document", "get_document", "id", "$response.body#/id"),
    ("put_file", "get_file", "id", "$response.body#/file_id"),
    ("put_file", "delete_file", "id", "$response.body#/file_id"),
    ("create_notification", "read_notification", "id", "$response.body#/id"),
    ("create_notification", "deliver", "id", "$response.body#/id"),
    ("create_notification", "fail_delivery", "id", "$response.body#/id"),
    ("create_notification", "requeue", "id", "$response.body#/id"),
    ("take_turn", "keep_turn", "id", "$response.body#/lease_id"),
    ("take_turn", "free_turn", "id", "$response.body#/lease_id"),
    ("create_tool_request", "get_tool_request", "id", "$response.body#/id"),
    ("create_tool_request", "decide_tool_request", "id", "$response.body#/id"),
    ("create_tool_request", "decide", "id", "$response.body#/id"),
    ("create_approval_rule", "use_approval_rule", "id", "$response.body#/id"),
    ("create_approval_rule", "revoke_approval_rule", "id", "$response.body#/id"),
    ("create_schedule", "get_schedule", "id", "$response.body#/id"),
    ("create_schedule", "update_schedule", "id", "$response.body#/id"),
    ("create_schedule", "delete_schedule", "id", "$response.body#/id"),
    ("create_memory", "update_memory", "id", "$response.body#/id"),
    ("create_memory", "delete_memory", "id", "$response.body#/id"),
    ("put_run", "get_run", "run_key", "$response.body#/run_key"),
    ("put_run", "cancel_run", "run_key", "$response.body#/run_key"),
];
