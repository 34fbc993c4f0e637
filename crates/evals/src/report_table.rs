//! The report as a table for a terminal.

use crate::baseline::{Baseline, Standing};
use crate::report::{CaseReport, Report, one_line, price};

/// The most of an id that the table shows, characters.
const MAX_ID: usize = 48;

impl Report {
    /// The report as lines for a terminal.
    pub fn to_table(&self, baseline: Option<&Baseline>) -> Vec<String> {
        let header =
            ["case", "role", "status", "turns", "calls", "cost $", "ms"].map(str::to_owned);
        let rows: Vec<_> = self.cases.iter().map(|case| row(case, baseline)).collect();
        let mut widths = header.clone().map(|text| text.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut lines = vec![line(&header, &widths)];
        for (row, case) in rows.iter().zip(&self.cases) {
            lines.push(line(row, &widths));
            lines.extend(case.failures.iter().map(|failure| format!("    {}", failure.line())));
        }
        lines.push(String::new());
        lines.push(self.summary());
        if let Some(baseline) = baseline {
            lines.push(baseline.summary(self));
        }
        lines
    }

    /// The sums in one line.
    pub fn summary(&self) -> String {
        let totals = &self.totals;
        format!(
            "{}: {} passed, {} failed, {} diverged, {}; {} tokens, ${:.4}, {:.1} s; model {}, workspace {}",
            counted(totals.cases, "case"),
            totals.passed,
            totals.failed,
            totals.diverged,
            counted(totals.error, "error"),
            totals.tokens,
            totals.cost_usd,
            std::time::Duration::from_millis(totals.duration_ms).as_secs_f64(),
            one_line(&self.model, 100),
            self.workspace_digest.chars().take(12).collect::<String>()
        )
    }
}

/// A number of things.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn row(case: &CaseReport, baseline: Option<&Baseline>) -> [String; 7] {
    let standing = baseline.map(|baseline| baseline.standing(case));
    let mark = match standing {
        Some(Standing::Regressed) => " (regressed)",
        Some(Standing::StillFailing) => " (as before)",
        Some(Standing::Fixed) => " (fixed)",
        Some(Standing::New) => " (new)",
        Some(Standing::Same) | None => "",
    };
    [
        one_line(&case.id, MAX_ID),
        one_line(&case.role, MAX_ID),
        format!("{}{mark}", case.status.as_str()),
        case.turns.to_string(),
        case.calls.len().to_string(),
        price(case.cost_usd),
        case.latency_ms.to_string(),
    ]
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        // Words begin at the left, numbers end at the right.
        line += &if at < 3 { format!("{cell}{gap}  ") } else { format!("{gap}{cell}  ") };
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn the_table_has_a_line_for_each_case_and_one_for_each_failure() {
        let lines = sample().to_table(None);
        assert_eq!(lines.len(), 1 + 4 + 3 + 2, "{lines:#?}");
        assert!(lines[1].starts_with("a     scout  passed"), "{lines:#?}");
        assert!(
            lines.last().unwrap().starts_with("4 cases: 1 passed, 1 failed, 1 diverged, 1 error;")
        );
        assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:#?}");
    }
}
