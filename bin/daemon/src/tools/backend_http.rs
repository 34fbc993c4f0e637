//! `call_backend`: the endpoints that skills declare, called as the run's user.
//!
//! The model chooses method, path, query and body. The path is normalised and must match a declared
//! endpoint; the model never chooses host, headers or token.

use http::header::CONTENT_DISPOSITION;
use mc_client::raw::{RawBody, RawRequest, RawResponse};
use serde_json::{Value, json};
use url::form_urlencoded;
use wombat_core::endpoint::{NormalPath, declares_reserved};

use super::context::ToolContext;
use super::reply::{ToolFile, ToolReply, is_clear};
use super::rules::undeclared;
use super::specs::MISSION_CONTROL;
use super::{method_override, refusal};
use crate::run::attachments::{name_for, plain_name};

/// How many bytes of an answer are read where the model gets what fits, and reads on in the rest.
const MAX_READ_ON: usize = 8 * 1024 * 1024;

/// How many are read where it gets no more than the beginning, and where a run's redactor would know all their values.
const MAX_CUT: usize = 1024 * 1024;

/// How many bytes of an answer are read.
pub(super) fn most_of_answer(context: &ToolContext<'_>) -> usize {
    let is_redacted = context.profile.redact.is_some();
    if context.tools.reads_results() && !is_redacted { MAX_READ_ON } else { MAX_CUT }
}

/// Calls an endpoint.
pub(super) async fn call(context: &ToolContext<'_>, arguments: &Value, key: String) -> ToolReply {
    let request = match prepare(context, arguments, key) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    match context.client.raw(request).await {
        Ok(response) => reply(response),
        Err(error) => ToolReply::failed(&error),
    }
}

/// Validates the call and builds the request; nothing is sent yet.
fn prepare(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> Result<RawRequest, ToolReply> {
    let method = arguments["method"].as_str().unwrap_or_default();
    let raw_path = arguments["path"].as_str().unwrap_or_default();
    // Models often put the query into the path.
    let (raw_path, raw_query) = raw_path.split_once('?').unwrap_or((raw_path, ""));
    let path =
        NormalPath::parse(raw_path).map_err(|error| format!("path {raw_path:?}: {error}"))?;
    let declared = context.snapshot.endpoints();
    if !declared.iter().any(|endpoint| endpoint.pattern.matches(method, &path)) {
        let callable = declared.iter().filter(|endpoint| !declares_reserved(&endpoint.pattern));
        let list: Vec<_> = callable.map(|endpoint| endpoint.pattern.to_string()).collect();
        let why = format!(
            "{method} {} is not declared by any skill; the declared endpoints are: {}",
            path.as_str(),
            list.join(", ")
        );
        return Err(ToolReply::forbidden(why, undeclared()));
    }
    let what = format!("{method} {}", path.as_str());
    context.refuse_reserved(&what, &path)?;
    let query = query_string(raw_query, &arguments["query"])?;
    let body = arguments.get("body").filter(|body| !body.is_null()).cloned().map(RawBody::Json);
    context.refuse_mentions((method, &path), body.as_ref())?;
    method_override::refuse(&query, body.as_ref(), |place, field| {
        context.declares((method, &path), place, field)
    })?;
    let decision = context.decide("call_backend", Some((method, &path)), arguments);
    context.permit(decision, &what)?;

    let path_and_query = if query.is_empty() {
        path.as_str().to_owned()
    } else {
        format!("{}?{query}", path.as_str())
    };
    let (body, idempotency_key) = with_key(method, &path, body, key);
    Ok(RawRequest {
        method: http::Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?,
        path_and_query,
        body,
        idempotency_key,
        max_bytes: most_of_answer(context),
    })
}

/// Adds the idempotency key of a write: in the body for creates of Mission Control, in the header
/// `Idempotency-Key` for everything else (docs/RUNS.md).
pub(super) fn with_key(
    method: &str,
    path: &NormalPath,
    body: Option<RawBody>,
    key: String,
) -> (Option<RawBody>, Option<String>) {
    match body {
        _ if method == "GET" => (body, None),
        Some(RawBody::Json(Value::Object(mut fields)))
            if method == "POST" && is_mission_control(path) =>
        {
            fields.insert("idempotency_key".to_owned(), Value::String(key));
            (Some(RawBody::Json(Value::Object(fields))), None)
        }
        body => (body, Some(key)),
    }
}

/// Whether it is one of Mission Control's own endpoints, which take the idempotency key in the body.
fn is_mission_control(path: &NormalPath) -> bool {
    path.as_str().strip_prefix(MISSION_CONTROL).is_some_and(|rest| rest.starts_with('/'))
}

/// The query: the one in the path, then the one of the arguments.
pub(super) fn query_string(in_path: &str, given: &Value) -> Result<String, String> {
    if in_path.contains('#') {
        return Err("a path must not have a fragment ('#')".to_owned());
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(in_path.as_bytes()) {
        query.append_pair(&name, &value);
    }
    let empty = serde_json::Map::new();
    for (name, value) in given.as_object().unwrap_or(&empty) {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            match value {
                Value::Null => {}
                Value::Bool(flag) => drop(query.append_pair(name, &flag.to_string())),
                Value::Number(number) => drop(query.append_pair(name, &plain(number))),
                Value::String(text) => drop(query.append_pair(name, text)),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!(
                        "query parameter {name:?}: must be a string, number, boolean, or a list of them"
                    ));
                }
            }
        }
    }
    Ok(query.finish())
}

