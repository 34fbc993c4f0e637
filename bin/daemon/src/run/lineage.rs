//! The agents above a run, and whether it may hand on to another one: what keeps agents from asking each other
//! for ever. No IO.

use mc_client::idempotency::RunKey;
use mc_client::types::Chain;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::request::{RunKind, RunRequest};

/// The field of a notification's `metadata` with the agents that have notified each other until then.
pub const CHAIN: &str = "chain";

/// How far and how often runs may hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskLimits {
    /// How many runs may be below each other.
    pub max_depth: usize,
    /// How many others one run may hand on to.
    pub max_fanout: usize,
}

/// Why a role is not asked, nor notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is the run's own role, or one above it.
    Cycle,
    /// The run is too far down already.
    Depth,
    /// The run has handed on as often as it may.
    Fanout,
}

impl Refusal {
    /// The code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cycle => "agent_cycle",
            Self::Depth => "ask_depth",
            Self::Fanout => "ask_fanout",
        }
    }

    /// A sentence for the model.
    pub fn sentence(self, role: &str, limits: AskLimits) -> String {
        match self {
            Self::Cycle => format!(
                "{role} is you, or has handed this on to you; answer with what you have, and it gets that"
            ),
            Self::Depth => format!(
                "agents have handed this on {} times already, which is the limit \
                 (WOMBAT_ASK_MAX_DEPTH); do it yourself",
                limits.max_depth
            ),
            Self::Fanout => format!(
                "this run has handed on to {} others already, which is the limit \
                 (WOMBAT_ASK_MAX_FANOUT); go on with what you have",
                limits.max_fanout
            ),
        }
    }
}

/// The roles above a run, and the run that it all goes back to: those of the run that asked, or of the
/// agents whose mention woke this one.
pub fn above(request: &RunRequest, run_key: &RunKey) -> Chain {
    if let Some(parent) = &request.child {
        return parent.chain.clone();
    }
    let is_notification = request.options.kind == RunKind::Notification;
    let chain = is_notification.then(|| chain_of(&request.metadata)).and_then(Result::ok);
    let first = || Chain { root_run_key: run_key.as_str().to_owned(), roles: Vec::new() };
    chain.flatten().unwrap_or_else(first)
}

/// The same with the run's own role: what those below it have above them.
pub fn below(request: &RunRequest, run_key: &RunKey) -> Chain {
    let mut chain = above(request, run_key);
    chain.roles.push(request.session.role().as_str().to_owned());
    chain
}

/// The chain in the `metadata` of a notification.
///
/// # Errors
/// What is wrong with it.
pub fn chain_of(metadata: &Map<String, Value>) -> Result<Option<Chain>, &'static str> {
    let Some(given) = metadata.get(CHAIN).filter(|given| !given.is_null()) else { return Ok(None) };
    match Chain::deserialize(given) {
        Ok(chain) if !chain.root_run_key.is_empty() => Ok(Some(chain)),
        Ok(_) | Err(_) => Err("must be {root_run_key, roles: [role]}"),
    }
}

/// Whether a run, with this chain down to itself, may hand on to a role, as it has `used` times.
pub fn refusal(chain: &Chain, role: &str, used: usize, limits: AskLimits) -> Option<Refusal> {
    if chain.roles.iter().any(|above| above == role) {
        return Some(Refusal::Cycle);
    }
    if chain.roles.len() > limits.max_depth {
        return Some(Refusal::Depth);
    }
    (used >= limits.max_fanout).then_some(Refusal::Fanout)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_is_refused_for_what_is_above_and_for_how_often() {
        let chain = |roles: &[&str]| Chain {
            root_run_key: "k".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let limits = AskLimits { max_depth: 3, max_fanout: 2 };
        for (roles, role, used, expected) in [
            (&["a"][..], "b", 0, None),
            (&["a"], "b", 1, None),
            (&["a"], "b", 2, Some(Refusal::Fanout)),
            (&["a"], "a", 0, Some(Refusal::Cycle)),
            (&["a", "b"], "a", 0, Some(Refusal::Cycle)),
            (&["a", "b", "c"], "d", 0, None),
            (&["a", "b", "c", "d"], "e", 0, Some(Refusal::Depth)),
            (&["a", "b", "c", "d"], "a", 9, Some(Refusal::Cycle)),
        ] {
            assert_eq!(refusal(&chain(roles), role, used, limits), expected, "{roles:?} {role}");
        }
        let none = AskLimits { max_depth: 0, max_fanout: 8 };
        assert_eq!(refusal(&chain(&["a"]), "b", 0, none), Some(Refusal::Depth));
    }

    #[test]
    fn a_chain_is_read_or_refused() {
        let of = |chain: Value| chain_of(json!({ "chain": chain }).as_object().unwrap());
        assert_eq!(of(Value::Null), Ok(None));
        assert_eq!(chain_of(&Map::new()), Ok(None));
        let chain = of(json!({ "root_run_key": "k", "roles": ["a"] })).unwrap().unwrap();
        assert_eq!((chain.root_run_key.as_str(), chain.roles.len()), ("k", 1));
        for wrong in [
            json!("x"),
            json!({}),
            json!({ "root_run_key": "", "roles": [] }),
            json!({ "root_run_key": "k", "roles": [1] }),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
