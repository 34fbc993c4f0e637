//! The page as text. Everything that comes from the database goes through [`Esc`].

use std::fmt::{self, Display, Write as _};

use chrono::{DateTime, Utc};
use mc_client::budgets::Budget;
use mc_client::tool_requests::ToolRequest;
use mc_client::types::{Document, Message, Page, Task};
use url::form_urlencoded;

use super::{columns, markdown, panels};
use crate::store::board::{DayRow, NotificationRow, RunRow, TaskColumn, TaskRow, WakeRow};

/// The most users that are offered by name.
const USERS: usize = 200;

/// The agents that the form offers; any other can be named by writing `@role`.
const ROLES: [&str; 3] = ["scout", "jarvis", "analyst"];

/// A text in which nothing is markup.
pub(super) struct Esc<'a>(pub(super) &'a str);

impl Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A moment, or nothing.
pub(super) struct Time(pub(super) Option<DateTime<Utc>>);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.0 else { return Ok(()) };
        let (machine, person) = (at.format("%Y-%m-%dT%H:%M:%SZ"), at.format("%Y-%m-%d %H:%M:%S"));
        write!(f, "<time datetime=\"{machine}\">{person} UTC</time>")
    }
}

/// A section of the part that the script keeps fresh.
pub(super) fn section(
    out: &mut String,
    id: &str,
    title: &str,
    fill: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    write!(out, "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">")?;
    writeln!(out, "{}</h2>", Esc(title))?;
    fill(out)?;
    out.push_str("</section>\n");
    Ok(())
}

/// A list, or a sentence instead of an empty one.
pub(super) fn list<T>(
    out: &mut String,
    items: &[T],
    none: &str,
    mut item: impl FnMut(&mut String, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return writeln!(out, "<p class=\"none\">{none}</p>");
    }
    out.push_str("<ul>\n");
    for one in items {
        out.push_str("<li>");
        item(out, one)?;
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
    Ok(())
}

/// All that a user has.
pub(super) struct Overview<'a> {
    pub(super) user: &'a str,
    pub(super) token: &'a str,
    /// Whether people log in, and may log out.
    pub(super) locked: bool,
    /// Everybody who has a task.
    pub(super) users: &'a [String],
    pub(super) columns: &'a [TaskColumn],
    pub(super) done: &'a [TaskRow],
    pub(super) documents: &'a [Document],
    pub(super) notifications: &'a [NotificationRow],
    pub(super) wakes: &'a [WakeRow],
    pub(super) waiting: &'a [ToolRequest],
    pub(super) runs: &'a [RunRow],
    pub(super) budget: &'a Budget,
    pub(super) days: &'a [DayRow],
}

impl Overview<'_> {
    /// The page.
    pub(super) fn render(&self) -> String {
        page("Mission Control", |out| self.body(out))
    }

    fn body(&self, out: &mut String) -> fmt::Result {
        write!(
            out,
            "<header><h1>Mission Control</h1>\n<form method=\"get\" action=\"/\">\
             <label for=\"shown\">User</label> \
             <input id=\"shown\" name=\"user\" value=\"{}\" list=\"users\" required><datalist id=\"users\">",
            Esc(self.user)
        )?;
        for user in self.users.iter().take(USERS) {
            write!(out, "<option value=\"{}\"></option>", Esc(user))?;
        }
        out.push_str("</datalist> <button>Show</button></form>");
        if self.locked {
            write!(
                out,
                "<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
                 <button>Log out</button></form>",
                Esc(self.token)
            )?;
        }
        out.push_str("</header>\n<main>\n");
        let newest = self.columns.iter().flat_map(|column| &column.newest);
        let tasks: Vec<_> = newest.map(|t| (t.id.as_str(), t.title.as_str())).collect();
        form(out, self.user, self.token, &tasks, None)?;
        writeln!(out, "<div id=\"live\" data-events=\"{}\">", Esc(&panels::live(self.user)))?;
        panels::approvals(out, self.user, self.token, self.waiting)?;
        columns::tasks(out, self.user, self.columns)?;
        columns::today(out, self.user, self.done, self.columns)?;
        documents(out, self.user, self.documents)?;
        panels::runs(out, self.user, self.runs)?;
        panels::notifications(out, self.user, self.token, self.notifications)?;
        panels::spending(out, self.budget, self.days)?;
        section(out, "agents", "Agents that woke", |out| {
            list(out, self.wakes, "None yet.", |out, wake| {
                write!(
                    out,
                    "{} <span class=\"count\">last {}, times: {}</span>",
                    Esc(&wake.role),
                    Time(wake.last_at),
                    wake.count
                )
            })
        })?;
        out.push_str("</div>\n</main>\n");
        Ok(())
    }
}

