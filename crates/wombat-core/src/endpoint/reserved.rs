//! What of the contract no model reaches by choosing a path, whatever a skill declares: there a person's
//! word is given, and what a run was told is kept.

use super::fold::{forms, stem};
use super::path::NormalPath;
use super::pattern::{EndpointPattern, FoldedPattern};

/// The segment that the contract's endpoints are below.
const CONTRACT: &str = "mission-control";

/// What follows on it.
const RESERVED: [&str; 9] = [
    "tool-requests",
    "approval-rules",
    "runs",
    "sessions",
    "profile",
    "audit",
    "schedules",
    "memories",
    "feedback",
];

/// Whether a server may take a path for one of these endpoints. `base` is the path of the backend's URL, which
/// comes before it.
pub fn is_reserved(base: &str, path: &NormalPath) -> bool {
    let base: Vec<_> = base.split('/').filter(|part| !part.is_empty()).map(forms).collect();
    path.readings().any(|reading| names_reserved(base.iter().chain(reading)))
}

/// Whether all calls of an endpoint are reserved, as far as its text says.
pub fn declares_reserved(endpoint: &EndpointPattern) -> bool {
    names_reserved(FoldedPattern::of(endpoint).forms())
}

/// Whether a server may take a path for the contract's messages; `base` as above.
pub fn is_messages(base: &str, path: &NormalPath) -> bool {
    let base: Vec<_> = base.split('/').filter(|part| !part.is_empty()).map(forms).collect();
    path.readings().any(|reading| names(&["messages"], base.iter().chain(reading)))
}

fn names_reserved<'a>(segments: impl IntoIterator<Item = &'a Vec<String>>) -> bool {
    names(&RESERVED, segments)
}

/// Whether one of these follows on the contract's segment.
fn names<'a>(what: &[&str], segments: impl IntoIterator<Item = &'a Vec<String>>) -> bool {
    let is_one =
        |form: &str| what.contains(&form) || stem(form).is_some_and(|stem| what.contains(&stem));
    let mut is_below = false;
    for forms in segments {
        if is_below && forms.iter().any(|form| is_one(form)) {
            return true;
        }
        is_below = forms.iter().any(|form| form == CONTRACT);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(base: &str, path: &str) -> bool {
        // A path that no server reads in one way only is never called.
        NormalPath::parse(path).is_ok_and(|path| is_reserved(base, &path))
    }

    #[test]
    fn a_person_s_word_is_reserved_by_any_spelling() {
        for part in RESERVED {
            for path in [
                format!("/api/mission-control/{part}"),
                format!("/api/mission-control/{part}/"),
                format!("/api/mission-control/{part}/7/decision"),
                format!("/API/Mission-Control/{}", part.to_uppercase()),
                format!("/x/y/api/mission-control/{part}"),
                format!("/api/mission-control/{part}.json"),
                format!("/api/mission-control/{part};a=1"),
                format!("/api/mission-control;b/{part}%20"),
                format!("/api/mission%2Dcontrol/{part}"),
                format!("/api/mission-control/%{:02x}{}", part.as_bytes()[0], &part[1..]),
                format!("/api/mission-control/%25{:02x}{}", part.as_bytes()[0], &part[1..]),
                format!("/api/mission-control/{part}%3Fx"),
                format!("/api/mission-control/ｍ/../{part}"),
            ] {
                let is_no_path = NormalPath::parse(&path).is_err();
                assert!(is_no_path || is("", &path), "{path}");
            }
            assert!(is("/api/mission-control", &format!("/{part}")));
            assert!(is("/api", &format!("/mission-control/{part}")));
        }
        for path in [
            "/api/mission-control//runs",
            "/api/mission-control/./runs",
            "/api/mission-control/tasks/../runs",
            "/api/mission-control/tasks/%2e%2e/runs",
            "/api/mission-control%2Fruns",
        ] {
            assert!(NormalPath::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_rest_of_the_contract_and_the_application_are_not_reserved() {
        for path in [
            "/api/mission-control/tasks",
            "/api/mission-control/tasks/runs",
            "/api/mission-control/messages",
            "/runs",
            "/api/profile",
            "/api/mission-control/runsheets",
        ] {
            assert!(!is("", path), "{path}");
        }
    }

    #[test]
    fn the_contract_s_messages_are_found() {
        for (path, expected) in [
            ("/api/mission-control/messages", true),
            ("/api/Mission-Control/messages/", true),
            ("/api/messages", false),
            ("/api/mission-control/tasks", false),
        ] {
            assert_eq!(is_messages("", &NormalPath::parse(path).unwrap()), expected, "{path}");
        }
        assert!(is_messages("/api/mission-control", &NormalPath::parse("/messages").unwrap()));
    }

    #[test]
    fn an_endpoint_is_reserved_by_what_is_written() {
        for (text, is_reserved) in [
            ("POST /api/mission-control/tool-requests/{id}/decision", true),
            ("GET /api/mission-control/RUNS/**", true),
            ("PATCH /api/mission-control/profile", true),
            ("GET /api/mission-control/{what}", false),
            ("GET /api/mission-control/tasks", false),
            ("GET /profile", false),
        ] {
            let endpoint = EndpointPattern::parse(text).unwrap();
            assert_eq!(declares_reserved(&endpoint), is_reserved, "{text}");
        }
    }
}
