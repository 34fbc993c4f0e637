//! The questions that wait for a person, each with what answers it.

use std::fmt::{self, Write as _};

use mc_client::tool_requests::Question;

use super::approvals::{Place, asker};
use super::markup::visible::{Visible, VisibleText};
use super::markup::{Esc, Time, pretty, prose, task_link};
use crate::store::waiting::Waiting;

/// A question, with a button for each option, or a field.
pub(super) fn one(
    out: &mut String,
    page: Place<'_>,
    request: &Waiting,
    question: &Question,
) -> fmt::Result {
    let id = Esc(&request.id);
    write!(out, "<strong>A question</strong> of {}", Visible(&request.session_key))?;
    asker(out, request)?;
    write!(
        out,
        " <span class=\"count\">until {}</span><div class=\"text\">{}</div>",
        Time(request.expires_at),
        prose(&question.question)
    )?;
    if page.task.is_none() {
        let task = task_link(page.user, &request.task_id);
        write!(out, "<p><a href=\"{}\">Task</a></p>", Esc(&task))?;
    }
    page.form(out, &request.id)?;
    match &question.options {
        Some(options) => options.iter().try_for_each(|option| {
            let (value, shown) = (Esc(option), Visible(option));
            write!(out, "<button name=\"option\" value=\"{value}\">{shown}</button> ")
        })?,
        None => {
            let hint = if question.schema.is_some() { ", a text or JSON" } else { "" };
            write!(
                out,
                "<label for=\"answer-{id}\">Answer{hint}</label>\
                 <textarea id=\"answer-{id}\" name=\"answer\" rows=\"2\"></textarea>\
                 <button name=\"decision\" value=\"answered\">Answer</button> "
            )?;
        }
    }
    out.push_str("<button name=\"decision\" value=\"denied\">Nobody answers</button>");
    if let Some(schema) = &question.schema {
        write!(
            out,
            "<details id=\"fits-{id}\"><summary>What fits</summary><pre class=\"json\">{}</pre></details>",
            VisibleText(&pretty(schema))
        )?;
    }
    out.push_str("</form>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use mc_client::tool_requests::ToolRequestKind;
    use serde_json::{Value, json};

    use super::super::approvals::approvals;
    use super::*;

    fn page(arguments: Value) -> String {
        let request = Waiting {
            id: "q1".into(),
            task_id: "t1".into(),
            session_key: "user:ann:scout".into(),
            asked_by: None,
            tool: "ask_user".into(),
            reason: None,
            arguments: arguments.to_string(),
            kind: ToolRequestKind::Question,
            expires_at: None,
        };
        let mut out = String::new();
        let place = Place { user: "ann", token: "t", task: None };
        approvals(&mut out, place, &[request], false).unwrap();
        out
    }

    #[test]
    fn options_are_buttons_and_else_there_is_a_field() {
        let html = page(json!({ "question": "Which *colour*?", "options": ["Red", "Blue"] }));
        assert!(html.contains("Which <em>colour</em>?") && !html.contains("<textarea"), "{html}");
        assert_eq!(html.matches("<button name=\"option\"").count(), 2, "{html}");
        let html = page(json!({ "question": "How many?", "schema": { "type": "integer" } }));
        assert!(html.contains("<textarea") && html.contains("What fits"), "{html}");
        let html = page(json!({ "question": "Else?" }));
        assert!(html.contains("value=\"answered\"") && !html.contains("What fits"), "{html}");
        assert!(
            !html.contains("value=\"approved\"") && html.contains("value=\"denied\""),
            "{html}"
        );
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        for more in
            [json!({ "options": [hostile, "b"] }), json!({ "schema": { "title": hostile } })]
        {
            let mut arguments = json!({ "question": hostile });
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let html = page(arguments);
            assert!(!html.contains("<script>alert"), "{html}");
        }
    }
}