/// One task: its messages and documents.
pub(super) struct Thread<'a> {
    pub(super) user: &'a str,
    pub(super) token: &'a str,
    pub(super) task: &'a Task,
    pub(super) messages: &'a Page<Message>,
    pub(super) documents: &'a [Document],
    pub(super) notifications: &'a [NotificationRow],
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
        writeln!(out, "<div id=\"live\" data-events=\"{}\">", Esc(&panels::live(self.user)))?;
        section(out, "thread", "Messages", |out| {
            writeln!(
                out,
                "<p><span class=\"tag\">{}</span> <span class=\"id\">{}</span></p>",
                Esc(&task.status),
                Esc(&task.id)
            )?;
            if let Some(description) = &task.description {
                writeln!(out, "<div class=\"text\">{}</div>", markdown::render(description))?;
            }
            if self.messages.next_cursor.is_some() {
                out.push_str("<p class=\"none\">Older messages are not shown.</p>\n");
            }
            self.messages.items.iter().try_for_each(|message| self.message(out, message))
        })?;
        documents(out, self.user, self.documents)?;
        panels::runs(out, self.user, self.runs)?;
        panels::notifications(out, self.user, self.token, self.notifications)?;
        out.push_str("</div>\n");
        form(out, self.user, self.token, &[(&task.id, &task.title)], Some(&task.id))?;
        out.push_str("</main>\n");
        Ok(())
    }

    fn message(&self, out: &mut String, message: &Message) -> fmt::Result {
        let (kind, who) = match message.actor_type.as_deref() {
            Some("user") => ("user", self.user),
            Some(_) | None => ("agent", message.agent_role.as_deref().unwrap_or("agent")),
        };
        writeln!(
            out,
            "<article class=\"{kind}\"><h3>{} {}</h3><div class=\"text\">{}</div></article>",
            Esc(who),
            Time(message.created_at),
            markdown::render(&message.content)
        )
    }
}

/// The form that writes to an agent, on one of some tasks or on a new one.
fn form(
    out: &mut String,
    user: &str,
    token: &str,
    tasks: &[(&str, &str)],
    chosen: Option<&str>,
) -> fmt::Result {
    section(out, "write", "Write to an agent", |out| {
        write!(
            out,
            "<form method=\"post\" action=\"/write\">\
             <input type=\"hidden\" name=\"token\" value=\"{}\">\
             <p><label for=\"user\">As</label> <input id=\"user\" name=\"user\" value=\"{}\" required> \
             <label for=\"role\">To</label> <input id=\"role\" name=\"role\" list=\"roles\" value=\"{}\">\
             <datalist id=\"roles\">",
            Esc(token),
            Esc(user),
            ROLES[0]
        )?;
        for role in ROLES {
            write!(out, "<option value=\"{role}\"></option>")?;
        }
        out.push_str("</datalist> <label for=\"task\">On</label> <select id=\"task\" name=\"task\"><option value=\"\">a new task</option>");
        for (id, title) in tasks {
            let selected = if chosen == Some(*id) { " selected" } else { "" };
            write!(out, "<option value=\"{}\"{selected}>{}</option>", Esc(id), Esc(title))?;
        }
        out.push_str(
            "</select></p>\n<p><label for=\"text\">Message</label> \
             <span class=\"count\" id=\"hint\">@role in the text names another agent, or several</span>\
             <textarea id=\"text\" name=\"text\" rows=\"3\" required aria-describedby=\"hint\" aria-controls=\"names\"></textarea>\
             <ul id=\"names\" role=\"listbox\" aria-label=\"Agents\" hidden></ul></p>\n\
             <p><button>Send</button></p></form>\n",
        );
        Ok(())
    })
}

