use super::*;

fn read(text: &str) -> Result<Skill, BrokenSkill> {
    let config =
        AgentConfig::parse(r#"{"search": {"on": true, "off": false}}"#, &|_| None).unwrap();
    let env = |name: &str| match name {
        "PATH" => Some("/usr/bin:/bin".to_owned()),
        "SET" => Some("1".to_owned()),
        _ => None,
    };
    parse("x", text, &GateContext { env: &env, config: &config })
}

fn gated(gates: &str) -> Option<String> {
    let text = format!("---\nname: x\ndescription: d\nmetadata: {{\"openclaw\": {gates}}}\n---\n");
    read(&text).unwrap().gate_reason
}

#[test]
fn every_gate_is_really_checked() {
    for open in [
        "{}",
        r#"{"requires": {"env": ["SET"], "bins": ["sh"], "anyBins": ["no-such", "sh"], "config": ["search.on"]}}"#,
        r#"{"always": true, "requires": {"env": ["UNSET"]}}"#,
        r#"{"os": ["linux", "darwin", "win32"], "emoji": "x"}"#,
    ] {
        assert_eq!(gated(open), None, "{open}");
    }
    for (closed, word) in [
        (r#"{"requires": {"env": ["UNSET"]}}"#, "UNSET"),
        (r#"{"requires": {"bins": ["no-such-program"]}}"#, "no-such-program"),
        (r#"{"requires": {"bins": ["../bin/sh"]}}"#, "PATH"),
        (r#"{"requires": {"anyBins": ["no-a", "no-b"]}}"#, "no-a, no-b"),
        (r#"{"requires": {"config": ["search.off"]}}"#, "search.off"),
        (r#"{"os": ["plan9"]}"#, "plan9"),
        (r#"{"os": {"linux": true}}"#, "gate os"),
        (r#"{"requires": ["SET"]}"#, "requires"),
        (r#"{"requires": {"env": [7]}}"#, "gate env"),
    ] {
        assert!(gated(closed).unwrap().contains(word), "{closed}");
    }
    let old =
        "---\nname: x\ndescription: d\nmetadata: {clawdbot: {requires: {env: [UNSET]}}}\n---\n";
    assert!(read(old).unwrap().gate_reason.is_some());
}

#[test]
fn listed_endpoints_replace_those_of_the_text() {
    let body = "---\n```\nGET /api/a\n```\n";
    let skill = read(&format!("---\nname: x\ndescription: d\n{body}")).unwrap();
    assert_eq!(skill.endpoints[0].to_string(), "GET /api/a");
    let with = |wombat: &str| {
        let listed = format!("metadata: {{\"wombat\": {wombat}}}\n");
        read(&format!("---\nname: x\ndescription: d\n{listed}{body}"))
    };
    let skill = with(r#"{"endpoints": ["POST /api/b"]}"#).unwrap();
    assert_eq!(skill.endpoints.len(), 1);
    assert_eq!(skill.endpoints[0].to_string(), "POST /api/b");
    // A list that cannot be read does not give way to the text.
    for (wombat, word) in [
        (r#"{"endpoints": ["POST /api/b", "nonsense"]}"#, "nonsense"),
        (r#"{"endpoints": ["POST /api/b", 7]}"#, "endpoint 7"),
        (r#"{"endpoints": "POST /api/b"}"#, "not a list"),
        (r#"{"endpoints": null}"#, "not a list"),
        (r#"{"endpoint": ["POST /api/b"]}"#, "did you mean"),
        (r#"{"Endpoints": ["POST /api/b"]}"#, "did you mean"),
        (r#"["POST /api/b"]"#, "not an object"),
    ] {
        let broken = with(wombat).unwrap_err();
        assert!(broken.is_policy && broken.reason.contains(word), "{wombat}: {broken:?}");
    }
    assert_eq!(with(r#"{"endpoints": ["no way"]}"#).unwrap_err().line, Some(4));
    for (text, is_policy) in [
        ("---\nname: x\ndescription: d\nmetadata: nothing\n---\n", true),
        ("---\nname: [\n---\n", true),
        ("---\nname: x\n", true),
        ("\n---\nname: x\ndescription: d\n---\n", true),
        (" \n", false),
        ("name: x\nmetadata: {}\n---\nbody", true),
    ] {
        assert_eq!(read(text).unwrap_err().is_policy, is_policy, "{text}");
    }
}

#[test]
fn a_bad_name_is_only_a_warning() {
    assert!(read("---\nname: [\n---\n").is_err());
    let skill = read("---\nname: Bad Name\ndescription: d\n---\n").unwrap();
    assert_eq!(skill.name, "Bad Name");
    assert_eq!(skill.warnings.len(), 1);
}

#[test]
fn without_front_matter_or_description_the_text_says_what_it_is_for() {
    let body = "# Tasks\n\nList tasks,\nand make them.\n\n```\nGET /api/tasks\n```\n";
    for (text, description, warned) in [
        (body.to_owned(), "List tasks, and make them.", "no front matter"),
        (format!("---\n---\n{body}"), "List tasks, and make them.", "no front matter"),
        (format!("---\nname: x\n---\n{body}"), "List tasks, and make them.", "no description"),
        (
            format!("---\nname: x\ndescription: ''\n---\n{body}"),
            "List tasks, and make them.",
            "no description",
        ),
        (
            "## Only a heading ##\n```\nGET /api/tasks\n```\n".to_owned(),
            "Only a heading",
            "no front",
        ),
        ("```\nGET /api/tasks\n```\n".to_owned(), "x", "no front matter"),
        // A rule of Markdown is no front matter.
        (format!("Title: x\n\n---\n{body}"), "Title: x", "no front matter"),
    ] {
        let skill = read(&text).unwrap();
        assert_eq!((skill.name.as_str(), skill.description.as_str()), ("x", description), "{text}");
        assert!(skill.is_visible() && skill.warnings.len() == 1, "{:?}", skill.warnings);
        assert!(skill.warnings[0].contains(warned), "{:?}", skill.warnings);
        assert_eq!(skill.endpoints[0].to_string(), "GET /api/tasks");
    }
    let long = read(&"é ".repeat(2_000)).unwrap();
    assert!(long.description.chars().count() <= MAX_OPENING);
    // Gates count without a description, too.
    let gated = "---\nmetadata: {openclaw: {requires: {env: [UNSET]}}}\n---\ntext";
    assert!(!read(gated).unwrap().is_visible());
}
