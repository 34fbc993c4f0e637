//! The page of a run, step by step from its journal: the request, each turn of the model, each tool
//! call with its result, times and costs.

use std::fmt::{self, Write as _};

use mc_client::runs::Run;
use mc_client::steps::endpoint_of;
use serde_json::Value;

use super::markup::visible::{Visible, VisibleText};
use super::markup::{
    Esc, FULL, Short, Time, cut, header, hidden, live, page, post, pretty, run_link, section,
    task_link,
};
use super::totals::{Totals, usd};
use crate::store::children::TreeRow;
use crate::store::session_role;
use crate::store::step_rows::{StepContent, StepRow};

/// The title and the figures of a step.
fn line(step: &StepRow) -> (String, Vec<String>) {
    let mut figures = Vec::new();
    let title = match &step.content {
        StepContent::Request(_) => "Asked".to_owned(),
        StepContent::Model(turn) => {
            let usage = &turn.completion.usage;
            figures.extend([
                format!("messages in: {}", turn.prompt.messages),
                format!("{} tokens in", usage.prompt_tokens),
            ]);
            if usage.cached_tokens > 0 {
                figures.push(format!("{} of them cached", usage.cached_tokens));
            }
            figures.extend([
                format!("{} tokens out", usage.completion_tokens),
                format!("{} ms", turn.duration_ms),
            ]);
            figures.extend(usd(turn.cost.as_ref()).map(|usd| format!("${usd:.6}")));
            let rejected = if step.is_rejected() { ", rejected" } else { "" };
            match turn.completion.model.as_str() {
                "offline" => format!("Scripted model{rejected}"),
                model => format!("Model {model}{rejected}"),
            }
        }
        StepContent::Tool(call) => {
            figures.push(format!("{} ms", call.duration_ms));
            if !call.ok {
                figures.push("failed".to_owned());
            }
            // For calls of endpoints: which endpoint it was.
            let (method, path) = endpoint_of(&call.arguments).unwrap_or_default();
            format!("Tool {} {method} {path}", call.name).trim().to_owned()
        }
        StepContent::Other if step.is_answer() => "Model, cannot be read".to_owned(),
        StepContent::Other => step.kind.clone(),
    };
    (title, figures)
}

/// The contents of a step, each with its heading.
fn parts(step: &StepRow) -> Vec<(&'static str, String)> {
    let parts = match &step.content {
        StepContent::Request(request) => vec![
            ("Message", request.message.clone()),
            ("As the model saw it", request.newest.clone()),
        ],
        StepContent::Model(turn) => {
            let message = &turn.completion.message;
            let calls = message.tool_calls.iter();
            let calls = calls.map(|call| ("Calls", format!("{}({})", call.name, call.arguments)));
            [("Text", message.text.clone())].into_iter().chain(calls).collect()
        }
        StepContent::Tool(call) => {
            vec![("Arguments", pretty(&call.arguments)), ("Result", call.content.clone())]
        }
        StepContent::Other => Vec::new(),
    };
    parts.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// What the page of a run shows.
#[derive(Clone, Copy)]
pub(super) struct RunPage<'a> {
    /// The run.
    pub(super) run: &'a Run,
    /// Its journal.
    pub(super) steps: &'a [StepRow],
    /// The runs that it belongs to and those that it asked for.
    pub(super) tree: &'a [TreeRow],
}

/// The page of a run.
pub(super) fn timeline(user: &str, token: &str, shown: &RunPage<'_>) -> String {
    let RunPage { run, steps, tree } = *shown;
    page("Run", |out| {
        header(out, user, "Run")?;
        writeln!(out, "<div id=\"live\" data-events=\"{}\">", Esc(&live(user)))?;
        section(out, "run", "State", |out| state(out, user, token, run, &Totals::of(steps)))?;
        if !tree.is_empty() {
            section(out, "tree", "Handed on", |out| handed_on(out, user, run, tree))?;
        }
        section(out, "timeline", "Timeline", |out| {
            if steps.is_empty() {
                return writeln!(out, "<p class=\"none\">Nothing yet.</p>");
            }
            out.push_str("<ol class=\"timeline\">\n");
            steps.iter().try_for_each(|one| step(out, one))?;
            writeln!(out, "</ol>")
        })?;
        out.push_str("</div>\n</main>\n");
        Ok(())
    })
}

/// The runs that belong together, each below the one that asked for it.
fn handed_on(out: &mut String, user: &str, shown: &Run, tree: &[TreeRow]) -> fmt::Result {
    let mut depth = None;
    for row in tree {
        let open = depth.map_or(0, |depth: usize| depth + 1);
        if row.depth >= open {
            out.push_str("<ul class=\"tree\">");
        } else {
            out.push_str(&"</li></ul>".repeat(open - 1 - row.depth));
            out.push_str("</li>");
        }
        depth = Some(row.depth);
        tree_row(out, user, shown, &row.run)?;
    }
    writeln!(out, "{}", "</li></ul>".repeat(depth.map_or(0, |depth| depth + 1)))
}

