//! Variables in the description of a server, as the usual clients write them.

use super::Transport;

/// Replaces the variables in all strings of a server.
///
/// # Errors
/// What the first one that has no value is.
pub(super) fn fill_in(
    transport: &mut Transport,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let fill = |text: &mut String| {
        *text = filled(text, env)?;
        Ok(())
    };
    match transport {
        Transport::Stdio { command, args, env, cwd } => {
            fill(command)?;
            args.iter_mut().chain(cwd).chain(env.values_mut()).try_for_each(fill)
        }
        Transport::Http { url, headers } => {
            fill(url)?;
            headers.values_mut().try_for_each(fill)
        }
    }
}

/// Whether a text has variables.
pub(super) fn has_any(text: &str) -> bool {
    text.contains("${")
}

fn filled(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, after)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&value(inner, env)?);
        rest = after;
    }
    Ok(out + rest)
}

/// The value of what stands in braces: `NAME`, `NAME:-default`, and `env:NAME` of Cursor, VS Code and
/// others. A secret of the daemon's own is not set, whatever it is called by.
fn value(inner: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if default.is_some_and(|default| default.contains("${")) {
        return Err(format!("${{{name}:-…}} has a variable in its default"));
    }
    let variable = name.strip_prefix("env:").unwrap_or(name);
    if let Some(asked) = variable.strip_prefix("input:") {
        return Err(format!(
            "${{input:{asked}}} is asked for by an editor, and there is nobody to ask; write a variable, \
             such as ${{{}}}",
            as_variable(asked)
        ));
    }
    if let Some((kind, _)) = variable.split_once(':') {
        return Err(format!("${{{kind}:…}} is not known; write ${{NAME}}, for a variable"));
    }
    match (variable, env(variable), default) {
        ("userHome", None, _) => env("HOME").ok_or_else(|| "${userHome} is not set".to_owned()),
        ("/" | "pathSeparator", None, _) => Ok("/".to_owned()),
        // As in a shell, an empty one has no value either.
        (_, Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (_, Some(value), _) => Ok(value),
        (_, None, Some(default)) => Ok(default.to_owned()),
        (_, None, None) => {
            Err(format!("${{{inner}}} is not set, or is a secret of the daemon itself"))
        }
    }
}

/// A text as the name of a variable.
fn as_variable(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    text.chars().map(plain).collect()
}
