//! Settings of customers: several workspaces, the models that profiles may name, the features that a backend
//! has to have.

use std::path::PathBuf;

use llm::model::{ModelRef, Provider};
use service::settings::Reader;

use crate::run::customer::DEFAULT_WORKSPACE;

/// The most characters of a workspace's name.
const MAX_NAME: usize = 64;

/// What profiles may choose from.
#[derive(Debug, Clone)]
pub struct Customers {
    /// `WOMBAT_WORKSPACES`: names and folders, besides the one of `WOMBAT_WORKSPACE`.
    pub workspaces: Vec<(String, PathBuf)>,
    /// `WOMBAT_PROFILE_MODELS`; `*` in a name stands for anything.
    pub models: Vec<ModelRef>,
    /// `WOMBAT_REQUIRED_FEATURES`: no run starts while the backend lacks one of them.
    pub required: Vec<String>,
    /// The provider of models that are named without one.
    pub provider: Provider,
}

impl Customers {
    /// Reads the three settings.
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let provider = r.text("LLM_PROVIDER", "openai").parse().unwrap_or(Provider::OpenAi);
        let text = r.optional("WOMBAT_WORKSPACES").unwrap_or_default();
        let workspaces = workspaces(&text).unwrap_or_else(|why| {
            r.problem("WOMBAT_WORKSPACES", why);
            Vec::new()
        });
        let listed = r.optional("WOMBAT_PROFILE_MODELS").unwrap_or_default();
        let mut models = Vec::new();
        for text in items(&listed) {
            if text == "*" {
                // Any model of any provider.
                models.extend(Provider::ALL.map(|provider| ModelRef::new(provider, "*")));
                continue;
            }
            match ModelRef::parse_pattern(text, provider) {
                Ok(model) => models.push(model),
                Err(error) => r.problem("WOMBAT_PROFILE_MODELS", error),
            }
        }
        let listed = r.optional("WOMBAT_REQUIRED_FEATURES").unwrap_or_default();
        let mut required = Vec::new();
        for name in items(&listed) {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            match name.chars().all(is_name) {
                true => required.push(name.to_owned()),
                false => r.refuse(
                    "WOMBAT_REQUIRED_FEATURES",
                    name,
                    "features of the contract, such as profile, separated by commas",
                ),
            }
        }
        Self { workspaces, models, required, provider }
    }
}

fn items(listed: &str) -> impl Iterator<Item = &str> {
    listed.split(',').map(str::trim).filter(|text| !text.is_empty())
}

/// Reads `name=DIR,…`.
///
/// # Errors
/// What is wrong with the first bad entry.
pub(crate) fn workspaces(text: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let mut read: Vec<(String, PathBuf)> = Vec::new();
    for item in items(text) {
        let Some((name, dir)) = item.split_once('=') else {
            return Err(format!("{item:?} is not name=DIR"));
        };
        let (name, dir) = (name.trim(), dir.trim());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            return Err(format!(
                "{name:?} is no name of a workspace: it may have letters, digits and -_. , at most {MAX_NAME}"
            ));
        }
        if dir.is_empty() {
            return Err(format!("the workspace {name:?} has no folder: write {name}=DIR"));
        }
        if name == DEFAULT_WORKSPACE {
            return Err(format!("{DEFAULT_WORKSPACE:?} is the folder of WOMBAT_WORKSPACE"));
        }
        if read.iter().any(|(known, _)| known == name) {
            return Err(format!("{name:?} is named twice"));
        }
        read.push((name.to_owned(), PathBuf::from(dir)));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_names_and_folders() {
        let read = workspaces(" canary = ./next , eu=/srv/eu,").unwrap();
        let expected = [("canary", "./next"), ("eu", "/srv/eu")];
        let expected = expected.map(|(name, dir)| (name.to_owned(), PathBuf::from(dir)));
        assert_eq!(read, expected);
        for (wrong, why) in [
            ("canary", "is not name=DIR"),
            ("a b=./x", "is no name"),
            ("a=", "has no folder"),
            ("default=./x", "is the folder of WOMBAT_WORKSPACE"),
            ("a=./x,a=./y", "is named twice"),
        ] {
            let told = workspaces(wrong).unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }
}
