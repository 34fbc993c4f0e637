use super::*;

#[test]
fn variables_are_expanded_and_old_keys_accepted() {
    let text = r#"{"backend_base_url": "${URL}/x", "agents": [{"role": "scout",
        "session_key_template": "user:{userId}:scout", "default_model_tier": "cheap"}]}"#;
    let config =
        AgentConfig::parse(text, &|name| (name == "URL").then(|| "http://h".into())).unwrap();
    assert_eq!(config.raw["backend_base_url"], "http://h/x");
    assert_eq!(config.agents[0].profile.model_tier, ModelTier::Cheap);
    let text = r#"{"agents": [{"role": "a", "output": {"schema": {"pattern": "^${URL}$"}}}]}"#;
    let config = AgentConfig::parse(text, &|_| None).unwrap();
    let output = config.agents[0].profile.output.as_ref().unwrap();
    assert_eq!(output.schema["pattern"], "^${URL}$");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, word) in [
        ("{\n\"agents\": [\n}", Some(3), "line 3"),
        ("{\"agents\": [\n{\"role\": \"../x\"}]}", Some(2), "role"),
        ("{\"agents\": [{\"role\": \"a\", \"default_model_tier\": \"huge\"}]}", Some(1), "huge"),
        ("{\"agents\": [{\"role\": \"a\", \"session_key_template\": \"x\"}]}", Some(1), "{userId}"),
        (
            "{\"agents\": [{\"role\": \"a\", \"tools\": {\"deny\": [\"GET x/\"]}}]}",
            Some(1),
            "GET x/",
        ),
        (
            "{\"agents\": [{\"role\": \"a\",\n\"output\": {\"schema\": 7}}]}",
            Some(2),
            "agent \"a\": output.schema: must be",
        ),
        ("{\"agents\": [{\"role\": \"a\",\n\"output\": []}]}", Some(2), "output: must be"),
        ("{\"agents\": [{\"role\": \"a\",\n\"Output\": {}}]}", Some(2), "did you mean \"output\"?"),
    ] {
        let error = AgentConfig::parse(text, &|_| None).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.contains(word), "{error}");
    }
}

#[test]
fn what_would_silently_remove_a_rule_is_refused_with_its_line() {
    let tools = |tools: &str| {
        format!(
            "{{\"agents\": [\n{{\"role\": \"a\"}},\n{{\"role\": \"b\", \"tools\": {{\n{tools}}}}}]}}"
        )
    };
    let entry = |more: &str| format!("{{\"agents\": [{{\"role\": \"a\",\n{more}}}]}}");
    for (text, line, words) in [
        (
            tools(r#""denied": []"#),
            4,
            r#"agent "b": unknown key "denied" in tools; did you mean "deny"?"#,
        ),
        (tools(r#""Deny": []"#), 4, r#"did you mean "deny"?"#),
        (tools(r#""aproval": []"#), 4, r#"did you mean "approval"?"#),
        (
            tools(r#""forbid": []"#),
            4,
            "the known keys are allow, deny, approval, idempotent, enable",
        ),
        (tools("\"enable\": [\n\"ask_usr\"]"), 5, r#"did you mean "ask_user"?"#),
        (tools(r#""enable": "mention""#), 4, "sequence"),
        (tools("\"deny\": [],\n\"deny\": [\"x\"]"), 5, r#""deny" stands twice"#),
        (tools(r#""deny": "x""#), 4, "sequence"),
        (tools(r#""deny": [7]"#), 4, "string"),
        (tools(r#""deny": null"#), 4, "null"),
        (tools("\"allow\": [\"ok\"],\n\"deny\": [\"no way\"]"), 5, "no way"),
        (tools("\"deny\": [\n\"POST /${NOT_SET}/x\"]"), 5, "${NOT_SET} is not set"),
        (tools("\"deny\": [\n\"x_${EMPTY}\"]"), 5, "${EMPTY} is not set"),
        (
            tools(
                "\"approval\": [\"x\", {\"tool\": \"y\",\n\"when\": {\n\"amount\": {\"gtt\": 1}}}]",
            ),
            6,
            "tools.approval[1].when: amount: unknown word \"gtt\"",
        ),
        (tools("\"approval\": [{\"tool\": \"y\",\n\"when\": 7}]"), 5, "when: must be an object"),
        (tools("\"approval\": [\n{\"tool\": \"y\"}]"), 5, "missing field `when`"),
        (tools("\"approval\": [\n{\"tool\": \"y\", \"if\": {}}]"), 5, "unknown field `if`"),
        (tools("\"approval\": [\n7]"), 5, "a string, or"),
        (entry(r#""Tools": {}"#), 2, r#"did you mean "tools"?"#),
        (entry(r#""tool": {}"#), 2, r#"did you mean "tools"?"#),
        (entry(r#""tools": []"#), 2, "not an object"),
        (entry(r#""tools": null"#), 2, "not an object"),
        (entry(r#""deny": ["x"]"#), 2, "belongs into"),
        (r#"{"agent": [{"role": "a"}]}"#.to_owned(), 1, r#"did you mean "agents"?"#),
        (r#"{"agents": [], "Agents": []}"#.to_owned(), 1, r#"did you mean "agents"?"#),
        (r#"{"agents": {"a": {}}}"#.to_owned(), 1, "not a list"),
        (r#"{"agents": [["a"]]}"#.to_owned(), 1, "not an object"),
        (r#"{"tools": {"deny": ["x"]}, "agents": []}"#.to_owned(), 1, "belongs into"),
        (r#"{"agents": [{"role": "a"}, {"role": "a"}]}"#.to_owned(), 1, "listed twice"),
        ("[]".to_owned(), 1, "not an object"),
        ("null".to_owned(), 1, "not an object"),
    ] {
        let env = |name: &str| (name == "EMPTY").then(String::new);
        let error = AgentConfig::parse(&text, &env).unwrap_err();
        assert!(error.reason.contains(words), "{text}: {error}");
        assert_eq!(error.line.unwrap_or(0), line, "{text}: {error}");
    }
    for text in [
        r#"{"backend_base_url": "${NOT_SET}", "agent_auth": {}, "model_tiers": {}, "agent": {}, "agents": []}"#,
        r#"{"agents": [{"role": "a", "display_name": "${NOT_SET}", "soul": "x", "tools": {}}]}"#,
        r#"{"tools": {"web": {"search": true}}}"#,
    ] {
        AgentConfig::parse(text, &|_| None).unwrap();
    }
}
