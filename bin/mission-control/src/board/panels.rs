//! The parts of the page that tell of runs, decisions and money.

use std::fmt::{self, Write as _};

use mc_client::budgets::Budget;
use mc_client::runs::Run;
use mc_client::tool_requests::ToolRequest;
use serde_json::Value;

use super::html::{Esc, Time, header, link, list, page, run_link, section, task_link};
use crate::store::board::{DayRow, NotificationRow, RunRow, StepRow};

/// The most characters of a step that are shown.
const SHOWN: usize = 20_000;

/// The hidden fields of a form about one object.
fn hidden(out: &mut String, token: &str, user: &str, id: &str) -> fmt::Result {
    for (name, value) in [("token", token), ("user", user), ("id", id)] {
        write!(out, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", Esc(value))?;
    }
    Ok(())
}

/// JSON as a person reads it, cut where it is very long.
fn pretty(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}\n… (cut)", &text[..end]),
        None => text,
    }
}

/// What waits for the person's decision.
pub(super) fn approvals(
    out: &mut String,
    user: &str,
    token: &str,
    waiting: &[ToolRequest],
) -> fmt::Result {
    section(out, "approvals", "Waiting for your decision", |out| {
        list(out, waiting, "Nothing.", |out, request| {
            let id = Esc(&request.id);
            write!(
                out,
                "<strong>{}</strong> for {}, on <a href=\"{}\">its task</a>",
                Esc(&request.tool),
                Esc(&request.session_key),
                Esc(&task_link(user, &request.task_id))
            )?;
            if let Some(reason) = &request.reason {
                write!(out, "<p>{}</p>", Esc(reason))?;
            }
            let arguments = Value::Object(request.arguments.clone());
            write!(out, "<pre class=\"json\">{}</pre>", Esc(&pretty(&arguments)))?;
            out.push_str("<form method=\"post\" action=\"/decide\">");
            hidden(out, token, user, &request.id)?;
            write!(
                out,
                "<label for=\"note-{id}\">Note</label> <input id=\"note-{id}\" name=\"note\"> \
                 <button name=\"decision\" value=\"approved\">Approve</button> \
                 <button name=\"decision\" value=\"denied\">Deny</button></form>"
            )
        })
    })
}

/// The newest runs.
pub(super) fn runs(out: &mut String, user: &str, runs: &[RunRow]) -> fmt::Result {
    section(out, "runs", "Runs", |out| {
        list(out, runs, "None.", |out, run| {
            let who = run.session_key.as_deref().unwrap_or(&run.run_key);
            write!(
                out,
                "<a href=\"{}\">{}</a> <span class=\"tag\">{}</span> <span class=\"count\">steps: {}, {}</span>",
                Esc(&run_link(user, &run.run_key)),
                Esc(who),
                Esc(&run.status),
                run.steps,
                Time(run.updated_at)
            )
        })
    })
}

/// What was spent on each of the last days, the newest first.
pub(super) fn spending(out: &mut String, budget: &Budget, days: &[DayRow]) -> fmt::Result {
    section(out, "spending", "Spending", |out| {
        write!(out, "<p>${:.4} in this period", budget.spent_usd)?;
        if let (Some(limit), Some(left)) = (budget.limit_usd, budget.remaining_usd) {
            write!(out, " of ${limit:.2}; ${left:.4} left")?;
        }
        out.push_str("</p>\n");
        let most = days.iter().map(|day| day.cost_usd).fold(0.0, f64::max);
        list(out, days, "Nothing yet.", |out, day| {
            // Without a cost at all every bar is empty.
            let max = if most > 0.0 { most } else { 1.0 };
            write!(
                out,
                "{0} <meter min=\"0\" max=\"{max}\" value=\"{1}\" aria-label=\"spent on {0}\">${1:.4}</meter> \
                 ${1:.4} <span class=\"count\">calls: {2}, tokens: {3}</span>",
                Esc(&day.day),
                day.cost_usd,
                day.calls,
                day.tokens
            )
        })
    })
}

/// A few figures that a step may hold, wherever the daemon put them.
fn figures(payload: &Value) -> String {
    const NAMES: [(&str, &str); 6] = [
        ("name", ""),
        ("model", ""),
        ("duration_ms", " ms"),
        ("prompt_tokens", " tokens in"),
        ("completion_tokens", " tokens out"),
        ("cost_usd", " USD"),
    ];
    let places = ["", "/usage", "/cost", "/request"];
    let found = NAMES.iter().filter_map(|(name, unit)| {
        let at = |place: &&str| payload.pointer(&format!("{place}/{name}"));
        match places.iter().find_map(at)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(format!("{number}{unit}")),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    });
    found.collect::<Vec<_>>().join(", ")
}