/// A number as text: `7` for `7.0`, which some models write.
fn plain(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{}", float + 0.0),
        Some(_) | None => number.to_string(),
    }
}

/// The backend's answer as a reply.
pub(super) fn reply(response: RawResponse) -> ToolReply {
    let status = response.status;
    if (200..300).contains(&status) {
        if let Some(media_type) = response.media_type().filter(|_| !response.body.is_empty()) {
            return media(&response, &media_type);
        }
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let text = if text.is_empty() { json!({ "status": status }).to_string() } else { text };
        let note = if response.truncated { "\n[cut: the answer was too long]" } else { "" };
        return ToolReply::Data(text + note);
    }
    if (300..400).contains(&status) {
        let error = "the backend answered with a redirect, which is not followed";
        // Many applications answer so when they have done what they were asked for.
        return ToolReply::Unclear(json!({ "error": error, "status": status }));
    }
    let reason = refusal::reason(&response.headers, &response.body);
    let body = refusal::told(status, reason);
    if is_clear(status) { ToolReply::Rejected(body) } else { ToolReply::Unclear(body) }
}

/// An answer that is a picture or a PDF.
fn media(response: &RawResponse, declared: &str) -> ToolReply {
    if response.truncated {
        let error = "the answer is too large to be shown";
        return ToolReply::Data(json!({ "status": response.status, "error": error }).to_string());
    }
    let named = response.headers.get(CONTENT_DISPOSITION);
    let named = named.and_then(|named| named.to_str().ok()).and_then(file_name);
    let media_type = media_type::of(Some(declared), named.unwrap_or_default(), &response.body);
    let name = named.map_or_else(|| name_for(&media_type, 1), str::to_owned);
    let text = json!({ "status": response.status, "file": name, "media_type": media_type });
    let file = ToolFile { name, media_type, bytes: response.body.clone() };
    ToolReply::Files { text: text.to_string(), files: vec![file] }
}

/// The name in a `Content-Disposition` (RFC 6266), where it is a plain one.
fn file_name(disposition: &str) -> Option<&str> {
    let mut parameters = disposition.split(';').skip(1).map(str::trim);
    let is_name = |parameter: &str| parameter.to_ascii_lowercase().starts_with("filename=");
    let name = parameters.find(|parameter| is_name(parameter))?.split_once('=')?.1;
    let name = name.trim().trim_matches('"');
    plain_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_from_the_path_and_from_the_arguments() {
        let query =
            query_string("a=1&b=x%20y", &json!({ "c": [1, 2], "d": true, "e": null, "f": "&" }));
        assert_eq!(query.unwrap(), "a=1&b=x+y&c=1&c=2&d=true&f=%26");
        let numbers = query_string("", &json!({ "a": 7.0, "b": -0.0, "c": 7.5, "d": 8 }));
        assert_eq!(numbers.unwrap(), "a=7&b=0&c=7.5&d=8");
        assert!(query_string("", &json!({ "c": { "d": 1 } })).is_err());
        assert!(query_string("a=1#x", &Value::Null).is_err());
    }
}
