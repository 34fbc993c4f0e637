//! Entry points of the fuzz targets, built with `--cfg fuzzing` only.

use std::fmt::Debug;
use std::time::Duration;

use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::McError;
use crate::idempotency::RunKey;
use crate::token::{Algorithm, Key, TokenMinter, TokenVerifier};
use crate::{budgets, leases, runs, tool_requests, tools, types};

/// Reads a text, writes the value, and reads it again: both must be equal.
fn both_ways<T: Serialize + DeserializeOwned + Debug>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&value).expect("what was JSON is JSON");
    let again: T = serde_json::from_str(&written).expect("what was written is read");
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
}

/// Reads a text as each type of the contract, as an error and as a run key.
pub fn contract(text: &str) {
    both_ways::<types::Page<types::Task>>(text);
    both_ways::<types::Message>(text);
    both_ways::<types::Document>(text);
    both_ways::<types::Page<types::Notification>>(text);
    both_ways::<types::Capabilities>(text);
    both_ways::<types::Delivery>(text);
    both_ways::<types::HeartbeatAnswer>(text);
    both_ways::<types::StandupAnswer>(text);
    both_ways::<types::ErrorBody>(text);
    both_ways::<budgets::Budget>(text);
    both_ways::<budgets::BudgetRefusal>(text);
    both_ways::<budgets::Reservation>(text);
    both_ways::<leases::Lease>(text);
    both_ways::<runs::Run>(text);
    both_ways::<runs::RunNote>(text);
    both_ways::<tool_requests::ToolRequest>(text);
    both_ways::<tools::BackendTool>(text);
    let headers: HeaderMap = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
        .fold(HeaderMap::new(), |mut all, (name, value): (http::HeaderName, _)| {
            all.insert(name, value);
            all
        });
    let error = McError::of_answer(503, &headers, text.as_bytes());
    assert!(!error.to_string().is_empty());
    if let Some(key) = RunKey::parse(text) {
        assert_eq!(key.as_str(), text);
    }
}

/// Verifies a text as an agent token: without a signature none is valid.
pub fn token(text: &str) {
    let key = Key::Secret("0123456789abcdef0123456789abcdef".into());
    let verifier = TokenVerifier::new(&key, Algorithm::Hs256).expect("a key");
    assert!(verifier.verify(text).is_err());
    let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(60)).expect("a key");
    let named = !text.trim().is_empty();
    if let (true, Ok(token)) = (named, minter.mint(text, "scout")) {
        let header = token.header();
        let claims = verifier.verify(header.to_str().expect("ASCII")).expect("our own");
        assert_eq!(claims.user_id, text);
    }
}
