//! What a role may call: names of tools and endpoints, allowed, denied, or waiting for a person.

use serde::{Deserialize, Serialize};

use crate::endpoint::{EndpointPattern, NormalPath};

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It is made.
    Allowed,
    /// It waits for a person.
    NeedsApproval,
    /// It is refused, with a reason for the model.
    Denied(String),
}

/// `tools` as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolLists {
    /// What may be called; all that is declared when empty.
    #[serde(default)]
    pub allow: Vec<String>,
    /// What may not.
    #[serde(default)]
    pub deny: Vec<String>,
    /// What waits for a person.
    #[serde(default)]
    pub approval: Vec<String>,
}

/// `tools` of a role. An empty `allow` allows all that is declared; `deny` wins over it.
#[derive(Debug, Clone, Default)]
pub struct ToolPermissions {
    allow: Vec<ToolPattern>,
    deny: Vec<ToolPattern>,
    approval: Vec<ToolPattern>,
}

#[derive(Debug, Clone)]
enum ToolPattern {
    Name(String),
    Endpoint(EndpointPattern),
}

impl ToolPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('/') {
            return EndpointPattern::parse(text)
                .map(Self::Endpoint)
                .map_err(|error| format!("tool pattern {text:?}: {error}"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*' | '.');
        if text.is_empty() || !text.chars().all(plain) {
            return Err(format!("tool pattern {text:?} is neither a tool's name nor METHOD /path"));
        }
        Ok(Self::Name(text.to_owned()))
    }

    fn matches(&self, tool: &str, endpoint: Option<(&str, &NormalPath)>) -> bool {
        match (self, endpoint) {
            (Self::Name(pattern), _) => glob(pattern, tool),
            (Self::Endpoint(pattern), Some((method, path))) => pattern.matches(method, path),
            (Self::Endpoint(_), None) => false,
        }
    }
}

/// `*` is anything.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl ToolPermissions {
    /// Reads the lists; a pattern that is none is left out and told.
    pub(crate) fn read(lists: &ToolLists, problems: &mut Vec<String>) -> Self {
        let mut read = |texts: &[String]| -> Vec<ToolPattern> {
            let parsed = texts.iter().map(|text| ToolPattern::parse(text));
            parsed
                .filter_map(|pattern| pattern.map_err(|error| problems.push(error)).ok())
                .collect()
        };
        Self { allow: read(&lists.allow), deny: read(&lists.deny), approval: read(&lists.approval) }
    }

