//! Executing a run: from an admitted request to a stored reply.
//!
//! [`crate::run::state_machine`] decides what comes next and does no IO; `driver` (with `converse`
//! and `finish`) does it, and writes what was done into the `journal`, where the backend has one.

mod approval;
mod budget;
mod context;
mod converse;
mod driver;
mod finalizer;
mod finish;
pub(crate) mod journal;
pub mod launch;
mod lease;
mod model;
mod opening;
mod prepare;
mod store;
mod tool_calls;
