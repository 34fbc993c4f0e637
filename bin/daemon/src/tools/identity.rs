//! What a call does, whatever tool it is made by: whether it is a call that was made before, whether
//! making it twice is the same as making it once, and whether its tool is still what it was.

use mc_client::idempotency::{canonical_json, sha256_hex};
use openapi_tools::Body;
use serde_json::{Value, json};
use url::form_urlencoded;
use wombat_core::agent_config::AgentProfile;
use wombat_core::endpoint::NormalPath;

use super::backend_http::query_string;
use super::catalogue::{ExternalTool, Source};
use super::specs::{Builtin, MISSION_CONTROL};

/// The backend's own tools, whose calls honour the key by contract.
const BACKEND_TOOLS: &str = "/api/tools";

/// A call as its server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallIdentity {
    /// Equal for two calls that do the same with the same arguments.
    pub operation: String,
    /// Whether making the call twice is the same as making it once.
    pub is_idempotent: bool,
    /// Whether its server is known to recognise a repetition by the idempotency key.
    pub honours_key: bool,
    /// The method and path of a request of the backend.
    pub(crate) endpoint: Option<(String, String)>,
}

impl CallIdentity {
    fn new(parts: &[&str], is_idempotent: bool, honours_key: bool) -> Self {
        Self { operation: sha256_hex(parts), is_idempotent, honours_key, endpoint: None }
    }

    /// A call of a tool that is no call of the backend by method and path, or that cannot be made.
    pub(super) fn of_tool(name: &str, arguments: &Value) -> Self {
        Self::new(&["tool", name, &canonical_json(arguments)], false, false)
    }

    /// A request of the backend.
    fn of_request(method: &str, path: &str, query: &str, body: &str) -> Self {
        let mut query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        query.sort();
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let path = path.trim_end_matches('/');
        let is_idempotent = matches!(method, "GET" | "PUT" | "DELETE");
        let honours_key = is_below(path, MISSION_CONTROL) || is_below(path, BACKEND_TOOLS);
        let endpoint = Some((method.to_owned(), path.to_owned()));
        let parts = ["http", method, path, &query, body];
        Self { endpoint, ..Self::new(&parts, is_idempotent, honours_key) }
    }

    /// With what the role's configuration knows of servers.
    pub(super) fn known_to(mut self, profile: &AgentProfile, tool: &str) -> Self {
        let path = self.endpoint.as_ref().and_then(|(_, path)| NormalPath::parse(path).ok());
        let endpoint = self.endpoint.as_ref().map(|(method, _)| method.as_str()).zip(path.as_ref());
        self.honours_key |= profile.tools.honours_key(tool, endpoint);
        self
    }

    /// A call of a built-in tool.
    pub(super) fn of_builtin(builtin: Builtin, arguments: &Value) -> Self {
        if builtin == Builtin::CallBackend {
            return Self::of_call_backend(arguments)
                .unwrap_or_else(|| Self::of_tool(builtin.name(), arguments));
        }
        // The contract's own: each write carries its key.
        Self { honours_key: true, ..Self::of_tool(builtin.name(), arguments) }
    }

    /// A call of a tool that roles enable: the daemon's own, too.
    pub(super) fn of_enabled(name: &str, arguments: &Value) -> Self {
        Self { honours_key: true, ..Self::of_tool(name, arguments) }
    }

    fn of_call_backend(arguments: &Value) -> Option<Self> {
        let (path, in_path) =
            arguments["path"].as_str().map(|path| path.split_once('?').unwrap_or((path, "")))?;
        let path = NormalPath::parse(path).ok()?;
        let query = query_string(in_path, &arguments["query"]).ok()?;
        let body = canonical_json(arguments.get("body").unwrap_or(&Value::Null));
        Some(Self::of_request(arguments["method"].as_str()?, path.as_str(), &query, &body))
    }

