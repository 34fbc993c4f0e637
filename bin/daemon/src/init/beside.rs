//! `wombat-daemon init --beside URL`: what an application that exists needs besides the workspace, which
//! is a skill with its endpoints, and the settings that it shares with the programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use openapi_tools::{Document, Import, Mount, Operation};
use url::Url;
use wombat_core::endpoint::{EndpointPattern, endpoints_in_markdown};

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

impl Skill {
    /// The endpoints that it declares and that stand in none of these files.
    pub(super) fn not_in(&self, files: &str) -> Vec<&str> {
        let known: BTreeSet<_> =
            files.lines().map(|line| line.trim().trim_matches(['-', '`', ' '])).collect();
        let endpoints = self.text.lines().skip_while(|line| !line.starts_with("```"));
        let endpoints = endpoints.filter(|line| !line.starts_with(['#', '`']));
        endpoints.filter(|line| !known.contains(line)).collect()
    }
}

/// Writes the skill: what an agent is likely to need is declared, and the rest is listed.
///
/// # Errors
/// When the document cannot be read.
pub(super) fn skill(found: &Found, application: &Url) -> Result<Skill, String> {
    let mounted = application.path().trim_end_matches('/');
    // As the daemon reads it: relative servers are relative to the document.
    let mount = Mount { path: mounted, document: if found.is_file { "" } else { &found.path } };
    let document = Document::parse(&found.text, &builtin_names(), mount);
    let document = document.map_err(|error| error.to_string())?;
    let Import { operations, problems, .. } = document.import(|_| true);
    let (mut declared, mut others) = (Vec::new(), BTreeSet::new());
    let shared = shared_segments(&operations);
    for operation in &operations {
        let fits = means_itself(operation)
            && !is_page(operation)
            && !is_for_others(operation.path(), shared)
            && declared.len() < MAX_DECLARED;
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

/// Whether its line in a skill declares this operation and nothing else: paths of documents may hold what
/// is a wildcard there (`*`, `:x`, `<x>`).
fn means_itself(operation: &Operation) -> bool {
    let Ok(meant) = EndpointPattern::of_template(operation.method(), operation.path()) else {
        return false;
    };
    let block = format!("```http\n{} {}\n```\n", operation.method(), operation.path());
    match endpoints_in_markdown(&block).as_slice() {
        [declared] => declared.covers(&meant) && meant.covers(declared),
        _ => false,
    }
}

/// Whether all that it answers are pages, which are for browsers.
fn is_page(operation: &Operation) -> bool {
    let is_html = |kind: &str| ["text/html", "application/xhtml+xml"].contains(&kind);
    operation.accept().is_some_and(|kinds| kinds.split(", ").all(is_html))
}

/// How many segments all paths begin with, such as those of the server: they tell no operation from
/// another.
fn shared_segments(operations: &[Operation]) -> usize {
    let Some((first, others)) = operations.split_first() else { return 0 };
    if others.is_empty() {
        return 0;
    }
    let before_last = first.endpoint().split('/').count().saturating_sub(1);
    let shared = |other: &Operation| {
        let pairs = first.endpoint().split('/').zip(other.endpoint().split('/'));
        pairs.take_while(|(ours, theirs)| ours == theirs).count()
    };
    others.iter().map(shared).fold(before_last, usize::min)
}

/// A path one of whose parts says that no agent should call it; the first ones, which all paths share,
/// say nothing.
fn is_for_others(path: &str, shared: usize) -> bool {
    let is = |part: &str| NOT_FOR_AGENTS.iter().any(|word| part.eq_ignore_ascii_case(word));
    path.split('/').skip(shared).flat_map(|segment| segment.split('.')).any(is)
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
        skill_at("/openapi.json", "/", paths)
    }

    fn skill_at(path: &str, server: &str, paths: &serde_json::Value) -> Skill {
        let text = serde_json::json!({
            "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": paths,
            "servers": [{ "url": server }],
        });
        let path = path.to_owned();
        let found = Found { path, operations: 1, text: text.to_string().into(), is_file: false };
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
    fn what_answers_pages_alone_is_left_out() {
        let answers = |kinds: &[&str]| {
            let content: serde_json::Map<_, _> =
                kinds.iter().map(|kind| ((*kind).to_owned(), serde_json::json!({}))).collect();
            serde_json::json!({ "get": { "responses": { "200": { "description": "", "content": content } } } })
        };
        let made = skill_of(&serde_json::json!({
            "/": answers(&["text/html; charset=utf-8"]),
            "/old": answers(&["application/xhtml+xml", "text/html"]),
            "/either": answers(&["text/html", "application/json"]),
            "/export": answers(&["text/csv"]),
            "/data": answers(&["application/json"]),
            "/unsaid": { "get": {} },
        }));
        assert_eq!((made.declared, made.others), (4, 2), "{}", made.text);
        let left_out = made.left_out.unwrap();
        assert!(
            left_out.contains("- `GET /`\n") && left_out.contains("- `GET /old`\n"),
            "{left_out}"
        );
    }

    #[test]
    fn paths_are_those_that_the_daemon_calls() {
        let paths = serde_json::json!({ "/orders": { "get": {} }, "/login": { "post": {} } });
        let made = skill_at("/api/openapi.json", ".", &paths);
        assert!(made.text.contains("\nGET /api/orders\n"), "{}", made.text);
        // The server's own path says nothing of an operation.
        let made = skill_at("/openapi.json", "/auth/admin", &paths);
        assert!(made.text.contains("\nGET /auth/admin/orders\n"), "{}", made.text);
        assert!(made.left_out.unwrap().contains("POST /auth/admin/login"));
    }

    #[test]
    fn what_would_be_a_wildcard_in_a_skill_is_left_out() {
        let paths = serde_json::json!({
            "/proxy/**": { "get": {} }, "/*": { "post": {} }, "/files/:name": { "get": {} },
            "/tags/<tag>": { "get": {} }, "/orders/{id}": {
                "get": { "parameters": [{ "name": "id", "in": "path", "required": true }] }
            },
        });
        let made = skill_of(&paths);
        assert_eq!((made.declared, made.others), (1, 4), "{}", made.text);
        assert_eq!(made.not_in("GET /orders"), ["GET /orders/{id}"]);
        assert!(made.not_in("- `GET /orders/{id}`").is_empty());
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
