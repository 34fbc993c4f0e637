mod patterns;

use super::*;
use crate::endpoint::EndpointPattern;
use crate::operations::Operation;

fn permissions(json: &str) -> ToolPermissions {
    let mut problems = Vec::new();
    let permissions = ToolPermissions::read(&serde_json::from_str(json).unwrap(), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    permissions
}

fn of(text: &str) -> EndpointPattern {
    EndpointPattern::parse(text).unwrap()
}

/// What is decided on a call, in a word.
fn decided(rules: &ToolPermissions, known: &Operations, tool: &str, call: &str) -> &'static str {
    let (method, path) = call.split_once(' ').unwrap_or_default();
    let path = (!call.is_empty()).then(|| NormalPath::parse(path).unwrap());
    let endpoint = path.as_ref().map(|path| (method, path));
    match rules.decide(ToolCall { tool, endpoint, arguments: None, operations: known }) {
        Permission::Allowed => "made",
        Permission::NeedsApproval => "asked",
        Permission::Denied(_) => "denied",
    }
}

fn operation(tool: &str, id: Option<&str>, endpoint: &str) -> Operation {
    let (method, path) = endpoint.split_once(' ').unwrap();
    Operation {
        tool: tool.to_owned(),
        id: id.map(str::to_owned),
        endpoint: EndpointPattern::of_template(method, path).unwrap(),
        is_whole: true,
        is_route: true,
    }
}

fn shop() -> Operations {
    let mut known = without_catch_all();
    known.add(operation("doAnything", None, "POST /{kind}/{id}/{verb}"));
    known
}

fn without_catch_all() -> Operations {
    let mut known = Operations::default();
    for (tool, id, endpoint) in [
        ("refundOrder", None, "POST /orders/{id}/refund"),
        ("getItem", None, "GET /items/{id}"),
        ("searchItems", None, "GET /items/search"),
        ("repos_get", Some("repos/get"), "GET /repos/{owner}/{repo}"),
        ("create_task", None, "POST /api/mission-control/tasks"),
        ("create_task_2", Some("create_task"), "POST /todo"),
        ("find_school", Some("find.school"), "POST /api/tools/find.school"),
    ] {
        known.add(operation(tool, id, endpoint));
    }
    known.add_named_by_path(&of("POST /api/tools/{name}"));
    for other in ["call_backend", "files__read"] {
        known.add_other(other);
    }
    known.add_prefix("files__");
    known
}

#[test]
fn nothing_said_allows_what_is_declared() {
    let (all, none) = (permissions("{}"), Operations::default());
    assert_eq!(decided(&all, &none, "create_task", ""), "made");
    assert!(all.could_allow_any("call_backend", &[of("GET /a")], &none));
}

