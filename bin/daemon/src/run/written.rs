//! What is written with the status of a run, beside its steps: by whoever executes or ends it, and read at any
//! instance.

use mc_client::runs::Run;
use serde_json::{Map, Value, json};

/// The run as which an instance executed it last.
pub const RUN_ID: &str = "run_id";
/// The stored reply.
pub const MESSAGE_ID: &str = "message_id";
/// The body that `send` answers with, of a run whose end is read from its journal.
pub const ANSWER: &str = "answer";
/// Why it has failed ([`super::failure::Failure`]), likewise.
pub const FAILURE: &str = "failure";
/// The code of that, of every run.
pub const ERROR: &str = "error";
/// What it waits for.
pub const TOOL_REQUESTS: &str = "tool_requests";
/// Its tokens.
pub const USAGE: &str = "usage";
/// Their price.
pub const COST: &str = "cost";
/// Whether these are estimates.
pub const ESTIMATED: &str = "estimated";
/// Whether whoever wanted to know was told of an end that no instance has written.
pub const END_TOLD: &str = "end_told";

/// Who executes it from now on.
pub fn executed_as(run_id: &str) -> Map<String, Value> {
    Map::from_iter([(RUN_ID.to_owned(), json!(run_id))])
}

/// The run as which it was executed last; empty where none is known.
pub fn run_id(run: &Run) -> &str {
    run.extra.get(RUN_ID).and_then(Value::as_str).unwrap_or_default()
}

/// The stored reply, where one is known.
pub fn message_id(run: &Run) -> Option<&str> {
    run.extra.get(MESSAGE_ID)?.as_str()
}
