//! What came of the cases, as JSON for programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the report.
const VERSION: u32 = 1;

/// What came of all cases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// The digest of the workspace that was tried.
    pub workspace_digest: String,
    /// The model that was tried.
    pub model: String,
    /// Sums.
    pub totals: Totals,
    /// The cases, in their order.
    pub cases: Vec<CaseReport>,
}

/// Sums over all cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// How many there are.
    pub cases: usize,
    /// How many passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// How many left their journal.
    pub diverged: usize,
    /// How many could not be tried.
    pub error: usize,
    /// What all model calls cost, those of judges, too, US dollars.
    pub cost_usd: f64,
    /// Their tokens.
    pub tokens: u64,
    /// How long all cases took together, milliseconds of the clock.
    pub duration_ms: u64,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case.
    pub id: String,
    /// The role.
    #[serde(default)]
    pub role: String,
    /// Whether it passed.
    pub status: CaseStatus,
    /// What did not hold.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// The calls of the model, in order.
    #[serde(default)]
    pub calls: Vec<MadeCall>,
    /// The reply.
    #[serde(default)]
    pub response: String,
    /// How the run ended: an ending, or the code of its error.
    #[serde(default)]
    pub ending: String,
    /// How often the model was asked.
    #[serde(default)]
    pub turns: u32,
    /// The tokens of its calls.
    #[serde(default)]
    pub tokens: u64,
    /// Their price, US dollars; null where it is not known.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// How long it took, milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
    /// The model's score, where one judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What judging took, where a model judged; no part of the run's own tokens and price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judging: Option<Judging>,
}

/// What judging took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judging {
    /// The tokens.
    pub tokens: u64,
    /// Their price, US dollars; null where it is not known.
    pub cost_usd: Option<f64>,
}

/// What came of a case, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// All that is expected holds.
    Passed,
    /// Something does not hold.
    Failed,
    /// The model made a call that nothing answers.
    Diverged,
    /// It could not be tried.
    Error,
}

impl CaseReport {
    /// What is known of the prices of the run and of judging it.
    fn costs(&self) -> impl Iterator<Item = f64> {
        let judging = self.judging.and_then(|judging| judging.cost_usd);
        self.cost_usd.into_iter().chain(judging)
    }

    /// The tokens of the run and of judging it.
    fn all_tokens(&self) -> u64 {
        self.tokens + self.judging.map_or(0, |judging| judging.tokens)
    }
}

impl CaseStatus {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Error => "error",
        }
    }
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The expectation, as `expect` names it; `answers` for a call that nothing answers.
    pub expectation: String,
    /// What was expected.
    pub expected: Value,
    /// What there was.
    pub actual: Value,
}

/// A call of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeCall {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// What answered it.
    pub answered: Answered,
    /// What the tool always calls, where that is known.
    #[serde(skip)]
    pub endpoint: Option<String>,
    /// The tool that is meant and its arguments, where the model has asked a person for it (`request_tool`).
    #[serde(skip)]
    pub meant: Option<(String, Value)>,
    /// Whether it waits for a person, and so is not made.
    #[serde(skip)]
    pub waits: bool,
    /// Whether it is made without the approval that the journal has it wait for.
    #[serde(skip)]
    pub unasked: bool,
}

impl MadeCall {
    /// Whether it was made.
    pub fn is_made(&self) -> bool {
        self.answered.is_made() && !self.waits
    }
}

/// What answered a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// The run's journal.
    Journal,
    /// A fixture of the case.
    Fixture,
    /// The workspace.
    Workspace,
    /// A rule or a schema refused it.
    Refused,
    /// Nothing.
    Diverged,
}

impl Answered {
    /// Whether the call was made.
    fn is_made(self) -> bool {
        match self {
            Self::Journal | Self::Fixture | Self::Workspace => true,
            Self::Refused | Self::Diverged => false,
        }
    }
}