/// A run, step by step.
pub(super) fn timeline(user: &str, token: &str, run: &Run, steps: &[StepRow]) -> String {
    page("Run", |out| {
        header(out, user, "Run")?;
        out.push_str("<div id=\"live\">\n");
        section(out, "run", "State", |out| {
            writeln!(
                out,
                "<p><span class=\"tag\">{}</span> {} <span class=\"id\">{}</span> {}</p>",
                Esc(&run.status),
                Esc(run.session_key.as_deref().unwrap_or_default()),
                Esc(&run.run_key),
                Time(run.updated_at)
            )?;
            if let Some(task_id) = &run.task_id {
                writeln!(
                    out,
                    "<p><a href=\"{}\">Its task</a></p>",
                    Esc(&task_link(user, task_id))
                )?;
            }
            if !run.extra.is_empty() {
                let extra = Value::Object(run.extra.clone());
                writeln!(out, "<pre class=\"json\">{}</pre>", Esc(&pretty(&extra)))?;
            }
            if run.cancel_requested {
                return writeln!(out, "<p>Somebody has asked for it to stop.</p>");
            }
            if run.known_status().is_some_and(|status| status.is_final()) {
                return Ok(());
            }
            out.push_str("<form method=\"post\" action=\"/cancel\">");
            hidden(out, token, user, &run.run_key)?;
            writeln!(out, "<button>Stop this run</button></form>")
        })?;
        section(out, "timeline", "Timeline", |out| {
            list(out, steps, "Nothing yet.", |out, step| {
                write!(
                    out,
                    "<details><summary>{} <strong>{}</strong> {} <span class=\"count\">{}</span></summary>\
                     <pre class=\"json\">{}</pre></details>",
                    step.index,
                    Esc(&step.kind),
                    Time(step.at),
                    Esc(&figures(&step.payload)),
                    Esc(&pretty(&step.payload))
                )
            })
        })?;
        out.push_str("</div>\n</main>\n");
        Ok(())
    })
}

/// Notifications, with a way back for those that were given up.
pub(super) fn notifications(
    out: &mut String,
    user: &str,
    token: &str,
    notifications: &[NotificationRow],
) -> fmt::Result {
    section(out, "notifications", "Notifications", |out| {
        list(out, notifications, "None.", |out, notification| {
            write!(
                out,
                "<span class=\"tag\">{}</span> {}: {}",
                notification.state,
                Esc(&notification.session_key),
                Esc(&notification.content)
            )?;
            if let Some(error) = &notification.error {
                write!(out, " <span class=\"error\">{}</span>", Esc(error))?;
            }
            if notification.is_dead { requeue(out, user, token, &notification.id) } else { Ok(()) }
        })
    })
}

/// Puts a notification back that was given up.
fn requeue(out: &mut String, user: &str, token: &str, id: &str) -> fmt::Result {
    out.push_str("<form method=\"post\" action=\"/requeue\">");
    hidden(out, token, user, id)?;
    write!(out, "<button>Try again</button></form>")
}

/// Where all that happened is shown as it happens.
pub(super) fn live(user: &str) -> String {
    link("/live", user)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        let step = StepRow {
            index: 0,
            kind: hostile.into(),
            payload: json!({ "name": hostile, hostile: [hostile] }),
            at: None,
        };
        let mut all = timeline(hostile, hostile, &run, &[step]);
        let request = ToolRequest {
            id: hostile.into(),
            tool: hostile.into(),
            session_key: hostile.into(),
            task_id: hostile.into(),
            reason: Some(hostile.into()),
            arguments: json!({ hostile: hostile }).as_object().unwrap().clone(),
            ..ToolRequest::default()
        };
        approvals(&mut all, hostile, hostile, &[request]).unwrap();
        let row = RunRow {
            run_key: hostile.into(),
            status: hostile.into(),
            session_key: None,
            steps: 1,
            updated_at: None,
        };
        runs(&mut all, hostile, &[row]).unwrap();
        requeue(&mut all, hostile, hostile, hostile).unwrap();
        assert!(!all.contains("<script>alert"), "{all}");
        assert!(all.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{all}");
    }

    #[test]
    fn a_steps_figures_are_found_where_the_daemon_puts_them() {
        let payload = json!({
            "model": "m", "usage": { "prompt_tokens": 7, "completion_tokens": 3 }, "duration_ms": 12
        });
        assert_eq!(figures(&payload), "m, 12 ms, 7 tokens in, 3 tokens out");
        assert_eq!(figures(&json!([1])), "");
    }

    #[test]
    fn a_very_long_step_is_cut_at_a_character() {
        let text = pretty(&json!("ü".repeat(SHOWN + 10)));
        assert!(text.ends_with("… (cut)") && text.len() < 3 * SHOWN);
    }
}
