//! Real runs as tests. A file has cases: a message, what the tools answered, and what is expected of the run.
//! Here is all of it that needs no model and no daemon: reading the file, finding the answer to a call,
//! judging a run, telling the result, and placeholders for personal data. No network, no files.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answers;
mod baseline;
mod cases;
mod compare;
mod expect;
mod json;
mod judge;
mod matcher;
mod pattern;
mod placeholders;
mod report;
mod report_html;
mod report_junit;
mod report_markdown;
mod report_table;
mod shapes;
mod verdict;
mod yaml;

pub use answers::{Answer, Answers, AskedCall, key_of};
pub use baseline::{Baseline, Standing};
pub use cases::{
    Case, CaseFile, CaseLimits, CaseSource, CatalogueTool, Fixture, GivenMemory, HistoryTurn,
    RecordedAnswer, TurnRole,
};
pub use compare::{Difference, RunView, ViewedCall, differences};
pub use expect::{CallExpectation, Expect, JudgeSpec, OutputSchema, TextExpectation, Texts};
pub use judge::{Judgement, judgement, question};
pub use matcher::Matcher;
pub use pattern::Pattern;
pub use placeholders::{Finder, Found, Placeholders};
pub use report::{Answered, CaseReport, CaseStatus, Failure, Judging, MadeCall, Report, Totals};
pub use verdict::{Ended, judge_run};
pub use yaml::to_yaml;
