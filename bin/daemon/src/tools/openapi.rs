//! Typed tools from the backend's OpenAPI document (`WOMBAT_BACKEND_OPENAPI`).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mc_client::raw::{RawBody, RawField, RawRequest};
use openapi_tools::{Body, Candidate, Document, Mount, Operation, Problem};
use serde_json::Value;
use wombat_core::agent_config::{AgentProfile, NamedTool, RuleRef};
use wombat_core::endpoint::{EndpointPattern, NormalPath, declares_reserved};
use wombat_core::workspace::Snapshot;

use super::backend_http::{most_of_answer, reply, with_key};
use super::context::ToolContext;
use super::discovery::{Loaded, Source};
use super::method_override;
use super::operations::endpoint;
use super::refreshing_cache::RefreshingCache;
use super::reply::ToolReply;
use super::rules::undeclared;

/// How long a document of the backend is cached.
const DOCUMENT_TTL: Duration = Duration::from_secs(300);

/// How long a document from a file is cached; reading it is cheap.
const FILE_TTL: Duration = Duration::from_secs(5);

/// The hash of a text and of its path, and the document parsed from it.
type ReadLast = (u64, Arc<Document>);

/// A cache of the document; nothing is read before the first use. `mounted` is the path of the
/// backend's URL.
pub(super) fn cached(source: Arc<Source>, mounted: String) -> RefreshingCache<Document> {
    let fresh = if source.is_file() { FILE_TTL } else { DOCUMENT_TTL };
    // The last document by the hash of its text and path: the same text gives the same object.
    let last: Arc<Mutex<Option<ReadLast>>> = Arc::default();
    RefreshingCache::new(
        "OpenAPI document (WOMBAT_BACKEND_OPENAPI)",
        fresh,
        Arc::new(move || {
            let (source, last, mounted) = (source.clone(), last.clone(), mounted.clone());
            Box::pin(async move {
                let Loaded { text, from, path } = source.load().await?;
                let mut hasher = DefaultHasher::new();
                // Relative servers are relative to where the document is.
                (&text, &path).hash(&mut hasher);
                let hash = hasher.finish();
                let known = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((_, document)) = known.filter(|(known, _)| *known == hash) {
                    return Ok(document);
                }
                let parse = move || {
                    let mount = Mount { path: &mounted, document: &path };
                    Document::parse(&text, &super::specs::builtin_names(), mount)
                };
                // Parsing a large document takes long enough to block the runtime.
                let parsed = tokio::task::spawn_blocking(parse).await;
                let document = parsed.map_err(|error| error.to_string())?;
                let document = document.map_err(|error| format!("{from}: {error}"))?;
                let document = Arc::new(document);
                tracing::info!(%from, operations = document.candidates().count(), "OpenAPI document loaded");
                *last.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((hash, document.clone()));
                Ok(document)
            })
        }),
    )
}

/// An operation that a role may have as a tool.
#[derive(Debug)]
pub(super) struct OpenApiTool {
    pub(super) operation: Operation,
    /// Its `operationId`, where the tool has another name.
    pub(super) id: Option<String>,
    pub(super) endpoint: EndpointPattern,
}

/// The operations of a document that a workspace refers to.
#[derive(Debug, Default)]
pub(super) struct NamedOperations {
    pub(super) tools: Vec<Arc<OpenApiTool>>,
    pub(super) problems: Vec<Problem>,
}

impl NamedOperations {
    /// The operations named by a skill's endpoint or by a role's `tools.allow`.
    pub(super) fn of(document: &Document, snapshot: &Snapshot) -> Self {
        let named = |candidate: &Candidate<'_>, endpoint: Option<&EndpointPattern>| {
            let tool = NamedTool { name: candidate.name, id: candidate.id, endpoint };
            snapshot.profiles().any(|profile| profile.tools.names(&tool))
        };
        let import = document.import(|candidate| {
            endpoint(candidate).is_ok_and(|endpoint| {
                !declares_reserved(&endpoint)
                    && (declared(snapshot, &endpoint) || named(candidate, Some(&endpoint)))
            })
        });
        let mut problems = import.problems;
        let mut ids = HashMap::new();
        for candidate in document.candidates() {
            if let Some(id) = candidate.id {
                ids.insert(candidate.name, id);
            }
            if let Err(error) = endpoint(&candidate)
                && named(&candidate, None)
            {
                let operation = format!("{} {}", candidate.method, candidate.path);
                problems.push(Problem { operation, reason: error.to_string() });
            }
        }
        let tool = |operation: Operation| {
            let endpoint =
                EndpointPattern::of_template(operation.method(), operation.endpoint()).ok()?;
            let id = ids.get(operation.name()).map(|id| (*id).to_owned());
            Some(Arc::new(OpenApiTool { operation, id, endpoint }))
        };
        Self { tools: import.operations.into_iter().filter_map(tool).collect(), problems }
    }
}

