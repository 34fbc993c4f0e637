//! Runs that hand work on to other roles: what journals say of it (docs/RUNS.md, "Agents that ask each other").

use model_turn::{Cost, Usage};
use serde::{Deserialize, Serialize};

use crate::types::Chain;

/// What step 0 of a run says that another run asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run that asked.
    pub run_key: String,
    /// The run at the top, which waits for people on behalf of all below it.
    pub root_run_key: String,
    /// The session of that run.
    pub root_session_key: String,
    /// The roles above, the asking one last, and the run that they go back to.
    pub chain: Chain,
}

/// A run that a call is handed on to. The parent's journal names it before it writes anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCall {
    /// The place of the call's result in the parent's journal.
    pub at: u32,
    /// The child.
    pub run_key: String,
    /// Its role.
    pub role: String,
}

/// A run that a call was handed on to, once it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildReport {
    /// The child.
    pub run_key: String,
    /// Its role.
    pub role: String,
    /// The tokens that it used, with all below it.
    pub usage: Usage,
    /// Their price.
    pub cost: Cost,
}

/// A role that an agent named and that was not notified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMention {
    /// The role.
    pub role: String,
    /// Why: a code.
    pub code: String,
}
