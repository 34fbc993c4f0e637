//! Tool permissions of a role: names of tools and endpoints that are allowed, denied, or need
//! approval.

use serde::{Deserialize, Serialize};

use crate::endpoint::{EndpointPattern, NormalPath};

/// The decision on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// The call may be made.
    Allowed,
    /// The call needs the approval of a person.
    NeedsApproval,
    /// The call is denied, with a reason for the model.
    Denied(String),
}

/// The lists of `tools`, as they are in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolLists {
    /// What may be called; everything that is declared when empty.
    #[serde(default)]
    pub allow: Vec<String>,
    /// What may not be called.
    #[serde(default)]
    pub deny: Vec<String>,
    /// What needs approval.
    #[serde(default)]
    pub approval: Vec<String>,
}

/// The tool permissions of a role. An empty `allow` allows everything that is declared; `deny` takes
/// precedence over it.
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
            return Err(format!("tool pattern {text:?} is neither a tool name nor METHOD /path"));
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

/// Matches a pattern in which `*` stands for any text.
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
    /// Parses the lists; an invalid pattern is left out and added to `problems`.
    pub(crate) fn read(lists: &ToolLists, problems: &mut Vec<String>) -> Self {
        let mut read = |texts: &[String]| -> Vec<ToolPattern> {
            let parsed = texts.iter().map(|text| ToolPattern::parse(text));
            parsed
                .filter_map(|pattern| pattern.map_err(|error| problems.push(error)).ok())
                .collect()
        };
        Self { allow: read(&lists.allow), deny: read(&lists.deny), approval: read(&lists.approval) }
    }

    /// The patterns that match none of these tools and endpoints, as they are in the file.
    pub fn unmatched<'a>(
        lists: &'a ToolLists,
        tools: &[&str],
        endpoints: &[EndpointPattern],
    ) -> Vec<&'a str> {
        let all = lists.allow.iter().chain(&lists.deny).chain(&lists.approval);
        let is_unmatched = |text: &&String| match ToolPattern::parse(text) {
            Ok(ToolPattern::Name(name)) => !tools.iter().any(|tool| glob(&name, tool)),
            Ok(ToolPattern::Endpoint(pattern)) => {
                !endpoints.iter().any(|endpoint| pattern.may_meet(endpoint))
            }
            Err(_) => false,
        };
        all.filter(is_unmatched).map(String::as_str).collect()
    }

    /// Decides on a call. `endpoint` is the method and path of a call of the backend.
    pub fn decide(&self, tool: &str, endpoint: Option<(&str, &NormalPath)>) -> Permission {
        let hit = |patterns: &[ToolPattern]| patterns.iter().any(|p| p.matches(tool, endpoint));
        // A trailing slash leads to the same endpoint on many servers: it must not evade a rule.
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

    /// Whether `allow` names the tool of an endpoint, by the tool's name or by a pattern that covers its
    /// endpoint. Only such tools exist for the role.
    pub fn names(&self, tool: &str, endpoint: &EndpointPattern) -> bool {
        self.allow.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => glob(name, tool),
            ToolPattern::Endpoint(allowed) => allowed.covers(endpoint),
        })
    }

    /// Whether `allow` names this particular call.
    pub fn names_call(&self, tool: &str, method: &str, path: &NormalPath) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(tool, Some((method, path))))
    }

    /// Whether some call of a tool with an endpoint can be allowed, so that it is worth offering.
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

    /// Whether some call of a tool can be allowed, so that it is worth offering to the model.
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
