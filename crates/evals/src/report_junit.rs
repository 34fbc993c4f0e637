//! The report as JUnit's XML: a test suite `wombat-eval`, a class for each role, a test for each case.

use std::fmt::Write as _;

use crate::report::{CaseReport, CaseStatus, Report};

/// Writes the report.
pub(crate) fn write(report: &Report) -> String {
    let totals = &report.totals;
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{}\"",
        totals.cases,
        totals.failed + totals.diverged,
        totals.error,
        seconds(totals.duration_ms)
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"wombat-eval\" {counts}>\n  \
         <testsuite name=\"wombat-eval\" {counts}>\n"
    );
    for case in &report.cases {
        write_case(&mut xml, case);
    }
    xml + "  </testsuite>\n</testsuites>\n"
}

fn write_case(xml: &mut String, case: &CaseReport) {
    let (role, id, time) = (escaped(&case.role), escaped(&case.id), seconds(case.latency_ms));
    let _infallible =
        write!(xml, "    <testcase classname=\"{role}\" name=\"{id}\" time=\"{time}\"");
    let element = match case.status {
        CaseStatus::Passed => return *xml += "/>\n",
        CaseStatus::Failed | CaseStatus::Diverged => "failure",
        CaseStatus::Error => "error",
    };
    let lines: Vec<_> = case.failures.iter().map(|failure| failure.line()).collect();
    let message = lines.first().map(String::as_str).unwrap_or_default();
    let kind = case.status.as_str();
    let (message, all) = (escaped(message), escaped(&lines.join("\n")));
    let _infallible = writeln!(
        xml,
        ">\n      <{element} type=\"{kind}\" message=\"{message}\">{all}</{element}>\n    </testcase>"
    );
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// A text within XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn each_case_is_a_test_and_nothing_breaks_out() {
        let xml = sample().to_junit();
        for part in [
            "<testsuite name=\"wombat-eval\" tests=\"4\" failures=\"2\" errors=\"1\"",
            "<testcase classname=\"scout\" name=\"a\" time=\"1.500\"/>",
            "<failure type=\"failed\" message=\"response: ",
            "<failure type=\"diverged\"",
            "<error type=\"error\"",
            "]]&gt; &amp; &lt;x&gt;",
        ] {
            assert!(xml.contains(part), "{part}\n{xml}");
        }
        assert!(!xml.contains('\u{0}') && !xml.contains('\u{1b}'), "{xml}");
        let opened = xml.matches("<testcase").count();
        assert_eq!((opened, xml.matches("</testcase>").count()), (4, 3));
    }
}
