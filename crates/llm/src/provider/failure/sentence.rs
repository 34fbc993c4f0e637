//! The message for the caller.

use super::{Failure, INSECURE, Meaning};
use crate::error::LlmErrorKind;
use crate::model::Provider;

/// The sentence that tells a failure, with the provider's own words where they help.
pub(super) fn of(failure: &Failure, provider: Provider) -> String {
    let code = failure.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let said = failure.said();
    // The sentence, completed by the provider's words.
    let told = |sentence: String| match said {
        "" => format!("{sentence}."),
        said => format!("{sentence}: {said}"),
    };
    match &failure.kind {
        LlmErrorKind::NotConfigured { variable } => {
            format!("The provider {provider} needs {variable}; runs fail until it is set.")
        }
        LlmErrorKind::Auth { variable: Some(variable) } => {
            told(format!("{provider} rejected the API key (check {variable})"))
        }
        LlmErrorKind::Auth { variable: None } => format!("{provider} denied access."),
        LlmErrorKind::Unavailable => unavailable(failure, provider),
        LlmErrorKind::QuotaExhausted => told(format!(
            "The account at {provider} has used up its quota, credit or spending limit{code}"
        )),
        LlmErrorKind::Rejected => match failure.meaning() {
            Some(Meaning::RegionRefused) => {
                told(format!("{provider} does not serve the region of this server"))
            }
            Some(Meaning::ModelUnavailable) => told(format!(
                "{provider} does not offer this model to the account (check LLM_MODEL_DEFAULT and the \
                 models of the roles)"
            )),
            _ => rejected(failure, provider, &code),
        },
        LlmErrorKind::InvalidRequest => rejected(failure, provider, &code),
        LlmErrorKind::ContextTooLong => match failure.meaning() {
            Some(Meaning::RequestTooLarge) => told(format!(
                "The request is larger than all that {provider} accepts from this account in a minute, so \
                 that waiting does not help"
            )),
            _ => told("The conversation exceeds the model's context window".to_owned()),
        },
        LlmErrorKind::ContentFiltered => {
            format!("{provider}'s content filter blocked the request{code}.")
        }
        LlmErrorKind::BadAnswer | LlmErrorKind::ForbiddenCall => bad_answer(failure, provider),
    }
}

fn unavailable(failure: &Failure, provider: Provider) -> String {
    let what = match failure.meaning() {
        Some(Meaning::RateLimited) => "limits the rate of requests",
        Some(Meaning::TimedOut) => "took too long",
        _ => "is overloaded or unavailable",
    };
    if let Some(address) = &failure.unreachable {
        let check = provider.base_url_variable().map(|name| format!(" (check {name})"));
        let (cause, check) = (&failure.cause, check.unwrap_or_default());
        return format!("{provider} cannot be reached at {address}: {cause}{check}.");
    }
    let is_told = failure.status.is_some() || failure.cause.starts_with(INSECURE);
    if is_told && failure.stated.is_none() {
        return format!("{provider} was not reached: {}.", failure.cause);
    }
    match (failure.status, failure.said()) {
        (Some(status), said) if !said.is_empty() => {
            format!("{provider} {what} (HTTP {status}: {said}). Try again later.")
        }
        (Some(status), _) => format!("{provider} {what} (HTTP {status}). Try again later."),
        (None, _) if failure.cause.is_empty() => format!("{provider} {what}. Try again later."),
        (None, _) => format!("{provider} {what}: {}. Try again later.", failure.cause),
    }
}

fn rejected(failure: &Failure, provider: Provider, code: &str) -> String {
    match (failure.status, failure.said()) {
        (Some(status), "") => format!("{provider} rejected the request: HTTP {status}{code}."),
        (Some(status), said) => {
            format!("{provider} rejected the request: HTTP {status}{code}: {said}")
        }
        (None, _) => format!("{provider} cannot handle the request: {}.", failure.cause),
    }
}

fn bad_answer(failure: &Failure, provider: Provider) -> String {
    match (failure.meaning(), &failure.code) {
        (Some(_), _) => {
            format!("{provider} could not use what the model generated: {}", failure.said())
        }
        (None, Some(reason)) => {
            format!("{provider} ended its answer with {reason:?} instead of completing it.")
        }
        (None, None) if failure.cause.ends_with("size limit") => {
            format!("{provider} returned an answer that cannot be kept: {}.", failure.cause)
        }
        (None, None) => {
            format!("{provider} returned an answer that is incomplete or cannot be parsed.")
        }
    }
}
