//! What agents remember of a user, each to be corrected and forgotten.

use std::fmt::{self, Write as _};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use mc_client::memories::{AuthorKind, MAX_TEXT, Memory, MemoryScope, UpdateMemory};
use mc_client::types::Page;

use super::actions::{Action, action};
use super::markup::visible::VisibleText;
use super::markup::{Esc, Short, Time, hidden, link, list, post, section, task_link};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::ApiError;
use crate::routes::memories::check_text;
use crate::store::memories::Reach;

/// The most memories of the list.
pub(super) const MEMORIES: u32 = 200;

/// What of a memory stands in the name of its button, in characters.
const LABEL: usize = 60;

/// What is remembered, newest first.
pub(super) fn memories(
    out: &mut String,
    user: &str,
    token: &str,
    memories: &Page<Memory>,
) -> fmt::Result {
    section(out, "memories", "What agents remember", |out| {
        list(out, &memories.items, "Nothing yet.", |out, memory| one(out, user, token, memory))?;
        if memories.next_cursor.is_some() {
            out.push_str("<p class=\"none\">Older ones are not shown.</p>\n");
        }
        Ok(())
    })
}

fn one(out: &mut String, user: &str, token: &str, memory: &Memory) -> fmt::Result {
    write!(out, "<p class=\"note\">{}</p>", VisibleText(&memory.text))?;
    out.push_str("<span class=\"count\">");
    match (memory.scope, &memory.task_id) {
        (MemoryScope::User, _) => out.push_str("for all agents"),
        (MemoryScope::Tenant, _) => out.push_str("for everybody of the customer"),
        (MemoryScope::Task, Some(task_id)) => {
            write!(out, "for <a href=\"{}\">one task</a>", Esc(&task_link(user, task_id)))?;
        }
        (MemoryScope::Task, None) => out.push_str("for one task"),
    }
    match memory.author.kind {
        AuthorKind::Agent => write!(out, ", by the agent {}", Short(&memory.author.id))?,
        AuthorKind::Person => write!(out, ", by {}", Short(&memory.author.id))?,
        AuthorKind::Service => out.push_str(", by the application"),
    }
    write!(out, ", {}", Time(memory.updated_at))?;
    if memory.expires_at.is_some() {
        write!(out, ", until {}", Time(memory.expires_at))?;
    }
    out.push_str("</span>");
    // One person's word must not change what everybody has.
    if memory.scope == MemoryScope::Tenant {
        return Ok(());
    }
    let (id, text) = (Esc(&memory.id), Esc(&memory.text));
    write!(out, "<details id=\"memory-{id}\"><summary>Correct</summary>")?;
    post(out, "/correct-memory")?;
    hidden(out, token, user, &memory.id)?;
    write!(
        out,
        "<label for=\"text-{id}\">What is remembered</label>\
         <textarea id=\"text-{id}\" name=\"text\" rows=\"3\" maxlength=\"{MAX_TEXT}\" required>\n{text}</textarea>\
         <button>Save</button></form></details>"
    )?;
    post(out, "/forget-memory")?;
    hidden(out, token, user, &memory.id)?;
    let label: String = memory.text.chars().take(LABEL).collect();
    write!(out, "<button aria-label=\"Forget: {}\">Forget</button></form>", Esc(&label))
}

/// A user's memories, as a person has them.
fn reach(user: &str, tenant_id: Option<String>) -> Reach {
    Reach { user_id: Some(user.to_owned()), tenant_id }
}

/// The newest memories of a user, and of the user's tenant.
pub(super) async fn newest(app: &App, user: &str) -> Result<Page<Memory>, ApiError> {
    let reach = reach(user, app.store.tenant_of(user, None).await?);
    Ok(app.store.memories(&reach, &Default::default(), MEMORIES, None).await?)
}

/// A person corrects what is remembered.
pub(super) async fn correct(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, form } = action(&app, &viewer, request).await?;
    // Browsers send line ends as CR LF.
    let text = form.get("text").map(|text| text.trim().replace("\r\n", "\n")).unwrap_or_default();
    check_text(&text)?;
    let update = UpdateMemory { text: Some(text), expires_at: None };
    app.store.update_memory(viewer.scope(&user), &reach(&user, None), &id, &update).await?;
    Ok(Redirect::to(&link("/", &user)).into_response())
}

/// A person has something forgotten.
pub(super) async fn forget(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, .. } = action(&app, &viewer, request).await?;
    app.store.delete_memory(viewer.scope(&user), &reach(&user, None), &id).await?;
    Ok(Redirect::to(&link("/", &user)).into_response())
}

#[cfg(test)]
mod tests {
    use mc_client::memories::MemoryAuthor;

    use super::*;

    fn page_of(scope: MemoryScope) -> String {
        let hostile = "</textarea><script>alert('x')</script>\"&";
        let memory = Memory {
            id: hostile.into(),
            scope,
            user_id: Some(hostile.into()),
            task_id: Some(hostile.into()),
            tenant_id: Some(hostile.into()),
            text: hostile.into(),
            source: None,
            expires_at: Some(chrono::Utc::now()),
            author: MemoryAuthor { kind: AuthorKind::Agent, id: hostile.into() },
            created_at: None,
            updated_at: None,
            deduplicated: false,
        };
        let mut out = String::new();
        let page = Page { items: vec![memory], next_cursor: Some("c1".into()) };
        memories(&mut out, hostile, hostile, &page).unwrap();
        out
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        for scope in MemoryScope::ALL {
            let out = page_of(scope);
            assert!(!out.contains("<script>"), "{out}");
            assert!(out.contains("Older ones are not shown"), "{out}");
        }
    }

    #[test]
    fn what_everybody_has_is_no_one_person_s_to_change() {
        assert!(page_of(MemoryScope::User).contains("/forget-memory"));
        assert!(!page_of(MemoryScope::Tenant).contains("<form"));
    }
}
