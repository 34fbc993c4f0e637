//! `WOMBAT_PROTOCOLS`: which additional protocols the daemon serves (docs/PROTOCOLS.md).

use mc_client::types::Task;
use service::settings::names::nearest_of;

/// A protocol that can be enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `/a2a/{role}` and agent cards.
    A2a,
    /// `POST /ag-ui/{role}`.
    AgUi,
    /// `/v1/models` and `/v1/chat/completions`.
    OpenAi,
    /// `POST /mcp`.
    Mcp,
}

/// The field of a task's metadata that holds the addresses of push notifications.
pub const A2A_PUSH: &str = "a2a_push";

/// The field of a task's metadata that names the newest run of each role.
pub const A2A_RUNS: &str = "a2a_runs";

/// The field of a task's metadata that holds the context that an A2A client made up for it.
pub const A2A_CONTEXT: &str = "a2a_context";

/// The fields of a task's metadata that are the daemon's own: no tool writes them.
pub const OWN_METADATA: [&str; 3] = [A2A_PUSH, A2A_RUNS, A2A_CONTEXT];

/// The A2A context of a task: the task itself, unless its client has made one up.
pub fn a2a_context(task: &Task) -> &str {
    let own = task.metadata.as_ref().and_then(|metadata| metadata.get(A2A_CONTEXT)?.as_str());
    own.unwrap_or(&task.id)
}

/// The names of all protocols in the setting.
const NAMES: [&str; 4] = ["a2a", "ag-ui", "openai", "mcp"];

impl Protocol {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "a2a" => Some(Self::A2a),
            "ag-ui" => Some(Self::AgUi),
            "openai" => Some(Self::OpenAi),
            "mcp" => Some(Self::Mcp),
            _ => None,
        }
    }
}

/// The enabled protocols; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protocols(Vec<Protocol>);

impl Protocols {
    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// A text that names the unknown protocol and the allowed ones.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut enabled = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(protocol) = Protocol::parse(name) else {
                let near = nearest_of(&name.to_lowercase(), &NAMES)
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                let allowed = NAMES.join(", ");
                return Err(format!("unknown protocol {name:?}{near} (allowed: {allowed})"));
            };
            if !enabled.contains(&protocol) {
                enabled.push(protocol);
            }
        }
        Ok(Self(enabled))
    }

    /// Whether a protocol is enabled.
    pub fn has(&self, protocol: Protocol) -> bool {
        self.0.contains(&protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_switches_protocols_on() {
        let on = Protocols::parse("openai, mcp,,openai").unwrap();
        assert_eq!(on.0, [Protocol::OpenAi, Protocol::Mcp]);
        assert!(!on.has(Protocol::AgUi));
        assert_eq!(Protocols::parse(" "), Ok(Protocols::default()));
        for name in NAMES {
            assert!(Protocol::parse(name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_a_near_one_and_all() {
        let why = Protocols::parse("mcp,openia").unwrap_err();
        assert!(why.contains("\"openia\"; did you mean openai?"), "{why}");
        assert!(why.contains("ag-ui, openai, mcp"), "{why}");
        let why = Protocols::parse("telepathy").unwrap_err();
        assert!(!why.contains("did you mean"), "{why}");
    }
}
