//! The ground floor: what a run is, in data and rules that need no IO.
//!
//! Everything that happens before a run ([`request`]), during it ([`state_machine`], [`events`],
//! [`context_window`], [`meter`]) and at its end ([`answer`], [`error`]), and the table of the runs of this instance
//! ([`registry`]). These modules import nothing else of the daemon, so that every other module may
//! use them.

pub mod answer;
pub mod answer_json;
pub mod attachments;
pub mod context_window;
pub mod customer;
pub mod error;
pub mod events;
pub mod failure;
pub mod feed;
pub mod file_text;
pub mod handle;
pub mod lineage;
pub mod meter;
pub mod output;
pub mod recap;
pub mod recording;
pub mod registry;
pub mod request;
pub mod script;
mod shortening;
pub mod standing;
pub mod state_machine;
pub mod told;
pub mod tree;
pub mod usage;
