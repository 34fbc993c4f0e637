//! The approval rules in force, each to be taken back.

use std::fmt::{self, Write as _};

use mc_client::approval_rules::ApprovalRule;
use mc_client::types::Page;

use super::markup::visible::{VisibleName, VisibleText};
use super::markup::{Esc, Short, Time, hidden, list, post, pretty, section};

/// What agents may do without asking.
pub(super) fn rules(
    out: &mut String,
    user: &str,
    token: &str,
    rules: &Page<ApprovalRule>,
) -> fmt::Result {
    section(out, "rules", "Approval rules", |out| {
        list(out, &rules.items, "None.", |out, rule| one(out, user, token, rule))?;
        if rules.next_cursor.is_some() {
            out.push_str("<p class=\"none\">Newer ones are not shown.</p>\n");
        }
        Ok(())
    })
}

fn one(out: &mut String, user: &str, token: &str, rule: &ApprovalRule) -> fmt::Result {
    write!(
        out,
        "{} may call <strong>{}</strong> without approval until {}",
        Short(&rule.role),
        VisibleName(&rule.tool),
        Time(Some(rule.expires_at))
    )?;
    match rule.max_uses {
        Some(most) => write!(out, " <span class=\"count\">used: {} of {most}", rule.uses)?,
        None => write!(out, " <span class=\"count\">used: {}", rule.uses)?,
    }
    let author = rule.author.id.as_deref().unwrap_or("somebody on this page");
    write!(out, ", by {}</span>", Short(author))?;
    if let Some(when) = &rule.when {
        write!(out, "<pre class=\"json\">{}</pre>", VisibleText(&pretty(when)))?;
    }
    out.push(' ');
    post(out, "/revoke")?;
    hidden(out, token, user, &rule.id)?;
    write!(
        out,
        "<button aria-label=\"Take back the rule for {}\">Take back</button></form>",
        Esc(&rule.tool)
    )
}

#[cfg(test)]
mod tests {
    use mc_client::audit::ActorKind;
    use mc_client::tool_requests::DecidedBy;
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        let rule = ApprovalRule {
            id: hostile.into(),
            role: hostile.into(),
            tool: hostile.into(),
            when: Some(json!({ hostile: { "eq": hostile } })),
            expires_at: chrono::Utc::now(),
            max_uses: Some(3),
            uses: 1,
            author: DecidedBy { kind: ActorKind::Person, id: Some(hostile.into()) },
            parameters_sha256: None,
            tool_request_id: None,
            created_at: None,
        };
        let mut out = String::new();
        rules(&mut out, hostile, hostile, &Page { items: vec![rule], next_cursor: None }).unwrap();
        assert!(!out.contains("<script>"), "{out}");
        assert!(out.contains("used: 1 of 3"), "{out}");
    }
}
