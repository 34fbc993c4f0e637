//! `wombat-daemon init --beside URL`: what an application that exists needs besides the workspace, which
//! is a skill with its endpoints, and the settings that it shares with the programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use openapi_tools::{Document, Import, Operation};
use url::Url;
use wombat_core::endpoint::EndpointPattern;

use crate::tools::{Found, builtin_names};

/// The most operations that the skill declares: providers take some 128 tools.
const MAX_DECLARED: usize = 64;

/// The most of an operation's description that the skill repeats.
const MAX_SUMMARY_CHARS: usize = 100;

/// Parts of paths that are for people, or for machines that are no agents.
const NOT_FOR_AGENTS: [&str; 37] = [
    "admin",
    "api-docs",
    "assistant",
    "auth",
    "csrf",
    "docs",
    "health",
    "healthz",
    "hooks",
    "livez",
    "login",
    "logout",
    "metrics",
    "mission-control",
    "oauth",
    "oauth2",
    "openapi",
    "password",
    "passwords",
    "ping",
    "readyz",
    "refresh",
    "register",
    "registration",
    "schema",
    "session",
    "sessions",
    "sign-in",
    "sign-up",
    "signin",
    "signout",
    "signup",
    "swagger",
    "token",
    "tokens",
    "webhook",
    "webhooks",
];

/// The skill of an application.
#[derive(Debug)]
pub(super) struct Skill {
    /// `SKILL.md`.
    pub(super) text: String,
    /// The endpoints that it leaves out, for people; `None` when there are none.
    pub(super) left_out: Option<String>,
    /// Whether it declares one that deletes.
    pub(super) deletes: bool,
    /// How many endpoints it declares.
    pub(super) declared: usize,
    /// How many it leaves out.
    pub(super) others: usize,
}

/// Writes the skill: what an agent is likely to need is declared, and the rest is listed.
///
/// # Errors
/// When the document cannot be read.
pub(super) fn skill(found: &Found, application: &Url) -> Result<Skill, String> {
    let mounted = application.path().trim_end_matches('/');
    let document = Document::parse(&found.text, &builtin_names(), mounted);
    let document = document.map_err(|error| error.to_string())?;
    let Import { operations, problems, .. } = document.import(|_| true);
    let (mut declared, mut others) = (Vec::new(), BTreeSet::new());
    for operation in &operations {
        let is_endpoint =
            EndpointPattern::of_template(operation.method(), operation.path()).is_ok();
        let fits = is_endpoint && !is_for_others(operation.path()) && declared.len() < MAX_DECLARED;
        match fits {
            true => declared.push(operation),
            false => {
                others.insert(format!("{} {}", operation.method(), operation.path()));
            }
        }
    }
    others.extend(problems.into_iter().map(|problem| problem.operation));
    let declared_text = written(&declared);
    let left_out = (!others.is_empty()).then(|| listed(&others));
    let deletes = declared.iter().any(|operation| operation.method() == "DELETE");
    let (declared, others) = (declared.len(), others.len());
    Ok(Skill { text: declared_text, left_out, deletes, declared, others })
}

/// A path one of whose parts says that no agent should call it.
fn is_for_others(path: &str) -> bool {
    let is = |part: &str| NOT_FOR_AGENTS.iter().any(|word| part.eq_ignore_ascii_case(word));
    path.split(['/', '.']).any(is)
}

fn written(declared: &[&Operation]) -> String {
    let mut text = "---\nname: application\n\
        description: The application's own endpoints. Use them for whatever the user asks about their own things.\n\
        ---\n\
        ```http\n"
        .to_owned();
    for operation in declared {
        // Writing to a String cannot fail.
        let summary = summary(operation);
        if !summary.is_empty() {
            let _written = writeln!(text, "# {summary}");
        }
        let _written = writeln!(text, "{} {}", operation.method(), operation.path());
    }
    text.push_str("```\n");
    text
}

/// What a person may want to know of the rest, in a file that no prompt holds.
fn listed(others: &BTreeSet<String>) -> String {
    let mut text = "Left out of SKILL.md: for people and programs rather than agents, or no tool can be made of it. \
        What stands in SKILL.md, an agent may call, as its user and nobody else.\n\n"
        .to_owned();
    for operation in others {
        let _written = writeln!(text, "- `{operation}`");
    }
    text
}

/// The first line of the description, without what could be taken for an endpoint or the end of the block.
fn summary(operation: &Operation) -> String {
    let place = format!("{} {}", operation.method(), operation.path());
    let description =
        operation.description().replace(&format!("({place})"), "").replace(&place, "");
    let line = description.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control() && *c != '`').take(MAX_SUMMARY_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill_of(paths: &serde_json::Value) -> Skill {
        let text = serde_json::json!({
            "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": paths
        });
        let found = Found {
            path: "/openapi.json".to_owned(),
            operations: 1,
            text: text.to_string().into(),
        };
        skill(&found, &Url::parse("http://127.0.0.1:8000").unwrap()).unwrap()
    }

    #[test]
    fn the_skill_declares_what_an_agent_needs_and_lists_the_rest() {
        let operation = |summary: &str| serde_json::json!({ "summary": summary });
        let made = skill_of(&serde_json::json!({
            "/orders": { "get": operation("List ``` orders"), "post": operation("Order") },
            "/orders/{id}": {
                "delete": { "parameters": [{ "name": "id", "in": "path", "required": true }] }
            },
            "/Login": { "post": operation("Log in") },
            "/api/token/refresh": { "post": operation("Refresh") },
            "/users/{id}/password": { "put": operation("Change") },
        }));
        assert_eq!((made.declared, made.others, made.deletes), (3, 3, true), "{}", made.text);
        let (above, below) = (made.text, made.left_out.unwrap());
        for line in
            ["\n# List  orders\nGET /orders\n", "\nPOST /orders\n", "\nDELETE /orders/{id}\n"]
        {
            assert!(above.contains(line), "{line}: {above}");
        }
        for line in
            ["- `POST /Login`", "- `POST /api/token/refresh`", "- `PUT /users/{id}/password`"]
        {
            assert!(below.contains(line), "{line}: {below}");
        }
    }

    #[test]
    fn no_more_is_declared_than_providers_take() {
        let paths: serde_json::Map<_, _> = (0..100)
            .map(|n| {
                (format!("/things{n}"), serde_json::json!({ "get": { "summary": "A thing" } }))
            })
            .collect();
        let made = skill_of(&paths.into());
        assert_eq!((made.declared, made.others), (MAX_DECLARED, 100 - MAX_DECLARED));
    }
}
