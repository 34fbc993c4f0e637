//! Names of tools: valid for all providers, and unique.

use std::collections::BTreeSet;

/// The longest name that all providers accept.
const MAX_NAME: usize = 64;

/// Hash characters that keep two long names distinct after truncation.
const HASH_LETTERS: usize = 8;

/// The methods that FastAPI's names end with.
const VERBS: [&str; 8] = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];

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

/// The short form of a name that FastAPI has made up of a function, its path and a method:
/// `list_schools` of `list_schools_api_schools_get` (`generate_unique_id` in its utils.py).
pub(crate) fn short(id: &str, path: &str) -> Option<String> {
    let (rest, method) = id.rsplit_once('_')?;
    if !VERBS.contains(&method) {
        return None;
    }
    let word = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let path: String = path.chars().map(word).collect();
    let function = rest.strip_suffix(&path)?;
    (!path.is_empty() && !function.trim_matches('_').is_empty()).then(|| function.to_owned())
}

/// The name of an operation without one, from its method and what of its path tells it from others: not
/// that it is an API, nor the version.
pub(crate) fn short_of_path(method: &str, path: &str) -> Option<String> {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let rest = path.trim_start_matches('/');
    let mut telling = rest;
    while let Some((first, after)) = telling.split_once('/') {
        if !(first.eq_ignore_ascii_case("api") || is_version(first)) {
            break;
        }
        telling = after;
    }
    let is_telling =
        telling.len() < rest.len() && telling.contains(|c: char| c.is_ascii_alphanumeric());
    is_telling.then(|| of_path(method, telling))
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

    #[test]
    fn a_made_up_name_has_a_short_form() {
        for (id, path, expected) in [
            ("list_schools_api_schools_get", "/api/schools", Some("list_schools")),
            ("read_item_items__item_id__get", "/items/{item_id}", Some("read_item")),
            ("root__get", "/", Some("root")),
            ("f_a_b_c_d_post", "/a-b/c.d", Some("f")),
            ("list_schools_api_schools_get", "/api/school", None),
            ("list_schools", "/api/schools", None),
            ("_api_schools_get", "/api/schools", None),
            ("find_api_schools_find", "/api/schools", None),
        ] {
            assert_eq!(short(id, path).as_deref(), expected, "{id}");
        }
        for (path, expected) in [
            ("/api/v1/schools/{id}", Some("get_schools_id")),
            ("/v2/schools", Some("get_schools")),
            ("/schools", None),
            ("/api", None),
            ("/api/", None),
            ("/apis/schools", None),
            ("/vat/rates", None),
        ] {
            assert_eq!(short_of_path("GET", path).as_deref(), expected, "{path}");
        }
    }
}
