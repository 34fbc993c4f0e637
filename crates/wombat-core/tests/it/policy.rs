//! Files of rules that cannot be read: nothing may run without them, and nothing takes them away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use wombat_core::advice::{KnownTools, advise};
use wombat_core::mcp_config::{ServerConfig, Transport};
use wombat_core::workspace::{
    PolicyEffect, RoleError, Snapshot, Workspace, WorkspaceOptions, WorkspaceStatus,
};

use crate::{options, wait_for, write};

const CONFIG: &str = "agent-config.json";
const GOOD: &str = r#"{"agents": [{"role": "scout", "tools": {"deny": ["POST /api/refund"]}}]}"#;
const BAD_PATTERN: &str = "{\"agents\": [{\"role\": \"scout\", \"tools\": {\n\"deny\": [\"POST /api/refund\", \"no way\"]}}]}";
const SKILL: &str = "---\nname: a\ndescription: d\n---\n```\nGET /api/a\n```\n";
const BAD_SKILL: &str = "---\nname: a\ndescription: d\nmetadata:\n  wombat:\n    endpoints: [\"GET api\"]\n---\n```\nPOST /api/b\n```\n";

fn denies(snapshot: &Snapshot) -> bool {
    let deny = |agent: &wombat_core::workspace::AgentReport| agent.tools.deny.len() == 1;
    snapshot.agents().iter().any(|agent| agent.role.as_str() == "scout" && deny(agent))
}

/// The reason why no run may start.
fn refused(snapshot: &Snapshot) -> String {
    match snapshot.admit("scout") {
        Err(RoleError::Policy(why) | RoleError::Workspace(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Makes a file unusable in every way.
fn spoil(path: &Path, how: usize) {
    let _gone = fs::remove_file(path);
    match how {
        0 => fs::write(path, "{\n oops").unwrap(),
        1 => fs::write(path, [b'{', 0xff]).unwrap(),
        2 => fs::create_dir(path).unwrap(),
        3 => symlink("nowhere", path).unwrap(),
        4 => symlink("/etc/hostname", path).unwrap(),
        5 => fs::write(path, " ".repeat(16 << 20) + "{}").unwrap(),
        6 => fs::write(path, "[]").unwrap(),
        _ => fs::write(path, "").unwrap(),
    }
}

#[test]
fn an_unusable_file_at_the_start_means_no_runs_until_it_is_mended() {
    for (name, good) in [(CONFIG, GOOD), ("mcp.json", r#"{"mcpServers": {}}"#)] {
        for how in 0..8 {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &[(CONFIG, GOOD)]);
            let path = dir.path().join(name);
            spoil(&path, how);
            let workspace = Workspace::open(options(dir.path()));
            let why = refused(&workspace.snapshot());
            assert!(why.starts_with(name), "{name} {how}: {why}");
            assert_eq!(workspace.snapshot().status(), WorkspaceStatus::Degraded);
            // A file of prompts changes: that mends nothing.
            write(dir.path(), &[("SOUL.md", "calm")]);
            workspace.reload();
            refused(&workspace.snapshot());
            let _empty = fs::remove_dir(&path);
            let _gone = fs::remove_file(&path);
            write(dir.path(), &[(name, good)]);
            workspace.reload();
            let snapshot = workspace.snapshot();
            assert!(snapshot.admit("scout").is_ok() && denies(&snapshot), "{name} {how}");
        }
    }
}

#[test]
fn an_unusable_file_later_leaves_the_last_good_one_in_force() {
    for how in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(CONFIG, GOOD)]);
        let workspace = Workspace::open(options(dir.path()));
        for _ in 0..2 {
            spoil(&dir.path().join(CONFIG), how);
            workspace.reload();
            let snapshot = workspace.snapshot();
            assert!(snapshot.admit("scout").is_ok() && denies(&snapshot), "{how}");
            assert_eq!(snapshot.policy_problems(PolicyEffect::LastGood), 1, "{how}");
            let _empty = fs::remove_dir(dir.path().join(CONFIG));
        }
    }
}

#[test]
fn one_bad_pattern_is_enough_and_has_its_line() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(CONFIG, BAD_PATTERN)]);
    let why = refused(&Workspace::open(options(dir.path())).snapshot());
    assert!(
        why.starts_with("agent-config.json:2: agent \"scout\"") && why.contains("no way"),
        "{why}"
    );
    write(dir.path(), &[(CONFIG, GOOD), ("skills/a/SKILL.md", BAD_SKILL)]);
    let workspace = Workspace::open(options(dir.path()));
    let why = refused(&workspace.snapshot());
    assert!(why.starts_with("skills/a/SKILL.md:6: endpoint \"GET api\""), "{why}");
    assert!(denies(&workspace.snapshot()), "one file never removes another one's rules");
    assert!(workspace.snapshot().endpoints().is_empty(), "nor falls back to its text");
    write(dir.path(), &[("skills/a/SKILL.md", SKILL)]);
    workspace.reload();
    assert!(workspace.snapshot().admit("scout").is_ok());
    write(dir.path(), &[("skills/a/SKILL.md", BAD_SKILL)]);
    workspace.reload();
    assert_eq!(workspace.snapshot().endpoints()[0].pattern.to_string(), "GET /api/a");
    assert_eq!(workspace.snapshot().policy_problems(PolicyEffect::LastGood), 1);
}

