//! The capabilities of a backend.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{CONTRACT_VERSION, lenient};

/// `GET /capabilities`: the optional features of the backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capabilities {
    /// The contract's version, `v1`.
    pub contract_version: String,
    /// Whether each feature is supported, by name.
    pub features: BTreeMap<String, bool>,
    /// Where people see what there is.
    #[serde(default, skip_serializing_if = "Pages::is_empty")]
    pub pages: Pages,
}

/// The backend's pages for people, as addresses, or as paths at the backend's own address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pages {
    /// The page of a task, with `{task_id}` and `{user_id}` where its ids go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

impl Pages {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.task.is_none()
    }
}

/// How far a backend's contract is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// The same: it is additive within v1, so that v1.2 is, and v2 and v10 are not.
    Same,
    /// The one of the TypeScript original, which counts it as 1.0.0, 1.1.0 and so on: the same endpoints.
    Original,
    /// Another one.
    Other,
    /// The backend does not say.
    Unknown,
}

impl Capabilities {
    /// How far the backend's contract is ours.
    pub fn contract(&self) -> Contract {
        let is_minor = |rest: &str| rest.is_empty() || rest.starts_with('.');
        let version = self.contract_version.as_str();
        if version.is_empty() {
            Contract::Unknown
        } else if version.strip_prefix(CONTRACT_VERSION).is_some_and(is_minor) {
            Contract::Same
        } else if version.strip_prefix('1').is_some_and(is_minor) {
            Contract::Original
        } else {
            Contract::Other
        }
    }

    /// Whether the backend supports an optional feature, by its name in the contract.
    pub fn has(&self, feature: &str) -> bool {
        self.features.get(feature).copied().unwrap_or(false)
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    /// Takes `features` as a map of flags, as a list of names, or as `features_list`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Features {
            Flags(BTreeMap<String, Value>),
            Names(Vec<String>),
        }
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "lenient::text")]
            contract_version: String,
            #[serde(default)]
            features: Option<Features>,
            #[serde(default)]
            features_list: Option<Vec<String>>,
            #[serde(default)]
            pages: Value,
        }
        let wire = Wire::deserialize(deserializer)?;
        let mut features = match wire.features {
            // A feature may have a version or settings instead of `true`; only false and null mean no.
            Some(Features::Flags(flags)) => flags
                .into_iter()
                .map(|(name, flag)| (name, !matches!(flag, Value::Bool(false) | Value::Null)))
                .collect(),
            Some(Features::Names(names)) => names.into_iter().map(|name| (name, true)).collect(),
            None => BTreeMap::new(),
        };
        for name in wire.features_list.unwrap_or_default() {
            features.insert(name, true);
        }
        // The TypeScript original has two names for what the contract calls `tools`.
        let both = ["tool_discover", "tool_execute"].map(|name| features.get(name) == Some(&true));
        if both == [true, true] {
            features.entry("tools".to_owned()).or_insert(true);
        }
        // Nothing rests on them, so that another form is none.
        let pages = Pages { task: wire.pages["task"].as_str().map(str::to_owned) };
        Ok(Self { contract_version: wire.contract_version, features, pages })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(wire: Value) -> Capabilities {
        serde_json::from_value(wire).unwrap()
    }

    #[test]
    fn versions_of_the_contract_are_told_apart() {
        for (version, contract) in [
            (json!("v1"), Contract::Same),
            (json!("v1.4"), Contract::Same),
            (json!("1.1.0"), Contract::Original),
            (json!("1"), Contract::Original),
            (json!(1), Contract::Original),
            (json!(1.1), Contract::Original),
            (json!("v2"), Contract::Other),
            (json!("v10"), Contract::Other),
            (json!("2.0.0"), Contract::Other),
            (json!("10.1"), Contract::Other),
            (json!("0.9.0"), Contract::Other),
            (json!("latest"), Contract::Other),
            (json!(""), Contract::Unknown),
            (Value::Null, Contract::Unknown),
        ] {
            assert_eq!(read(json!({ "contract_version": version })).contract(), contract);
        }
        assert_eq!(read(json!({})).contract(), Contract::Unknown);
    }

    #[test]
    fn the_originals_names_of_tools_count_together() {
        for (features, has) in [
            (json!(["task_list", "tool_discover", "tool_execute"]), true),
            (json!({ "tool_discover": true, "tool_execute": true }), true),
            (json!({ "tool_discover": true, "tool_execute": false }), false),
            (json!(["tool_execute"]), false),
            (json!({ "tool_discover": true, "tool_execute": true, "tools": false }), false),
        ] {
            for wire in [json!({ "features": features }), json!({ "features_list": features })] {
                if wire["features_list"].is_object() {
                    continue;
                }
                assert_eq!(read(wire.clone()).has("tools"), has, "{wire}");
            }
        }
        let both = json!({ "features": { "tool_requests": false }, "features_list": ["tool_discover", "tool_execute"] });
        assert!(read(both.clone()).has("tools") && !read(both).has("tool_requests"));
    }
}
