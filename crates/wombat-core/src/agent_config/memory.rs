//! `memory` of a role: which memories it reads and writes.

use serde_json::Value;

use crate::nearest::nearest;

/// Whose a memory may be: the user's, the task's, the tenant's.
pub const MEMORY_SCOPES: [&str; 3] = ["user", "task", "tenant"];

/// The scope that only services write.
const TENANT: &str = "tenant";

const READ: &str = "read";
const WRITE: &str = "write";

/// Which memories a role reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryAccess {
    /// The scopes that it reads: all, unless it is given a list.
    pub read: Vec<&'static str>,
    /// The scopes that it is given to write: none, unless it is given a list.
    pub write: Vec<&'static str>,
}

impl Default for MemoryAccess {
    fn default() -> Self {
        Self { read: MEMORY_SCOPES.to_vec(), write: Vec::new() }
    }
}

impl MemoryAccess {
    /// Whether it reads any.
    pub fn reads(&self) -> bool {
        !self.read.is_empty()
    }

    /// The scopes that an agent of this role writes: a tenant's are written by services only.
    pub fn writable(&self) -> impl Iterator<Item = &'static str> {
        self.write.iter().copied().filter(|scope| *scope != TENANT)
    }

    /// Whether it writes any.
    pub fn writes(&self) -> bool {
        self.writable().next().is_some()
    }

    /// Reads `memory` of an entry of the file.
    ///
    /// # Errors
    /// Each problem, which begins with its place.
    pub(super) fn of_entry(entry: &Value) -> Result<Self, Vec<String>> {
        let memory = match entry.get("memory") {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(memory) => memory,
        };
        let Some(fields) = memory.as_object() else {
            return Err(vec!["memory: must be an object with read and write".to_owned()]);
        };
        let mut problems = Vec::new();
        for key in fields.keys().filter(|key| ![READ, WRITE].contains(&key.as_str())) {
            let hint = match nearest(key, [READ, WRITE]) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "it has read and write".to_owned(),
            };
            problems.push(format!("memory: unknown key {key:?}; {hint}"));
        }
        let mut list = |name: &str, default: Vec<&'static str>| match fields.get(name) {
            None | Some(Value::Null) => default,
            Some(given) => scopes(name, given, &mut problems),
        };
        let own = Self::default();
        let access = Self { read: list(READ, own.read), write: list(WRITE, own.write) };
        if problems.is_empty() { Ok(access) } else { Err(problems) }
    }
}

/// The scopes that a list names, each once.
fn scopes(name: &str, given: &Value, problems: &mut Vec<String>) -> Vec<&'static str> {
    let allowed = "a list of user, task and tenant";
    let Some(items) = given.as_array() else {
        problems.push(format!("memory.{name}: must be {allowed}"));
        return Vec::new();
    };
    for item in items {
        if !item.as_str().is_some_and(|item| MEMORY_SCOPES.contains(&item)) {
            problems.push(format!("memory.{name}: there is no scope {item}; it is {allowed}"));
        }
    }
    MEMORY_SCOPES.into_iter().filter(|scope| items.iter().any(|item| item == scope)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_reads_all_and_writes_nothing_unless_it_is_said() {
        let read = |memory: Value| MemoryAccess::of_entry(&json!({ "memory": memory }));
        let default = MemoryAccess::of_entry(&json!({})).unwrap();
        assert_eq!((default.read.len(), default.writes()), (3, false));
        assert_eq!(read(json!({})).unwrap(), default);
        let writer = read(json!({ "read": [], "write": ["tenant", "task", "user"] })).unwrap();
        assert!(!writer.reads());
        assert_eq!(writer.writable().collect::<Vec<_>>(), ["user", "task"]);
        assert!(!read(json!({ "write": ["tenant"] })).unwrap().writes());
    }

    #[test]
    fn what_it_does_not_know_is_an_error_that_names_its_place() {
        for (memory, told) in [
            (json!({ "reed": [] }), "memory: unknown key \"reed\"; did you mean \"read\"?"),
            (json!({ "write": "user" }), "memory.write: must be a list"),
            (json!({ "read": ["users"] }), "memory.read: there is no scope \"users\""),
            (json!([]), "memory: must be an object"),
        ] {
            let errors = MemoryAccess::of_entry(&json!({ "memory": memory })).unwrap_err();
            assert!(errors[0].starts_with(told), "{errors:?}");
        }
    }
}
