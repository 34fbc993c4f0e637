//! `DATABASE_URL` of a PostgreSQL server, as users of libpq, of sqlx and of other libraries write it.
//!
//! What a part of a wrongly written URL is cannot be known: it may be a piece of the password. So
//! problems name the rule that is broken, and show nothing of the URL but names of parameters that
//! follow a complete address.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// How to write what most passwords need.
const ENCODE: &str = "a special character of the user name or the password is not percent-encoded; write @ as %40, / as %2F, \
    : as %3A, # as %23, ? as %3F, % as %25 (python3 -c 'import urllib.parse as p; print(p.quote(input(), safe=\"\"))' encodes a line)";

/// The form of the URL.
const FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// Parameters that sqlx reads itself, in both spellings.
const PASSED_ON: [&str; 10] = [
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "statement-cache-capacity",
];

/// Parameters of libpq about what this program does in its own way, or what TLS always has.
const WITHOUT_EFFECT: [&str; 9] = [
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "load_balance_hosts",
    "sslsni",
    "sslcompression",
    // Of Prisma; a pooler is found out.
    "pgbouncer",
];

/// The address of a PostgreSQL server, with the user and the password.
#[derive(Debug, Clone)]
pub struct Address {
    /// A URL that sqlx reads, without parameters that it does not know.
    url: SecretString,
    /// The schema that a `search_path` in the URL names.
    schema: Option<String>,
}

impl Address {
    /// Parses a URL that begins with `postgres:` or `postgresql:`. The error says what is wrong and
    /// what to write instead, and shows no part of a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let rest = text.split_once("://").map(|(_, rest)| rest);
        let rest = rest.ok_or_else(|| format!("is no URL of a database; allowed: {FORM}"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        let is_complete = authority.matches('@').count() < 2 && !after.contains('#');
        // An @ may show that all before it is in truth the password.
        if !is_complete || path.contains('@') || query.contains('@') {
            return Err(ENCODE.to_owned());
        }
        if text.chars().any(char::is_control)
            || [authority, path].into_iter().any(has_stray_percent)
        {
            return Err(ENCODE.to_owned());
        }
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.contains(',') {
            return Err(several_hosts());
        }
        let (query, schema) = parameters(query)?;
        let url = format!("postgres://{authority}{path}?{query}");
        let parsed = Url::parse(&url).map_err(|why| {
            // The parser's words name what is wrong, and never what stands there.
            format!("is no URL of a database ({why}); allowed: {FORM}; {ENCODE}")
        })?;
        // sqlx's parser reads values that were checked above, and the port.
        match <PgConnectOptions as sqlx::ConnectOptions>::from_url(&parsed) {
            Ok(_) => Ok(Self { url: url.into(), schema }),
            Err(_) => Err(format!(
                "is no URL of a database: a parameter has a value that is not allowed; allowed: {FORM}?sslmode=verify-full"
            )),
        }
    }

    /// The schema that the URL asks for.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Whether the URL has start-up `options`, which poolers refuse.
    pub(super) fn has_options(&self) -> bool {
        self.options().is_some_and(|options| options.get_options().is_some())
    }

    /// The URL, with a password, for sqlx.
    pub(in crate::store) fn url(&self) -> &str {
        self.url.expose_secret()
    }

    /// The options of one connection, as sqlx has them.
    pub(super) fn options(&self) -> Option<PgConnectOptions> {
        self.url().parse().ok()
    }

    /// The server and the name of the database, without secrets.
    pub fn place(&self) -> String {
        let Some(options) = self.options() else { return "a PostgreSQL server".to_owned() };
        let name = options.get_database().unwrap_or_else(|| options.get_username());
        match options.get_socket() {
            Some(socket) => format!("{name} at {}", socket.display()),
            None if options.get_host().starts_with('/') => {
                format!("{name} at {}", options.get_host())
            }
            None => format!("{name} at {}:{}", options.get_host(), options.get_port()),
        }
    }
}

/// Whether a text can be the name of a parameter.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-[].".contains(&byte))
}

/// Whether a `%` stands for itself.
fn has_stray_percent(text: &str) -> bool {
    text.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn several_hosts() -> String {
    "names several hosts; give one address that always leads to the server that takes writes, such as a proxy's or the provider's own"
        .to_owned()
}

/// Reads the parameters; returns those for sqlx, and the schema that a `search_path` names.
fn parameters(query: &str) -> Result<(String, Option<String>), String> {
    let mut read = Parameters::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !is_name(name) || has_stray_percent(value) {
            return Err(ENCODE.to_owned());
        }
        // As libpq reads it, a + is a plus; only in options many write it for a space.
        let value = match name.starts_with("options") {
            true => value.replace('+', " "),
            false => value.to_owned(),
        };
        let value = percent_decode_str(&value).decode_utf8();
        let value = value.map_err(|_| format!("the value of {name} is not UTF-8"))?;
        read.take(name, &value)?;
    }
    read.finish()
}

#[derive(Default)]
struct Parameters {
    pairs: Vec<(String, String)>,
    schema: Option<String>,
    ssl_mode: Option<String>,
    has_root: bool,
}

