//! How a server is reached, and which secrets that contains.

use std::collections::BTreeMap;

/// How a server is reached.
#[derive(Clone, PartialEq)]
pub enum Transport {
    /// A program that is started, with MCP over its standard input and output.
    Stdio {
        /// The program, looked up on `PATH`.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Environment variables, added to the few that every program needs.
        env: BTreeMap<String, String>,
        /// Its working directory; the workspace when absent.
        cwd: Option<String>,
    },
    /// A server on the network, over streamable HTTP.
    Http {
        /// Its address.
        url: String,
        /// Headers of every request.
        headers: BTreeMap<String, String>,
    },
}

/// Values of variables and headers are often secrets.
impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdio { command, .. } => {
                f.debug_struct("Stdio").field("command", command).finish_non_exhaustive()
            }
            Self::Http { .. } => f.debug_struct("Http").finish_non_exhaustive(),
        }
    }
}

/// What replaces a secret.
const HIDDEN: &str = "***";

/// The shortest value that is treated as a secret: replacing "1" would garble any text.
const MIN_SECRET: usize = 4;

/// Whether a part of a URL's path, or a value, is treated as a secret wherever it stands. Words are not.
fn may_be_key(part: &str) -> bool {
    part.len() >= 16 && part.bytes().any(|byte| byte.is_ascii_digit())
}

impl Transport {
    /// Where the server is: the program with its arguments, or scheme, host and path of the address. To be
    /// compared and not shown, as a path can hold a secret.
    pub fn place(&self) -> String {
        match self {
            Self::Stdio { command, args, cwd, .. } => self.hide_secrets(&format!(
                "{command} {args:?} {}",
                cwd.as_deref().unwrap_or_default()
            )),
            Self::Http { url, .. } => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                format!("{scheme}://{host}{path}")
            }
        }
    }

    /// Removes secrets from a text: the values of variables and headers, and all of a URL but its host.
    pub fn hide_secrets(&self, text: &str) -> String {
        let mut secrets: Vec<&str> = Vec::new();
        let mut text = text.to_owned();
        match self {
            Self::Stdio { args, env, .. } => {
                secrets.extend(env.values().map(String::as_str));
                // `--key=value`; an argument without `=` is a path or an option.
                secrets.extend(args.iter().filter_map(|arg| Some(arg.split_once('=')?.1)));
            }
            Self::Http { url, headers } => {
                secrets.extend(headers.values().map(String::as_str));
                let bearer =
                    |value: &'_ String| value.split_once(' ').map(|(_, token)| token.len());
                let tokens = headers.values().filter_map(|value| {
                    let length = bearer(value)?;
                    Some(&value[value.len() - length..])
                });
                secrets.extend(tokens);
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                secrets.extend(authority.rsplit_once('@').map(|(user, _)| user));
                secrets.extend(rest.split_once(['?', '#']).map(|(_, query)| query));
                let path = rest[authority.len()..].split(['?', '#']).next().unwrap_or_default();
                if path.len() > 1 {
                    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                    text = text.replace(&[host, path].concat(), &[host, "/", HIDDEN].concat());
                    secrets.extend(path.split('/').filter(|part| may_be_key(part)));
                }
            }
        }
        cut(text, secrets)
    }

    /// Removes what are surely keys from an answer: "true" is the value of some header, and part of many
    /// answers. The values of headers and of a URL's query count by their names, or by how they look.
    pub fn hide_keys(&self, text: &str) -> String {
        let Self::Http { url, headers } = self else { return text.to_owned() };
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let parts = path.split('/').filter(|part| may_be_key(part));
        let query =
            rest[place.len()..].split(['?', '#', '&']).filter_map(|pair| pair.split_once('='));
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let values =
            headers.chain(query).filter(|(name, value)| is_of_key(name) || may_be_key(value));
        let values = values.flat_map(|(_, value)| {
            [Some(value), value.split_once(' ').map(|(_, token)| token)].into_iter().flatten()
        });
        cut(text.to_owned(), user.into_iter().chain(parts).chain(values).collect())
    }
}

/// Whether what has this name is a key.
fn is_of_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["authorization", "cookie", "credential", "key", "password", "secret", "token"];
    words.iter().any(|word| name.contains(word)) || name.ends_with("auth")
}

fn cut(text: String, mut secrets: Vec<&str>) -> String {
    secrets.retain(|secret| secret.len() >= MIN_SECRET);
    // The longest first: one may contain another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text, |text, secret| {
        let text = text.replace(secret, HIDDEN);
        // In the encodings of servers, too.
        match shown::Secret::new(secret).and_then(|secret| secret.cut(text.as_bytes())) {
            Some(clean) => String::from_utf8_lossy(&clean).into_owned(),
            None => text,
        }
    })
}