fn tree_row(out: &mut String, user: &str, shown: &Run, run: &Run) -> fmt::Result {
    let session = run.session_key.as_deref();
    let role = session.and_then(|key| session_role(user, key));
    let who = role.or(session).unwrap_or(&run.run_key);
    let is_shown = run.run_key == shown.run_key && run.session_key == shown.session_key;
    match is_shown {
        true => write!(out, "<li><strong>{}</strong>", Short(who))?,
        false => {
            let address = run_link(user, &run.run_key, role);
            write!(out, "<li><a href=\"{}\">{}</a>", Esc(&address), Short(who))?;
        }
    }
    write!(out, " <span class=\"tag {0}\">{0}</span> {1}", Esc(&run.status), Time(run.updated_at))
}

fn state(out: &mut String, user: &str, token: &str, run: &Run, sum: &Totals) -> fmt::Result {
    writeln!(
        out,
        "<p><span class=\"tag {0}\">{0}</span> {1} <span class=\"id\">{2}</span> {3}</p>",
        Esc(&run.status),
        Short(run.session_key.as_deref().unwrap_or_default()),
        Esc(&run.run_key),
        Time(run.updated_at)
    )?;
    write!(
        out,
        "<dl class=\"figures\"><div><dt>Model turns</dt><dd>{}</dd></div><div><dt>Tool calls</dt><dd>{}</dd></div>\
         <div><dt>Failed</dt><dd>{}</dd></div><div><dt>Tokens in</dt><dd>{}</dd></div>\
         <div><dt>Tokens out</dt><dd>{}</dd></div><div><dt>Time</dt><dd>{} ms</dd></div>\
         <div><dt>Cost</dt><dd>${:.6}",
        sum.turns, sum.calls, sum.failed, sum.prompt, sum.completion, sum.millis, sum.cost
    )?;
    if sum.unpriced > 0 {
        write!(out, " ({} without a known price)", sum.unpriced)?;
    }
    out.push_str("</dd></div></dl>\n");
    if let Some(task_id) = &run.task_id {
        writeln!(out, "<p><a href=\"{}\">Task</a></p>", Esc(&task_link(user, task_id)))?;
    }
    if !run.extra.is_empty() {
        let extra = pretty(&Value::Object(run.extra.clone()));
        writeln!(
            out,
            "<details><summary>Other fields</summary><pre class=\"json\">{}</pre></details>",
            VisibleText(&extra)
        )?;
    }
    if run.cancel_requested {
        return writeln!(out, "<p>Cancellation requested.</p>");
    }
    if run.known_status().is_some_and(|status| status.is_final()) {
        return Ok(());
    }
    post(out, "/cancel")?;
    hidden(out, token, user, &run.run_key)?;
    let role = run.session_key.as_deref().and_then(|key| session_role(user, key));
    let role = role.unwrap_or_default();
    writeln!(out, "<input type=\"hidden\" name=\"role\" value=\"{}\">", Esc(role))?;
    writeln!(out, "<button>Stop this run</button></form>")
}