impl Parameters {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let none_of = |allowed: &[&str], why: &str| match allowed.contains(&value) {
            true => Ok(()),
            false => Err(format!("{name}: {why}")),
        };
        match name {
            "sslmode" | "ssl-mode" => {
                let known = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
                none_of(
                    &known,
                    "allowed: disable, allow, prefer, require, verify-ca, verify-full",
                )?;
                self.ssl_mode = Some(value.to_owned());
            }
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                if value == "system" {
                    return Err(
                        "sslrootcert: name a file, such as /etc/ssl/certs/ca-certificates.crt"
                            .to_owned(),
                    );
                }
                if let Err(error) = std::fs::metadata(value) {
                    return Err(format!("sslrootcert: {value} cannot be read: {error}"));
                }
                self.has_root = true;
                self.pass_on("sslrootcert", value);
            }
            "host" if value.contains(',') => return Err(several_hosts()),
            "host" => self.pass_on(name, value),
            "application_name" | "fallback_application_name" => {
                self.pass_on("application_name", value);
            }
            "options" => self.options(value)?,
            "search_path" => self.schema = first_schema(value),
            "target_session_attrs" => {
                none_of(
                    &["any", "read-write", "primary"],
                    "this backend writes; allowed: any, read-write, primary",
                )?;
            }
            "connect_timeout" if value.parse::<u32>().is_ok() => {}
            "connect_timeout" => {
                return Err("connect_timeout: allowed: a number of seconds".to_owned());
            }
            "client_encoding" => {
                let value = value.to_ascii_lowercase();
                if !["utf8", "utf-8", "auto"].contains(&value.as_str()) {
                    return Err("client_encoding: this backend speaks UTF8".to_owned());
                }
            }
            "gssencmode" => {
                none_of(&["disable", "prefer"], "GSSAPI is not supported; leave it out")?
            }
            "sslnegotiation" => none_of(&["postgres"], "allowed: postgres")?,
            "channel_binding" => {
                none_of(
                    &["disable", "prefer"],
                    "channel binding is not supported; leave it out, and use sslmode=verify-full",
                )?;
            }
            "ssl" => {
                return Err(
                    "ssl: write sslmode=require, or sslmode=verify-full with sslrootcert=FILE"
                        .to_owned(),
                );
            }
            "schema" | "currentSchema" => {
                return Err(format!("{name}: name the schema with MC_SCHEMA"));
            }
            "connection_limit" | "pool_size" | "max_connections" => {
                return Err(format!(
                    "{name}: set the number of connections with MC_DB_CONNECTIONS"
                ));
            }
            _ if PASSED_ON.contains(&name) => self.pass_on(name, value),
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => match name.strip_prefix("options[").and_then(|name| name.strip_suffix(']')) {
                Some("search_path") => self.schema = first_schema(value),
                Some(_) => self.pass_on(name, value),
                None => {
                    return Err(format!(
                        "{name} is no parameter that is known here; allowed are sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, \
                         port, dbname, user, password, application_name, connect_timeout, target_session_attrs, search_path and options"
                    ));
                }
            },
        }
        Ok(())
    }

    fn pass_on(&mut self, name: &str, value: &str) {
        self.pairs.push((name.to_owned(), value.to_owned()));
    }

    /// Takes the search path out of `-c NAME=VALUE …`.
    fn options(&mut self, text: &str) -> Result<(), String> {
        let mut rest = Vec::new();
        let mut words = words(text).into_iter();
        while let Some(word) = words.next() {
            let setting = match word.as_str() {
                "-c" => words.next().unwrap_or_default(),
                word => {
                    let setting = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
                    setting.unwrap_or_default().to_owned()
                }
            };
            let Some((name, value)) = setting.split_once('=') else {
                let allowed = "options: allowed: -c NAME=VALUE, several separated by spaces";
                return Err(allowed.to_owned());
            };
            match name {
                "search_path" => self.schema = first_schema(value),
                _ => rest.push(format!("-c {name}={}", word_of(value))),
            }
        }
        if !rest.is_empty() {
            self.pass_on("options", &rest.join(" "));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(String, Option<String>), String> {
        let mode = match (self.ssl_mode.as_deref(), self.has_root) {
            // As libpq has it: who names an authority wants it asked.
            (Some("require"), true) => Some("verify-ca"),
            // sqlx would never try TLS.
            (Some("allow"), _) => Some("prefer"),
            (Some("disable" | "prefer" | "require" | "verify-ca" | "verify-full") | None, _)
            | (Some(_), _) => self.ssl_mode.as_deref(),
        };
        if let Some(mode) = mode {
            self.pairs.push(("sslmode".to_owned(), mode.to_owned()));
        }
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = self.pairs.iter().map(|(name, value)| {
            // Names were checked.
            format!("{}={}", name.replace('[', "%5B").replace(']', "%5D"), encode(value))
        });
        Ok((pairs.collect::<Vec<_>>().join("&"), self.schema))
    }
}

/// The words of start-up options: separated by white space that no backslash precedes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => word.extend(rest.next()),
            c if c.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// A value as a word of start-up options.
pub(super) fn word_of(value: &str) -> String {
    value.replace('\\', "\\\\").replace(' ', "\\ ")
}

/// The first schema of a search path that is a name.
fn first_schema(path: &str) -> Option<String> {
    let mut names = path.split(',').map(str::trim).filter(|name| !name.is_empty());
    let first = names.find(|name| !name.contains("$user"))?;
    match first.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => Some(first.to_lowercase()),
    }
}

#[cfg(test)]
mod tests;