    /// The patterns that hit none of these tools and endpoints, as they were written.
    pub fn idle<'a>(
        lists: &'a ToolLists,
        tools: &[&str],
        endpoints: &[EndpointPattern],
    ) -> Vec<&'a str> {
        let all = lists.allow.iter().chain(&lists.deny).chain(&lists.approval);
        let is_idle = |text: &&String| match ToolPattern::parse(text) {
            Ok(ToolPattern::Name(name)) => !tools.iter().any(|tool| glob(&name, tool)),
            Ok(ToolPattern::Endpoint(pattern)) => {
                !endpoints.iter().any(|endpoint| pattern.may_meet(endpoint))
            }
            Err(_) => false,
        };
        all.filter(is_idle).map(String::as_str).collect()
    }

    /// Decides on a call. `endpoint` is where a call of the backend goes.
    pub fn decide(&self, tool: &str, endpoint: Option<(&str, &NormalPath)>) -> Permission {
        let hit = |patterns: &[ToolPattern]| patterns.iter().any(|p| p.matches(tool, endpoint));
        // A slash at the end leads to the same place on many servers: it evades nothing.
        let bare = endpoint.map(|(method, path)| (method, path.without_trailing_slash()));
        let bare = bare.as_ref().map(|(method, path)| (*method, path));
        let reached = |patterns: &[ToolPattern]| {
            hit(patterns) || patterns.iter().any(|p| p.matches(tool, bare))
        };
        let what = match endpoint {
            Some((method, path)) => format!("{method} {}", path.as_str()),
            None => tool.to_owned(),
        };
        if reached(&self.deny) || !(self.allow.is_empty() || hit(&self.allow)) {
            return Permission::Denied(format!("this role may not call {what}"));
        }
        if reached(&self.approval) { Permission::NeedsApproval } else { Permission::Allowed }
    }

    /// Whether `allow` names a tool of an endpoint, so that it is there at all: by the tool's name
    /// or by an endpoint that covers its own.
    pub fn names(&self, tool: &str, endpoint: &EndpointPattern) -> bool {
        self.allow.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => glob(name, tool),
            ToolPattern::Endpoint(allowed) => allowed.covers(endpoint),
        })
    }

    /// Whether `allow` names this very call.
    pub fn names_call(&self, tool: &str, method: &str, path: &NormalPath) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(tool, Some((method, path))))
    }

    /// Whether some call of a tool that has an endpoint can pass, so that it is worth offering.
    pub fn could_allow_at(&self, tool: &str, endpoint: &EndpointPattern) -> bool {
        let denied = self.deny.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => glob(name, tool),
            ToolPattern::Endpoint(denied) => denied.covers(endpoint),
        });
        let allowed = self.allow.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => glob(name, tool),
            ToolPattern::Endpoint(allowed) => allowed.may_meet(endpoint),
        });
        !denied && (self.allow.is_empty() || allowed)
    }

    /// Whether some call of a tool can pass, so that it is worth offering to the model.
    pub fn could_allow(&self, tool: &str) -> bool {
        let by_name = |patterns: &[ToolPattern]| patterns.iter().any(|p| p.matches(tool, None));
        let by_endpoint = || self.allow.iter().any(|p| matches!(p, ToolPattern::Endpoint(_)));
        !by_name(&self.deny)
            && (self.allow.is_empty()
                || by_name(&self.allow)
                || (tool == "call_backend" && by_endpoint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(json: &str) -> ToolPermissions {
        let mut problems = Vec::new();
        let permissions =
            ToolPermissions::read(&serde_json::from_str(json).unwrap(), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        permissions
    }

    #[test]
    fn nothing_said_allows_what_is_declared() {
        let all = permissions("{}");
        assert_eq!(all.decide("create_task", None), Permission::Allowed);
        assert!(all.could_allow("call_backend"));
    }

    #[test]
    fn allow_narrows_deny_wins_and_approval_waits() {
        let path = NormalPath::parse("/api/schools/7/profile").unwrap();
        let some = permissions(
            r#"{"allow": ["list_*", "create_document", "GET /api/schools/**"],
                "deny": ["list_notifications"], "approval": ["create_document"]}"#,
        );
        assert_eq!(some.decide("list_tasks", None), Permission::Allowed);
        assert!(matches!(some.decide("list_notifications", None), Permission::Denied(_)));
        assert!(matches!(some.decide("create_task", None), Permission::Denied(_)));
        assert_eq!(some.decide("create_document", None), Permission::NeedsApproval);
        assert_eq!(some.decide("call_backend", Some(("GET", &path))), Permission::Allowed);
        assert!(matches!(
            some.decide("call_backend", Some(("POST", &path))),
            Permission::Denied(_)
        ));
        assert!(some.could_allow("call_backend") && !some.could_allow("list_notifications"));
        assert!(!permissions(r#"{"allow": ["list_tasks"]}"#).could_allow("call_backend"));
        let denied = permissions(r#"{"deny": ["* /api/schools/*/profile"]}"#);
        assert!(matches!(
            denied.decide("call_backend", Some(("GET", &path))),
            Permission::Denied(_)
        ));
        assert!(denied.could_allow("call_backend"));
        let slash = NormalPath::parse("/api/schools/7/profile/").unwrap();
        assert!(matches!(
            denied.decide("call_backend", Some(("GET", &slash))),
            Permission::Denied(_)
        ));
    }

    #[test]
    fn a_tool_with_an_endpoint_goes_by_its_name_and_by_its_endpoint() {
        let of = |text: &str| EndpointPattern::parse(text).unwrap();
        let profile = of("GET /api/schools/{id}/profile");
        let path = NormalPath::parse("/api/schools/7/profile").unwrap();
        let none = permissions("{}");
        assert!(none.could_allow_at("school_profile", &profile));
        assert!(!none.names("school_profile", &profile), "nothing is named");
        for allow in ["school_*", "GET /api/schools/**", "GET /api/schools/*/profile"] {
            let some = permissions(&format!(r#"{{"allow": ["{allow}"]}}"#));
            assert!(some.names("school_profile", &profile), "{allow}");
            assert!(some.names_call("school_profile", "GET", &path), "{allow}");
            assert!(some.could_allow_at("school_profile", &profile), "{allow}");
            assert!(!some.names_call("school_profile", "PUT", &path) || allow == "school_*");
        }
        // One school is less than the tool can reach: it does not name the tool.
        let one = permissions(r#"{"allow": ["GET /api/schools/7/profile"]}"#);
        assert!(!one.names("school_profile", &profile));
        for deny in ["school_profile", "* /api/**"] {
            let some = permissions(&format!(r#"{{"allow": ["*"], "deny": ["{deny}"]}}"#));
            assert!(!some.could_allow_at("school_profile", &profile), "{deny}");
        }
    }

    #[test]
    fn names_are_matched_as_a_whole() {
        for (pattern, text, hit) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "x", true),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*b*c", "axbyc", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), hit, "{pattern} {text}");
        }
    }
}
