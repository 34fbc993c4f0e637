//! What `wombat-daemon check` says of tools that roles enable, of conditions, and of endpoints that no model
//! reaches.

use std::fs;

use tempfile::TempDir;

use super::{backend, daemon, said};
use crate::harness::SECRET;

#[tokio::test]
async fn what_a_person_s_word_needs_is_checked_with_its_place() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let root = dir.path().join("workspace");
    fs::create_dir_all(root.join("skills/control")).unwrap();
    let skill = "---\nname: control\ndescription: d\n---\n```\nGET /api/visits\n\
                 POST /api/mission-control/tool-requests/{id}/decision\nGET /API/mission-control/Profile\n```\n";
    fs::write(root.join("skills/control/SKILL.md"), skill).unwrap();
    let url = backend.uri();
    let settings =
        [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", url.as_str())];
    let tools = |tools: &str| {
        let config =
            format!("{{\"agents\": [\n{{\"role\": \"scout\",\n\"tools\": {{\n{tools}}}}}]}}");
        fs::write(root.join("agent-config.json"), config).unwrap();
    };
    tools("\"enable\": [\"ask_user\"]");
    let output = daemon(dir.path(), &["check"], &settings).await;
    let lines = said(&output);
    for told in [
        "warn  tools: scout enables \"ask_user\", which needs a backend with decisions, tool_requests, run_journal",
        "warn  workspace: skills/control/SKILL.md:7: POST /api/mission-control/tool-requests/{id}/decision is the",
        "warn  workspace: skills/control/SKILL.md:8: GET /API/mission-control/Profile is the contract's own",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(told)), "{told}: {lines:#?}");
    }
    for (rules, told) in [
        (
            "\"enable\": [\"ask_usr\"]",
            "agent-config.json:4: agent \"scout\": tools.enable: there is no tool \"ask_usr\" to enable; did you mean \"ask_user\"?",
        ),
        (
            "\"approval\": [{\"tool\": \"create_task\", \"when\": {\n\"a\": {\"gtt\": 1}}}]",
            "agent-config.json:5: agent \"scout\": tools.approval[0].when: a: ",
        ),
    ] {
        tools(rules);
        let output = daemon(dir.path(), &["check"], &settings).await;
        let lines = said(&output);
        let is_told = |line: &String| line.starts_with(&format!("FAIL  workspace: {told}"));
        assert!(lines.iter().any(is_told), "{told}: {lines:#?}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[tokio::test]
async fn what_a_role_redacts_is_told_and_a_bad_rule_with_its_place() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let root = dir.path().join("workspace");
    fs::create_dir_all(&root).unwrap();
    let url = backend.uri();
    let settings =
        [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", url.as_str())];
    let config = |redact: &str| {
        let scout = format!(
            "{{\"role\": \"scout\", \"tools\": {{\"enable\": [\"ask_agent\"]}},\n\"redact\": {redact}}}"
        );
        let config = format!("{{\"agents\": [\n{scout},\n{{\"role\": \"writer\"}}]}}");
        fs::write(root.join("agent-config.json"), config).unwrap();
    };
    config(
        "{\"to\": [\"provider\", \"traces\"], \"kinds\": [\"card\"], \"mode\": \"redact-restore\"}",
    );
    let lines = said(&daemon(dir.path(), &["check"], &settings).await);
    for told in [
        "ok    redaction: scout: card in provider, traces (redact-restore)",
        "note  redaction: scout may ask writer, whose models get what it says",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(told)), "{told}: {lines:#?}");
    }
    config("{\"to\": [\"provider\"],\n\"patterns\": [\n{\"name\": \"a\", \"regex\": \"(\"}]}");
    let output = daemon(dir.path(), &["check"], &settings).await;
    let lines = said(&output);
    let told = "FAIL  workspace: agent-config.json:5: agent \"scout\": redact.patterns[0].regex: \"(\" is not valid";
    assert!(lines.iter().any(|line| line.starts_with(told)), "{lines:#?}");
    assert_eq!(output.status.code(), Some(1));
}
