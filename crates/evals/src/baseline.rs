//! An earlier report to compare with: what failed there already does not count.

use std::collections::HashMap;

use crate::report::{CaseReport, CaseStatus, Report};

/// An earlier report.
#[derive(Debug, Clone)]
pub struct Baseline(HashMap<String, CaseStatus>);

/// Where a case stands against the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not in the baseline.
    New,
    /// It passed there and here.
    Same,
    /// It passed there.
    Regressed,
    /// It passes here.
    Fixed,
    /// It failed there, too.
    StillFailing,
}

impl Baseline {
    /// Reads a report that was written by `--json`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let report: Report = serde_json::from_str(text)
            .map_err(|error| format!("{name}: it is no report of eval run --json: {error}"))?;
        Ok(Self(report.cases.into_iter().map(|case| (case.id, case.status)).collect()))
    }

    /// Where a case stands.
    pub fn standing(&self, case: &CaseReport) -> Standing {
        let passes = case.status == CaseStatus::Passed;
        match self.0.get(&case.id) {
            None => Standing::New,
            Some(CaseStatus::Passed) if passes => Standing::Same,
            Some(CaseStatus::Passed) => Standing::Regressed,
            Some(CaseStatus::Failed | CaseStatus::Diverged | CaseStatus::Error) => match passes {
                true => Standing::Fixed,
                false => Standing::StillFailing,
            },
        }
    }

    /// The comparison in one line.
    pub(crate) fn summary(&self, report: &Report) -> String {
        let count =
            |standing| report.cases.iter().filter(|case| self.standing(case) == standing).count();
        format!(
            "Against the baseline: {} regressed, {} fixed, {} failing as before, {} new",
            count(Standing::Regressed),
            count(Standing::Fixed),
            count(Standing::StillFailing),
            count(Standing::New)
        )
    }
}

impl Report {
    /// Whether all cases passed that count: with a baseline, those that are new or passed there.
    pub fn is_good(&self, baseline: Option<&Baseline>) -> bool {
        self.cases.iter().all(|case| {
            case.status == CaseStatus::Passed
                || baseline.is_some_and(|b| b.standing(case) == Standing::StillFailing)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn only_what_is_new_or_passed_before_counts() {
        let now = sample();
        let mut before = sample();
        let baseline = |report: &Report| Baseline::parse("b.json", &report.to_json()).unwrap();
        assert!(!now.is_good(None) && now.is_good(Some(&baseline(&before))));
        before.cases[1].status = CaseStatus::Passed;
        let regressed = baseline(&before);
        assert!(!now.is_good(Some(&regressed)));
        assert_eq!(regressed.standing(&now.cases[1]), Standing::Regressed);
        before.cases.remove(1);
        let new = baseline(&before);
        assert!(!now.is_good(Some(&new)));
        assert_eq!(new.standing(&now.cases[1]), Standing::New);
        assert!(Baseline::parse("b.json", "[]").unwrap_err().starts_with("b.json: "));
    }
}
