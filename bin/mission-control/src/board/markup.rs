//! What pages are made of. Everything that comes from the database goes through [`Esc`],
//! [`markdown`] or [`visible`]; nothing here knows a page.

pub(super) mod markdown;
pub(super) mod place;
pub(super) mod visible;

use std::fmt::{self, Display, Write as _};

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::form_urlencoded;

use self::place::at;

/// The most characters of a text that are shown.
const SHOWN: usize = 20_000;

/// The most characters of a name or a title that are shown.
const NAME: usize = 300;

/// After how many bytes of HTML a page gets no further texts.
pub(super) const FULL: usize = 2 * 1024 * 1024;

/// The most characters of a person's or an agent's text that are shown.
const PROSE: usize = 256 * 1024;

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

/// A name or a title in which nothing is markup, cut where it is very long.
pub(super) struct Short<'a>(pub(super) &'a str);

impl Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(NAME) {
            Some((end, _)) => write!(f, "{}…", Esc(&self.0[..end])),
            None => Esc(self.0).fmt(f),
        }
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

/// The beginning of a form that is sent to a path of the page.
pub(super) fn post(out: &mut String, path: &str) -> fmt::Result {
    write!(out, "<form method=\"post\" action=\"{}\">", at(path))
}

/// The same, of a form with files.
pub(super) fn post_files(out: &mut String, path: &str) -> fmt::Result {
    let path = at(path);
    write!(out, "<form method=\"post\" action=\"{path}\" enctype=\"multipart/form-data\">")
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
    cut_at(text, SHOWN)
}

fn cut_at(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}\n… (cut)", &text[..end]),
        None => text,
    }
}

/// Markdown as HTML, cut where it is very long. Where little Markdown makes much HTML, such as a table
/// of empty cells, it stays text.
pub(super) fn prose(text: &str) -> String {
    let text = cut_at(text.to_owned(), PROSE);
    let html = markdown::render(&text);
    if html.len() <= FULL { html } else { format!("<pre>{}</pre>", Esc(&cut(text))) }
}

/// The head of a page below the overview.
pub(super) fn header(out: &mut String, user: &str, title: &str) -> fmt::Result {
    let (title, back) = (Short(title), link("/", user));
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
         <link rel=\"stylesheet\" href=\"{}\">\n<script src=\"{}\" defer></script>\n\
         </head>\n<body>\n",
        Short(title),
        at("/assets/board.css"),
        at("/assets/board.js"),
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
    format!("{}?{query}", at(path))
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
    fn little_markdown_does_not_become_a_large_page() {
        let columns = 2_000;
        let table =
            format!("{}|\n{}|\n{}", "|a".repeat(columns), "|-".repeat(columns), "|\n".repeat(500));
        for text in [table, "- ".repeat(100_000), "<".repeat(2_000_000), "\"".repeat(2_000_000)] {
            assert!(prose(&text).len() <= FULL, "{}", &text[..20]);
        }
        assert_eq!(prose("*a*"), "<p><em>a</em></p>\n");
    }

    #[test]
    fn a_very_long_step_is_cut_at_a_character() {
        let text = pretty(&json!("ü".repeat(SHOWN + 10)));
        assert!(text.ends_with("… (cut)") && text.len() < 3 * SHOWN);
    }
}