    /// A call of an external tool.
    pub(super) fn of_external(tool: &ExternalTool, arguments: &Value) -> Self {
        match &tool.source {
            Source::OpenApi(tool) => {
                let Ok(request) = tool.operation.request(arguments) else {
                    return Self::of_tool(tool.operation.name(), arguments);
                };
                let body = match &request.body {
                    Some(Body::Json(body) | Body::JsonAs(_, body)) => canonical_json(body),
                    Some(Body::Form(text) | Body::Text(_, text)) => text.clone(),
                    Some(Body::Multipart(fields)) => {
                        let fields = fields.iter().map(|field| json!([field.name, field.value]));
                        canonical_json(&fields.collect())
                    }
                    None => canonical_json(&Value::Null),
                };
                // As `call_backend` writes it.
                let path = NormalPath::parse(&request.path);
                let path = path.as_ref().map_or(request.path.as_str(), NormalPath::as_str);
                let of = Self::of_request(&request.method, path, &request.query, &body);
                Self { honours_key: of.honours_key || tool.operation.takes_idempotency_key(), ..of }
            }
            Source::Backend(name) => {
                let body = canonical_json(&json!({ "arguments": arguments }));
                Self::of_request("POST", &format!("{BACKEND_TOOLS}/{name}"), "", &body)
            }
            // No server sees it: no call of it can be in doubt.
            Source::Replayed(of_case) => Self {
                honours_key: true,
                endpoint: of_case.called(arguments),
                ..Self::of_tool(&tool.spec.name, arguments)
            },
            Source::Mcp(server, tool) => {
                let parts = ["mcp", server.name(), &tool.name, &canonical_json(arguments)];
                Self::new(&parts, tool.is_repeatable, false)
            }
        }
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

/// A hash of everything that decides on what a call of an external tool does: its name, description and
/// schema, and the request that it becomes.
pub(super) fn definition(tool: &ExternalTool) -> String {
    let spec = &tool.spec;
    let source = match &tool.source {
        Source::OpenApi(tool) => tool.operation.form(),
        Source::Backend(name) => name.clone(),
        Source::Replayed(_) => tool.spec.name.clone(),
        Source::Mcp(server, tool) => format!("{} {}", server.place(), tool.name),
    };
    sha256_hex(&[&spec.name, &spec.description, &canonical_json(&spec.parameters), &source])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wombat_core::endpoint::EndpointPattern;

    use super::super::openapi::OpenApiTool;
    use super::*;
    use schemas::{Budget, Schema};

    fn backend(arguments: Value) -> CallIdentity {
        CallIdentity::of_builtin(Builtin::CallBackend, &arguments)
    }

    #[test]
    fn one_request_is_one_operation_however_it_is_written() {
        let pay = backend(
            json!({ "method": "POST", "path": "/app/pay?b=2&a=1", "body": { "to": "ann", "n": 5 } }),
        );
        for same in [
            json!({ "method": "POST", "path": "/app/pay/", "query": { "a": 1, "b": "2" }, "body": { "n": 5.0, "to": "ann" } }),
            json!({ "body": { "n": 5, "to": "ann" }, "path": "/app/%70ay?a=1", "query": { "b": 2, "c": null }, "method": "POST" }),
        ] {
            assert_eq!(backend(same.clone()), pay, "{same}");
        }
        for other in [
            json!({ "method": "PUT", "path": "/app/pay?b=2&a=1", "body": { "to": "ann", "n": 5 } }),
            json!({ "method": "POST", "path": "/app/pay?b=2&a=1", "body": { "to": "ann", "n": "5" } }),
            json!({ "method": "POST", "path": "/app/pay?b=2", "body": { "to": "ann", "n": 5 } }),
            json!({ "method": "POST", "path": "/app/pay?b=2&a=1" }),
        ] {
            assert_ne!(backend(other.clone()).operation, pay.operation, "{other}");
        }
    }

    #[test]
    fn a_typed_tool_and_call_backend_do_the_same() {
        let id =
            json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
        let pay = json!({ "operationId": "pay", "parameters": [id] });
        let document = json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" },
            "paths": { "/users/{id}/pay": { "post": pay } } });
        let document = openapi_tools::Document::parse(&document.to_string(), &[], "").unwrap();
        let operation = document.import(|_| true).operations.remove(0);
        let endpoint = EndpointPattern::of_template("POST", "/users/{id}/pay").unwrap();
        let schema = Schema::compile(&json!({}), &mut Budget::default()).unwrap().schema;
        let tool = ExternalTool {
            tags: Vec::new(),
            spec: llm::request::ToolSpec {
                name: "pay".to_owned(),
                description: String::new(),
                parameters: json!({}),
            },
            schema: Arc::new(schema),
            source: Source::OpenApi(Arc::new(OpenApiTool { operation, id: None, endpoint })),
            definition: std::sync::OnceLock::new(),
        };
        for (id, path) in [
            ("ann@x.org", "/users/ann@x.org/pay"),
            ("ann@x.org", "/users/ann%40x.org/pay"),
            ("a b", "/users/a%20b/pay"),
        ] {
            let typed = CallIdentity::of_external(&tool, &json!({ "id": id }));
            assert_eq!(typed, backend(json!({ "method": "POST", "path": path })), "{path}");
        }
    }

    #[test]
    fn reads_and_what_the_contract_keys_may_be_repeated() {
        let of = |method: &str, path: &str| {
            let identity = backend(json!({ "method": method, "path": path }));
            (identity.is_idempotent, identity.honours_key)
        };
        assert_eq!(of("POST", "/app/pay"), (false, false));
        assert_eq!(of("PATCH", "/app/pay"), (false, false));
        assert_eq!(of("GET", "/app/pay"), (true, false));
        assert_eq!(of("PUT", "/app/pay"), (true, false));
        assert_eq!(of("DELETE", "/app/pay"), (true, false));
        assert_eq!(of("POST", "/api/mission-control/tasks"), (false, true));
        assert_eq!(of("POST", "/api/mission-controller/tasks"), (false, false));
        assert_eq!(of("POST", "/api/tools/wire"), (false, true));
        assert!(CallIdentity::of_builtin(Builtin::CreateTask, &json!({})).honours_key);
    }
}
