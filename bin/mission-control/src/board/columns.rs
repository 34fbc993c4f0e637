//! A user's tasks by status, and today's standup.

use std::fmt::{self, Write as _};

use mc_client::types::TaskStatus;

use super::markup::{Esc, list, section, task_link};
use crate::store::board::{SHOWN_DONE, TaskColumn, TaskRow};

/// The title of a status.
fn name(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Pending => "Pending",
        TaskStatus::InProgress => "In progress",
        TaskStatus::Blocked => "Blocked",
        TaskStatus::Completed => "Completed",
        TaskStatus::Cancelled => "Cancelled",
    }
}

/// The tasks, a column for each status, with how many there are.
pub(super) fn tasks(out: &mut String, user: &str, columns: &[TaskColumn]) -> fmt::Result {
    section(out, "tasks", "Tasks", |out| {
        if columns.iter().all(|column| column.count == 0) {
            return writeln!(out, "<p class=\"none\">None yet: write to an agent.</p>");
        }
        out.push_str("<div class=\"columns\">\n");
        for column in columns {
            let id = column.status.as_str();
            write!(
                out,
                "<div class=\"column\"><h3 id=\"tasks-{id}\">{} <span class=\"count\">{}</span></h3><ul aria-labelledby=\"tasks-{id}\">",
                name(column.status),
                column.count
            )?;
            for task in &column.newest {
                write!(
                    out,
                    "<li><a href=\"{}\">{}</a> <span class=\"count\">messages: {}</span></li>",
                    Esc(&task_link(user, &task.id)),
                    Esc(&task.title),
                    task.messages
                )?;
            }
            let shown = i64::try_from(column.newest.len()).unwrap_or(i64::MAX);
            if column.count > shown {
                write!(out, "<li class=\"none\">and {} older</li>", column.count - shown)?;
            }
            out.push_str("</ul></div>\n");
        }
        writeln!(out, "</div>")
    })
}

/// Today's standup. `done` holds the newest tasks that were completed today.
pub(super) fn today(
    out: &mut String,
    user: &str,
    done: &[TaskRow],
    columns: &[TaskColumn],
) -> fmt::Result {
    let of = |status| columns.iter().find(|column| column.status == status);
    let count = |status| of(status).map_or(0, |column| column.count);
    section(out, "today", "Today's standup (UTC)", |out| {
        let some = if done.len() >= SHOWN_DONE { " or more" } else { "" };
        writeln!(
            out,
            "<p>{}{some} done, {} in progress, {} blocked.</p>",
            done.len(),
            count(TaskStatus::InProgress),
            count(TaskStatus::Blocked)
        )?;
        list(out, done, "Nothing was completed yet.", |out, task| {
            write!(out, "<a href=\"{}\">{}</a>", Esc(&task_link(user, &task.id)), Esc(&task.title))
        })
    })
}
