//! Agent cards: what a role is, its skills, and its endpoints.

use serde_json::{Value, json};
use service::forwarded::Address;
use wombat_core::session::Role;

use crate::state::App;

/// The card of a role, with URLs for whoever knows the daemon by this address.
pub(super) fn of(app: &App, address: &Address, role: &Role) -> Value {
    let url = address.url(&format!("/a2a/{role}"));
    let skills: Vec<_> = app
        .workspace
        .snapshot()
        .skills()
        .iter()
        .filter(|skill| skill.enabled)
        .map(|skill| {
            json!({ "id": skill.name, "name": skill.name, "description": skill.description,
                "tags": ["skill"] })
        })
        .collect();
    let interface = |binding: &str| json!({ "url": url, "protocolBinding": binding, "protocolVersion": super::VERSION });
    json!({
        "name": role.as_str(),
        "description": format!("The agent {:?}, which works in its company's backend as one user.", role.as_str()),
        "version": env!("CARGO_PKG_VERSION"),
        "supportedInterfaces": [interface("JSONRPC"), interface("HTTP+JSON")],
        "capabilities": { "streaming": true, "pushNotifications": true, "extendedAgentCard": false },
        "defaultInputModes": ["text/plain", "application/json", "image/*", "application/pdf", "*/*"],
        // JSON where an output is asked for, or the role has one.
        "defaultOutputModes": ["text/plain", "application/json"],
        "securitySchemes": {
            "bearer": { "httpAuthSecurityScheme": { "scheme": "bearer" } },
            "key": { "apiKeySecurityScheme": { "location": "header", "name": "X-Agent-Daemon-Key" } },
        },
        "securityRequirements": [
            { "schemes": { "bearer": { "list": [] } } },
            { "schemes": { "key": { "list": [] } } },
        ],
        "skills": skills,
    })
}
