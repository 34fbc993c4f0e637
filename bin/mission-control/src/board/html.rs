//! The page as text. Everything that comes from the database goes through [`Esc`].

use std::fmt::{self, Display, Write as _};

use mc_client::types::{Document, Message, Task};
use url::form_urlencoded;

use crate::store::board::{NotificationRow, TaskRow};

/// The agents that the form offers; any other can be named by writing `@role`.
const ROLES: [&str; 3] = ["scout", "jarvis", "analyst"];

/// A text in which nothing is markup.
struct Esc<'a>(&'a str);

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

/// All that the page shows.
pub(super) struct Page<'a> {
    pub(super) user: &'a str,
    pub(super) token: &'a str,
    pub(super) tasks: &'a [TaskRow],
    pub(super) thread: Option<(&'a Task, &'a [Message])>,
    pub(super) documents: &'a [Document],
    pub(super) notifications: &'a [NotificationRow],
}

impl Page<'_> {
    /// The page.
    pub(super) fn render(&self) -> String {
        let mut out = head("Mission Control");
        // Writing to a string cannot fail.
        let _ = self.body(&mut out);
        out + "</body>\n</html>\n"
    }

    fn body(&self, out: &mut String) -> fmt::Result {
        let user = Esc(self.user);
        write!(
            out,
            "<header><h1>Mission Control</h1><form method=\"get\" action=\"/\">\
             <label for=\"user\">User</label> <input id=\"user\" name=\"user\" value=\"{user}\"> \
             <button>Show</button></form></header>\n<main>\n"
        )?;
        self.form(out)?;
        out.push_str("<div id=\"live\" aria-live=\"polite\">\n");
        self.tasks(out)?;
        self.thread(out)?;
        self.documents(out)?;
        self.notifications(out)?;
        out.push_str("</div>\n</main>\n");
        Ok(())
    }

    fn form(&self, out: &mut String) -> fmt::Result {
        let (user, token) = (Esc(self.user), Esc(self.token));
        write!(
            out,
            "<section><h2>Write to an agent</h2><form method=\"post\" action=\"/write\">\
             <input type=\"hidden\" name=\"token\" value=\"{token}\">\
             <input type=\"hidden\" name=\"user\" value=\"{user}\">\
             <p><label for=\"role\">Agent</label> <select id=\"role\" name=\"role\">"
        )?;
        for role in ROLES {
            write!(out, "<option>{role}</option>")?;
        }
        out.push_str("</select> <label for=\"task\">Task</label> <select id=\"task\" name=\"task\"><option value=\"\">a new one</option>");
        for task in self.tasks {
            let chosen = self.thread.is_some_and(|(shown, _)| shown.id == task.id);
            let chosen = if chosen { " selected" } else { "" };
            write!(
                out,
                "<option value=\"{}\"{chosen}>{}</option>",
                Esc(&task.id),
                Esc(&task.title)
            )?;
        }
        out.push_str(
            "</select></p><p><label for=\"text\">Message</label>\
             <textarea id=\"text\" name=\"text\" rows=\"3\" required \
             placeholder=\"find two primary schools near the beach\"></textarea></p>\
             <p><button>Send</button></p></form></section>\n",
        );
        Ok(())
    }

    fn tasks(&self, out: &mut String) -> fmt::Result {
        out.push_str("<section><h2>Tasks</h2>");
        if self.tasks.is_empty() {
            out.push_str("<p class=\"none\">None yet: write to an agent.</p>");
        }
        out.push_str("<ul>");
        for task in self.tasks {
            let current = self.thread.is_some_and(|(shown, _)| shown.id == task.id);
            let current = if current { " aria-current=\"true\"" } else { "" };
            write!(
                out,
                "<li><a href=\"{}\"{current}>{}</a> <span class=\"tag\">{}</span> <span class=\"count\">{} messages</span></li>",
                Esc(&link("/", &[("user", self.user), ("task", &task.id)])),
                Esc(&task.title),
                Esc(&task.status),
                task.messages
            )?;
        }
        out.push_str("</ul></section>\n");
        Ok(())
    }

    fn thread(&self, out: &mut String) -> fmt::Result {
        let Some((task, messages)) = self.thread else { return Ok(()) };
        write!(
            out,
            "<section class=\"thread\"><h2>{}</h2><p class=\"id\">{}</p>",
            Esc(&task.title),
            Esc(&task.id)
        )?;
        if let Some(description) = &task.description {
            write!(out, "<p>{}</p>", Esc(description))?;
        }
        for message in messages {
            let (kind, who) = match message.actor_type.as_deref() {
                Some("user") => ("user", self.user),
                Some(_) | None => ("agent", message.agent_role.as_deref().unwrap_or("agent")),
            };
            let at = message
                .created_at
                .map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
                .unwrap_or_default();
            write!(
                out,
                "<article class=\"{kind}\"><h3>{} <time>{at}</time></h3><pre>{}</pre></article>",
                Esc(who),
                Esc(&message.content)
            )?;
        }
        out.push_str("</section>\n");
        Ok(())
    }

    fn documents(&self, out: &mut String) -> fmt::Result {
        out.push_str("<section><h2>Documents</h2><ul>");
        for document in self.documents {
            let path = format!("/documents/{}", document.id);
            write!(
                out,
                "<li><a href=\"{}\">{}</a> <span class=\"tag\">{}</span></li>",
                Esc(&link(&path, &[("user", self.user)])),
                Esc(&document.title),
                Esc(document.doc_type.as_deref().unwrap_or("document"))
            )?;
        }
        out.push_str("</ul></section>\n");
        Ok(())
    }

    fn notifications(&self, out: &mut String) -> fmt::Result {
        out.push_str("<section><h2>Notifications</h2><ul>");
        for notification in self.notifications {
            write!(
                out,
                "<li><span class=\"tag\">{}</span> {}: {}",
                notification.state,
                Esc(&notification.session_key),
                Esc(&notification.content)
            )?;
            if let Some(error) = &notification.error {
                write!(out, " <span class=\"error\">{}</span>", Esc(error))?;
            }
            out.push_str("</li>");
        }
        out.push_str("</ul></section>\n");
        Ok(())
    }
}

/// One document.
pub(super) fn document(user: &str, document: &Document) -> String {
    let mut out = head(&document.title);
    let _ = write!(
        out,
        "<header><h1>{}</h1><a href=\"{}\">Back</a></header>\n<main><section><p><span class=\"tag\">{}</span> \
         <span class=\"id\">{}</span></p><pre>{}</pre></section></main>\n</body>\n</html>\n",
        Esc(&document.title),
        Esc(&link("/", &[("user", user)])),
        Esc(document.doc_type.as_deref().unwrap_or("document")),
        Esc(&document.id),
        Esc(document.content.as_deref().unwrap_or_default())
    );
    out
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title>\
         <link rel=\"stylesheet\" href=\"/assets/board.css\"><script src=\"/assets/board.js\" defer></script></head>\n<body>\n",
        Esc(title)
    )
}

fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{path}?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        let task = TaskRow {
            id: hostile.into(),
            title: hostile.into(),
            status: hostile.into(),
            messages: 1,
        };
        let notification = NotificationRow {
            session_key: hostile.into(),
            content: hostile.into(),
            state: "waiting",
            error: Some(hostile.into()),
        };
        let page = Page {
            user: hostile,
            token: "t",
            tasks: &[task],
            thread: None,
            documents: &[],
            notifications: &[notification],
        };
        let html = page.render();
        assert!(!html.contains("<script>"), "{html}");
        assert!(
            html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"),
            "{html}"
        );
    }
}
