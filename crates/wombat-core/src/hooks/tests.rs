use std::fs;

use serde_json::{Value, json};

use super::*;

const ORDER: &str =
    "---\nscheme: standard\nsecret_env: SHOP_SECRET\nuser: \"{body.customer}\"\nrole: sales\n---\n";

fn hook(front: &str, text: &str) -> Result<Hook, Vec<HookProblem>> {
    let base = "scheme: stripe\nsecret_env: [A, B]\nuser: u1\nrole: sales";
    fields::parse("hooks/x.md", &format!("---\n{base}\n{front}\n---\n{text}\n"))
}

fn rendered(text: &str, body: &Value) -> String {
    let hook = hook("", text).unwrap();
    hook.text.text(&event(body))
}

fn event(body: &Value) -> Event<'_> {
    let header = &|name: &str| (name == "x-github-event").then(|| "push".to_owned());
    Event { body, header }
}

#[test]
fn values_stand_in_the_text_and_all_else_stays() {
    let body = json!({
        "a": {"b": [{"c": "deep"}, 2]}, "n": 1.5, "t": true, "z": null, "o": {"k": "v"},
        "evil": "{body.secret} {header.x-github-event}", "secret": "s", "nul": "a\0b\nc",
    });
    for (text, expected) in [
        ("{body.a.b.0.c}, {body.a.b.1}, {body.n}, {body.t}", "deep, 2, 1.5, true"),
        ("[{body.z}][{body.none}][{body.a.b.7}][{body.n.x}]", "[][][][]"),
        ("{body.o} {header.X-GitHub-Event}{header.absent}", "{\"k\":\"v\"} push"),
        ("{body.evil}", "{body.secret} {header.x-github-event}"),
        (
            "{\"json\": \"{body.secret}\"} {x} {bodyguard} {{body.secret}}",
            "{\"json\": \"s\"} {x} {bodyguard} {s}",
        ),
        ("{body.nul}", "a\u{fffd}b\nc"),
    ] {
        assert_eq!(rendered(text, &body), expected, "{text}");
    }
}

#[test]
fn a_value_has_at_most_2000_characters_and_each_its_own() {
    let body = json!({ "a": "é".repeat(2_001), "b": "x".repeat(2_000) });
    let text = rendered("{body.a}|{body.b}", &body);
    assert_eq!(text, format!("{}|{}", "é".repeat(2_000), "x".repeat(2_000)));
}

#[test]
fn a_name_is_whole_or_there_is_none() {
    let hook = hook("task_id: \"t-{body.id}\"", "x").unwrap();
    let name = |body: Value| hook.task_id.as_ref().unwrap().name(&event(&body));
    assert_eq!(name(json!({ "id": "a" })).as_deref(), Some("t-a"));
    assert_eq!(name(json!({ "id": 7 })).as_deref(), Some("t-7"));
    assert_eq!(name(json!({ "id": "x".repeat(3_000) })).unwrap().len(), 3_002);
    for none in [
        json!({}),
        json!({ "id": "" }),
        json!({ "id": " " }),
        json!({ "id": true }),
        json!({ "id": {} }),
        json!({ "id": "a\u{0}b" }),
        json!({ "id": 1e20 }),
        json!([]),
    ] {
        assert_eq!(name(none.clone()), None, "{none}");
    }
}

#[test]
fn all_conditions_hold_by_one_of_their_values() {
    let front =
        "when: {type: [invoice.paid, '2', null], body.labels: [bug], header.X-GitHub-Event: push}";
    let hook = hook(front, "x").unwrap();
    let holds = |body: Value| hook.when.iter().all(|one| one.holds(&event(&body)));
    for told in [
        json!({ "type": "invoice.paid", "labels": ["x", "bug"] }),
        json!({ "type": 2, "labels": "bug" }),
        json!({ "labels": "bug" }),
        json!({ "type": "2", "body": { "labels": "bug" } }),
    ] {
        assert!(holds(told.clone()), "{told}");
    }
    for other in [
        json!({ "type": "invoice.paid", "labels": [] }),
        json!({ "type": "Invoice.paid", "labels": ["bug"] }),
        json!({ "type": "", "labels": ["bug"] }),
        json!({ "type": { "a": 1 }, "labels": ["bug"] }),
    ] {
        assert!(!holds(other.clone()), "{other}");
    }
}

