//! Agent cards over HTTP: how long they may be kept, and whether the client has the newest one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, SubsecRound as _, Utc};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use service::forwarded::Address;
use sha2::{Digest as _, Sha256};
use wombat_core::session::Role;

use super::card;
use crate::state::App;

/// A card is for whoever asked: its URLs are those of the way on which the request came. So soon after a
/// change everybody knows it.
const CACHE_CONTROL: &str = "private, max-age=60";

/// A digest, and when it was seen first.
type Seen = (String, DateTime<Utc>);

/// When the workspace of each role's card was seen to change: its digest, and the time.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(Arc<Mutex<HashMap<Role, Seen>>>);

impl Changes {
    /// The card of a role for whoever knows the daemon by this address.
    pub(super) fn answer(
        &self,
        app: &App,
        address: &Address,
        headers: &HeaderMap,
        role: &Role,
    ) -> Response {
        let card = card::of(app, address, role);
        let changed = self.changed(role, app.workspace.snapshot().digest());
        respond(headers, &card, changed)
    }

    fn changed(&self, role: &Role, digest: &str) -> DateTime<Utc> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(role) {
            Some((known, since)) if known == digest => *since,
            Some(_) | None => {
                let now = Utc::now().trunc_subsecs(0);
                seen.insert(role.clone(), (digest.to_owned(), now));
                now
            }
        }
    }
}

fn respond(headers: &HeaderMap, card: &Value, changed: DateTime<Utc>) -> Response {
    let body = card.to_string();
    let hash = Sha256::digest(&body);
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let mut response = match is_known(headers, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let kind = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
    };
    let changed = changed.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let validators = [(header::ETAG, tag), (header::LAST_MODIFIED, changed)];
    for (name, value) in validators {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    let control = HeaderValue::from_static(CACHE_CONTROL);
    response.headers_mut().insert(header::CACHE_CONTROL, control);
    response
}

/// Whether the client has this very card. Only its tag tells: dates are of whole seconds, and each instance has its
/// own.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok()).flat_map(|known| known.split(','));
    known
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(name: header::HeaderName, value: &str) -> u16 {
        let changed = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let headers = [(name, HeaderValue::from_str(value).unwrap())].into_iter().collect();
        respond(&headers, &json!({ "name": "scout" }), changed).status().as_u16()
    }

    #[test]
    fn who_has_the_newest_card_is_told_so() {
        let changed = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let first = respond(&HeaderMap::new(), &json!({ "name": "scout" }), changed);
        assert_eq!(first.headers()["last-modified"], "Tue, 14 Nov 2023 22:13:20 GMT");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            assert_eq!(asked(header::IF_NONE_MATCH, &known), 304, "{known}");
        }
        assert_eq!(asked(header::IF_NONE_MATCH, "\"other\""), 200);
        // Another change may have come within the same second.
        assert_eq!(asked(header::IF_MODIFIED_SINCE, "Tue, 14 Nov 2023 22:13:20 GMT"), 200);
    }
}