#[test]
fn a_skill_that_cannot_be_read_whole_means_no_runs_until_it_is_mended() {
    const AT: &str = "skills/b/SKILL.md";
    let unparsed = |how: &str| format!("---\nname: b\ndescription: d\n{how}\n---\n");
    let texts = [
        unparsed("license: ["),
        unparsed("metadata: {\"wombat\": {\"endpoints\": [], \"endpoints\": [\"GET /x\"]}}"),
        unparsed("metadata: none"),
        "---\nname: b\ndescription: d\n".to_owned(),
    ];
    for how in 0..texts.len() + 4 {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(CONFIG, GOOD), ("skills/a/SKILL.md", SKILL), (AT, "")]);
        let path = dir.path().join(AT);
        match texts.get(how) {
            Some(text) => fs::write(&path, text).unwrap(),
            None => spoil(&path, how - texts.len() + 1),
        }
        let workspace = Workspace::open(options(dir.path()));
        let why = refused(&workspace.snapshot());
        assert!(why.starts_with(AT), "{how}: {why}");
        assert_eq!(workspace.snapshot().endpoints().len(), 1, "its endpoints do not exist");
        let off = |skill: &&wombat_core::skills::SkillReport| {
            skill.location == AT && !skill.enabled && skill.gate_reason.is_some()
        };
        assert!(workspace.snapshot().skills().iter().find(off).is_some());
        let _empty = fs::remove_dir(&path);
        let _gone = fs::remove_file(&path);
        write(dir.path(), &[(AT, "---\nname: b\ndescription: d\n---\n")]);
        workspace.reload();
        assert!(workspace.snapshot().admit("scout").is_ok(), "{how}");
        fs::write(&path, unparsed("license: [")).unwrap();
        workspace.reload();
        let snapshot = workspace.snapshot();
        assert!(snapshot.admit("scout").is_ok(), "{how}: the last good one goes on");
        assert_eq!(snapshot.policy_problems(PolicyEffect::LastGood), 1, "{how}");
    }
}

#[test]
fn a_skill_without_text_takes_only_itself_away() {
    let dir = tempfile::tempdir().unwrap();
    let bare = [("skills/bare/SKILL.md", "\n"), (CONFIG, GOOD)];
    write(dir.path(), &bare);
    write(dir.path(), &[("skills/a/SKILL.md", SKILL)]);
    let snapshot = Workspace::open(options(dir.path())).snapshot();
    assert!(snapshot.admit("scout").is_ok() && denies(&snapshot));
    let skill = snapshot.skills().iter().find(|skill| skill.name == "bare").unwrap();
    assert!(!skill.enabled && skill.gate_reason.is_some());
    assert_eq!(snapshot.endpoints().len(), 1);
}

