//! Names of tools: valid for all providers, and unique.

use std::collections::BTreeSet;

/// The longest name that all providers accept.
const MAX_NAME: usize = 64;

/// Hash characters that keep two long names distinct after truncation.
const HASH_LETTERS: usize = 8;

/// The names in use.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Reserves names.
    pub fn reserve<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// A unique name, as similar to the wanted one as possible.
    pub fn take(&mut self, wanted: &str) -> String {
        let mut name = fit(wanted);
        let mut n = 2_u32;
        while !self.0.insert(name.clone()) {
            name = fit(&format!("{wanted}_{n}"));
            n = n.saturating_add(1);
        }
        name
    }
}

/// The name of an operation without one, from its method and path.
pub(crate) fn of_path(method: &str, path: &str) -> String {
    let mut name = method.to_ascii_lowercase();
    for part in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        name.push('_');
        name.push_str(part);
    }
    name
}

/// Any text as `[A-Za-z0-9_-]{1,64}`.
pub(crate) fn fit(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = text.trim().chars().map(plain).collect();
    if name.is_empty() {
        return "operation".to_owned();
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    let kept = MAX_NAME - HASH_LETTERS - 1;
    format!("{}_{:08x}", &name[..kept], fnv(text.as_bytes()))
}

/// FNV-1a, 32 bits: stable across versions and machines.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_all_providers_and_stay_apart() {
        let mut names = Names::reserve(["create_task"]);
        assert_eq!(names.take("create_task"), "create_task_2");
        assert_eq!(names.take("get school.profile"), "get_school_profile");
        assert_eq!(names.take("get school/profile"), "get_school_profile_2");
        assert_eq!(names.take("größe"), "gr__e");
        assert_eq!(names.take(""), "operation");
        let long = "x".repeat(80);
        let (first, second) = (names.take(&long), names.take(&long));
        assert!(first.len() == MAX_NAME && second.len() == MAX_NAME && first != second);
        assert_ne!(fit(&format!("{long}a")), fit(&format!("{long}b")));
    }

    #[test]
    fn an_operation_without_a_name_is_named_by_its_method_and_path() {
        assert_eq!(
            of_path("GET", "/api/schools/{school_id}/profile"),
            "get_api_schools_school_id_profile"
        );
        assert_eq!(of_path("GET", "/"), "get");
    }
}
