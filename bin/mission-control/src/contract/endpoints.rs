//! The contract's endpoints.

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
    /// As OpenAPI says it: one of these must be fulfilled.
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

/// What a success says.
pub(super) enum Answer {
    /// An object of a type.
    One(&'static str),
    /// A page of a type's objects.
    Page(&'static str),
    /// All of a type's objects, under a name.
    List(&'static str, &'static str),
    /// What became of many deliveries.
    Batch,
    /// One word.
    Status,
    /// Any JSON.
    Any,
    /// Server-sent events.
    Events,
}

/// An endpoint.
pub(super) struct Endpoint {
    /// In small letters.
    pub(super) method: &'static str,
    /// Under `/api/mission-control`, unless it begins with `/api`.
    pub(super) path: &'static str,
    /// The feature that it belongs to.
    pub(super) feature: &'static str,
    /// Its name.
    pub(super) id: &'static str,
    /// What it is for.
    pub(super) summary: &'static str,
    /// Who may call.
    pub(super) who: Who,
    /// Names in the query, and whether they must be there.
    pub(super) query: &'static [(&'static str, bool)],
    /// The type of the body; an object of any kind when it is empty.
    pub(super) body: Option<&'static str>,
    /// What a success says.
    pub(super) answer: Answer,
}

impl Endpoint {
    /// Whether there is anything that can be wrong in a request.
    pub(super) fn may_fail(&self) -> bool {
        self.body.is_some() || !self.query.is_empty() || self.is_fenced() || self.path == "/events"
    }

    /// Whether it names an object that may not be there.
    pub(super) fn may_be_missing(&self) -> bool {
        let named = ["CreateMessage", "CreateDocument", "CreateNotification", "CreateToolRequest"];
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
            )
    }

    /// Whether it makes something, once for a key.
    pub(super) fn is_create(&self) -> bool {
        self.method == "post"
            && self.body.is_some_and(|body| {
                body.starts_with("Create") || matches!(body, "LeaseRequest" | "Reserve" | "Usage")
            })
    }

    /// Whether a body must be sent.
    pub(super) fn needs_body(&self) -> bool {
        self.body.is_some_and(|body| !matches!(body, "" | "UpdateTask" | "PutRun" | "RenewLease"))
    }

    /// Whether it is a write that may go under a turn.
    pub(super) fn is_fenced(&self) -> bool {
        self.who == Who::Tenant && self.method != "get" && !self.path.starts_with("/sessions")
    }
}

