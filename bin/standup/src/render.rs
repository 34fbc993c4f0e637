//! The day as text, Markdown or JSON.

use std::fmt::Write as _;

use clap::ValueEnum;
use mc_client::types::{Standup, StandupAnswer, StandupItem};

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain lines.
    Text,
    /// For a chat or a page.
    Markdown,
    /// The backend's answer.
    Json,
}

/// The answer in a format, without a line break at its end.
pub fn render(answer: &StandupAnswer, format: Format) -> String {
    let (date, zone, days) = match answer {
        StandupAnswer::One(day) => (&day.date, &day.timezone, std::slice::from_ref(day)),
        StandupAnswer::All { date, timezone, items } => (date, timezone, items.as_slice()),
    };
    let mut out = match format {
        Format::Json => return serde_json::to_string_pretty(answer).unwrap_or_default(),
        Format::Text => format!("Standup {date} ({zone})\n"),
        Format::Markdown => format!("# Standup {date} ({zone})\n"),
    };
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
    let heading = if format == Format::Markdown { "## " } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(out, "\n{heading}{}\n\n{}\n", line(&day.user_id), line(&day.summary));
    let lists = [("Done", &day.done), ("In progress", &day.in_progress), ("Blocked", &day.blocked)];
    for (title, items) in lists {
        if items.is_empty() {
            continue;
        }
        let _ = match format {
            Format::Markdown => write!(out, "\n### {title}\n\n"),
            Format::Text | Format::Json => writeln!(out, "{title}:"),
        };
        for item in items {
            let _ = match item {
                StandupItem::Task { title, .. } => writeln!(out, "- {}", line(title)),
                StandupItem::Text(text) => writeln!(out, "- {}", line(text)),
                StandupItem::Other(value) => writeln!(out, "- {value}"),
            };
        }
    }
}

/// A text on one line and without what a terminal would obey.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
        let markdown = "# Standup 2026-11-23 (UTC)\n\n## ann\n\n1 done.\n\n### Done\n\n- Call [2J Bob\n\n### In progress\n\n- think";
        assert_eq!(render(&answer(), Format::Markdown), markdown);
    }

    #[test]
    fn json_is_the_answer() {
        let json = render(&answer(), Format::Json);
        assert_eq!(serde_json::from_str::<StandupAnswer>(&json).unwrap(), answer());
    }
}
