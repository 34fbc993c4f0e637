//! Which tools of a server are wanted: clients have lists of what is on or off.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::entry::Unusable;

/// The names of clients for the list of the only tools that are wanted, and of those that are not.
const ONLY: [&str; 6] =
    ["includeTools", "enabledTools", "enabled_tools", "allowedTools", "allowed_tools", "tools"];
const NOT: [&str; 4] = ["excludeTools", "disabledTools", "disabled_tools", "excludedTools"];

/// Which tools of a server are wanted, by the names that it gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolFilter {
    only: Option<BTreeSet<String>>,
    not: BTreeSet<String>,
}

impl ToolFilter {
    /// Whether a tool is wanted.
    pub fn has(&self, tool: &str) -> bool {
        let off = ["*", tool].iter().any(|name| self.not.contains(*name));
        !off && self.only.as_ref().is_none_or(|only| only.contains(tool))
    }

    /// Reads the lists of a server. One that cannot be read is an error: it may forbid something.
    pub(super) fn read(fields: &Map<String, Value>) -> Result<Self, Unusable> {
        let mut filter = Self::default();
        for key in ONLY {
            // `*` forbids nothing.
            if let Some(names) = names(fields, key)?.filter(|names| !names.contains("*")) {
                // Of several lists a tool must be in each.
                filter.only = Some(match filter.only.take() {
                    Some(before) => before.intersection(&names).cloned().collect(),
                    None => names,
                });
            }
        }
        for key in NOT {
            filter.not.extend(names(fields, key)?.into_iter().flatten());
        }
        Ok(filter)
    }
}

fn names(
    fields: &Map<String, Value>,
    key: &'static str,
) -> Result<Option<BTreeSet<String>>, Unusable> {
    let items = match fields.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Unusable::new(key, format!("{key} is not a list of tools"))),
    };
    let name = |item: &Value| {
        // Gemini CLI also has `name(argument)`.
        let text = item.as_str()?;
        Some(text.split_once('(').map_or(text, |(name, _)| name).trim().to_owned())
    };
    let names = items.iter().map(name).collect::<Option<BTreeSet<_>>>();
    let names = names.filter(|names| {
        // Which tools a pattern means is another client's to say.
        names.iter().all(|name| name == "*" || !name.contains(['*', '?']))
    });
    let why = || Unusable::new(key, format!("{key} is not a list of the names of tools"));
    names.map(Some).ok_or_else(why)
}
