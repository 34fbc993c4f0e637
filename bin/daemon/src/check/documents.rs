//! What `check` and `init` say of the application's OpenAPI document, and where they find one.

use service::backend_address::BackendAddress;
use service::settings::{Layers, Reader};
use shown::counted;
use wombat_core::advice::is_undocumented;
use wombat_core::endpoint::EndpointPattern;
use wombat_core::workspace::Snapshot;

use super::{Finding, Level};
use crate::backend::Backend;
use crate::tools::{Asker, DocumentState, Found};

/// How many endpoints skills declare, where the document has none of them.
pub(super) fn lost(snapshot: &Snapshot, documented: &[EndpointPattern]) -> usize {
    // The contract's own are in no document of an application.
    let all = snapshot.endpoints().iter().map(|declared| &declared.pattern);
    let all: Vec<_> = all.filter(|declared| is_undocumented(declared, &[])).collect();
    if all.iter().all(|declared| is_undocumented(declared, documented)) { all.len() } else { 0 }
}

/// What became of the document; where there is none, those at the usual addresses. `lost` is how many
/// endpoints skills declare, where it has none of them.
pub(super) async fn findings(
    document: DocumentState,
    lost: usize,
    http: &reqwest::Client,
    backend: &Backend,
) -> Vec<Finding> {
    let declared = format!("the {} that skills declare", counted(lost, "endpoint"));
    let (without, level) = match lost {
        0 => (String::new(), Level::Warning),
        _ => (format!(": there is no tool for {declared}"), Level::Loss),
    };
    let (level, text) = match document {
        DocumentState::Read { from, operations: 0 } => {
            (level, format!("OpenAPI document: {from} has no operation{without}; correct it"))
        }
        DocumentState::Read { from, operations } if lost > 0 => (
            level,
            format!(
                "OpenAPI document: {from} has {}, and none of {declared}; correct the skills or WOMBAT_BACKEND_OPENAPI",
                counted(operations, "operation")
            ),
        ),
        DocumentState::Read { from, operations } => {
            (Level::Good, format!("OpenAPI document: {from}: {}", counted(operations, "operation")))
        }
        DocumentState::Unset => match discover(http, backend).await.as_slice() {
            [] => return Vec::new(),
            found => (
                Level::Good,
                format!("OpenAPI document: WOMBAT_BACKEND_OPENAPI is not set; {}", told(found)),
            ),
        },
        DocumentState::Failed(why) => {
            let found = discover(http, backend).await;
            let instead = match found.as_slice() {
                [] => "none was found at the usual addresses either".to_owned(),
                found => told(found),
            };
            (level, format!("OpenAPI document: WOMBAT_BACKEND_OPENAPI: {why}; {instead}"))
        }
    };
    vec![Finding { level, text }]
}

async fn discover(http: &reqwest::Client, backend: &Backend) -> Vec<Found> {
    let agent = backend.system_agent().ok();
    let asker = Asker::new(http, backend.application_url());
    let asker = match &agent {
        Some(agent) => asker.with_agent(agent),
        None => asker,
    };
    // Whether it answers at all is said elsewhere.
    asker.discover().await.unwrap_or_default()
}

/// The setting that reads the best of the documents that were found.
fn told(found: &[Found]) -> String {
    let Some((first, others)) = found.split_first() else { return String::new() };
    let mut text = format!(
        "the application has one with {}: set WOMBAT_BACKEND_OPENAPI={}",
        counted(first.operations, "operation"),
        first.path
    );
    if !others.is_empty() {
        let others: Vec<_> = others
            .iter()
            .map(|found| format!("{} ({})", found.path, counted(found.operations, "operation")))
            .collect();
        text.push_str(&format!(" (others: {})", others.join(", ")));
    }
    text
}

/// For `init`: the setting for a document at the usual addresses of the application, which need not run
/// yet. `None` when nothing is found, or the setting is there.
pub async fn usual(layers: &Layers) -> Option<String> {
    let mut reader = Reader::new(layers);
    let address = BackendAddress::read(&mut reader);
    let is_set = reader.optional("WOMBAT_BACKEND_OPENAPI").is_some();
    reader.finish().ok()?;
    if is_set {
        return None;
    }
    let http = service::http::client_builder().build().ok()?;
    let found = Asker::new(&http, &address.application).discover().await.ok()?;
    (!found.is_empty()).then(|| format!("OpenAPI document: {}", told(&found)))
}
