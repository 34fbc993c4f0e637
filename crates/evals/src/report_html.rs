//! The report as one HTML page that loads nothing.

use std::fmt::Write as _;

use crate::baseline::{Baseline, Standing};
use crate::report::{CaseReport, CaseStatus, Report, price};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.passed{color:#176117}.failed,.diverged,.error{color:#a11}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f5f5;padding:.6rem;margin:.3rem 0}\
details{margin:.6rem 0}summary{cursor:pointer}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#242424}th,td{border-color:#444}\
.passed{color:#7c7}.failed,.diverged,.error{color:#f88}}";

impl Report {
    /// The report as a page of HTML.
    pub fn to_html(&self, baseline: Option<&Baseline>) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>Evaluation</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Evaluation</h1>\n<p>{}</p>\n",
            escaped(&self.summary())
        );
        if let Some(baseline) = baseline {
            let _infallible = writeln!(page, "<p>{}</p>", escaped(&baseline.summary(self)));
        }
        page += "<table>\n<tr><th>case</th><th>role</th><th>status</th><th class=\"n\">turns</th>\
                 <th class=\"n\">calls</th><th class=\"n\">cost $</th><th class=\"n\">ms</th></tr>\n";
        for case in &self.cases {
            let standing = baseline.map(|baseline| baseline.standing(case));
            write_row(&mut page, case, standing);
        }
        page += "</table>\n<h2>Cases</h2>\n";
        for case in &self.cases {
            write_case(&mut page, case);
        }
        page + "</body>\n</html>\n"
    }
}

fn write_row(page: &mut String, case: &CaseReport, standing: Option<Standing>) {
    let mark = match standing {
        Some(Standing::Regressed) => ", <strong>regressed</strong>",
        Some(Standing::StillFailing) => ", as before",
        Some(Standing::Fixed) => ", fixed",
        Some(Standing::New) => ", new",
        Some(Standing::Same) | None => "",
    };
    let status = case.status.as_str();
    let _infallible = writeln!(
        page,
        "<tr><td>{}</td><td>{}</td><td class=\"{status}\">{status}{mark}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        escaped(&case.id),
        escaped(&case.role),
        case.turns,
        case.calls.len(),
        price(case.cost_usd),
        case.latency_ms
    );
}

fn write_case(page: &mut String, case: &CaseReport) {
    let status = case.status.as_str();
    let open = if case.status == CaseStatus::Passed { "" } else { " open" };
    let _infallible = writeln!(
        page,
        "<details{open}><summary>{} <span class=\"{status}\">{status}</span></summary>",
        escaped(&case.id)
    );
    for failure in &case.failures {
        let _infallible = writeln!(page, "<pre>{}</pre>", escaped(&failure.line()));
    }
    if !case.calls.is_empty() {
        page.push_str("<ol>\n");
        for call in &case.calls {
            let answered = serde_json::to_value(call.answered).unwrap_or_default();
            let _infallible = writeln!(
                page,
                "<li>{} <pre>{}</pre> {}</li>",
                escaped(&call.tool),
                escaped(&call.arguments.to_string()),
                escaped(answered.as_str().unwrap_or_default())
            );
        }
        page.push_str("</ol>\n");
    }
    let _infallible = writeln!(page, "<pre>{}</pre>\n</details>", escaped(&case.response));
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(c),
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
    fn what_models_write_is_no_html() {
        let page = sample().to_html(None);
        assert!(page.contains("&lt;b&gt;hello&lt;/b&gt;") && !page.contains("<b>"), "{page}");
        assert!(page.contains("<td class=\"diverged\">diverged</td>"), "{page}");
        assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
    }
}