fn step(out: &mut String, step: &StepRow) -> fmt::Result {
    let (title, figures) = line(step);
    let is_failure = matches!(&step.content, StepContent::Tool(call) if !call.ok);
    let failed = is_failure || step.is_rejected();
    let kind = if failed { "failed" } else { "" };
    write!(
        out,
        "<li class=\"{kind}\"><details id=\"step-{}\"><summary><strong>{}</strong> <span class=\"count\">{}</span> {}</summary>",
        step.index,
        Visible(&title.chars().take(300).collect::<String>()),
        Esc(&figures.join(", ")),
        Time(step.at)
    )?;
    for (name, text) in parts(step) {
        if out.len() > FULL {
            break;
        }
        let text = cut(text);
        write!(out, "<h3>{name}</h3><pre class=\"json\">{}</pre>", VisibleText(&text))?;
    }
    let raw = step.raw.as_ref().filter(|_| out.len() <= FULL);
    let Some(raw) = raw else {
        return writeln!(out, "<p class=\"none\">The rest of it is not shown.</p></details></li>");
    };
    writeln!(
        out,
        "<details><summary>Raw journal entry</summary><pre class=\"json\">{}</pre></details></details></li>",
        VisibleText(&pretty(raw))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page_of<'a>(run: &'a Run, steps: &'a [StepRow]) -> RunPage<'a> {
        RunPage { run, steps, tree: &[] }
    }

    #[test]
    fn runs_stand_below_those_that_asked_for_them() {
        let row = |depth, role: &str| {
            let session_key = Some(format!("user:ann:{role}"));
            let run = Run { run_key: role.to_owned(), session_key, ..Run::default() };
            TreeRow { depth, run }
        };
        let tree = [row(0, "top"), row(1, "one"), row(2, "deep"), row(1, "two")];
        let html = timeline("ann", "t", &RunPage { tree: &tree, ..page_of(&tree[1].run, &[]) });
        let bare = |text: &str| text.replace("<bdi>", "").replace("</bdi>", "");
        let from = html.find("<ul class=\"tree\">").unwrap();
        let html = bare(&html[from..]);
        let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text}: {html}"));
        assert!(place(">top</a>") < place("<strong>one</strong>"));
        assert!(place("<strong>one</strong>") < place(">deep</a>"));
        assert!(place(">deep</a>") < place(">two</a>"));
        assert_eq!(html.matches("<ul class=\"tree\">").count(), 3, "{html}");
        let lists = &html[..html.find("</section>").unwrap()];
        assert_eq!(lists.matches("<ul").count(), lists.matches("</ul>").count(), "{lists}");
        assert_eq!(lists.matches("<li>").count(), lists.matches("</li>").count(), "{lists}");
    }

    fn row(kind: &str, payload: Value) -> StepRow {
        let content = StepContent::read(kind, &payload);
        StepRow { index: 0, kind: kind.to_owned(), content, raw: Some(payload), at: None }
    }

    #[test]
    fn a_run_is_added_up() {
        let turn = |cost| {
            let usage = json!({ "prompt_tokens": 70, "completion_tokens": 5, "cached_tokens": 20 });
            let message = json!({ "text": "hm", "tool_calls": [{ "id": "1", "name": "look", "arguments": { "a": 1 } }] });
            json!({ "completion": { "message": message, "usage": usage, "model": "m" }, "cost": cost, "duration_ms": 10 })
        };
        let steps = [
            row("request", json!({ "message": "hello", "newest": "hello, at noon" })),
            row("llm", turn(json!({ "totalCost": 0.75, "known": true }))),
            row(
                "tool",
                json!({ "name": "look", "ok": false, "content": "no", "arguments": {}, "duration_ms": 3 }),
            ),
            row("llm_rejected", turn(json!({ "totalCost": 0.0, "known": false }))),
        ];
        let sum = Totals::of(&steps);
        let expected = Totals {
            turns: 2,
            calls: 1,
            failed: 1,
            millis: 23,
            prompt: 140,
            completion: 10,
            cost: 0.75,
            unpriced: 1,
        };
        assert_eq!(sum, expected);
        let html = timeline("ann", "t", &page_of(&Run::default(), &steps));
        for part in [
            "Model m</bdi></strong>",
            "70 tokens in, 20 of them cached, 5 tokens out, 10 ms, $0.750000",
            "look({&quot;a&quot;:1})",
            "Tool look</bdi></strong>",
            "3 ms, failed",
            "Model m, rejected",
            "hello, at noon",
            "(1 without a known price)",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn a_long_run_is_a_bounded_page_with_all_its_figures() {
        let large = "\u{202e}".repeat(50_000);
        let steps: Vec<_> = (0..500)
            .map(|_| {
                row("tool", json!({ "name": "look", "content": large, "duration_ms": u64::MAX }))
            })
            .collect();
        let html = timeline("ann", "t", &page_of(&Run::default(), &steps));
        assert!(html.len() < 2 * FULL, "{}", html.len());
        assert_eq!(html.matches("Tool look").count(), 500);
        assert!(html.contains(&format!("<dd>{} ms</dd>", u64::MAX)));
        assert!(html.contains("The rest of it is not shown."));
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        let run = Run {
            run_key: hostile.into(),
            status: hostile.into(),
            session_key: Some(hostile.into()),
            task_id: Some(hostile.into()),
            extra: json!({ hostile: hostile }).as_object().unwrap().clone(),
            ..Run::default()
        };
        let steps = [
            row(hostile, json!({ "name": hostile, hostile: [hostile] })),
            row(
                "tool",
                json!({ "name": hostile, "content": hostile, "arguments": { hostile: hostile } }),
            ),
            row(
                "llm",
                json!({ "completion": { "model": hostile, "message": { "text": hostile, "tool_calls": [{ "id": hostile, "name": hostile, "arguments": hostile }] } } }),
            ),
            row("request", json!({ "message": hostile, "newest": hostile })),
        ];
        let tree = [TreeRow { depth: 0, run: run.clone() }, TreeRow { depth: 1, run: run.clone() }];
        let all = timeline(hostile, hostile, &RunPage { tree: &tree, ..page_of(&run, &steps) });
        assert!(!all.contains("<script>alert"), "{all}");
        assert!(all.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{all}");
    }
}
