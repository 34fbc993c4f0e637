//! The form that writes to an agent.

use std::fmt::{self, Write as _};

use super::markup::{Esc, Short, post_files, section};

/// The form that writes to an agent, on one of some tasks or on a new one. Some roles are offered, the
/// first of them at once; any other can be named.
pub(super) fn form(
    out: &mut String,
    user: &str,
    may_choose: bool,
    token: &str,
    roles: &[String],
    tasks: &[(&str, &str)],
    chosen: Option<&str>,
) -> fmt::Result {
    section(out, "write", "Write to an agent", |out| {
        post_files(out, "/write")?;
        write!(out, "<input type=\"hidden\" name=\"token\" value=\"{}\"><p>", Esc(token))?;
        let user = Esc(user);
        if may_choose {
            write!(
                out,
                "<label for=\"user\">As</label> <input id=\"user\" name=\"user\" value=\"{user}\" required> "
            )?;
        } else {
            write!(out, "<input type=\"hidden\" name=\"user\" value=\"{user}\">")?;
        }
        write!(
            out,
            "<label for=\"role\">To</label> <input id=\"role\" name=\"role\" list=\"roles\" value=\"{}\" \
             placeholder=\"agent\"><datalist id=\"roles\">",
            Esc(roles.first().map_or("", String::as_str))
        )?;
        for role in roles {
            write!(out, "<option value=\"{}\"></option>", Esc(role))?;
        }
        out.push_str("</datalist> <label for=\"task\">On</label> <select id=\"task\" name=\"task\"><option value=\"\">a new task</option>");
        for (id, title) in tasks {
            let selected = if chosen == Some(*id) { " selected" } else { "" };
            write!(out, "<option value=\"{}\"{selected}>{}</option>", Esc(id), Short(title))?;
        }
        out.push_str(
            "</select></p>\n<p><label for=\"text\">Message</label> \
             <span class=\"count\" id=\"hint\">@role in the text names another agent, or several</span>\
             <textarea id=\"text\" name=\"text\" rows=\"3\" required aria-describedby=\"hint\" aria-controls=\"names\"></textarea>\
             <ul id=\"names\" role=\"listbox\" aria-label=\"Agents\" hidden></ul></p>\n\
             <p><label for=\"files\">Files</label> <input id=\"files\" name=\"files\" type=\"file\" multiple></p>\n\
             <p><button>Send</button></p></form>\n",
        );
        Ok(())
    })
}
