//! The tool calls that wait for a person. What is approved is what is shown: all of it, in the order
//! in which it was sent, with nothing hidden. What cannot be shown so has no button that approves it.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

use super::markup::visible::{Visible, VisibleName, VisibleText, json};
use super::markup::{Esc, cut, hidden, link, list, post, section, task_link};
use super::{edits, questions};
use crate::store::waiting::Waiting;

/// The most bytes of HTML that show one call. More than a person reads at once.
const SHOWN: usize = 32 * 1024;

/// Why a call cannot be approved on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unshown {
    /// It is more than a page shows.
    TooLarge,
    /// An object of its arguments gives a name twice.
    Ambiguous,
}

impl Unshown {
    /// Why, and what a person can do instead.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::TooLarge => {
                "These arguments are too large to be shown here, so they cannot be approved here: \
                 download and read them, and approve them by the API, or deny them."
            }
            Self::Ambiguous => {
                "A name is given twice in these arguments. Which value counts depends on who reads \
                 them, so they cannot be approved here: deny them."
            }
        }
    }
}

/// A call as HTML, and whether that is all that a decision is about.
fn render(request: &Waiting) -> (String, Option<Unshown>) {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _infallible = write!(
        out,
        "<strong>{}</strong> for {}",
        VisibleName(&request.tool),
        Visible(&request.session_key)
    );
    let _infallible = asker(&mut out, request);
    if let Some(reason) = &request.reason {
        let _infallible = write!(out, "<p class=\"reason\">{}</p>", VisibleText(reason));
    }
    let left = SHOWN.saturating_sub(out.len());
    match json(&request.arguments, left) {
        Some(shown) => {
            let _infallible = write!(out, "<pre class=\"json whole\">{}</pre>", shown.html);
            (out, shown.is_ambiguous.then_some(Unshown::Ambiguous))
        }
        None => (beginning(request), Some(Unshown::TooLarge)),
    }
}

/// The role that asks, where it is not that of the session.
pub(super) fn asker(out: &mut String, request: &Waiting) -> fmt::Result {
    match &request.asked_by {
        Some(role) => write!(out, ", asked by <strong>{}</strong>", VisibleName(role)),
        None => Ok(()),
    }
}

/// What a call is that is too large to be shown.
fn beginning(request: &Waiting) -> String {
    let short = |text: &str| cut(text.chars().take(500).collect());
    let mut by = String::new();
    // Writing to a string cannot fail.
    let _infallible = asker(&mut by, request);
    let reason = request.reason.as_deref().unwrap_or_default();
    format!(
        "<strong>{}</strong> for {}{by}<p class=\"reason\">{}</p>",
        VisibleName(&short(&request.tool)),
        Visible(&short(&request.session_key)),
        VisibleText(&short(reason))
    )
}

/// Why a call cannot be approved on the page; `None` if it can.
pub(super) fn unshown(request: &Waiting) -> Option<Unshown> {
    render(request).1
}

/// Where the arguments are downloaded.
fn arguments_link(user: &str, id: &str) -> String {
    link(&format!("/tool-requests/{id}/arguments"), user)
}

/// The page that a form stands on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) user: &'a str,
    pub(super) token: &'a str,
    /// The task that is shown, to which a decision leads back.
    pub(super) task: Option<&'a str>,
}

impl Place<'_> {
    /// The beginning of a form about a tool request, with its hidden fields.
    pub(super) fn form(&self, out: &mut String, id: &str) -> fmt::Result {
        post(out, "/decide")?;
        hidden(out, self.token, self.user, id)?;
        match self.task {
            Some(task) => {
                write!(out, "<input type=\"hidden\" name=\"task\" value=\"{}\">", Esc(task))
            }
            None => Ok(()),
        }
    }
}

/// The tool requests that wait for a decision. `more` tells that there are others.
pub(super) fn approvals(
    out: &mut String,
    page: Place<'_>,
    waiting: &[Waiting],
    more: bool,
) -> fmt::Result {
    section(out, "approvals", "Waiting for your decision", |out| {
        list(out, waiting, "Nothing.", |out, request| match request.question() {
            Some(question) => questions::one(out, page, request, &question),
            None => one(out, page, request),
        })?;
        if more {
            out.push_str("<p class=\"none\">Newer ones are shown when these are decided.</p>\n");
        }
        Ok(())
    })
}

