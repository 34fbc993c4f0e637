//! The addresses of a backend and the HTTP client for it.

use std::sync::Arc;

use outbound::HttpClient;
use url::Url;

use crate::error::McError;
use crate::retry_policy::RetryPolicy;
use crate::url::PREFIX;

/// The addresses of a backend, and how it is called.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    /// Where everything under `/api/mission-control` is.
    pub(crate) control_plane: Address,
    /// Where everything else is: the application's own endpoints. Mostly the same.
    pub(crate) application: Address,
    pub(crate) http: HttpClient,
    pub(crate) retry: RetryPolicy,
}

/// An address, whose path, if any, is kept as a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) text: Arc<str>,
    /// The same, parsed once; `None` when it is not a URL, which every call then reports.
    base: Option<Arc<Url>>,
}

impl Address {
    pub(crate) fn new(text: &str) -> Self {
        let text = text.trim_end_matches('/');
        let base = Url::parse(text).ok().filter(|url| !url.cannot_be_a_base()).map(Arc::new);
        Self { text: text.into(), base }
    }

    /// Its path; empty where it is not a URL.
    pub(crate) fn path(&self) -> &str {
        self.base.as_ref().map_or("", |base| base.path())
    }
}

impl Backend {
    /// Which of the two addresses a path belongs to.
    fn of(&self, path: &str) -> &Address {
        match path.strip_prefix(PREFIX) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => &self.control_plane,
            Some(_) | None => &self.application,
        }
    }

    /// The address that a call goes to, as it is set.
    pub(crate) fn address(&self, path_and_query: &str) -> &Arc<str> {
        &self.of(path_and_query.split('?').next().unwrap_or_default()).text
    }

    /// The URL of a call: the path alone decides which of the two addresses it goes to.
    pub(crate) fn url(&self, path_and_query: &str) -> Result<Url, McError> {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let Some(base) = &self.of(path).base else {
            return Err(McError::Unreachable {
                cause: "its address is not a URL".to_owned(),
                is_tls: false,
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_decides_which_address_is_called() {
        let backend = Backend {
            control_plane: Address::new("http://plane:1/mc/"),
            application: Address::new("http://app:2"),
            http: reqwest::Client::new().into(),
            retry: RetryPolicy::default(),
        };
        for (path, url) in [
            ("/api/mission-control", "http://plane:1/mc/api/mission-control"),
            (
                "/api/mission-control/tasks?limit=2",
                "http://plane:1/mc/api/mission-control/tasks?limit=2",
            ),
            ("/api/mission-control/events", "http://plane:1/mc/api/mission-control/events"),
            ("/api/mission-controls", "http://app:2/api/mission-controls"),
            ("/api/tools", "http://app:2/api/tools"),
            ("/openapi.json", "http://app:2/openapi.json"),
            ("/", "http://app:2/"),
            ("/v1/api/mission-control/tasks", "http://app:2/v1/api/mission-control/tasks"),
            (
                "/api/schools?next=/api/mission-control/tasks",
                "http://app:2/api/schools?next=/api/mission-control/tasks",
            ),
        ] {
            assert_eq!(backend.url(path).unwrap().as_str(), url, "{path}");
        }
    }
}
