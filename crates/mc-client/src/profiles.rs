//! What a customer's profile narrows for a user and a role (feature `profile`).

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::idempotency::hex;
use crate::jcs::{JcsError, canonical};
use crate::url::{path, with_query};

/// The longest `prompt_append`, in characters.
pub const MAX_PROMPT_APPEND: usize = 8_000;

/// The longest `tenant_id`, `locale` and `timezone`, in characters.
pub const MAX_PROFILE_TEXT: usize = 128;

/// How long a profile may be used without asking again, whatever its backend says.
pub const MAX_PROFILE_AGE: Duration = Duration::from_secs(300);

/// `GET /profile`: what narrows the agents of a user. An empty one narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// The customer that the user belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Which tools may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<ProfileTools>,
    /// Which models are asked, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ProfileModels>,
    /// The most that a run may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProfileLimits>,
    /// The last section of the system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_append: Option<String>,
    /// The workspace, or how many percent of the users have each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<ProfileWorkspace>,
    /// The user's language, as BCP 47 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The user's time zone, where the request names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// Rules on tools, beside those of `agent-config.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileTools {
    /// What may be called: everything when absent, nothing when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// What may not be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
    /// What waits for a person: a tool or an endpoint, or `{tool, when}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Vec<Value>>,
    /// What this version does not know; no run starts with such a field.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The model of each tier.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileModels {
    /// The model of the default tier.
    pub default: String,
    /// The model of the cheap tier; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheap: Option<String>,
    /// The model of the best tier; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// What this version does not know; no run starts with such a field.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The most that a run may use; the smallest of request, profile and settings holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileLimits {
    /// Turns in which the model may call tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u32>,
    /// Output tokens of one model call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// US dollars for all model calls of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
    /// What this version does not know; no run starts with such a field.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Which workspace a user has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ProfileWorkspace {
    /// This one.
    Name(String),
    /// Each of these has so many percent of the users, 100 together.
    Shares(BTreeMap<String, u32>),
}

impl ProfileWorkspace {
    /// The name of a user's workspace; `None` when the percentages are not 100 together. The names share the
    /// numbers from 0 to 99 in the order of their bytes, and the user's number is the first four bytes of the
    /// SHA-256 of its id, modulo 100.
    pub fn of_user(&self, user_id: &str) -> Option<&str> {
        let shares = match self {
            Self::Name(name) => return Some(name),
            Self::Shares(shares) => shares,
        };
        let sum = shares.values().try_fold(0_u32, |sum, share| sum.checked_add(*share));
        if sum != Some(100) {
            return None;
        }
        let mut number = share_of(user_id);
        shares.iter().find_map(|(name, share)| match number.checked_sub(*share) {
            Some(rest) => {
                number = rest;
                None
            }
            None => Some(name.as_str()),
        })
    }
}

/// A user's number from 0 to 99.
fn share_of(user_id: &str) -> u32 {
    let hash = Sha256::digest(user_id.as_bytes());
    let first = hash.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    first % 100
}

/// The digest of a profile's body: SHA-256 of its canonical form, hexadecimal.
///
/// # Errors
/// When it has a number that a double cannot hold.
pub fn digest(body: &Value) -> Result<String, JcsError> {
    Ok(hex(&Sha256::digest(canonical(body)?.as_bytes())))
}

/// The answer to `GET /profile`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileAnswer {
    /// The profile as it was sent; `None` when it is still the one of the tag that was sent (304).
    pub body: Option<Value>,
    /// Its tag.
    pub etag: Option<String>,
    /// How long it may be used without asking again.
    pub max_age: Duration,
}

