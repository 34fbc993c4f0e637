//! The body of an operation's request.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::media_type::{essence, is_json};
use crate::parameter::Style;
use crate::pointer::resolve;
use crate::schema::Schemas;

/// How a body is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BodyKind {
    Json,
    /// `application/x-www-form-urlencoded`, with the fields that have another style than one pair per
    /// value.
    Form(BTreeMap<String, Style>),
}

/// The body of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BodySpec {
    pub(crate) kind: BodyKind,
    pub(crate) required: bool,
    pub(crate) schema: Value,
}

/// Reads the body of an operation, if it has one.
///
/// # Errors
/// Why the operation cannot become a tool.
pub(crate) fn read(
    root: &Value,
    schemas: &mut Schemas<'_>,
    method: &str,
    operation: &Value,
) -> Result<Option<BodySpec>, String> {
    // The body of a GET has no meaning (RFC 9110, section 9.3.1).
    let Some(body) = operation.get("requestBody").filter(|_| method != "GET") else {
        return Ok(None);
    };
    let body = resolve(root, body)?;
    let required = body.get("required") == Some(&Value::Bool(true));
    let Some(content) = body.get("content").and_then(Value::as_object) else {
        return if required { Err("its body has no content".to_owned()) } else { Ok(None) };
    };
    let find = |fits: &dyn Fn(&str) -> bool| content.iter().find(|(kind, _)| fits(kind));
    let json = find(&|kind| is_json(kind))
        .or_else(|| find(&|kind| matches!(essence(kind).as_str(), "*/*" | "application/*")));
    let form = || find(&|kind| essence(kind) == "application/x-www-form-urlencoded");
    let (media, is_form) = match (json, form()) {
        (Some((_, media)), _) => (media, false),
        (None, Some((_, media))) => (media, true),
        (None, None) if required => {
            let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
            return Err(format!("its body can only be {}", kinds.join(" or ")));
        }
        (None, None) => return Ok(None),
    };
    let schema = schemas
        .convert(media.get("schema").unwrap_or(&Value::Bool(true)))
        .map_err(|why| format!("body: {why}"))?;
    let kind = if is_form { BodyKind::Form(styles(media)) } else { BodyKind::Json };
    Ok(Some(BodySpec { kind, required, schema }))
}

/// The styles of a form's fields, from `encoding`.
fn styles(media: &Value) -> BTreeMap<String, Style> {
    let encoding = media.get("encoding").and_then(Value::as_object);
    let fields = encoding.into_iter().flatten().map(|(name, encoding)| {
        let explode = encoding.get("explode").and_then(Value::as_bool);
        let style = match encoding.get("style").and_then(Value::as_str) {
            Some("deepObject") => Style::Deep,
            Some("spaceDelimited") if explode != Some(true) => Style::Joined("%20"),
            Some("pipeDelimited") if explode != Some(true) => Style::Joined("%7C"),
            _ if encoding.get("contentType").and_then(Value::as_str).is_some_and(is_json) => {
                Style::Json
            }
            _ if explode == Some(false) => Style::Joined(","),
            _ => Style::Each,
        };
        (name.clone(), style)
    });
    fields.collect()
}
