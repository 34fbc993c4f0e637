//! What `.env` gives as a layer of settings: values, and what to say of its lines.

use std::collections::BTreeMap;
use std::path::Path;

use super::dot_env::{self, Entry, What};
use super::layers::{Layer, Origin, is_absent};
use super::names;

/// A name alone: docker's way to say "as in the environment".
const BARE: &str = "has no =, and is not set in the environment";

/// What `.env` sets.
#[derive(Default)]
pub(super) struct DotEnv {
    /// The values.
    pub(super) layer: Layer,
    /// Why a variable cannot be used, by variable.
    pub(super) broken: BTreeMap<String, String>,
    /// What to say where a variable is used, by variable.
    pub(super) notes: BTreeMap<String, String>,
    /// What to say in any case.
    pub(super) warnings: Vec<String>,
    /// All values, also those that are none of ours.
    pub(super) values: BTreeMap<String, String>,
    /// The names that are none of ours, and their lines.
    pub(super) others: Vec<(usize, String)>,
}

impl DotEnv {
    /// Reads the file, where it is there.
    pub(super) fn read(path: &Path, env: &[(String, String)], problems: &mut Vec<String>) -> Self {
        let mut read = Self::default();
        if is_absent(path) {
            return read;
        }
        let env = |name: &str| {
            env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        match dot_env::read(path, &env) {
            Ok(lines) => {
                read.values = lines.values;
                lines.ours.into_iter().for_each(|entry| read.take(entry));
                read.others = lines.others;
            }
            Err(what) => problems.push(format!(".env: {what}")),
        }
        read
    }

    /// A later line of the same variable takes the place of an earlier one.
    fn take(&mut self, Entry { line, name, what }: Entry) {
        let origin = Origin::dot_env(line);
        let of_ours = |what: &str| format!("{origin}: {name}: {what}");
        if let What::Within(start) = what {
            let what = format!(
                "is part of the quoted value that begins on line {start}, and sets nothing"
            );
            return self.warnings.push(of_ours(&what));
        }
        self.layer.0.remove(&name);
        self.broken.remove(&name);
        self.notes.remove(&name);
        match what {
            What::Broken(what) => {
                self.broken.insert(name.clone(), of_ours(what));
            }
            What::Bare => {
                self.broken.insert(name.clone(), of_ours(BARE));
            }
            What::Value { unset, .. } if !unset.is_empty() && names::is_secret(&name) => {
                let what =
                    of_ours(&format!("names ${{{}}}, which is not set", unset.join("}, ${")));
                self.broken.insert(name, what);
            }
            What::Value { text, differs, unset } => {
                let differs = differs.filter(|_| names::is_secret(&name)).map(|why| {
                    of_ours(&format!(
                        "python-dotenv, dotenv and node do not read the same value here ({why}); put it in \
                         single quotes, or choose one without such characters"
                    ))
                });
                let note = differs.or_else(|| {
                    let unset = unset.first()?;
                    Some(of_ours(&format!("names ${{{unset}}}, which is not set")))
                });
                self.notes.extend(note.map(|note| (name.clone(), note)));
                self.layer.set(name, text, origin);
            }
            What::Within(_) => {}
        }
    }

    /// A line whose value comes from elsewhere is no problem.
    pub(super) fn overridden_by(&mut self, layers: &[&Layer]) {
        let is_set = |name: &String| layers.iter().any(|layer| layer.0.contains_key(name));
        self.notes.retain(|name, _| !is_set(name));
        let set = std::mem::take(&mut self.broken).into_iter();
        let (set, broken) = set.partition::<BTreeMap<_, _>, _>(|(name, _)| is_set(name));
        self.broken = broken;
        let without_bare = set.into_values().filter(|problem| !problem.ends_with(BARE));
        self.warnings
            .extend(without_bare.map(|problem| format!("{problem}; the environment's is used")));
    }
}
