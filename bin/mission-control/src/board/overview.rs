//! The page of all that a user has.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use mc_client::approval_rules::ApprovalRule;
use mc_client::budgets::Budget;
use mc_client::memories::Memory;
use mc_client::types::{Document, Page};

use super::markup::place::at;
use super::markup::{Esc, Short, Time, link, list, live, page, post, section};
use super::{approvals, columns, compose, documents, memories, panels, rules};
use crate::store::board::{AgentRow, DayRow, NotificationRow, RunRow, TaskColumn, TaskRow};
use crate::store::waiting::Waiting;

/// The most users that are offered by name.
pub(super) const USERS: u32 = 200;

/// The most users that are linked to.
const LINKS: usize = 50;

/// All that a user has.
pub(super) struct Overview<'a> {
    pub(super) user: &'a str,
    /// Whether whoever sees the page may choose the user.
    pub(super) may_choose: bool,
    pub(super) token: &'a str,
    /// Whether people log in, and may log out.
    pub(super) locked: bool,
    /// Some of those who have a task.
    pub(super) users: &'a [String],
    /// Whether nobody was chosen, so that the users are listed.
    pub(super) is_open: bool,
    /// The roles that are offered to write to.
    pub(super) roles: &'a [String],
    pub(super) columns: &'a [TaskColumn],
    pub(super) done: &'a [TaskRow],
    pub(super) documents: &'a [Document],
    pub(super) notifications: &'a [NotificationRow],
    /// When a dispatcher last asked for notifications.
    pub(super) asked_at: Option<DateTime<Utc>>,
    pub(super) agents: &'a [AgentRow],
    pub(super) waiting: &'a [Waiting],
    /// Whether more wait than these.
    pub(super) more_wait: bool,
    /// The approval rules in force.
    pub(super) rules: &'a Page<ApprovalRule>,
    /// What agents remember.
    pub(super) memories: &'a Page<Memory>,
    pub(super) runs: &'a [RunRow],
    pub(super) budget: &'a Budget,
    pub(super) days: &'a [DayRow],
}

impl Overview<'_> {
    /// The page.
    pub(super) fn render(&self) -> String {
        page("Mission Control", |out| self.body(out))
    }

    /// Whose page this is, as a field for those who may choose.
    fn choice(&self, out: &mut String) -> fmt::Result {
        if !self.may_choose {
            return write!(out, "<span class=\"tag\">{}</span>", Esc(self.user));
        }
        write!(
            out,
            "<form method=\"get\" action=\"{}\"><label for=\"shown\">User</label> \
             <input id=\"shown\" name=\"user\" value=\"{}\" list=\"users\" required><datalist id=\"users\">",
            at("/"),
            Esc(self.user)
        )?;
        for user in self.users {
            write!(out, "<option value=\"{}\"></option>", Esc(user))?;
        }
        out.push_str("</datalist> <button>Show</button></form>");
        if self.is_open && !self.users.is_empty() {
            out.push_str("<nav id=\"known\" aria-label=\"Users\">");
            for user in self.users.iter().take(LINKS) {
                write!(out, "<a href=\"{}\">{}</a> ", Esc(&link("/", user)), Short(user))?;
            }
            out.push_str("</nav>");
        }
        Ok(())
    }

    fn body(&self, out: &mut String) -> fmt::Result {
        out.push_str("<header><h1>Mission Control</h1>\n");
        self.choice(out)?;
        if self.locked {
            post(out, "/logout")?;
            write!(
                out,
                "<input type=\"hidden\" name=\"token\" value=\"{}\">\
                 <button>Log out</button></form>",
                Esc(self.token)
            )?;
        }
        out.push_str("</header>\n<main>\n");
        let newest = self.columns.iter().flat_map(|column| &column.newest);
        let tasks: Vec<_> = newest.map(|t| (t.id.as_str(), t.title.as_str())).collect();
        compose::form(out, self.user, self.may_choose, self.token, self.roles, &tasks, None)?;
        writeln!(out, "<div id=\"live\" data-events=\"{}\">", Esc(&live(self.user)))?;
        let page = approvals::Place { user: self.user, token: self.token, task: None };
        approvals::approvals(out, page, self.waiting, self.more_wait)?;
        rules::rules(out, self.user, self.token, self.rules)?;
        columns::tasks(out, self.user, self.columns)?;
        columns::today(out, self.user, self.done, self.columns)?;
        documents::list_of(out, self.user, self.documents)?;
        memories::memories(out, self.user, self.token, self.memories)?;
        panels::runs(out, self.user, self.runs)?;
        panels::notifications(out, self.user, self.token, self.notifications, self.asked_at)?;
        panels::spending(out, self.budget, self.days)?;
        section(out, "agents", "Agents by last heartbeat", |out| {
            list(out, self.agents, "None yet.", |out, wake| {
                write!(
                    out,
                    "{} <span class=\"count\">last {}, times: {}</span>",
                    Short(&wake.role),
                    Time(wake.last_at),
                    wake.count
                )?;
                match &wake.note {
                    Some((note, at)) => {
                        write!(
                            out,
                            "<p class=\"note\">{} <span class=\"count\">{}</span></p>",
                            Esc(note),
                            Time(*at)
                        )
                    }
                    None => Ok(()),
                }
            })
        })?;
        out.push_str("</div>\n</main>\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        let task = || TaskRow { id: hostile.into(), title: hostile.into(), messages: 1 };
        let column = TaskColumn {
            status: mc_client::types::TaskStatus::Blocked,
            count: 2,
            newest: vec![task()],
        };
        let notification = NotificationRow {
            id: hostile.into(),
            is_dead: true,
            session_key: hostile.into(),
            content: hostile.into(),
            state: "waiting",
            is_left: true,
            created_at: None,
            error: Some(hostile.into()),
        };
        let overview = Overview {
            user: hostile,
            may_choose: true,
            token: "t",
            locked: true,
            users: &[hostile.to_owned()],
            is_open: true,
            roles: &[hostile.to_owned()],
            columns: &[column],
            done: &[task()],
            documents: &[],
            notifications: &[notification],
            asked_at: None,
            agents: &[AgentRow {
                role: hostile.into(),
                last_at: None,
                count: 1,
                note: Some((hostile.into(), None)),
            }],
            waiting: &[],
            more_wait: false,
            rules: &Page { items: Vec::new(), next_cursor: None },
            memories: &Page { items: Vec::new(), next_cursor: None },
            runs: &[],
            budget: &Budget::default(),
            days: &[],
        };
        for html in [overview.render(), super::super::notices::failure(hostile)] {
            assert!(!html.contains("<script>"), "{html}");
            let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;";
            assert!(html.contains(escaped), "{html}");
        }
    }
}
