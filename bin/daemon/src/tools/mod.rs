//! The tools of a run: which tools a role has, validation and permissions of a call, and the call
//! itself.
//!
//! A [`ToolSet`] is built once for a workspace snapshot, a role and a backend, and shared by all
//! their runs. What a call may do is decided here and in the modules below: the model chooses a tool
//! and its arguments, nothing else.

mod ask_agent;
mod ask_user;
mod backend_http;
mod backend_tools;
mod catalogue;
mod context;
mod cutting;
mod deferred;
mod discovery;
mod enabled;
mod given;
mod hub;
mod identity;
mod json_path;
mod json_path_compare;
mod json_path_parser;
mod latest;
mod mcp;
pub mod memories;
mod memory_specs;
mod mention;
mod method_override;
mod mission_control;
mod model_forms;
mod nearest;
mod openapi;
mod operations;
mod own_call;
mod read_result;
mod redacted_reply;
mod refreshing_cache;
mod refusal;
mod replayed;
mod reply;
mod result_parts;
mod rules;
mod save_file;
mod schedules;
mod set;
mod source_state;
mod specs;

use std::sync::Arc;

use wombat_core::advice::KnownTools;
use wombat_core::workspace::Snapshot;

pub use ask_user::ASK_USER;
pub use context::ToolContext;
pub use cutting::{Cut, cut, cut_text};
pub use deferred::add_loaded;
pub use discovery::{Asker, Found, OpenApiPlace};
pub use enabled::missing_features;
pub use given::Given;
pub use hub::{DocumentState, Inspection, Tools};
pub use identity::CallIdentity;
pub use mention::{MENTION, Mentions};
pub use own_call::{Errand, OwnCall, Question, ReadRequest, Reading};
pub use read_result::read as read_result;
pub use replayed::{CaseTool, CaseTools};
pub use reply::{ToolFile, ToolReply};
pub use rules::{declared_by, declaring, rule, schema as misfit, undeclared, unrestricted};
pub use set::ToolSet;
pub use source_state::SourcesState;
pub use specs::{FIND_TOOLS, READ_RESULT, RequestedCall, builtin_names};

/// What is known of tools when the backend cannot be asked.
pub fn unasked(snapshot: &Snapshot) -> KnownTools {
    let names = builtin_names().into_iter().map(str::to_owned).collect();
    let missing = vec!["the backend".to_owned()];
    let operations = Arc::new(operations::of_builtins());
    let silent_servers = snapshot.mcp().servers.keys().cloned().collect();
    KnownTools { operations, documented: Vec::new(), names, missing, silent_servers }
}