/// All endpoints.
pub(super) const ENDPOINTS: [Endpoint; 40] = [
    Endpoint {
        method: "get",
        path: "/capabilities",
        feature: "required",
        id: "get_capabilities",
        summary: "What the backend offers beyond the required part",
        who: Who::Anybody,
        query: &[],
        body: None,
        answer: Answer::One("Capabilities"),
    },
    Endpoint {
        method: "get",
        path: "/tasks",
        feature: "required",
        id: "list_tasks",
        summary: "The tenant's tasks; `title` is an exact filter that a backend may ignore",
        who: Who::Tenant,
        query: &[("limit", false), ("cursor", false), ("status", false), ("title", false)],
        body: None,
        answer: Answer::Page("Task"),
    },
    Endpoint {
        method: "post",
        path: "/tasks",
        feature: "required",
        id: "create_task",
        summary: "Makes a task",
        who: Who::Tenant,
        query: &[],
        body: Some("CreateTask"),
        answer: Answer::One("Task"),
    },
    Endpoint {
        method: "post",
        path: "/messages",
        feature: "required",
        id: "create_message",
        summary: "Writes into a task's thread",
        who: Who::Tenant,
        query: &[],
        body: Some("CreateMessage"),
        answer: Answer::One("Message"),
    },
    Endpoint {
        method: "post",
        path: "/documents",
        feature: "required",
        id: "create_document",
        summary: "Writes a document",
        who: Who::Tenant,
        query: &[],
        body: Some("CreateDocument"),
        answer: Answer::One("Document"),
    },
    Endpoint {
        method: "get",
        path: "/tasks/{id}",
        feature: "tasks_get",
        id: "get_task",
        summary: "One task",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::One("Task"),
    },
    Endpoint {
        method: "patch",
        path: "/tasks/{id}",
        feature: "tasks_update",
        id: "update_task",
        summary: "Changes what is given",
        who: Who::Tenant,
        query: &[],
        body: Some("UpdateTask"),
        answer: Answer::One("Task"),
    },
    Endpoint {
        method: "get",
        path: "/messages",
        feature: "messages_list",
        id: "list_messages",
        summary: "The newest messages of a task, oldest of them first; or, by `idempotency_key`, the one that was written under it (`message_lookup`)",
        who: Who::Tenant,
        query: &[
            ("task_id", false),
            ("limit", false),
            ("cursor", false),
            ("idempotency_key", false),
        ],
        body: None,
        answer: Answer::Page("Message"),
    },
    Endpoint {
        method: "get",
        path: "/documents",
        feature: "documents_list",
        id: "list_documents",
        summary: "The tenant's documents without their text",
        who: Who::Tenant,
        query: &[("task_id", false), ("doc_type", false), ("limit", false), ("cursor", false)],
        body: None,
        answer: Answer::Page("Document"),
    },
    Endpoint {
        method: "get",
        path: "/documents/{id}",
        feature: "documents_list",
        id: "get_document",
        summary: "One document with its text",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::One("Document"),
    },
    Endpoint {
        method: "get",
        path: "/notifications",
        feature: "notifications",
        id: "list_notifications",
        summary: "The tenant's notifications",
        who: Who::Tenant,
        query: &[("unread", false), ("limit", false), ("cursor", false)],
        body: None,
        answer: Answer::Page("Notification"),
    },
    Endpoint {
        method: "post",
        path: "/notifications",
        feature: "notifications",
        id: "create_notification",
        summary: "Notifies a session",
        who: Who::Service,
        query: &[],
        body: Some("CreateNotification"),
        answer: Answer::One("Notification"),
    },
    Endpoint {
        method: "post",
        path: "/notifications/{id}/read",
        feature: "notifications",
        id: "read_notification",
        summary: "A person has read it",
        who: Who::Person,
        query: &[],
        body: None,
        answer: Answer::One("Notification"),
    },
    Endpoint {
        method: "get",
        path: "/dispatch/undelivered",
        feature: "notifications_dispatch",
        id: "undelivered_by_get",
        summary: "The same, as older backends answer it",
        who: Who::Service,
        query: &[("limit_users", false), ("limit_notifications", false), ("lease_seconds", false)],
        body: None,
        answer: Answer::List("deliveries", "Delivery"),
    },
    Endpoint {
        method: "post",
        path: "/dispatch/undelivered",
        feature: "notifications_dispatch",
        id: "undelivered",
        summary: "What waits for the dispatcher, oldest first per session; older backends answer GET only",
        who: Who::Service,
        query: &[("limit_users", false), ("limit_notifications", false), ("lease_seconds", false)],
        body: None,
        answer: Answer::List("deliveries", "Delivery"),
    },
    Endpoint {
        method: "post",
        path: "/dispatch/notifications/{id}/deliver",
        feature: "notifications_dispatch",
        id: "deliver",
        summary: "Marks one as delivered; repeating it is harmless",
        who: Who::Service,
        query: &[("user_id", true)],
        body: None,
        answer: Answer::Status,
    },
    Endpoint {
        method: "post",
        path: "/dispatch/deliver",
        feature: "dispatch_batch",
        id: "deliver_many",
        summary: "Marks many as delivered",
        who: Who::Service,
        query: &[],
        body: Some("DeliverMany"),
        answer: Answer::Batch,
    },
    Endpoint {
        method: "post",
        path: "/dispatch/notifications/{id}/fail",
        feature: "notifications_fail",
        id: "fail_delivery",
        summary: "Tells why; with `dead` it leaves the queue",
        who: Who::Service,
        query: &[("user_id", true)],
        body: Some("DeliveryFailure"),
        answer: Answer::Status,
    },
    Endpoint {
        method: "post",
        path: "/dispatch/notifications/{id}/requeue",
        feature: "notifications_fail",
        id: "requeue",
        summary: "Puts a dead one back, with its attempts at zero",
        who: Who::Service,
        query: &[("user_id", true)],
        body: None,
        answer: Answer::Status,
    },
    Endpoint {
        method: "get",
        path: "/dispatch/dead",
        feature: "notifications_fail",
        id: "list_dead",
        summary: "What was given up, newest first",
        who: Who::Service,
        query: &[("limit", false), ("cursor", false)],
        body: None,
        answer: Answer::Page("DeadLetter"),
    },
    Endpoint {
        method: "get",
        path: "/events",
        feature: "events_sse",
        id: "listen",
        summary: "What happens, as server-sent events; resumes from `Last-Event-ID`",
        who: Who::Anybody,
        query: &[],
        body: None,
        answer: Answer::Events,
    },
    Endpoint {
        method: "post",
        path: "/heartbeat",
        feature: "heartbeat",
        id: "heartbeat",
        summary: "Records a wake, claims the tick, says what waits",
        who: Who::Agent,
        query: &[],
        body: Some("HeartbeatRequest"),
        answer: Answer::One("HeartbeatAnswer"),
    },
    Endpoint {
        method: "post",
        path: "/standup",
        feature: "standup",
        id: "standup",
        summary: "The day in a time zone",
        who: Who::Anybody,
        query: &[],
        body: Some("StandupRequest"),
        answer: Answer::One("StandupAnswer"),
    },
    Endpoint {
        method: "get",
        path: "/runs/{run_key}",
        feature: "run_journal",
        id: "get_run",
        summary: "A run with its journal",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::One("Run"),
    },
    Endpoint {
        method: "put",
        path: "/runs/{run_key}",
        feature: "run_journal",
        id: "put_run",
        summary: "Says what a run is and where it stands",
        who: Who::Tenant,
        query: &[],
        body: Some("PutRun"),
        answer: Answer::One("RunNote"),
    },
    Endpoint {
        method: "put",
        path: "/runs/{run_key}/steps/{index}",
        feature: "run_journal",
        id: "put_step",
        summary: "Writes a step; the same again changes nothing",
        who: Who::Tenant,
        query: &[],
        body: Some("PutStep"),
        answer: Answer::One("RunNote"),
    },
    Endpoint {
        method: "post",
        path: "/runs/{run_key}/cancel",
        feature: "run_journal",
        id: "cancel_run",
        summary: "Asks for a run to be stopped",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::One("RunNote"),
    },
    Endpoint {
        method: "get",
        path: "/tool-requests",
        feature: "tool_requests",
        id: "list_tool_requests",
        summary: "Tool calls that wait or waited for a person",
        who: Who::Tenant,
        query: &[
            ("status", false),
            ("run_key", false),
            ("task_id", false),
            ("limit", false),
            ("cursor", false),
        ],
        body: None,
        answer: Answer::Page("ToolRequest"),
    },
    Endpoint {
        method: "post",
        path: "/tool-requests",
        feature: "tool_requests",
        id: "create_tool_request",
        summary: "Asks for a tool call",
        who: Who::Tenant,
        query: &[],
        body: Some("CreateToolRequest"),
        answer: Answer::One("ToolRequest"),
    },
    Endpoint {
        method: "get",
        path: "/tool-requests/{id}",
        feature: "tool_requests",
        id: "get_tool_request",
        summary: "One tool request",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::One("ToolRequest"),
    },
    Endpoint {
        method: "patch",
        path: "/tool-requests/{id}",
        feature: "tool_requests",
        id: "decide_tool_request",
        summary: "A person decides, once",
        who: Who::Person,
        query: &[],
        body: Some("Decision"),
        answer: Answer::One("ToolRequest"),
    },
    Endpoint {
        method: "post",
        path: "/sessions/lease",
        feature: "session_leases",
        id: "take_turn",
        summary: "Takes the turn in a session on a task",
        who: Who::Tenant,
        query: &[],
        body: Some("LeaseRequest"),
        answer: Answer::One("Lease"),
    },
    Endpoint {
        method: "put",
        path: "/sessions/lease/{id}",
        feature: "session_leases",
        id: "keep_turn",
        summary: "Keeps the turn",
        who: Who::Tenant,
        query: &[],
        body: Some("RenewLease"),
        answer: Answer::One("Lease"),
    },
    Endpoint {
        method: "delete",
        path: "/sessions/lease/{id}",
        feature: "session_leases",
        id: "free_turn",
        summary: "Gives the turn back",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::Any,
    },
    Endpoint {
        method: "get",
        path: "/budget",
        feature: "budgets",
        id: "get_budget",
        summary: "What the user's agents may spend",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::One("Budget"),
    },
    Endpoint {
        method: "put",
        path: "/budget",
        feature: "budgets",
        id: "put_budget",
        summary: "Says what a user's agents may spend",
        who: Who::Service,
        query: &[],
        body: Some("PutBudget"),
        answer: Answer::One("Budget"),
    },
    Endpoint {
        method: "post",
        path: "/budget/reserve",
        feature: "budgets",
        id: "reserve",
        summary: "Sets something aside before a model is called",
        who: Who::Tenant,
        query: &[],
        body: Some("Reserve"),
        answer: Answer::One("Reservation"),
    },
    Endpoint {
        method: "post",
        path: "/usage",
        feature: "budgets",
        id: "book_usage",
        summary: "Books what a model call used, and settles its reservation",
        who: Who::Tenant,
        query: &[],
        body: Some("Usage"),
        answer: Answer::Any,
    },
    Endpoint {
        method: "get",
        path: "/api/tools",
        feature: "tools",
        id: "list_tools",
        summary: "The application's own tools",
        who: Who::Tenant,
        query: &[],
        body: None,
        answer: Answer::List("tools", "BackendTool"),
    },
    Endpoint {
        method: "post",
        path: "/api/tools/{name}",
        feature: "tools",
        id: "call_tool",
        summary: "Calls one",
        who: Who::Tenant,
        query: &[],
        body: Some(""),
        answer: Answer::Any,
    },
];

/// What is made by one endpoint and named to another: from, to, its name there, where it is found.
pub(super) const LINKS: [(&str, &str, &str, &str); 13] = [
    ("create_task", "get_task", "id", "$response.body#/id"),
    ("create_task", "update_task", "id", "$response.body#/id"),
    ("create_document", "get_document", "id", "$response.body#/id"),
    ("create_notification", "read_notification", "id", "$response.body#/id"),
    ("create_notification", "deliver", "id", "$response.body#/id"),
    ("create_notification", "fail_delivery", "id", "$response.body#/id"),
    ("create_notification", "requeue", "id", "$response.body#/id"),
    ("take_turn", "keep_turn", "id", "$response.body#/lease_id"),
    ("take_turn", "free_turn", "id", "$response.body#/lease_id"),
    ("create_tool_request", "get_tool_request", "id", "$response.body#/id"),
    ("create_tool_request", "decide_tool_request", "id", "$response.body#/id"),
    ("put_run", "get_run", "run_key", "$response.body#/run_key"),
    ("put_run", "cancel_run", "run_key", "$response.body#/run_key"),
];