impl Report {
    /// The report of these cases.
    pub fn new(
        workspace_digest: String,
        model: String,
        cases: Vec<CaseReport>,
        took: Duration,
    ) -> Self {
        let count = |status| cases.iter().filter(|case| case.status == status).count();
        let totals = Totals {
            cases: cases.len(),
            passed: count(CaseStatus::Passed),
            failed: count(CaseStatus::Failed),
            diverged: count(CaseStatus::Diverged),
            error: count(CaseStatus::Error),
            cost_usd: rounded(cases.iter().flat_map(CaseReport::costs).sum()),
            tokens: cases.iter().map(CaseReport::all_tokens).sum(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        Self { version: VERSION, workspace_digest, model, totals, cases }
    }

    /// The report as JSON, for a file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The report as JUnit's XML, which CI systems read.
    pub fn to_junit(&self) -> String {
        crate::report_junit::write(self)
    }
}

/// Millionths of a dollar.
fn rounded(usd: f64) -> f64 {
    // A sum of nothing is a negative zero.
    (usd * 1e6).round() / 1e6 + 0.0
}

impl Failure {
    /// The failure in one line.
    pub fn line(&self) -> String {
        let (expected, actual) = (shown(&self.expected), shown(&self.actual));
        match (expected.is_empty(), actual.is_empty()) {
            (false, false) => format!("{}: expected {expected}, got {actual}", self.expectation),
            (false, true) => format!("{}: expected {expected}", self.expectation),
            (true, _) => format!("{}: {actual}", self.expectation),
        }
    }
}

/// The most of a value that a line tells, characters.
const MAX_SHOWN: usize = 300;

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    one_line(&text, MAX_SHOWN)
}

/// A text in one line without control characters, cut with a mark.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// A price for people.
pub(crate) fn price(usd: Option<f64>) -> String {
    usd.map_or_else(|| "?".to_owned(), |usd| format!("{usd:.4}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A report with one case of each status.
    pub(crate) fn sample() -> Report {
        let case = |id: &str, status| CaseReport {
            id: id.to_owned(),
            role: "scout".to_owned(),
            status,
            failures: Vec::new(),
            calls: vec![MadeCall {
                tool: "get".to_owned(),
                arguments: json!({ "a": 1 }),
                answered: Answered::Journal,
                endpoint: None,
                meant: None,
                waits: false,
                unasked: false,
            }],
            response: "<b>hello</b> | \u{1b}[31mred\nnext".to_owned(),
            ending: "ok".to_owned(),
            turns: 2,
            tokens: 10,
            cost_usd: Some(0.001),
            latency_ms: 1_500,
            score: None,
            judging: None,
        };
        let failure = |expectation: &str| Failure {
            expectation: expectation.to_owned(),
            expected: json!({ "contains": "]]> & <x>" }),
            actual: json!("hello\u{0}"),
        };
        let failed =
            CaseReport { failures: vec![failure("response")], ..case("b", CaseStatus::Failed) };
        let diverged =
            CaseReport { failures: vec![failure("answers")], ..case("c", CaseStatus::Diverged) };
        let error = CaseReport { failures: vec![failure("run")], ..case("d", CaseStatus::Error) };
        let cases = vec![case("a", CaseStatus::Passed), failed, diverged, error];
        Report::new(
            "digest".to_owned(),
            "offline/offline".to_owned(),
            cases,
            Duration::from_secs(6),
        )
    }

    #[test]
    fn totals_have_what_judging_costs() {
        let judging = Some(Judging { tokens: 5, cost_usd: Some(0.5) });
        let sample = sample();
        let (one, last) = (sample.cases[0].clone(), sample.cases[3].clone());
        let cases = vec![CaseReport { judging, ..one }, last];
        let report = Report::new(String::new(), String::new(), cases, Duration::ZERO);
        assert_eq!((report.totals.cost_usd, report.totals.tokens), (0.502, 25));
        assert_eq!(report.cases[0].cost_usd, Some(0.001));
    }

    #[test]
    fn the_json_has_the_fields_that_programs_read() {
        let report: Value = serde_json::from_str(&sample().to_json()).unwrap();
        let names: Vec<_> = report.as_object().unwrap().keys().collect();
        assert_eq!(names, ["version", "workspace_digest", "model", "totals", "cases"]);
        assert_eq!(report["totals"]["diverged"], 1);
        assert_eq!(report["cases"][2]["status"], "diverged");
        assert_eq!(
            report["cases"][0]["calls"][0],
            json!({ "tool": "get", "arguments": { "a": 1 }, "answered": "journal" })
        );
        let read: Report = serde_json::from_value(report).unwrap();
        assert_eq!(read.cases.len(), 4);
    }
}
