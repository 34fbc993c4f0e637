//! Sections of the page: runs, spending, notifications.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use mc_client::budgets::{Budget, BudgetScope};

use super::markup::{Esc, Short, Time, hidden, list, post, run_link, section};
use crate::store::board::{DayRow, NotificationRow, RunRow};
use crate::store::session_role;

/// The newest runs.
pub(super) fn runs(out: &mut String, user: &str, runs: &[RunRow]) -> fmt::Result {
    section(out, "runs", "Runs", |out| {
        list(out, runs, "None.", |out, run| {
            let who = run.session_key.as_deref().unwrap_or(&run.run_key);
            let role = run.session_key.as_deref().and_then(|key| session_role(user, key));
            write!(
                out,
                "<a href=\"{}\">{}</a> <span class=\"tag\">{}</span> <span class=\"count\">steps: {}, {}</span>",
                Esc(&run_link(user, &run.run_key, role)),
                Short(who),
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
        let shared: Vec<_> = budget.budgets.iter().filter(|one| is_shared(&one.scope)).collect();
        if !shared.is_empty() {
            list(out, &shared, "", |out, one| {
                let scope = one.scope.to_string();
                write!(
                    out,
                    "{} ${:.4} of ${:.2} <span class=\"count\">left: ${:.4}</span>",
                    Esc(&scope),
                    one.spent_usd,
                    one.limit_usd,
                    one.remaining_usd
                )
            })?;
        }
        chart(out, days)?;
        list(out, days, "Nothing yet.", |out, day| {
            write!(
                out,
                "{} ${:.4} <span class=\"count\">calls: {}, tokens: {:.0}</span>",
                Esc(&day.day),
                day.cost_usd,
                day.calls,
                day.tokens
            )
        })
    })
}

/// Whether a budget is not the user's alone.
fn is_shared(scope: &BudgetScope) -> bool {
    scope.tenant_id.is_some() || scope.role.is_some()
}

/// A bar for each day, the newest at the right. The list below says the same in words.
fn chart(out: &mut String, days: &[DayRow]) -> fmt::Result {
    let most = days.iter().map(|day| day.cost_usd).fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(());
    }
    let width = days.len() * 24;
    write!(
        out,
        "<svg class=\"chart\" viewBox=\"0 0 {width} 64\" width=\"{width}\" height=\"64\" aria-hidden=\"true\">"
    )?;
    for (place, day) in days.iter().rev().enumerate() {
        let height = (day.cost_usd / most * 60.0).max(1.0);
        write!(
            out,
            "<rect x=\"{}\" y=\"{:.1}\" width=\"18\" height=\"{height:.1}\"><title>{}: ${:.4}</title></rect>",
            place * 24 + 3,
            64.0 - height,
            Esc(&day.day),
            day.cost_usd
        )?;
    }
    writeln!(out, "</svg>")
}

/// Notifications; dead letters can be requeued.
pub(super) fn notifications(
    out: &mut String,
    user: &str,
    token: &str,
    notifications: &[NotificationRow],
    asked_at: Option<DateTime<Utc>>,
) -> fmt::Result {
    section(out, "notifications", "Notifications", |out| {
        let is_unasked = |one: &NotificationRow| {
            one.is_left && asked_at.is_none_or(|asked| one.created_at.is_some_and(|at| asked < at))
        };
        if notifications.iter().any(is_unasked) {
            match asked_at {
                None => out.push_str(
                    "<p class=\"error\">No dispatcher has asked for notifications yet: start wombat-dispatcher.</p>\n",
                ),
                Some(at) => writeln!(
                    out,
                    "<p class=\"error\">No dispatcher has asked for notifications since {} UTC: start wombat-dispatcher, or see its log.</p>",
                    at.format("%H:%M:%S")
                )?,
            }
        }
        list(out, notifications, "None.", |out, notification| {
            write!(
                out,
                "<span class=\"tag\">{}</span> {}: {}",
                notification.state,
                Short(&notification.session_key),
                Esc(&notification.content)
            )?;
            if let Some(error) = &notification.error {
                write!(out, " <span class=\"error\">{}</span>", Esc(error))?;
            }
            if notification.is_dead { requeue(out, user, token, &notification.id) } else { Ok(()) }
        })
    })
}

/// The form that requeues a dead letter.
fn requeue(out: &mut String, user: &str, token: &str, id: &str) -> fmt::Result {
    post(out, "/requeue")?;
    hidden(out, token, user, id)?;
    write!(out, "<button>Try again</button></form>")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        let mut all = String::new();
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
    fn a_dispatcher_that_has_stopped_asking_is_missed() {
        let now = Utc::now();
        let told = |asked_at: Option<DateTime<Utc>>| {
            let left = NotificationRow {
                id: "n1".into(),
                is_dead: false,
                session_key: "user:ann:agent".into(),
                content: "hello".into(),
                state: "waiting",
                is_left: true,
                created_at: Some(now),
                error: None,
            };
            let mut page = String::new();
            notifications(&mut page, "ann", "t", &[left], asked_at).unwrap();
            page
        };
        assert!(told(None).contains("asked for notifications yet: start wombat-dispatcher"));
        let stopped = told(Some(now - TimeDelta::seconds(1)));
        assert!(stopped.contains("asked for notifications since "), "{stopped}");
        // It asks, and gets others first.
        assert!(!told(Some(now + TimeDelta::seconds(1))).contains("start wombat-dispatcher"));
    }
}
