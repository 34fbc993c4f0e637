//! Executing a run: from an admitted request to a stored reply.
//!
//! [`crate::run::state_machine`] decides what comes next and does no IO; `driver` (with `converse`
//! and `ending`) does it, and writes what was done into the `journal`, where the backend has one.

mod approval;
mod budget;
mod converse;
mod driver;
mod ending;
pub(crate) mod journal;
pub mod launch;
mod lease;
mod model;
mod prepare;
mod store;
