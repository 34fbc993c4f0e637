//! The OpenAPI document, as it is served.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use service::forwarded::Prefix;
use utoipa::openapi::OpenApi;

/// Paths that anybody may call. The health shows more to whoever has the key.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/health", "/openapi.json"];

/// What each group of endpoints is.
const TAGS: [(&str, &str); 4] = [
    ("agents", "Messages to agents, their runs, and what they may do."),
    ("models", "Single calls of a model, without an agent."),
    ("workspace", "What the agents are made of: prompts, skills, tools."),
    ("operations", "Health, versions, usage."),
];

const DESCRIPTION: &str = "An agent runtime that works beside your backend. Errors of every endpoint are \
    `{error, code, details}`. With `AGENT_DAEMON_API_KEY` set, all but the public endpoints need that key, in \
    `X-Agent-Daemon-Key` or as a bearer token. Answers may have more fields than this document names. The \
    endpoints of other protocols (OpenAI, MCP, AG-UI, A2A) are described by these.";

/// The document, serialised once, without its servers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &OpenApi) -> Self {
        let mut document = serde_json::to_value(document).unwrap_or_default();
        complete(&mut document);
        Self(document.to_string().into())
    }

    /// The document for a client that knows the daemon under this prefix, if any. Like a card it is for
    /// whoever asked.
    pub(super) fn answer(&self, prefix: Option<&Prefix>) -> Response {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        ];
        (headers, self.below(prefix)).into_response()
    }

    /// The document with its server, before everything else in it. A prefix needs no escaping.
    fn below(&self, prefix: Option<&Prefix>) -> Bytes {
        let Some(rest) = self.0.strip_prefix(b"{") else { return self.0.clone() };
        let server = prefix.map_or_else(|| "/".to_owned(), ToString::to_string);
        let servers = format!("{{\"servers\":[{{\"url\":\"{server}\"}}],");
        [servers.as_bytes(), rest].concat().into()
    }
}

/// Adds what holds for all endpoints: who may call them, and what errors look like.
fn complete(document: &mut Value) {
    document["info"]["description"] = json!(DESCRIPTION);
    let tag =
        |(name, description): &(&str, &str)| json!({ "name": name, "description": description });
    document["tags"] = TAGS.iter().map(tag).collect();
    let bearer = |of: &str| json!({ "type": "http", "scheme": "bearer", "description": of });
    document["components"]["securitySchemes"] = json!({
        "daemonKey": { "type": "apiKey", "in": "header", "name": "X-Agent-Daemon-Key",
            "description": "AGENT_DAEMON_API_KEY" },
        "bearer": bearer("AGENT_DAEMON_API_KEY, as a bearer token"),
        "metricsToken": bearer("WOMBAT_METRICS_TOKEN, for the metrics alone"),
    });
    document["security"] = json!([{ "daemonKey": [] }, { "bearer": [] }]);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let own = json!({ "get": {
        "tags": ["operations"], "summary": "This document.", "operationId": "openapi",
        "responses": { "200": { "content": { "application/json": { "schema": { "type": "object" } } } } },
    } });
    paths.insert("/openapi.json".to_owned(), own);
    for (path, methods) in paths {
        for operation in methods.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if PUBLIC.contains(&path.as_str()) {
                operation["security"] = match path.as_str() {
                    "/health" | "/readyz" => json!([{}, { "daemonKey": [] }, { "bearer": [] }]),
                    _ => json!([]),
                };
            } else if path == "/metrics" {
                operation["security"] =
                    json!([{ "daemonKey": [] }, { "bearer": [] }, { "metricsToken": [] }]);
            }
            describe(&mut operation["responses"]);
        }
    }
}

/// Describes each answer of an endpoint, and adds the errors that every endpoint may answer with.
fn describe(responses: &mut Value) {
    let Some(responses) = responses.as_object_mut() else { return };
    let error = json!({ "content": { "application/json": {
        "schema": { "$ref": "#/components/schemas/ErrorBody" } } } });
    for class in ["4XX", "5XX"] {
        responses.entry(class).or_insert_with(|| error.clone());
    }
    for (status, response) in responses {
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = json!(meaning(status));
        }
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "The answer.",
        "202" => "It is accepted, and goes on.",
        "404" => "There is no such thing.",
        "409" => "It is not possible now.",
        "503" => "It is not possible now; ask again later.",
        "4XX" => "The request cannot be carried out; `code` says why.",
        "5XX" => "Something failed; `code` says what.",
        _ => "Another answer.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_only_server() {
        let document = Document::new(&OpenApi::default());
        let parsed = |prefix: Option<&str>| {
            let prefix = prefix.map(|prefix| prefix.parse().unwrap());
            serde_json::from_slice::<Value>(&document.below(prefix.as_ref())).unwrap()
        };
        assert_eq!(parsed(None)["servers"], json!([{ "url": "/" }]));
        assert_eq!(parsed(Some("/a/b~c"))["servers"], json!([{ "url": "/a/b~c" }]));
        let answer = document.answer(None);
        assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
    }
}
