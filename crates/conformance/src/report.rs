//! The report: as a table for people, as JSON and JUnit for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report as JUnit, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The backend keeps the contract.
    Pass,
    /// It does not.
    Fail,
    /// The check could not be made, or the feature is not announced.
    Skipped,
    /// It keeps the contract, and does not follow a recommendation.
    Warning,
}

impl Outcome {
    /// The outcome in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
        }
    }

    /// What needs attention first comes first.
    fn rank(self) -> u8 {
        match self {
            Self::Fail => 0,
            Self::Warning => 1,
            Self::Skipped => 2,
            Self::Pass => 3,
        }
    }
}

/// A finished check.
#[derive(Debug, Clone, Serialize)]
pub struct Finished {
    /// The chapter of the contract.
    pub chapter: String,
    /// The name of the check within the chapter.
    pub check: String,
    /// The optional feature that it belongs to; absent for the required part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Whether the contract does not ask for it: a failure is a warning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_advice: bool,
    /// The outcome.
    pub outcome: Outcome,
    /// What the contract says.
    pub sentence: String,
    /// What the backend did, what was expected of it, or why the check was skipped.
    pub seen: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl Finished {
    /// Chapter and check.
    pub fn id(&self) -> String {
        format!("{}.{}", self.chapter, self.check)
    }

    /// Whether it belongs to the required part.
    pub fn is_required(&self) -> bool {
        self.feature.is_none()
    }
}

/// How many checks had which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed in the required part.
    pub failed_required: usize,
    /// Failed in features that the backend announces.
    pub failed_optional: usize,
    /// Skipped.
    pub skipped: usize,
    /// Recommendations that are not followed.
    pub warnings: usize,
}

/// The outcomes of all checks.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The backend.
    pub url: String,
    /// The contract version that it announces.
    pub contract_version: String,
    /// The features that it announces.
    pub features: BTreeMap<String, bool>,
    /// How many checks had which outcome.
    pub summary: Summary,
    /// The checks, in the order in which they ran.
    pub checks: Vec<Finished>,
    /// What was left in the backend, a sentence each.
    pub left_behind: Vec<String>,
    /// What may explain failures without a fault of the backend, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// The narrowest table, in characters.
const MIN_WIDTH: usize = 40;

/// How far the lines under a check's name are indented.
const INDENT: usize = 4;

/// The result of a check as it is shown.
fn result(check: &Finished) -> &'static str {
    match (check.outcome, check.is_required()) {
        (Outcome::Fail, false) => "FAIL (optional)",
        (outcome, _) => outcome.as_str(),
    }
}

fn flat(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}

/// A line for each check, as long as it needs to be.
fn wide(checks: &[&Finished]) -> String {
    let head = ["chapter", "check", "result", "sentence", "seen"].map(str::to_owned);
    let rows = checks.iter().map(|check| {
        [&check.chapter, &check.check, result(check), &check.sentence, &check.seen].map(flat)
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or_default());
    let mut out = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _infallible = write!(out, "{cell:width$}  ");
        }
        out += &row[4];
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// A line for each check that passed, and several for each that did not.
fn narrow(checks: &[&Finished], width: usize) -> String {
    let mut out = String::new();
    for check in checks {
        let line = format!("{}  {}", result(check), check.id());
        if check.outcome == Outcome::Pass {
            let line = flat(&format!("{line}  {}", check.sentence));
            out.extend([cut(&line, width).as_str(), "\n"]);
            continue;
        }
        out.extend([cut(&line, width).as_str(), "\n"]);
        for text in [&check.sentence, &check.seen].into_iter().filter(|text| !text.is_empty()) {
            for part in broken(&flat(text), width - INDENT) {
                let _infallible = writeln!(out, "{:INDENT$}{part}", "");
            }
        }
    }
    out
}

fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        Some(_) => line.chars().take(width - 1).chain(['…']).collect(),
        None => line.to_owned(),
    }
}

/// A text in lines of at most this many characters, broken between words where that is possible.
fn broken(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.chars().count() + 1 + rest.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        while rest.len() > width {
            let tail = rest.split_off(width);
            lines.push(std::mem::replace(&mut rest, tail).into_iter().collect());
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(rest);
    }
    lines.push(line);
    lines
}

impl Report {
    /// Counts the outcomes.
    pub(crate) fn count(checks: &[Finished]) -> Summary {
        checks.iter().fold(Summary::default(), |mut summary, check| {
            match (check.outcome, check.is_required()) {
                (Outcome::Pass, _) => summary.passed += 1,
                (Outcome::Fail, true) => summary.failed_required += 1,
                (Outcome::Fail, false) => summary.failed_optional += 1,
                (Outcome::Skipped, _) => summary.skipped += 1,
                (Outcome::Warning, _) => summary.warnings += 1,
            }
            summary
        })
    }