fn one(out: &mut String, page: Place<'_>, request: &Waiting) -> fmt::Result {
    let (html, unshown) = render(request);
    let (user, task) = (page.user, task_link(page.user, &request.task_id));
    write!(out, "{html} <p><a href=\"{}\">Task</a></p>", Esc(&task))?;
    if let Some(unshown) = unshown {
        let hash: [u8; 32] = Sha256::digest(request.arguments.as_bytes()).into();
        write!(
            out,
            "<p class=\"error\">{}</p><p><a href=\"{}\" download>Download the arguments</a> \
             <span class=\"count\">{} bytes, SHA-256 ",
            unshown.why(),
            Esc(&arguments_link(user, &request.id)),
            request.arguments.len()
        )?;
        hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        out.push_str("</span></p>");
    }
    let id = Esc(&request.id);
    page.form(out, &request.id)?;
    write!(out, "<label for=\"note-{id}\">Note</label> <input id=\"note-{id}\" name=\"note\"> ")?;
    if unshown.is_none() {
        out.push_str("<button name=\"decision\" value=\"approved\">Approve</button> ");
    }
    out.push_str("<button name=\"decision\" value=\"denied\">Deny</button>");
    if unshown.is_none() {
        edits::edit(out, request)?;
        edits::always(out, request)?;
    }
    out.push_str("</form>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use mc_client::tool_requests::ToolRequestKind;

    use super::*;

    fn waiting(arguments: &str) -> Waiting {
        let (id, task_id) = ("id".to_owned(), "task".to_owned());
        let (tool, session_key) = ("pay".to_owned(), "user:ann:scout".to_owned());
        let arguments = arguments.to_owned();
        let kind = ToolRequestKind::Approval;
        let (asked_by, reason, expires_at) = (None, None, None);
        Waiting { id, task_id, tool, session_key, asked_by, reason, arguments, kind, expires_at }
    }

    fn page(request: Waiting) -> String {
        let mut out = String::new();
        let place = Place { user: "ann", token: "t", task: None };
        approvals(&mut out, place, &[request], false).unwrap();
        out
    }

    #[test]
    fn what_is_shown_whole_can_be_approved() {
        let html = page(waiting(r#"{"to":"ann","sum":12345678901234567890123}"#));
        assert!(html.contains("value=\"approved\"") && !html.contains("SHA-256"), "{html}");
        assert!(html.contains("12345678901234567890123"), "{html}");
    }

    #[test]
    fn what_is_not_shown_whole_cannot() {
        let large = "x".repeat(SHOWN);
        let long = Waiting { reason: Some(large.clone()), ..waiting("{}") };
        let named = Waiting { tool: large.clone(), ..waiting("{}") };
        let arguments = format!(r#"{{"a":"{large}"}}"#);
        for (request, why) in [
            (waiting(&arguments), Unshown::TooLarge),
            (long, Unshown::TooLarge),
            (named, Unshown::TooLarge),
            (waiting(r#"{"a":1,"a":2}"#), Unshown::Ambiguous),
        ] {
            let hash: [u8; 32] = Sha256::digest(request.arguments.as_bytes()).into();
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(unshown(&request), Some(why));
            let html = page(request);
            assert!(!html.contains("value=\"approved\"") && html.len() < SHOWN, "{html}");
            assert!(html.contains("value=\"denied\"") && html.contains(&hash), "{html}");
            assert!(html.contains("/tool-requests/id/arguments?user=ann"), "{html}");
        }
    }

    #[test]
    fn nothing_from_outside_is_markup_or_hides() {
        let hostile = "<script>alert('x')</script>\"&\u{202e}\u{200b}";
        let arguments = serde_json::json!({ hostile: hostile }).to_string();
        let html = page(Waiting {
            id: hostile.into(),
            task_id: hostile.into(),
            tool: hostile.into(),
            session_key: hostile.into(),
            asked_by: Some("<b>helper".into()),
            reason: Some(hostile.into()),
            arguments,
            kind: ToolRequestKind::Approval,
            expires_at: None,
        });
        assert!(!html.contains("<script>alert"), "{html}");
        let (_, rest) = html.split_once("<strong>").unwrap();
        let (shown, _) = rest.split_once("<p><a").unwrap();
        assert!(!shown.contains(['\u{202e}', '\u{200b}']), "{html}");
        assert_eq!(shown.matches("<mark>U+202E</mark>").count(), 5, "{html}");
    }
}
