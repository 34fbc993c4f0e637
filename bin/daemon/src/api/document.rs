//! The OpenAPI document, as it is served.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use service::forwarded::Prefix;
use utoipa::openapi::{OpenApi, Server};

/// The document. Cheap to clone.
#[derive(Clone)]
pub(super) struct Document {
    document: Arc<OpenApi>,
    /// The document as most clients get it, serialised once.
    plain: Bytes,
}

impl Document {
    pub(super) fn new(document: OpenApi) -> Self {
        let plain = serde_json::to_vec(&document).unwrap_or_default().into();
        Self { document: Arc::new(document), plain }
    }

    /// The document for a client that knows the daemon under this prefix, if any: the paths of a document
    /// without servers are below the root of its host.
    pub(super) fn answer(&self, prefix: Option<&Prefix>) -> Response {
        let body = match prefix {
            None => self.plain.clone(),
            Some(prefix) => {
                let mut document = OpenApi::clone(&self.document);
                document.servers = Some(vec![Server::new(prefix.to_string())]);
                serde_json::to_vec(&document).unwrap_or_default().into()
            }
        };
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
    }
}