/// Whether a skill declares everything that the endpoint covers.
pub(super) fn declared(snapshot: &Snapshot, endpoint: &EndpointPattern) -> bool {
    snapshot.endpoints().iter().any(|declared| declared.pattern.covers(endpoint))
}

impl OpenApiTool {
    /// Whether a role may have it.
    pub(super) fn is_for(&self, snapshot: &Snapshot, profile: &AgentProfile) -> bool {
        let tool = self.named();
        (declared(snapshot, &self.endpoint) || profile.tools.names(&tool))
            && profile.tools.could_allow(&tool)
    }

    /// The rule that keeps it from a role that would have it; `None` where it is no tool at all.
    pub(super) fn withheld(&self, snapshot: &Snapshot, profile: &AgentProfile) -> Option<RuleRef> {
        let tool = self.named();
        let is_one = declared(snapshot, &self.endpoint) || profile.tools.names(&tool);
        profile.tools.withheld_by(&tool).filter(|_| is_one)
    }

    /// The method and the path that it calls.
    pub(super) fn endpoint_text(&self) -> String {
        format!("{} {}", self.operation.method(), self.operation.endpoint())
    }

    pub(super) fn named(&self) -> NamedTool<'_> {
        let (name, id) = (self.operation.name(), self.id.as_deref());
        NamedTool { name, id, endpoint: Some(&self.endpoint) }
    }

    /// Calls the operation. The path with its parameters filled in is checked again, as if the model
    /// had written it.
    pub(super) async fn call(
        &self,
        context: &ToolContext<'_>,
        arguments: &Value,
        key: String,
    ) -> ToolReply {
        match self.prepare(context, arguments, key) {
            Ok(request) => {
                let accept = self.operation.accept();
                match context.client.raw_accepting(request, accept).await {
                    Ok(response) => reply(response),
                    Err(error) => ToolReply::failed(&error),
                }
            }
            Err(reply) => reply,
        }
    }

    fn prepare(
        &self,
        context: &ToolContext<'_>,
        arguments: &Value,
        key: String,
    ) -> Result<RawRequest, ToolReply> {
        let request = self.operation.request(arguments)?;
        let path = NormalPath::parse(&request.path).map_err(|error| error.to_string())?;
        let (name, method) = (self.operation.name(), request.method.as_str());
        let what = format!("{method} {}", path.as_str());
        context.refuse_reserved(&what, &path)?;
        let by_skill =
            || context.snapshot.endpoints().iter().any(|d| d.pattern.matches(method, &path));
        if !self.endpoint.matches(method, &path)
            || !(context.profile.tools.names_call(&self.named(), method, &path) || by_skill())
        {
            return Err(ToolReply::forbidden(format!("{what} is not declared"), undeclared()));
        }
        let body = request.body.map(raw);
        context.refuse_mentions((method, &path), body.as_ref())?;
        method_override::refuse(&request.query, body.as_ref(), |place, field| {
            context.declares((method, &path), place, field)
        })?;
        let decision = context.decide(name, Some((method, &path)), arguments);
        context.permit(decision, &what)?;
        let (body, idempotency_key) = with_key(method, &path, body, key);
        // As the operation writes it: a normal path does not tell a separator from a value's own comma.
        let path_and_query = if request.query.is_empty() {
            request.path
        } else {
            format!("{}?{}", request.path, request.query)
        };
        Ok(RawRequest {
            method: http::Method::from_bytes(method.as_bytes())
                .map_err(|error| error.to_string())?,
            path_and_query,
            body,
            idempotency_key,
            max_bytes: most_of_answer(context),
        })
    }
}

fn raw(body: Body) -> RawBody {
    match body {
        Body::Json(value) => RawBody::Json(value),
        Body::JsonAs(kind, value) => RawBody::JsonAs(kind, value),
        Body::Form(form) => RawBody::Form(form),
        Body::Multipart(fields) => {
            let field = |field: openapi_tools::Field| RawField {
                name: field.name,
                media_type: field.media_type,
                value: field.value,
            };
            RawBody::Multipart(fields.into_iter().map(field).collect())
        }
        Body::Text(kind, text) => RawBody::Text(kind, text),
    }
}
