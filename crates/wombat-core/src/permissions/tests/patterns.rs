//! Patterns of tools, conditions, and what a role enables.

use super::*;

#[test]
fn a_pattern_is_a_name_or_a_method_and_a_path() {
    let problems = |text: &str| {
        let mut problems = Vec::new();
        let lists = ToolLists { deny: vec![text.to_owned()], ..ToolLists::default() };
        ToolPermissions::read(&lists, &mut problems);
        problems
    };
    for good in [
        "repos/get",
        "users#show",
        "a:b",
        "*/delete",
        "GET /a",
        "* /a/**",
        " x ",
        "größe",
        "a/b/c",
        "options/list",
        "connect/accounts",
        "trace/get",
        "all/items",
    ] {
        assert!(problems(good).is_empty(), "{good}: {:?}", problems(good));
    }
    for bad in [
        "",
        " ",
        "/a",
        "POST/a",
        "POST:/a",
        "ANY/a",
        "OPTIONS:/a",
        "get/a",
        "*/a/b",
        "no way",
        "GET a/",
        "http://h/a",
        "a?b",
        "a,b",
        "GET /a/{b",
        "GET /a/b}",
        "GET /a?b",
        "HEAD /a",
    ] {
        assert_eq!(problems(bad).len(), 1, "{bad}");
    }
}

#[test]
fn a_pattern_that_can_match_nothing_is_found() {
    let known = without_catch_all();
    let endpoints = [of("POST /app/orders/{action}"), of("GET /app/orders")];
    let lists = |allow: &[&str], deny: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        ToolLists { allow: Some(owned(allow)), deny: owned(deny), ..ToolLists::default() }
    };
    for good in [
        "POST /app/orders/refund",
        "POST /APP/Orders/refund.json",
        "GET /app/orders.json",
        "repos/get",
        "create_*",
        "files__read",
        "* /app/**",
        "POST /app/orders/*.json",
        "POST /api/mission-control/tasks",
        "find.school",
    ] {
        let lists = lists(&[], &[good]);
        assert!(ToolPermissions::unmatched(&lists, &known, &endpoints).is_empty(), "{good}");
    }
    for dead in
        ["POST /app/ordres/refund", "GET /app/orders/{id}/x", "DELETE /app/orders/*", "refund_ordr"]
    {
        let lists = lists(&[], &[dead]);
        assert_eq!(ToolPermissions::unmatched(&lists, &known, &endpoints), [dead]);
    }
    let lists = lists(&["GET /app/ORDERS", "GET /app/orders", "repos/get"], &[]);
    assert_eq!(ToolPermissions::unmatched(&lists, &known, &endpoints), ["GET /app/ORDERS"]);
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

#[test]
fn what_is_enabled_is_allowed_and_deny_wins() {
    let none = Operations::default();
    let tool = NamedTool::without_endpoint("ask_user");
    let enabled = permissions(r#"{"allow": ["list_tasks"], "enable": ["ask_user"]}"#);
    assert!(enabled.enables("ask_user") && enabled.could_allow(&tool));
    assert_eq!(decided(&enabled, &none, "ask_user", ""), "made");
    assert_eq!(decided(&enabled, &none, "mention", ""), "denied");
    let denied = permissions(r#"{"deny": ["ask_*"], "enable": ["ask_user"]}"#);
    assert!(!denied.could_allow(&tool));
    assert_eq!(decided(&denied, &none, "ask_user", ""), "denied");
    assert!(!permissions(r#"{"allow": ["ask_user"]}"#).enables("ask_user"));
}

#[test]
fn a_condition_says_which_calls_wait_and_what_it_cannot_judge_waits() {
    let rules = permissions(
        r#"{"approval": [{"tool": "refund", "when": {"amount": {"gt": 100}}}, "delete_*"]}"#,
    );
    let known = Operations::default();
    for (arguments, waits) in [
        (serde_json::json!({ "amount": 101 }), true),
        (serde_json::json!({ "amount": 100 }), false),
        (serde_json::json!({ "amount": "1" }), true),
        (serde_json::json!({}), true),
    ] {
        let call = ToolCall {
            tool: "refund",
            endpoint: None,
            arguments: arguments.as_object(),
            operations: &known,
        };
        let expected = if waits { Permission::NeedsApproval } else { Permission::Allowed };
        assert_eq!(rules.decide(call), expected, "{arguments}");
    }
    assert_eq!(decided(&rules, &known, "refund", ""), "asked", "without arguments");
    assert_eq!(decided(&rules, &known, "delete_all", ""), "asked");
    let why = rules.why_approval(&NamedTool::without_endpoint("refund")).unwrap();
    assert_eq!(why, r#""refund" in agent-config.json, where {"amount":{"gt":100}}"#);
}
