//! The run: from a message to a stored reply.
//!
//! [`run`] decides what comes next and does no IO; `driver` (with `converse` and `ending`) does it,
//! and writes what was done into the `journal`, where the backend has one. Everything that a run needs
//! to know about its caller is in [`request`]; everything that it tells is in [`events`] and
//! [`answer`].

pub mod answer;
mod approval;
mod budget;
mod converse;
mod driver;
mod ending;
pub mod events;
pub(crate) mod journal;
pub mod launch;
mod lease;
pub mod meter;
pub(crate) mod model;
mod prepare;
pub mod request;
pub mod run;
mod store;
