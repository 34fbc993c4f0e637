//! Executing a run: from an admitted request to a stored reply.
//!
//! `launch` admits a run and joins equal ones; `driver` finds out what it works with (`context`);
//! `refusals` is what it is refused for before anything is made; `opening`, `converse`, `tool_calls` and
//! `finish` are its stages. What comes next is decided by
//! [`crate::run::state_machine`], which does no IO. What was done is written into the `journal`,
//! where the backend has one; `finalizer` ends the journal and releases the session however the
//! run ends.

mod admission;
mod approval;
mod attempts;
mod attend;
pub(crate) mod audit;
mod budget;
pub(crate) mod can;
mod child;
mod context;
mod converse;
pub(crate) mod customers;
mod decided_calls;
mod desk;
pub(crate) mod detach;
mod driver;
pub(crate) mod ends;
mod facts;
mod file_history;
mod file_load;
pub(crate) mod file_report;
pub(crate) mod file_resolve;
mod files;
mod finalizer;
mod finish;
mod finish_up;
pub(crate) mod follow;
mod gen_ai;
mod handing_on;
pub(crate) mod journal;
mod kept_results;
mod known_events;
pub mod launch;
mod lease;
mod loaded_tools;
mod long_results;
mod memories;
mod mentions;
mod model;
mod most_price;
mod numbers_again;
mod opening;
mod prepare;
mod prompt_window;
mod questions;
mod read_on;
mod recorder;
mod redaction;
mod refusals;
pub(crate) mod replay;
mod reply_text;
pub(crate) mod requests;
mod standing_rules;
pub(crate) mod stands;
mod store;
mod take_up;
mod tool_calls;
mod tool_files;
mod traced;
pub(crate) mod typed;
mod words;