/// The `max-age` of an answer, less its age; zero where it is to be asked for each time.
fn max_age(headers: &HeaderMap) -> Duration {
    let number = |text: &str| text.trim().trim_matches('"').parse::<u64>().ok();
    let mut seconds = 0;
    for line in headers.get_all(CACHE_CONTROL) {
        for directive in line.to_str().unwrap_or_default().split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if matches!(directive.as_str(), "no-store" | "no-cache") {
                return Duration::ZERO;
            }
            if let Some(age) = directive.strip_prefix("max-age=").and_then(number) {
                seconds = age;
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| number(age.to_str().ok()?)).unwrap_or(0);
    Duration::from_secs(seconds.saturating_sub(age)).min(MAX_PROFILE_AGE)
}

fn place(user_id: &str, role: Option<&str>) -> String {
    let role = role.map(str::to_owned);
    with_query(path(&["profile"]), &[("user_id", Some(user_id.to_owned())), ("role", role)])
}

impl AgentClient {
    /// The profile of the token's user and role. `etag` is the tag of the one that is known.
    ///
    /// # Errors
    /// [`McError::is_not_found`] when the backend does not know the role.
    pub async fn profile(&self, etag: Option<&str>) -> Result<ProfileAnswer, McError> {
        let role = self.caller.role();
        let mut call = Call::get(&place(self.caller.user().unwrap_or_default(), role));
        if let Some(etag) = etag {
            call = call.header(IF_NONE_MATCH, etag)?;
        }
        let (answer, is_same) = match self.caller.answer(&call).await {
            Ok(answer) => (answer, false),
            Err(failure) => match failure.answer {
                Some(answer) if answer.status == 304 && etag.is_some() => (answer, true),
                _ => return Err(failure.error),
            },
        };
        let bad = |cause: String| McError::BadAnswer { cause };
        let body = match is_same {
            true => None,
            false if answer.truncated => return Err(bad("it is too large".to_owned())),
            false => {
                let body: Value =
                    serde_json::from_slice(&answer.body).map_err(|error| bad(error.to_string()))?;
                if !body.is_object() {
                    return Err(bad("it is no JSON object".to_owned()));
                }
                Some(body)
            }
        };
        let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(ProfileAnswer { body, etag: tag, max_age: max_age(&answer.headers) })
    }
}

impl InternalClient {
    /// Replaces a user's profile; without a role, the one for roles that have none.
    pub async fn put_profile(
        &self,
        user_id: &str,
        role: Option<&str>,
        profile: &Profile,
    ) -> Result<Value, McError> {
        self.caller.fetch(Call::new(Method::PUT, &place(user_id, role)).json(profile)?).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_has_the_share_of_its_number_in_the_order_of_the_names() {
        // The first four bytes of SHA-256("u1") are bb 82 03 0d.
        assert_eq!(share_of("u1"), 0xbb82_030d_u32 % 100);
        let shares = |value: Value| -> ProfileWorkspace { serde_json::from_value(value).unwrap() };
        let number = share_of("u1");
        let split = shares(json!({ "b": 100 - number, "a": number }));
        assert_eq!(split.of_user("u1"), Some("b"), "numbers below {number} are of a");
        let split = shares(json!({ "b": 99 - number, "a": number + 1 }));
        assert_eq!(split.of_user("u1"), Some("a"));
        assert_eq!(shares(json!({ "a": 0, "b": 100 })).of_user("u1"), Some("b"));
        assert_eq!(shares(json!("canary")).of_user("u1"), Some("canary"));
        for wrong in [json!({ "a": 99 }), json!({}), json!({ "a": 4_294_967_295_u32, "b": 101 })] {
            assert_eq!(shares(wrong.clone()).of_user("u1"), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order_of_fields() {
        let one = digest(&json!({ "b": 1.0, "a": [] })).unwrap();
        let text = serde_json::from_str(r#"{"a":[],"b":1}"#).unwrap();
        assert_eq!(one, digest(&text).unwrap());
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(digest(&json!({})).unwrap(), empty);
    }

    #[test]
    fn an_age_is_bounded_and_never_assumed() {
        let of = |lines: &[(http::HeaderName, &str)]| {
            let lines = lines.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            max_age(&lines.collect()).as_secs()
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(CACHE_CONTROL, "private, max-age=60")]), 60);
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=60"), (AGE, "20")]), 40);
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=86400")]), 300);
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=60, no-cache")]), 0);
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=x")]), 0);
    }
}
