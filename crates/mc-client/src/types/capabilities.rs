//! The capabilities of a backend.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /capabilities`: the optional features of the backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capabilities {
    /// The contract's version, `v1`.
    pub contract_version: String,
    /// Whether each feature is supported, by name.
    pub features: BTreeMap<String, bool>,
}

impl Capabilities {
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
            #[serde(default)]
            contract_version: String,
            #[serde(default)]
            features: Option<Features>,
            #[serde(default)]
            features_list: Option<Vec<String>>,
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
        Ok(Self { contract_version: wire.contract_version, features })
    }
}
