//! The prefix under which a proxy serves the program's paths.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// The longest prefix.
const MAX_LENGTH: usize = 256;

/// What our own paths begin with, those of the daemon and those of the page. A proxy that serves the program
/// under one of these has to take the prefix away: where it is left in the path, it cannot be told
/// from a path of ours.
const OWN: [&str; 17] = [
    "/.well-known",
    "/a2a",
    "/ag-ui",
    "/api",
    "/assets",
    "/boot",
    "/documents",
    "/live",
    "/login",
    "/logout",
    "/mcp",
    "/metrics",
    "/runs",
    "/tasks",
    "/tool-requests",
    "/usage",
    "/v1",
];

/// A prefix of paths such as `/wombat`, without a slash at its end; empty where there is none. It
/// consists of letters, digits and `. _ ~ -`, so that it is the same in a link, a header and a cookie,
/// and holds no `..` and no `//`, which would lead elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() {
            return Ok(Self::default());
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.bytes().all(is_plain);
        let names = path.strip_prefix('/').ok_or(())?;
        let is_prefix = path.len() <= MAX_LENGTH && names.split('/').all(is_name);
        is_prefix.then(|| Self(path.to_owned())).ok_or(())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A path below the prefix.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// A request's target without the prefix; nothing where its path does not begin with it.
    pub(super) fn strip(&self, uri: &Uri) -> Option<Uri> {
        let is_under = |own: &str| {
            self.0.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if OWN.into_iter().any(is_under) {
            return None;
        }
        let all = uri.path_and_query()?.as_str();
        let rest = all.strip_prefix(self.0.as_str())?;
        let rest = match rest.as_bytes().first() {
            None => "/".to_owned(),
            Some(b'?') => format!("/{rest}"),
            Some(b'/') => rest.to_owned(),
            Some(_) => return None,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(rest.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}
