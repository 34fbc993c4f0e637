//! The checks, a file for each chapter of the contract.

pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod auth;
mod budget_scopes;
pub(crate) mod capabilities;
pub(crate) mod decisions;
pub(crate) mod delivery_options;
mod endpoint_access;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod files;
mod handing_on;
pub(crate) mod heartbeat_standup;
pub(crate) mod idempotency;
pub(crate) mod invariants;
pub(crate) mod journal;
pub(crate) mod limits;
pub(crate) mod memories;
pub(crate) mod objects;
pub(crate) mod orphans;
pub(crate) mod owned_data;
pub(crate) mod paging;
pub(crate) mod profiles;
pub(crate) mod queue;
pub(crate) mod roles;
pub(crate) mod run_lists;
pub(crate) mod run_stream;
pub(crate) mod schedules;
pub(crate) mod tenancy;

/// Percent-encodes a value of a query.
pub(crate) fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
