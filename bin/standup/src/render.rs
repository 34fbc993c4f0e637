//! Renders a standup as text, Markdown or JSON.

use clap::ValueEnum;
use mc_client::types::{Standup, StandupAnswer, StandupItem};

/// The output format (`--format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text.
    Text,
    /// Markdown, for a chat or a page.
    Markdown,
    /// The backend's answer as JSON.
    Json,
}

/// Renders the answer, without a line break at its end.
pub fn render(answer: &StandupAnswer, format: Format) -> String {
    let (date, zone, days) = match answer {
        StandupAnswer::One(day) => (&day.date, &day.timezone, std::slice::from_ref(day)),
        StandupAnswer::All { date, timezone, items } => (date, timezone, items.as_slice()),
    };
    let mark = match format {
        // What was read as JSON can always be written as such.
        Format::Json => return serde_json::to_string_pretty(answer).unwrap_or_default(),
        Format::Text => "",
        Format::Markdown => "# ",
    };
    let mut out = format!("{mark}Standup");
    if !date.is_empty() {
        out += &format!(" {}", line(date));
    }
    if !zone.is_empty() {
        out += &format!(" ({})", line(zone));
    }
    out.push('\n');
    if days.is_empty() {
        out += "\nNobody has anything to report.\n";
    }
    for day in days {
        one(&mut out, day, format);
    }
    out.truncate(out.trim_end().len());
    out
}

fn one(out: &mut String, day: &Standup, format: Format) {
    let (heading, subheading): (&str, &str) = match format {
        Format::Markdown => ("## ", "### "),
        Format::Text | Format::Json => ("", ""),
    };
    let words = match format {
        Format::Markdown => markdown,
        Format::Text | Format::Json => line,
    };
    if !day.user_id.is_empty() {
        *out += &format!("\n{heading}{}\n", words(&day.user_id));
    }
    *out += &format!("\n{}\n", line(&day.summary));
    let lists = [("Done", &day.done), ("In progress", &day.in_progress), ("Blocked", &day.blocked)];
    for (title, items) in lists {
        if items.is_empty() {
            continue;
        }
        // Markdown would take a list right below a line for a part of it.
        match format {
            Format::Markdown => *out += &format!("\n{subheading}{title}\n\n"),
            Format::Text | Format::Json => *out += &format!("{title}:\n"),
        }
        for item in items {
            let text = match item {
                StandupItem::Task { title, .. } | StandupItem::Text(title) => words(title),
                StandupItem::Other(value) => match value["title"].as_str() {
                    Some(title) => words(title),
                    None => words(&value.to_string()),
                },
            };
            *out += &format!("- {text}\n");
        }
    }
}

/// The text on one line, without control characters, which a terminal could obey.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text on one line with Markdown escaped, so that a task's title makes no link and no HTML.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in line(text).chars() {
        if r"\`*[]<>&".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> StandupAnswer {
        serde_json::from_value(json!({
            "date": "2026-11-23", "timezone": "UTC", "items": [{
                "date": "2026-11-23", "timezone": "UTC", "user_id": "ann", "summary": "1 done.",
                "done": [{ "id": "t1", "title": "Call\u{1b}[2J\nBob" }], "in_progress": ["think"], "blocked": [],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn text_and_markdown_name_the_day_the_user_and_the_tasks() {
        let text = "Standup 2026-11-23 (UTC)\n\nann\n\n1 done.\nDone:\n- Call [2J Bob\nIn progress:\n- think";
        assert_eq!(render(&answer(), Format::Text), text);
        let markdown = "# Standup 2026-11-23 (UTC)\n\n## ann\n\n1 done.\n\n### Done\n\n- Call \\[2J Bob\n\n### In progress\n\n- think";
        assert_eq!(render(&answer(), Format::Markdown), markdown);
    }

    #[test]
    fn a_title_is_only_text_in_markdown_and_gives_a_terminal_no_orders() {
        let day = |title: &str| -> StandupAnswer {
            serde_json::from_value(
                json!({ "date": "2026-11-23", "done": [title, { "title": title }] }),
            )
            .unwrap()
        };
        let markdown = render(&day("[x](http://x) <b> *a* snake_case"), Format::Markdown);
        let title = r"- \[x\](http://x) \<b\> \*a\* snake_case";
        assert!(markdown.ends_with(&format!("{title}\n{title}")), "{markdown}");
        let text = render(&day("\u{1b}]0;x\u{7}a\r\nb"), Format::Text);
        assert!(text.ends_with("- ]0;x a b"), "{text:?}");
    }

    #[test]
    fn what_a_backend_leaves_out_leaves_no_brackets() {
        let one: StandupAnswer =
            serde_json::from_value(json!({ "date": "2026-11-23", "summary": "Quiet." })).unwrap();
        assert_eq!(render(&one, Format::Text), "Standup 2026-11-23\n\nQuiet.");
        let nobody: StandupAnswer = serde_json::from_value(
            json!({ "date": "2026-11-23", "timezone": "Asia/Tokyo", "items": [] }),
        )
        .unwrap();
        assert!(render(&nobody, Format::Text).ends_with("Nobody has anything to report."));
    }

    #[test]
    fn json_is_the_answer() {
        let json = render(&answer(), Format::Json);
        assert_eq!(serde_json::from_str::<StandupAnswer>(&json).unwrap(), answer());
    }
}
