//! The page of one task.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use mc_client::types::{Document, Message, Page, Task};

use super::markup::{Esc, FULL, Short, Time, header, live, page, prose, section};
use super::{approvals, compose, documents, panels};
use crate::store::board::{NotificationRow, RunRow};
use crate::store::waiting::Waiting;

/// One task: its messages and documents.
pub(super) struct Thread<'a> {
    pub(super) user: &'a str,
    /// Whether whoever sees the page may choose the user.
    pub(super) may_choose: bool,
    pub(super) token: &'a str,
    /// The roles that are offered to write to.
    pub(super) roles: &'a [String],
    pub(super) task: &'a Task,
    /// What waits for a person on it.
    pub(super) waiting: &'a [Waiting],
    pub(super) messages: &'a Page<Message>,
    pub(super) documents: &'a [Document],
    pub(super) notifications: &'a [NotificationRow],
    /// When a dispatcher last asked for notifications.
    pub(super) asked_at: Option<DateTime<Utc>>,
    pub(super) runs: &'a [RunRow],
}

impl Thread<'_> {
    /// The page.
    pub(super) fn render(&self) -> String {
        page(&self.task.title, |out| self.body(out))
    }

    fn body(&self, out: &mut String) -> fmt::Result {
        let task = self.task;
        header(out, self.user, &task.title)?;
        writeln!(out, "<div id=\"live\" data-events=\"{}\">", Esc(&live(self.user)))?;
        section(out, "thread", "Messages", |out| {
            writeln!(
                out,
                "<p><span class=\"tag\">{}</span> <span class=\"id\">{}</span></p>",
                Esc(&task.status),
                Esc(&task.id)
            )?;
            if let Some(description) = &task.description {
                writeln!(out, "<div class=\"text\">{}</div>", prose(description))?;
            }
            // The newest ones are shown, as many as the page takes.
            let (mut shown, mut size) = (Vec::new(), 0);
            for message in self.messages.items.iter().rev() {
                let html = self.message(message);
                if size + html.len() > FULL && !shown.is_empty() {
                    break;
                }
                size += html.len();
                shown.push(html);
            }
            if self.messages.next_cursor.is_some() || shown.len() < self.messages.items.len() {
                out.push_str("<p class=\"none\">Older messages are not shown.</p>\n");
            }
            out.extend(shown.into_iter().rev());
            Ok(())
        })?;
        if !self.waiting.is_empty() {
            let page =
                approvals::Place { user: self.user, token: self.token, task: Some(&task.id) };
            approvals::approvals(out, page, self.waiting, false)?;
        }
        documents::list_of(out, self.user, self.documents)?;
        panels::runs(out, self.user, self.runs)?;
        panels::notifications(out, self.user, self.token, self.notifications, self.asked_at)?;
        out.push_str("</div>\n");
        let tasks = [(task.id.as_str(), task.title.as_str())];
        compose::form(
            out,
            self.user,
            self.may_choose,
            self.token,
            self.roles,
            &tasks,
            Some(&task.id),
        )?;
        out.push_str("</main>\n");
        Ok(())
    }

    fn message(&self, message: &Message) -> String {
        let (kind, who) = match message.actor_type.as_deref() {
            Some("user") => ("user", self.user),
            Some(_) | None => ("agent", message.agent_role.as_deref().unwrap_or("agent")),
        };
        let mark = match (&message.tool_request_id, kind) {
            (None, _) => "",
            (Some(_), "user") => " <span class=\"tag\">answer</span>",
            (Some(_), _) => " <span class=\"tag\">question</span>",
        };
        format!(
            "<article class=\"{kind}\"><h3>{} {}{mark}</h3><div class=\"text\">{}</div></article>\n",
            Short(who),
            Time(message.created_at),
            prose(&message.content)
        )
    }
}
