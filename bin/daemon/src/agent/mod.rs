//! The run: from a message to a stored reply.
//!
//! [`run`] decides what comes next and does no IO; [`driver`] does it. Everything that a run needs
//! to know about its caller is in [`request`]; everything that it tells is in [`events`] and
//! [`answer`].

pub mod answer;
pub mod driver;
pub mod events;
pub mod launch;
pub mod meter;
pub(crate) mod model;
mod prepare;
pub mod request;
pub mod run;
mod store;
