//! What pages are made of. Everything that comes from the database goes through [`Esc`],
//! [`markdown`] or [`visible`]; nothing here knows a page.

pub(super) mod markdown;
pub(super) mod visible;

use std::fmt::{self, Display, Write as _};

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::form_urlencoded;

/// The most characters of a text that are shown.
const SHOWN: usize = 20_000;

/// A text in which nothing is markup.
pub(super) struct Esc<'a>(pub(super) &'a str);

impl Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A time, or nothing.
pub(super) struct Time(pub(super) Option<DateTime<Utc>>);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.0 else { return Ok(()) };
        let (machine, person) = (at.format("%Y-%m-%dT%H:%M:%SZ"), at.format("%Y-%m-%d %H:%M:%S"));
        write!(f, "<time datetime=\"{machine}\">{person} UTC</time>")
    }
}

/// A section of the page, with its heading.
pub(super) fn section(
    out: &mut String,
    id: &str,
    title: &str,
    fill: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    write!(out, "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">")?;
    writeln!(out, "{}</h2>", Esc(title))?;
    fill(out)?;
    out.push_str("</section>\n");
    Ok(())
}

/// A list, or `none` instead of an empty one.
pub(super) fn list<T>(
    out: &mut String,
    items: &[T],
    none: &str,
    mut item: impl FnMut(&mut String, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return writeln!(out, "<p class=\"none\">{none}</p>");
    }
    out.push_str("<ul>\n");
    for one in items {
        out.push_str("<li>");
        item(out, one)?;
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
    Ok(())
}

/// The hidden fields of a form about one object.
pub(super) fn hidden(out: &mut String, token: &str, user: &str, id: &str) -> fmt::Result {
    for (name, value) in [("token", token), ("user", user), ("id", id)] {
        write!(out, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", Esc(value))?;
    }
    Ok(())
}

/// JSON as a person reads it, cut where it is very long.
pub(super) fn pretty(value: &Value) -> String {
    cut(serde_json::to_string_pretty(value).unwrap_or_default())
}

/// A text, cut where it is very long.
pub(super) fn cut(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}\n… (cut)", &text[..end]),
        None => text,
    }
}

/// The head of a page below the overview.
pub(super) fn header(out: &mut String, user: &str, title: &str) -> fmt::Result {
    let (title, back) = (Esc(title), link("/", user));
    writeln!(
        out,
        "<header><h1>{title}</h1><nav><a href=\"{}\">All tasks</a></nav></header>\n<main>",
        Esc(&back)
    )
}

pub(super) fn page(title: &str, body: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <link rel=\"stylesheet\" href=\"/assets/board.css\">\n<script src=\"/assets/board.js\" defer></script>\n\
         </head>\n<body>\n",
        Esc(title)
    );
    // Writing to a string cannot fail.
    let _infallible = body(&mut out);
    out + "</body>\n</html>\n"
}

/// Where a task is shown.
pub(super) fn task_link(user: &str, task_id: &str) -> String {
    link(&format!("/tasks/{task_id}"), user)
}

/// Where a run is shown; several roles may have one with its key.
pub(super) fn run_link(user: &str, run_key: &str, role: Option<&str>) -> String {
    let run_key: String = form_urlencoded::byte_serialize(run_key.as_bytes()).collect();
    let mut address = link(&format!("/runs/{}", run_key.replace('+', "%20")), user);
    if let Some(role) = role {
        address.push_str("&role=");
        address.extend(form_urlencoded::byte_serialize(role.as_bytes()));
    }
    address
}

/// A path of the page, for a user.
pub(super) fn link(path: &str, user: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("user", user).finish();
    format!("{path}?{query}")
}

/// The address of the page's event stream.
pub(super) fn live(user: &str) -> String {
    link("/live", user)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_very_long_step_is_cut_at_a_character() {
        let text = pretty(&json!("ü".repeat(SHOWN + 10)));
        assert!(text.ends_with("… (cut)") && text.len() < 3 * SHOWN);
    }
}
