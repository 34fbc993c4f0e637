//! The report in Markdown, for the comment on a change.

use std::fmt::Write as _;

use crate::baseline::{Baseline, Standing};
use crate::report::{CaseStatus, Report, one_line, price};

impl Report {
    /// The report in Markdown: a table, and what does not hold.
    pub fn to_markdown(&self, baseline: Option<&Baseline>) -> String {
        let mut text = format!("## Evaluation\n\n{}\n", escaped(&self.summary()));
        if let Some(baseline) = baseline {
            let _infallible = writeln!(text, "\n{}", escaped(&baseline.summary(self)));
        }
        text += "\n| case | role | status | turns | calls | cost $ | ms |\n\
                 | --- | --- | --- | ---: | ---: | ---: | ---: |\n";
        for case in &self.cases {
            let standing = baseline.map(|baseline| baseline.standing(case));
            let mark = match standing {
                Some(Standing::Regressed) => ", **regressed**",
                Some(Standing::StillFailing) => ", as before",
                Some(Standing::Fixed) => ", fixed",
                Some(Standing::New) => ", new",
                Some(Standing::Same) | None => "",
            };
            let _infallible = writeln!(
                text,
                "| {} | {} | {}{mark} | {} | {} | {} | {} |",
                escaped(&case.id),
                escaped(&case.role),
                case.status.as_str(),
                case.turns,
                case.calls.len(),
                price(case.cost_usd),
                case.latency_ms
            );
        }
        for case in self.cases.iter().filter(|case| case.status != CaseStatus::Passed) {
            let _infallible = writeln!(text, "\n### {}\n", escaped(&case.id));
            for failure in &case.failures {
                let _infallible = writeln!(text, "- {}", escaped(&failure.line()));
            }
        }
        text
    }
}

/// A text in one line that says nothing to a reader of Markdown, or of the HTML within.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text, 1_000).chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            // Nobody is notified by the comment on a change.
            '@' => out += "&#64;",
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn what_models_write_stays_text() {
        let text = sample().to_markdown(None);
        assert!(text.contains("| a | scout | passed | 2 | 1 | 0.0010 | 1500 |"), "{text}");
        assert!(text.contains("### b\n\n- response: expected "), "{text}");
        assert!(!text.contains("<x>") && text.contains("&lt;x&gt;"), "{text}");
    }
}
