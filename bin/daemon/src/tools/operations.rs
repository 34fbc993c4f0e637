//! The operations of the backend, and the tools that make them: built-in tools, operations of the OpenAPI
//! document, the backend's own tools. One operation is one thing, whatever it is called by.

use std::sync::Arc;

use mc_client::tools::BackendTool;
use openapi_tools::{Candidate, Document, FieldPlace};
use wombat_core::advice::is_undocumented;
use wombat_core::agent_config::ENABLED_TOOLS;
use wombat_core::endpoint::{EndpointError, EndpointPattern, NormalPath};
use wombat_core::mcp_config::{McpConfig, tool_prefix};
use wombat_core::operations::{Operation, Operations};
use wombat_core::workspace::Snapshot;

use super::backend_tools;
use super::catalogue::{Catalogue, Source};
use super::specs::Builtin;

/// All operations of the backend that are known.
#[derive(Debug, Default)]
pub(super) struct BackendOperations {
    pub(super) known: Arc<Operations>,
    document: Option<Arc<Document>>,
}

impl BackendOperations {
    /// Collects the operations. `document` is the OpenAPI document with whether there should be one.
    pub(super) fn collect(
        (document, is_expected): (Option<&Arc<Document>>, bool),
        backend: &[BackendTool],
        catalogue: &Catalogue,
        servers: &McpConfig,
    ) -> Self {
        let mut known = of_builtins();
        match document {
            Some(document) => {
                document.candidates().filter_map(|c| in_document(&c)).for_each(|o| known.add(o))
            }
            None if is_expected => {
                known.set_unread("the OpenAPI document (WOMBAT_BACKEND_OPENAPI)");
            }
            None => {}
        }
        for path in document.into_iter().flat_map(|document| document.unread_paths()) {
            if let Ok(endpoint) = EndpointPattern::of_template("*", path) {
                known.add_nameless(&endpoint, format!("{path:?} of the OpenAPI document"));
            }
        }
        if let Some(any) = backend_tools::any_endpoint() {
            known.add_named_by_path(&any);
        }
        for tool in backend {
            // A tool that cannot be offered can still be called by its path.
            let is_it =
                |source: &Source| matches!(source, Source::Backend(name) if *name == tool.name);
            let offered = catalogue.tools.iter().find(|offered| is_it(&offered.source));
            if let Some(endpoint) = backend_tools::endpoint(&tool.name) {
                known.add(Operation {
                    tool: offered.map_or(tool.name.as_str(), |offered| offered.name()).to_owned(),
                    id: Some(tool.name.clone()),
                    endpoint,
                    is_whole: true,
                    is_route: false,
                });
            }
        }
        for tool in &catalogue.tools {
            match &tool.source {
                Source::Mcp(..) => known.add_other(tool.name()),
                Source::Replayed(of_case) => match of_case.operation() {
                    Some(operation) => known.add(operation),
                    None => known.add_other(tool.name()),
                },
                Source::OpenApi(_) | Source::Backend(_) => {}
            }
        }
        let prefixes = servers.servers.keys().map(|server| format!("{}__", tool_prefix(server)));
        prefixes.for_each(|prefix| known.add_prefix(prefix));
        Self { known: Arc::new(known), document: document.cloned() }
    }

    /// The endpoints that the document describes.
    pub(super) fn documented(&self) -> Vec<EndpointPattern> {
        let candidates = self.document.iter().flat_map(|document| document.candidates());
        candidates.filter_map(|candidate| Some(in_document(&candidate)?.endpoint)).collect()
    }

    /// Whether a skill declares an endpoint, not of the contract, that the document does not have.
    pub(super) fn lacks_declared(&self, snapshot: &Snapshot) -> bool {
        let documented = self.documented();
        let mut declared = snapshot.endpoints().iter();
        declared.any(|declared| is_undocumented(&declared.pattern, &documented))
    }

    /// Whether what a call surely is declares a field of its request by exactly this name.
    pub(super) fn declares(
        &self,
        method: &str,
        path: &NormalPath,
        place: FieldPlace,
        field: &str,
    ) -> bool {
        self.document.as_ref().is_some_and(|document| {
            let mut called = self.known.of_call(method, path).filter(|(_, is_general)| !is_general);
            called.any(|(operation, _)| document.declares(&operation.tool, place, field))
        })
    }
}

/// What the built-in tools do.
pub(super) fn of_builtins() -> Operations {
    let mut known = Operations::default();
    for builtin in Builtin::ALL {
        match builtin.endpoint() {
            Some(endpoint) => known.add(Operation {
                tool: builtin.name().to_owned(),
                id: None,
                endpoint,
                is_whole: true,
                is_route: true,
            }),
            None => known.add_other(builtin.name()),
        }
    }
    ENABLED_TOOLS.into_iter().for_each(|tool| known.add_other(tool));
    known
}

/// The endpoint of an operation of the document. One whose path has a query or a fragment is found by what
/// is before it.
pub(super) fn endpoint(candidate: &Candidate<'_>) -> Result<EndpointPattern, EndpointError> {
    EndpointPattern::of_template(candidate.method, candidate.endpoint())
}

/// An operation of the document.
fn in_document(candidate: &Candidate<'_>) -> Option<Operation> {
    Some(Operation {
        tool: candidate.name.to_owned(),
        id: candidate.id.map(str::to_owned),
        endpoint: endpoint(candidate).ok()?,
        is_whole: candidate.is_whole(),
        is_route: true,
    })
}
