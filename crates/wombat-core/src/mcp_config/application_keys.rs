//! Keys of the application that a file hands on.

/// Names under which applications keep what they sign sessions and tokens with: whoever has one can be any
/// user. By the documents of Django, Flask, Rails, Laravel, express-session, Auth.js and better-auth.
const KEYS: [&str; 13] = [
    "SECRET_KEY",
    "DJANGO_SECRET_KEY",
    "FLASK_SECRET_KEY",
    "SECRET_KEY_BASE",
    "RAILS_MASTER_KEY",
    "APP_KEY",
    "APP_SECRET",
    "SESSION_SECRET",
    "COOKIE_SECRET",
    "JWT_SECRET",
    "JWT_SECRET_KEY",
    "AUTH_SECRET",
    "NEXTAUTH_SECRET",
];

/// How other such names end.
const ENDS: [&str; 4] = ["_SESSION_SECRET", "_COOKIE_SECRET", "_JWT_SECRET", "_AUTH_SECRET"];

/// The variables in a text that are set and have such a name, each once, with their lines.
pub(crate) fn application_keys(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        for inner in text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)) {
            let name = inner.split_once(":-").map_or(inner, |(name, _)| name);
            let name = name.strip_prefix("env:").unwrap_or(name);
            let is_key = KEYS.contains(&name) || ENDS.iter().any(|end| name.ends_with(end));
            if is_key && env(name).is_some() && !found.iter().any(|(_, known)| known == name) {
                found.push((line, name.to_owned()));
            }
        }
    }
    found
}
