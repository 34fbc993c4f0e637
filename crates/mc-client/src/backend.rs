//! The address of a backend and the HTTP client for it.

use std::sync::Arc;

use url::Url;

use crate::error::McError;
use crate::retry_policy::RetryPolicy;

/// The address of a backend, and how it is called.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) base_url: Arc<str>,
    /// The same, parsed once; `None` when it is not a URL, which every call then reports.
    pub(crate) base: Option<Arc<Url>>,
    pub(crate) http: reqwest::Client,
    pub(crate) retry: RetryPolicy,
}

impl Backend {
    /// The URL of a call.
    pub(crate) fn url(&self, path_and_query: &str) -> Result<Url, McError> {
        let Some(base) = &self.base else {
            return Err(McError::Unreachable {
                cause: "its address is not a URL".to_owned(),
                is_tls: false,
            });
        };
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = Url::clone(base);
        match base.path().trim_end_matches('/') {
            "" => url.set_path(path),
            prefix => url.set_path(&[prefix, path].concat()),
        }
        url.set_query(query);
        Ok(url)
    }
}