#[test]
fn an_empty_allow_allows_nothing_and_every_refusal_names_its_rule() {
    let known = Operations::default();
    let nothing = permissions(r#"{"allow": []}"#);
    assert_eq!(decided(&nothing, &known, "create_task", ""), "denied");
    assert_eq!(decided(&nothing, &known, "call_backend", "GET /a"), "denied");
    assert!(!nothing.could_allow_any("call_backend", &[of("GET /a")], &known));
    let tool = NamedTool::without_endpoint("create_task");
    for (rules, why) in [
        (r#"{"allow": []}"#, "\"allow\" in agent-config.json is empty, and so allows nothing"),
        (r#"{"allow": ["list_*"]}"#, "\"allow\" in agent-config.json does not name it"),
        (r#"{"deny": ["create_*"]}"#, "denied by \"create_*\" in agent-config.json"),
    ] {
        let rules = permissions(rules);
        assert_eq!(rules.why_withheld(&tool).as_deref(), Some(why));
        let call =
            ToolCall { tool: "create_task", endpoint: None, arguments: None, operations: &known };
        let told = format!("this role may not call create_task: {why}");
        assert_eq!(rules.decide(call), Permission::Denied(told));
    }
    assert_eq!(permissions(r#"{"allow": ["create_*"]}"#).why_withheld(&tool), None);
    assert!(serde_json::from_str::<ToolLists>(r#"{"allow": null}"#).is_err());
}

#[test]
fn allow_narrows_deny_wins_and_approval_waits() {
    let some = permissions(
        r#"{"allow": ["list_*", "create_document", "GET /api/schools/**"],
            "deny": ["list_notifications"], "approval": ["create_document"]}"#,
    );
    let none = Operations::default();
    for (tool, call, what) in [
        ("list_tasks", "", "made"),
        ("list_notifications", "", "denied"),
        ("create_task", "", "denied"),
        ("create_document", "", "asked"),
        ("call_backend", "GET /api/schools/7/profile", "made"),
        ("call_backend", "POST /api/schools/7/profile", "denied"),
    ] {
        assert_eq!(decided(&some, &none, tool, call), what, "{tool} {call}");
    }
    let declared = [of("GET /api/schools/{id}")];
    assert!(some.could_allow_any("call_backend", &declared, &none));
    assert!(!some.could_allow(&NamedTool::without_endpoint("list_notifications")));
    let other = permissions(r#"{"allow": ["list_tasks"]}"#);
    assert!(!other.could_allow_any("call_backend", &declared, &none));
    let denied = permissions(r#"{"deny": ["* /api/schools/*/profile"]}"#);
    assert!(denied.could_allow_any("call_backend", &declared, &none));
    for path in ["/api/schools/7/profile", "/api/schools/7/profile/", "/API/schools/7/Profile.json"]
    {
        assert_eq!(decided(&denied, &none, "call_backend", &format!("GET {path}")), "denied");
    }
}

#[test]
fn a_tool_with_an_endpoint_goes_by_its_name_and_by_its_endpoint() {
    let endpoint = of("GET /api/schools/{id}/profile");
    let profile = NamedTool { name: "school_profile", id: None, endpoint: Some(&endpoint) };
    let path = NormalPath::parse("/api/schools/7/profile").unwrap();
    let none = permissions("{}");
    assert!(none.could_allow(&profile));
    assert!(!none.names(&profile), "nothing is named");
    for allow in ["school_*", "GET /api/schools/**", "GET /api/schools/*/profile"] {
        let some = permissions(&format!(r#"{{"allow": ["{allow}"]}}"#));
        assert!(some.names(&profile), "{allow}");
        assert!(some.names_call(&profile, "GET", &path), "{allow}");
        assert!(some.could_allow(&profile), "{allow}");
        assert!(!some.names_call(&profile, "PUT", &path) || allow == "school_*");
    }
    // One school is less than the tool can reach: it does not name the tool.
    let one = permissions(r#"{"allow": ["GET /api/schools/7/profile"]}"#);
    assert!(!one.names(&profile));
    for deny in ["school_profile", "* /api/**", "get /API/Schools/**"] {
        let some = permissions(&format!(r#"{{"allow": ["*"], "deny": ["{deny}"]}}"#));
        assert!(!some.could_allow(&profile), "{deny}");
    }
}

#[test]
fn a_rule_on_a_name_holds_for_its_endpoint_and_the_other_way_round() {
    let known = shop();
    for (rule, tool, call, holds) in [
        ("refundOrder", "call_backend", "POST /orders/5/refund", true),
        ("refund*", "call_backend", "POST /orders/5/REFUND;x", true),
        ("refundOrder", "doAnything", "POST /orders/5/refund.json", true),
        ("refundOrder", "call_backend", "POST /orders/5/cancel", false),
        ("POST /orders/*/refund", "doAnything", "POST /Orders/5/refund", true),
        ("doAnything", "call_backend", "POST /orders/5/pay", true),
        // What a server takes for the search is no item, but only where it surely is the search.
        ("getItem", "call_backend", "GET /items/7", true),
        ("getItem", "call_backend", "GET /items/search", false),
        ("getItem", "call_backend", "GET /items/Search", true),
        ("getItem", "getItem", "GET /items/search", true),
        ("searchItems", "getItem", "GET /items/SEARCH", true),
        ("repos/get", "repos_get", "GET /repos/a/b", true),
        ("repos_get", "call_backend", "GET /repos/a/b", true),
        ("repos/*", "call_backend", "GET /repos/a/b", true),
        ("create_task", "call_backend", "POST /api/mission-control/tasks/", true),
        ("POST /api/mission-control/tasks", "create_task", "POST /api/mission-control/tasks", true),
        ("find.school", "call_backend", "POST /api/tools/find.school", true),
        ("find_school", "call_backend", "POST /api/tools/FIND.School", true),
        // Tools that nobody has listed have their name in the path.
        ("unlisted", "call_backend", "POST /api/tools/Unlisted.json", true),
        ("Un*", "call_backend", "POST /api/tools/unlisted", true),
        ("listed", "call_backend", "POST /api/tools/unlisted", false),
        ("unlisted", "call_backend", "POST /api/other/unlisted", false),
        ("call_backend", "refundOrder", "POST /orders/5/refund", false),
    ] {
        let deny = permissions(&format!(r#"{{"deny": ["{rule}"]}}"#));
        let approval = permissions(&format!(r#"{{"approval": ["{rule}"]}}"#));
        let (denied, asked) = if holds { ("denied", "asked") } else { ("made", "made") };
        assert_eq!(decided(&deny, &known, tool, call), denied, "{rule} {tool} {call}");
        assert_eq!(decided(&approval, &known, tool, call), asked, "{rule} {tool} {call}");
    }
}

#[test]
fn what_is_allowed_by_a_name_is_allowed_at_its_endpoint_and_nothing_else() {
    let known = shop();
    for (rule, tool, call, holds) in [
        ("refundOrder", "call_backend", "POST /orders/5/refund", true),
        ("refundOrder", "doAnything", "POST /orders/5/refund", true),
        ("refundOrder", "call_backend", "POST /orders/5/Refund", false),
        ("refundOrder", "call_backend", "POST /orders/5/refund.json", false),
        ("doAnything", "doAnything", "POST /orders/5/pay", true),
        // The most particular operation counts, whichever tool makes it.
        ("doAnything", "doAnything", "POST /orders/5/refund", false),
        ("getItem", "call_backend", "GET /items/search", false),
        ("getItem", "call_backend", "GET /items/7", true),
        ("repos/get", "repos_get", "GET /repos/a/b", true),
        ("repos/get", "call_backend", "GET /repos/a/b", true),
        ("create_task", "call_backend", "POST /api/mission-control/tasks", true),
        // Another operation has this name at its source, and a tool of this name is there already.
        ("create_task", "create_task_2", "POST /todo", false),
        ("find.school", "find_school", "POST /api/tools/find.school", true),
        ("unlisted", "call_backend", "POST /api/tools/unlisted", false),
        ("POST /api/mission-control/tasks", "create_task", "POST /api/mission-control/tasks", true),
        ("call_backend", "call_backend", "POST /orders/5/refund", true),
    ] {
        let allow = permissions(&format!(r#"{{"allow": ["{rule}"]}}"#));
        let expected = if holds { "made" } else { "denied" };
        assert_eq!(decided(&allow, &known, tool, call), expected, "{rule} {tool} {call}");
    }
    let allow = permissions(r#"{"allow": ["refundOrder"]}"#);
    assert!(allow.could_allow_any("call_backend", &[of("POST /{a}/{b}/{c}")], &known));
    assert!(!allow.could_allow_any("call_backend", &[of("GET /**")], &known));
}

#[test]
fn an_operation_that_a_query_tells_apart_is_denied_by_its_path_and_never_allowed_by_it() {
    let mut known = Operations::default();
    known.add(Operation { is_whole: false, ..operation("run", None, "POST /") });
    let rules = |list: &str| permissions(&format!(r#"{{"{list}": ["run"]}}"#));
    assert_eq!(decided(&rules("deny"), &known, "call_backend", "POST /"), "denied");
    assert_eq!(decided(&rules("allow"), &known, "call_backend", "POST /"), "denied");
}

#[test]
fn a_tool_makes_the_route_of_all_tools_no_other_one() {
    let mut known = Operations::default();
    known.add(operation("call_tool", None, "POST /api/tools/{name}"));
    known.add(Operation { is_route: false, ..operation("wire", None, "POST /api/tools/wire") });
    for (rule, tool, expected) in [
        (r#"{"deny": ["call_tool"]}"#, "wire", "denied"),
        (r#"{"deny": ["call_tool"]}"#, "call_backend", "denied"),
        (r#"{"deny": ["wire"]}"#, "call_tool", "denied"),
        (r#"{"approval": ["call_tool"]}"#, "wire", "asked"),
        // One of all tools is more than one of them.
        (r#"{"allow": ["wire"]}"#, "call_backend", "made"),
        (r#"{"allow": ["call_tool"]}"#, "call_backend", "denied"),
    ] {
        let rules = permissions(rule);
        assert_eq!(
            decided(&rules, &known, tool, "POST /api/tools/wire"),
            expected,
            "{rule} {tool}"
        );
    }
}

#[test]
fn a_name_that_may_be_of_a_document_nobody_could_read_holds_for_every_unknown_call() {
    let mut known = shop();
    known.set_unread("the document");
    for (rule, call, holds) in [
        ("payOut", "POST /payouts", true),
        ("pay*", "POST /payouts", true),
        ("payOut", "POST /orders/5/refund", false),
        ("payOut", "POST /api/tools/x", false),
        ("create_task", "POST /payouts", false),
        ("call_x", "POST /payouts", true),
        ("files__*", "POST /payouts", false),
        ("POST /other", "POST /payouts", false),
    ] {
        let deny = permissions(&format!(r#"{{"deny": ["{rule}"]}}"#));
        let expected = if holds { "denied" } else { "made" };
        assert_eq!(decided(&deny, &known, "call_backend", call), expected, "{rule} {call}");
    }
    let mut known = shop();
    known.add_nameless(&of("* /pay/{id}"), "its path");
    for (call, expected) in
        [("DELETE /pay/5", "denied"), ("POST /PAY/5.json", "denied"), ("POST /x", "made")]
    {
        let deny = permissions(r#"{"deny": ["payOut"]}"#);
        assert_eq!(decided(&deny, &known, "call_backend", call), expected, "{call}");
    }
    let mut known = shop();
    known.set_unread("the document");
    let deny = permissions(r#"{"deny": ["payOut"]}"#);
    let path = NormalPath::parse("/payouts").unwrap();
    let endpoint = Some(("POST", &path));
    let decision = deny.decide(ToolCall {
        tool: "call_backend",
        endpoint,
        arguments: None,
        operations: &known,
    });
    let Permission::Denied(why) = decision else { panic!("{decision:?}") };
    assert!(why.contains("\"payOut\"") && why.contains("the document cannot be read"), "{why}");
}

#[test]
fn a_customer_narrows_what_a_role_may_and_never_adds() {
    let known = shop();
    let customer = |text: &str| {
        let lists: ToolLists = serde_json::from_str(text).unwrap();
        let allow = lists.allow.as_deref();
        Arc::new(CustomerRules::read(allow, &lists.deny, &lists.approval).unwrap())
    };
    for (own, theirs, tool, call, what) in [
        ("{}", r#"{"allow": []}"#, "list_tasks", "", "denied"),
        ("{}", r#"{"allow": ["list_*"]}"#, "list_tasks", "", "made"),
        (r#"{"allow": ["create_task"]}"#, r#"{"allow": ["*"]}"#, "list_tasks", "", "denied"),
        (r#"{"deny": ["list_tasks"]}"#, r#"{"allow": ["*"]}"#, "list_tasks", "", "denied"),
        ("{}", r#"{"deny": ["refundOrder"]}"#, "call_backend", "POST /orders/5/refund", "denied"),
        ("{}", r#"{"approval": ["list_tasks"]}"#, "list_tasks", "", "asked"),
        (r#"{"approval": ["list_*"]}"#, r#"{"deny": ["list_tasks"]}"#, "list_tasks", "", "denied"),
    ] {
        let rules = permissions(own).narrowed(customer(theirs));
        assert_eq!(decided(&rules, &known, tool, call), what, "{own} {theirs}");
    }
    let rules =
        permissions("{}").narrowed(customer(r#"{"deny": ["list_*"], "allow": ["find_*"]}"#));
    let by = |tool: &str| rules.withheld_by(&NamedTool::without_endpoint(tool)).unwrap();
    let (origin, pattern) = (RuleOrigin::Profile, Some("list_*".to_owned()));
    assert_eq!(by("list_tasks"), RuleRef { origin, list: RuleList::Deny, pattern });
    assert_eq!(by("create_task"), RuleRef { origin, list: RuleList::Allow, pattern: None });
    let refused = CustomerRules::read(None, &["GET nowhere".to_owned()], &[]).unwrap_err();
    assert!(refused[0].contains("GET nowhere"), "{refused:?}");
    assert!(!rules.names(&NamedTool::without_endpoint("find_x")), "it makes nothing a tool");
}