fn documents(out: &mut String, user: &str, documents: &[Document]) -> fmt::Result {
    section(out, "documents", "Documents", |out| {
        list(out, documents, "None.", |out, document| {
            let path = format!("/documents/{}", document.id);
            write!(
                out,
                "<a href=\"{}\">{}</a> <span class=\"tag\">{}</span>",
                Esc(&link(&path, user)),
                Esc(&document.title),
                Esc(document.doc_type.as_deref().unwrap_or("document"))
            )
        })
    })
}

/// One document.
pub(super) fn document(user: &str, document: &Document) -> String {
    page(&document.title, |out| {
        header(out, user, &document.title)?;
        writeln!(
            out,
            "<section><p><span class=\"tag\">{}</span> {} <span class=\"id\">{}</span></p>\n<div class=\"text\">{}</div></section>\n</main>",
            Esc(document.doc_type.as_deref().unwrap_or("document")),
            Time(document.created_at),
            Esc(&document.id),
            markdown::render(document.content.as_deref().unwrap_or_default())
        )
    })
}

/// Asks for the password.
pub(super) fn login() -> String {
    page("Mission Control", |out| {
        out.push_str(
            "<main><h1>Mission Control</h1>\n<form method=\"post\" action=\"/login\">\
             <p><label for=\"password\">Password</label> \
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required autofocus></p>\n\
             <p><button>Log in</button></p></form></main>\n",
        );
        Ok(())
    })
}

/// Why there is no page.
pub(super) fn failure(why: &str) -> String {
    page("Mission Control", |out| {
        writeln!(
            out,
            "<main><h1>That did not work</h1><p>{}</p><p><a href=\"/\">Back</a></p></main>",
            Esc(why)
        )
    })
}

/// The head of a page below the overview.
pub(super) fn header(out: &mut String, user: &str, title: &str) -> fmt::Result {
    let (title, back) = (Esc(title), link("/", user));
    writeln!(
        out,
        "<header><h1>{title}</h1><nav><a href=\"{}\">All tasks</a></nav></header>\n<main>",
        Esc(&back)
    )
}

pub(super) fn page(title: &str, body: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <link rel=\"stylesheet\" href=\"/assets/board.css\">\n<script src=\"/assets/board.js\" defer></script>\n\
         </head>\n<body>\n",
        Esc(title)
    );
    // Writing to a string cannot fail.
    let _infallible = body(&mut out);
    out + "</body>\n</html>\n"
}

/// Where a task is shown.
pub(super) fn task_link(user: &str, task_id: &str) -> String {
    link(&format!("/tasks/{task_id}"), user)
}

/// Where a run is shown.
pub(super) fn run_link(user: &str, run_key: &str) -> String {
    let run_key: String = form_urlencoded::byte_serialize(run_key.as_bytes()).collect();
    link(&format!("/runs/{}", run_key.replace('+', "%20")), user)
}

/// A path of the page, for a user.
pub(super) fn link(path: &str, user: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("user", user).finish();
    format!("{path}?{query}")
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
            error: Some(hostile.into()),
        };
        let overview = Overview {
            user: hostile,
            token: "t",
            locked: true,
            users: &[hostile.to_owned()],
            columns: &[column],
            done: &[task()],
            documents: &[],
            notifications: &[notification],
            wakes: &[WakeRow { role: hostile.into(), last_at: None, count: 1 }],
            waiting: &[],
            runs: &[],
            budget: &Budget::default(),
            days: &[],
        };
        for html in [overview.render(), failure(hostile)] {
            assert!(!html.contains("<script>"), "{html}");
            let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;";
            assert!(html.contains(escaped), "{html}");
        }
    }
}
