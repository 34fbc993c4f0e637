//! The tools of a run: which ones there are, whether a call is right, and the call itself.
//!
//! A [`ToolSet`] is made once for a workspace snapshot, a role and a backend, and shared by all
//! their runs. Everything a call may do is decided here and in the modules below, never by the
//! model: it can choose a tool and its arguments, nothing else.

mod backend_http;
mod mission_control;
mod result;
mod set;
mod specs;

pub use result::ToolOutcome;
pub use set::{ToolCache, ToolContext, ToolSet};

/// The names of all tools that a role can have.
pub fn names() -> [&'static str; 8] {
    specs::Builtin::ALL.map(specs::Builtin::name)
}