#[test]
fn deleting_the_configuration_lifts_nothing_until_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("workspace");
    write(&root, &[(CONFIG, GOOD)]);
    let workspace = Workspace::open(options(&root));
    fs::remove_file(root.join(CONFIG)).unwrap();
    // A laxer file at a place of less precedence does not step in.
    write(dir.path(), &[("config/agent-config.json", r#"{"agents": [{"role": "scout"}]}"#)]);
    workspace.reload();
    let snapshot = workspace.snapshot();
    assert!(snapshot.admit("scout").is_ok() && denies(&snapshot));
    let problem = snapshot.problems()[0].to_string();
    assert!(problem.starts_with("agent-config.json: does not exist any more"), "{problem}");
    write(&root, &[(CONFIG, r#"{"agents": [{"role": "other"}]}"#)]);
    workspace.reload();
    assert!(matches!(workspace.snapshot().admit("scout"), Err(RoleError::Unknown(_))));
    assert_eq!(workspace.snapshot().problems(), []);
    // One that never was valid is not forgotten either.
    write(&root, &[(CONFIG, BAD_PATTERN)]);
    let workspace = Workspace::open(options(&root));
    fs::remove_file(root.join(CONFIG)).unwrap();
    workspace.reload();
    assert!(refused(&workspace.snapshot()).contains("does not exist any more"));
}

#[test]
fn all_three_places_fail_closed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("workspace");
    fs::create_dir(&root).unwrap();
    write(dir.path(), &[("config/agent-config.json", BAD_PATTERN), ("named.json", "{")]);
    let why = refused(&Workspace::open(options(&root)).snapshot());
    assert!(why.starts_with("../config/agent-config.json:2: "), "{why}");
    for name in ["named.json", "none.json"] {
        let path = dir.path().join(name);
        let named = WorkspaceOptions { agent_config: Some(path.clone()), ..options(&root) };
        let workspace = Workspace::open(named);
        let why = refused(&workspace.snapshot());
        assert!(why.starts_with(&path.display().to_string()), "{why}");
        fs::write(&path, GOOD).unwrap();
        workspace.reload();
        assert!(denies(&workspace.snapshot()));
        fs::remove_file(&path).unwrap();
        workspace.reload();
        assert!(workspace.snapshot().admit("scout").is_ok() && denies(&workspace.snapshot()));
    }
}

#[test]
fn a_folder_that_is_gone_takes_no_rule_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (root, away) = (dir.path().join("workspace"), dir.path().join("away"));
    write(&root, &[(CONFIG, GOOD), ("skills/a/SKILL.md", SKILL)]);
    let workspace = Workspace::open(options(&root));
    fs::rename(&root, &away).unwrap();
    workspace.reload();
    let snapshot = workspace.snapshot();
    assert_eq!(snapshot.status(), WorkspaceStatus::Missing);
    assert!(snapshot.admit("scout").is_ok() && denies(&snapshot));
    assert_eq!(snapshot.endpoints().len(), 1);
    // Missing from the start: no run, also when the folder comes with a broken file.
    let workspace = Workspace::open(options(&root));
    assert!(matches!(workspace.snapshot().admit("scout"), Err(RoleError::Workspace(_))));
    assert!(refused(&workspace.snapshot()).contains("WOMBAT_WORKSPACE"));
    write(&root, &[(CONFIG, BAD_PATTERN)]);
    workspace.reload();
    refused(&workspace.snapshot());
    fs::rename(&root, dir.path().join("again")).unwrap();
    workspace.reload();
    refused(&workspace.snapshot());
    fs::rename(&away, &root).unwrap();
    workspace.reload();
    assert!(workspace.snapshot().admit("scout").is_ok());
}

#[test]
fn a_changed_mode_of_a_named_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roles.json");
    symlink("real.json", &path).unwrap();
    let root = dir.path().join("workspace");
    fs::create_dir(&root).unwrap();
    let named = WorkspaceOptions { agent_config: Some(path), ..options(&root) };
    let workspace = Workspace::open(named);
    refused(&workspace.snapshot());
    let _watch = workspace.watch();
    fs::write(dir.path().join("real.json"), GOOD).unwrap();
    wait_for("the target", || denies(&workspace.snapshot()));
}

#[test]
fn roles_are_those_of_souls_and_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let roles = |snapshot: &Snapshot| {
        snapshot.agents().into_iter().map(|agent| agent.role.to_string()).collect::<Vec<_>>()
    };
    let workspace = Workspace::open(options(dir.path()));
    assert_eq!(roles(&workspace.snapshot()), ["agent"]);
    assert!(workspace.snapshot().admit("agent").is_ok());
    write(dir.path(), &[(CONFIG, GOOD)]);
    // A soul that cannot be read declares its role all the same.
    fs::create_dir_all(dir.path().join("souls/Writer.md")).unwrap();
    workspace.reload();
    let snapshot = workspace.snapshot();
    assert_eq!(roles(&snapshot), ["Writer", "scout"]);
    assert!(snapshot.admit("Writer").is_ok());
    for (role, hint) in [
        ("agent", "its roles are Writer, scout"),
        ("writer", "did you mean \"Writer\"?"),
        ("Scout", "did you mean \"scout\"?"),
        ("scuot", "did you mean \"scout\"?"),
        ("../scout", "its roles are"),
        ("", "its roles are"),
        ("sсout", "did you mean \"scout\"?"),
    ] {
        let error = snapshot.admit(role).unwrap_err();
        assert!(!snapshot.has_role(role));
        let told = error.to_string();
        assert!(told.contains(&format!("no role {role:?}; ")) && told.contains(hint), "{told}");
    }
    let many: String = (0..99).map(|n| format!(r#"{{"role": "r{n}"}},"#)).collect();
    let many = format!(r#"{{"agents": [{}]}}"#, many.trim_end_matches(','));
    write(dir.path(), &[(CONFIG, &many)]);
    workspace.reload();
    let Err(RoleError::Unknown(unknown)) = workspace.snapshot().admit(&"zz".repeat(100_000)) else {
        panic!()
    };
    assert!(unknown.known.len() == 20 && unknown.total == 100 && unknown.role.len() == 64);
    assert!(unknown.to_string().ends_with(", …"), "{unknown}");
}

#[test]
fn no_configuration_gets_the_daemons_own_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let servers = r#"{"mcpServers": {
        "own": {"url": "https://h/${SEARCH_KEY}"},
        "thief": {"url": "https://h", "headers": {"A": "${SIGNING}"}},
        "other": {"url": "https://h", "headers": {"A": "${env:SIGNING}"}},
        "mild": {"url": "https://h/${SIGNING:-public}"}}}"#;
    write(dir.path(), &[("mcp.json", servers), ("agent-config.json", r#"{"x": "${SIGNING}"}"#)]);
    let mut options = options(dir.path());
    options.env = Arc::new(|name| Some(format!("value-of-{name}")));
    options.is_secret = |name| name == "SIGNING";
    let snapshot = Workspace::open(options).snapshot();
    let servers = &snapshot.mcp().servers;
    let Ok(ServerConfig { transport: Transport::Http { url, .. }, .. }) = &servers["own"] else {
        panic!("{servers:?}")
    };
    assert_eq!(url, "https://h/value-of-SEARCH_KEY");
    let why = servers["thief"].as_ref().unwrap_err().to_string();
    assert!(servers["other"].is_err(), "{:?}", servers["other"]);
    let Ok(ServerConfig { transport: Transport::Http { url, .. }, .. }) = &servers["mild"] else {
        panic!("{servers:?}")
    };
    assert_eq!(url, "https://h/public");
    assert_eq!(why, "line 3: ${SIGNING} is not set, or is a secret of the daemon itself");
}

#[test]
fn a_key_of_the_application_that_goes_to_a_server_is_told_without_its_value() {
    let dir = tempfile::tempdir().unwrap();
    let servers = r#"{"mcpServers": {
        // ${SESSION_SECRET} in a comment
        "a": {"url": "https://h", "headers": {"A": "${SECRET_KEY}", "B": "${env:SECRET_KEY}"}},
        "b": {"url": "https://h", "headers": {"A": "${STRIPE_SECRET_KEY}", "B": "${CRM_KEY}"}},
        "c": {"url": "https://h", "headers": {"A": "${SHOP_JWT_SECRET:-x}", "B": "${AUTH_SECRET:-x}"}},
        "d": {"url": "https://h", "headers": {"A": "${AGENT_JWT_SECRET:-x}"}}}}"#;
    write(dir.path(), &[("mcp.json", servers)]);
    let mut options = options(dir.path());
    options.env = Arc::new(|name| (name != "AUTH_SECRET").then(|| "canary".to_owned()));
    options.is_secret = |name| name == "AGENT_JWT_SECRET";
    let snapshot = Workspace::open(options.clone()).snapshot();
    let told: Vec<_> = advise(&options, &snapshot, &KnownTools::default())
        .iter()
        .map(ToString::to_string)
        .filter(|told| told.contains("own key"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("mcp.json:3: ${SECRET_KEY} passes on"), "{told:?}");
    assert!(told[1].starts_with("mcp.json:5: ${SHOP_JWT_SECRET} passes on"), "{told:?}");
    assert!(!told.concat().contains("canary"), "{told:?}");
}
