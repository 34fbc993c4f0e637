//! Questions, as agents ask them.

use chrono::{Duration, Utc};
use mc_client::tool_requests::{
    CreateToolRequest, MAX_ANSWER_SCHEMA, MAX_OPTION, MAX_QUESTION, MAX_TTL_SECS, OPTIONS, Question,
};
use schemas::reply::compile;
use serde_json::Value;

use crate::answers::is_same;
use crate::error::ApiError;
use crate::extract::{deserialize, require_filled, require_short};

/// Refuses a question that cannot be asked.
pub(super) async fn check(new: &CreateToolRequest) -> Result<(), ApiError> {
    let question: Question = deserialize(&Value::Object(new.arguments.clone()), "arguments.")?;
    let text = question.question.as_str();
    require_filled(&[("arguments.question", text)])?;
    require_short(&[("arguments.question", Some(text), MAX_QUESTION)])?;
    match (&question.schema, &question.options) {
        (Some(_), Some(_)) => {
            let why = "cannot be beside arguments.options: give one of them";
            return Err(ApiError::field("arguments.schema", why));
        }
        (Some(schema), None) => {
            if schema.to_string().len() > MAX_ANSWER_SCHEMA {
                let why = format!("must have at most {MAX_ANSWER_SCHEMA} bytes");
                return Err(ApiError::field("arguments.schema", &why));
            }
            let compiled = compile(schema).await;
            compiled.map_err(|why| ApiError::field("arguments.schema", &why))?;
        }
        (None, Some(options)) => check_options(options)?,
        (None, None) => {}
    }
    check_time(new)
}

fn check_options(options: &[String]) -> Result<(), ApiError> {
    let wrong = |why: &str| Err(ApiError::field("arguments.options", why));
    if !OPTIONS.contains(&options.len()) {
        return wrong(&format!("must be {} to {}", OPTIONS.start(), OPTIONS.end()));
    }
    if options.iter().any(|one| one.trim().is_empty() || one.chars().count() > MAX_OPTION) {
        return wrong(&format!("must be filled texts of at most {MAX_OPTION} characters"));
    }
    let is_twice =
        |(at, one): (usize, &String)| options[..at].iter().any(|other| is_same(one, other));
    if options.iter().enumerate().any(is_twice) {
        return wrong("must differ, capitals and outer spaces aside");
    }
    Ok(())
}

/// Refuses a time that is no time to answer in.
fn check_time(new: &CreateToolRequest) -> Result<(), ApiError> {
    if new.ttl_secs.is_some() && new.expires_at.is_some() {
        return Err(ApiError::field("ttl_secs", "cannot be beside expires_at: give one of them"));
    }
    if new.ttl_secs.is_some_and(|seconds| !(1..=MAX_TTL_SECS).contains(&seconds)) {
        let why = format!("must be 1 to {MAX_TTL_SECS}");
        return Err(ApiError::field("ttl_secs", &why));
    }
    check_until("expires_at", new.expires_at)
}

/// Refuses a time in the past, or in more than 366 days.
pub(super) fn check_until(
    field: &str,
    until: Option<chrono::DateTime<Utc>>,
) -> Result<(), ApiError> {
    let most = Duration::seconds(i64::try_from(MAX_TTL_SECS).unwrap_or_default());
    let (Some(until), now) = (until, Utc::now()) else { return Ok(()) };
    if until <= now {
        return Err(ApiError::field(field, "must be in the future"));
    }
    if until > now + most {
        return Err(ApiError::field(field, "must be within 366 days"));
    }
    Ok(())
}