#[test]
fn a_place_without_quotes_is_read_as_it_was_meant() {
    let text =
        "---\nscheme: github\nsecret_env: A\nuser: {body.sender.login}\nrole: r\n---\nhi {body.a}";
    let hook = fields::parse("hooks/x.md", text).unwrap();
    let body = json!({ "sender": { "login": "ann" } });
    assert_eq!(hook.user.name(&event(&body)).as_deref(), Some("ann"));
    assert_eq!(hook.secret_env, ["A"]);
    assert!(!hook.has_delivery_options());
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (front, text, line, what) in [
        ("shceme: x", "x", Some(6), "there is no field \"shceme\""),
        ("priority: urgent", "x", Some(6), "there is no priority"),
        ("when: [a]", "x", Some(6), "when is no list of paths"),
        ("when: {a: []}", "x", Some(6), "has no list of values"),
        ("when: {a..b: [1]}", "x", Some(6), "names no field"),
        ("task_id: \"{header.x}\"", "x", Some(6), "headers are not signed"),
        ("collapse_key: [1]", "x", Some(6), "collapse_key is no text"),
        ("", "one\n{body}", Some(9), "'{body}' names no field"),
        ("", "{body.a", Some(8), "'{body.a' is not closed"),
        ("", "{header.a b}", Some(8), "names no field"),
        ("", "  ", None, "has no text"),
        ("x: [", "x", Some(6), "not valid YAML"),
    ] {
        let problems = hook(front, text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].what.contains(what), "{front:?} {text:?}: {problems:?}");
        assert!(line.is_none() || problems[0].line >= line, "{front:?} {text:?}: {problems:?}");
    }
    let problems = fields::parse("hooks/x.md", "---\nsecret_env: whsec_a+b/c\n---\nx").unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("hooks/x.md:1: scheme is missing; write standard"), "{told:?}");
    assert!(told.iter().all(|one| !one.contains("a+b")), "{told:?}");
    // A secret that could be a name by its characters.
    let problems = fields::parse("hooks/x.md", "---\nsecret_env: whsec_Mf\n---\nx").unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|one| one.contains("not the name of a variable")), "{told:?}");
    assert!(told.iter().all(|one| !one.contains("_Mf")), "{told:?}");
}

#[test]
fn only_files_of_the_folder_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(read(dir.path(), "order"), Found::Missing);
    fs::create_dir(at("hooks")).unwrap();
    fs::write(at("AGENTS.md"), "x").unwrap();
    fs::write(at("hooks/order.md"), format!("{ORDER}hi")).unwrap();
    fs::write(at("hooks/bad.md"), ORDER).unwrap();
    fs::write(at("hooks/order.txt"), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("hooks/link.md")).unwrap();
    assert!(matches!(read(dir.path(), "order"), Found::Usable(_)));
    assert!(matches!(read(dir.path(), "bad"), Found::Broken(_)));
    assert!(matches!(read(dir.path(), "link"), Found::Broken(_)));
    for none in ["../AGENTS", "Order", "order.md", "", "a/b", "%2e", "none"] {
        assert_eq!(read(dir.path(), none), Found::Missing, "{none}");
    }
    assert_eq!(names(dir.path()), ["bad", "link", "order"]);
    let told: Vec<_> =
        problems(&Folder::open(dir.path()).unwrap()).iter().map(|one| one.file.clone()).collect();
    assert_eq!(told, ["hooks/order.txt", "hooks/bad.md", "hooks/link.md"]);
}

proptest::proptest! {
    #[test]
    fn no_file_panics(front in "(scheme|user|when|role|secret_env|: |\\[|\\]|[{}\"a-z.\n-]){0,30}", text in "(\\{|body|header|\\.|\\}|\n|é|x){0,30}") {
        let _any = fields::parse("hooks/x.md", &format!("---\n{front}\n---\n{text}"));
        if let Ok(hook) = hook("", &text) {
            let body = json!({ "x": [{ "é": 1 }], "body": "b" });
            let _any = hook.text.text(&event(&body));
        }
    }
}
