//! The OpenAPI document, as it is served.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use service::forwarded::Prefix;
use utoipa::openapi::OpenApi;

/// The document, serialised once. Cheap to clone.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &OpenApi) -> Self {
        Self(serde_json::to_vec(document).unwrap_or_default().into())
    }

    /// The document for a client that knows the daemon under this prefix, if any: the paths of a document
    /// without servers are below the root of its host. Like a card it is for whoever asked.
    pub(super) fn answer(&self, prefix: Option<&Prefix>) -> Response {
        let body = match prefix {
            None => self.0.clone(),
            Some(prefix) => self.below(prefix),
        };
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        ];
        (headers, body).into_response()
    }

    /// The document with its server, before everything else in it. A prefix needs no escaping.
    fn below(&self, prefix: &Prefix) -> Bytes {
        let Some(rest) = self.0.strip_prefix(b"{") else { return self.0.clone() };
        let servers = format!("{{\"servers\":[{{\"url\":\"{prefix}\"}}],");
        [servers.as_bytes(), rest].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_prefix_is_the_only_server() {
        let document = OpenApi::default();
        let mut expected = serde_json::to_value(&document).unwrap();
        let document = Document::new(&document);
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(parsed(&document.0), expected);
        expected["servers"] = json!([{ "url": "/a/b~c" }]);
        assert_eq!(parsed(&document.below(&"/a/b~c".parse().unwrap())), expected);
        let answer = document.answer(None);
        assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
    }
}