    /// The table, failures first, with a summary under it. With a width no line is longer: sentences are
    /// broken where a check did not pass, and cut where it did.
    pub fn table(&self, width: Option<usize>) -> String {
        let mut checks: Vec<&Finished> = self.checks.iter().collect();
        // Stable: within an outcome the contract's order stays.
        checks.sort_by_key(|check| (check.outcome.rank(), !check.is_required()));
        let mut out = match width {
            Some(width) => narrow(&checks, width.max(MIN_WIDTH)),
            None => wide(&checks),
        };
        out.push('\n');
        for line in self.last_lines() {
            let lines = width.map_or_else(|| vec![line.clone()], |width| broken(&line, width));
            for line in lines {
                out += &line;
                out.push('\n');
            }
        }
        out
    }

    fn last_lines(&self) -> Vec<String> {
        let Summary { passed, failed_required, failed_optional, skipped, warnings } = self.summary;
        let mut lines: Vec<String> = self.left_behind.iter().chain(&self.hints).cloned().collect();
        lines.push(format!(
            "{passed} passed, {failed_required} failed in the required part, {failed_optional} failed in optional features, {skipped} skipped, {warnings} warning{}",
            if warnings == 1 { "" } else { "s" }
        ));
        lines
    }

    /// The report as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The report as JUnit XML. A failure in an optional feature counts as a failure there, too.
    pub fn junit(&self) -> Result<String, quick_junit::SerializeError> {
        let mut report = JUnit::new("wombat conformance");
        let mut suites: Vec<TestSuite> = Vec::new();
        for check in &self.checks {
            let mut status = match check.outcome {
                // JUnit has no warnings: the text tells.
                Outcome::Pass | Outcome::Warning => TestCaseStatus::success(),
                Outcome::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
                Outcome::Skipped => TestCaseStatus::skipped(),
            };
            if matches!(check.outcome, Outcome::Fail | Outcome::Skipped) {
                status.set_message(check.seen.clone());
                status.set_description(format!("{}\nseen: {}", check.sentence, check.seen));
            }
            let mut case = TestCase::new(check.check.clone(), status);
            case.set_classname(check.chapter.clone());
            case.set_time(std::time::Duration::from_millis(check.duration_ms));
            let warning = if check.outcome == Outcome::Warning { "warning: " } else { "" };
            case.set_system_out(format!("{warning}{}\nseen: {}", check.sentence, check.seen));
            match suites.iter_mut().find(|suite| suite.name.as_str() == check.chapter) {
                Some(suite) => {
                    suite.add_test_case(case);
                }
                None => {
                    let mut suite = TestSuite::new(check.chapter.clone());
                    suite.add_test_case(case);
                    suites.push(suite);
                }
            }
        }
        report.add_test_suites(suites);
        report.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(check: &str, feature: Option<&str>, outcome: Outcome, seen: &str) -> Finished {
        Finished {
            chapter: "queue".to_owned(),
            check: check.to_owned(),
            feature: feature.map(str::to_owned),
            is_advice: outcome == Outcome::Warning,
            outcome,
            sentence: "A < B".to_owned(),
            seen: seen.to_owned(),
            duration_ms: 12,
        }
    }

    #[test]
    fn a_failure_in_an_optional_feature_is_counted_apart_and_no_cell_breaks_a_line() {
        let checks = vec![
            finished("one", None, Outcome::Pass, "fine"),
            finished("two", None, Outcome::Fail, "expected 200,\ngot 500"),
            finished("three", Some("heartbeat"), Outcome::Fail, "expected 1, got 2"),
            finished("four", Some("standup"), Outcome::Skipped, "not announced"),
            finished("five", None, Outcome::Warning, "expected 405, got 404"),
        ];
        let summary = Report::count(&checks);
        let expected =
            Summary { passed: 1, failed_required: 1, failed_optional: 1, skipped: 1, warnings: 1 };
        assert_eq!(summary, expected);
        let report = Report {
            url: "http://backend".to_owned(),
            contract_version: "v1".to_owned(),
            features: BTreeMap::new(),
            summary,
            checks,
            left_behind: vec!["one task".to_owned()],
            hints: Vec::new(),
        };
        let table = report.table(None);
        let order = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let order: Vec<_> = order.take(5).collect();
        assert_eq!(order, ["two", "three", "five", "four", "one"], "{table}");
        let narrow = report.table(Some(40));
        assert!(
            narrow.starts_with("FAIL  queue.two\n    A < B\n    expected 200, got 500\n"),
            "{narrow}"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains("pass  queue.one  A < B\n") && narrow.contains("1 warning"));
        assert_eq!(table.lines().count(), 6 + 1 + 2, "{table}");
        assert!(table.contains("FAIL (optional)") && table.contains("expected 200, got 500"));
        let junit = report.junit().unwrap();
        assert!(table.contains("1 warning\n") && junit.contains("warning: A &lt; B"), "{junit}");
        assert!(junit.contains("failures=\"2\"") && junit.contains("A &lt; B"), "{junit}");
        assert!(report.json().unwrap().contains("\"failed_optional\": 1"));
    }
}
