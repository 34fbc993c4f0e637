//! The Mission Control contract as types, and the HTTP client for it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod approval_rules;
pub mod artifacts;
pub mod audit;
mod backend;
pub mod budgets;
mod call;
mod caller;
pub mod client;
mod decisions;
pub mod delivery_options;
pub mod deltas;
pub mod dispatch;
mod documents;
pub mod error;
pub mod events;
pub mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handing_on;
pub mod idempotency;
pub mod jcs;
mod journal_keys;
pub mod journal_mac;
pub mod journal_seal;
pub mod leases;
pub mod memories;
pub mod mentions;
mod messages;
mod notifications;
pub mod orphans;
pub mod owned_data;
pub mod profiles;
pub mod raw;
mod reason;
mod retry_policy;
mod rules;
pub mod run_lists;
pub mod runs;
pub mod schedules;
pub mod steps;
mod tasks;
pub mod token;
pub mod tool_requests;
pub mod tools;
pub mod types;
mod url;
mod wake;
