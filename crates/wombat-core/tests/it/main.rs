//! The workspace as programs use it: a real folder, edited while it is watched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod chat_templates;
mod edits;
mod forms;
mod policy;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeZone as _};
use wombat_core::session::Role;
use wombat_core::workspace::{
    PromptMode, PromptRequest, SkillsMode, Snapshot, Workspace, WorkspaceOptions, WorkspaceStatus,
    time_context,
};
use zones::Zone;

fn options(path: &Path) -> WorkspaceOptions {
    WorkspaceOptions {
        path: path.to_owned(),
        agent_config: None,
        max_file_chars: 20_000,
        skills_mode: SkillsMode::Auto,
        env: Arc::new(|_| None),
        is_secret: |_| false,
    }
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn now() -> DateTime<Zone> {
    chrono::Utc::now().with_timezone(&Zone::UTC)
}

fn prompt(snapshot: &Snapshot, role: &str, mode: PromptMode, heartbeat: bool) -> String {
    let role = Role::parse(role).unwrap();
    snapshot.prompt(&PromptRequest { role: &role, mode, heartbeat, now: now() }).system.to_string()
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_sections_stand_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let today = now().date_naive();
    write(
        dir.path(),
        &[
            ("SOUL.md", "GENERAL SOUL"),
            ("souls/scout.md", "SCOUT SOUL"),
            ("IDENTITY.md", "IDENTITY"),
            ("AGENTS.md", "RULES"),
            ("USER.md", "ABOUT USER"),
            ("TOOLS.md", "TOOL TEXT"),
            ("skills/find/SKILL.md", "---\nname: find\ndescription: finds\n---\nSKILL BODY"),
            ("BOOT.md", "BOOT TEXT"),
            ("MEMORY.md", "LONG MEMORY"),
            ("HEARTBEAT.md", "CHECKLIST"),
            (&format!("memory/{today}.md"), "TODAY LOG"),
            ("memory/2001-01-01.md", "OLD LOG"),
        ],
    );
    let workspace = Workspace::open(options(dir.path()));
    let snapshot = workspace.snapshot();
    assert_eq!(snapshot.status(), WorkspaceStatus::Ok, "{:?}", snapshot.problems());
    let text = prompt(&snapshot, "scout", PromptMode::Full, false);
    let order = [
        "SCOUT SOUL",
        "IDENTITY",
        "## Operating Rules\n\nRULES",
        "ABOUT USER",
        "TOOL TEXT",
        "SKILL BODY",
        "BOOT TEXT",
        "## Recent Memory",
        "LONG MEMORY",
        "TODAY LOG",
    ];
    let places: Vec<_> = order.iter().map(|part| text.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{text}");
    for absent in ["GENERAL SOUL", "CHECKLIST", "OLD LOG", "Current Time"] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(prompt(&snapshot, "other", PromptMode::Full, false).starts_with("GENERAL SOUL"));
    let minimal = prompt(&snapshot, "scout", PromptMode::Minimal, true);
    assert_eq!(
        minimal,
        "## Operating Rules\n\nRULES\n\n## Tool Notes\n\nTOOL TEXT\n\n## Heartbeat\n\nCHECKLIST"
    );
    workspace.mark_boot_complete().unwrap();
    assert!(!prompt(&workspace.snapshot(), "scout", PromptMode::Full, false).contains("BOOT TEXT"));
}

#[test]
fn an_empty_workspace_gives_a_prompt_that_names_the_role_and_a_missing_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Workspace::open(options(dir.path())).snapshot();
    assert!(prompt(&snapshot, "scout", PromptMode::Full, false).contains("You are scout"));
    let snapshot = Workspace::open(options(&dir.path().join("none"))).snapshot();
    assert_eq!(snapshot.status(), WorkspaceStatus::Missing);
    assert!(snapshot.problems()[0].reason.contains("WOMBAT_WORKSPACE"));
}

#[test]
fn the_time_is_in_the_persons_zone_and_not_in_the_system_prompt() {
    let zone = zones::parse_zone("Australia/Sydney").unwrap();
    let moment = zone.with_ymd_and_hms(2026, 1, 2, 15, 4, 0).unwrap();
    assert_eq!(
        time_context(&moment),
        "## Current Time\nFriday, 2026-01-02 15:04 (Australia/Sydney)"
    );
}

#[test]
fn many_skills_are_listed_and_read_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(8_001);
    write(
        dir.path(),
        &[
            ("skills/a/SKILL.md", &format!("---\nname: a\ndescription: the a\n---\n{long}")),
            ("skills/a/references/api.md", "REFERENCE"),
            (
                "skills/hidden/SKILL.md",
                "---\nname: hidden\ndescription: h\ndisable-model-invocation: true\n---\nHIDDEN",
            ),
            ("skills/broken/SKILL.md", "---\nname: [\n---\n"),
        ],
    );
    let snapshot = Workspace::open(options(dir.path())).snapshot();
    let text = prompt(&snapshot, "r", PromptMode::Full, false);
    assert!(text.contains("- **a**: the a") && text.contains("read_skill"), "{text}");
    assert!(!text.contains("xxxx") && !text.contains("hidden"));
    assert_eq!(snapshot.read_skill("a", Some("references/api.md")).unwrap(), "REFERENCE");
    assert_eq!(snapshot.read_skill("a", None).unwrap(), long);
    for file in ["../../SOUL.md", "/etc/passwd", "none.md"] {
        let error = snapshot.read_skill("a", Some(file)).unwrap_err().to_string();
        assert!(error.contains("references/api.md"), "{error}");
    }
    assert!(snapshot.read_skill("hidden", None).is_err());
    let broken = snapshot.skills().iter().find(|skill| skill.name == "broken").unwrap();
    assert!(!broken.enabled && broken.gate_reason.as_ref().unwrap().contains("YAML"));
    assert_eq!(snapshot.status(), WorkspaceStatus::Degraded);
}

#[test]
fn a_long_file_is_cut_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("AGENTS.md", &"é".repeat(20_001))]);
    let snapshot = Workspace::open(options(dir.path())).snapshot();
    let files = snapshot.files(&Role::parse("r").unwrap(), &now());
    let report = files.iter().find(|file| file.name == "AGENTS.md").unwrap();
    assert!(report.truncated && report.raw_chars == 20_001 && report.injected_chars == 20_000);
    assert!(prompt(&snapshot, "r", PromptMode::Full, false).contains("20000 of 20001"));
}

#[test]
fn edits_show_by_themselves_and_a_broken_one_keeps_the_last_good_version() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("v1");
    write(&root, &[("AGENTS.md", "ONE"), ("agent-config.json", r#"{"agents": [{"role": "a"}]}"#)]);
    let link = dir.path().join("current");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    let workspace = Workspace::open(options(&link));
    let _watch = workspace.watch();
    let shows =
        |text: &str| prompt(&workspace.snapshot(), "a", PromptMode::Full, false).contains(text);
    fs::write(root.join("AGENTS.md"), "TWO").unwrap();
    wait_for("an edit", || shows("TWO"));
    fs::write(root.join("next"), "THREE").unwrap();
    fs::rename(root.join("next"), root.join("AGENTS.md")).unwrap();
    wait_for("a rename", || shows("THREE"));
    fs::write(root.join("AGENTS.md"), [0xff]).unwrap();
    fs::write(root.join("agent-config.json"), "{\n oops").unwrap();
    wait_for("a broken edit", || workspace.snapshot().problems().len() == 2);
    assert!(shows("THREE"));
    assert_eq!(workspace.snapshot().agents().len(), 1);
    let config =
        workspace.snapshot().problems().iter().find(|p| p.file == "agent-config.json").cloned();
    assert_eq!(config.unwrap().line, Some(2));
    write(
        &dir.path().join("v2"),
        &[("AGENTS.md", "FOUR"), ("agent-config.json", r#"{"agents": [{"role": "a"}]}"#)],
    );
    let next = dir.path().join("next");
    std::os::unix::fs::symlink(dir.path().join("v2"), &next).unwrap();
    fs::rename(&next, &link).unwrap();
    wait_for("a swapped link", || shows("FOUR"));
    assert_eq!(workspace.snapshot().status(), WorkspaceStatus::Ok);
}

#[test]
fn the_same_workspace_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[("AGENTS.md", "RULES"), ("skills/a/SKILL.md", "---\nname: a\ndescription: d\n---\nb")],
    );
    let one = Workspace::open(options(dir.path())).snapshot();
    let two = Workspace::open(options(dir.path())).snapshot();
    assert_eq!(one.digest(), two.digest());
    let role = Role::parse("r").unwrap();
    let at = |hour| Zone::UTC.with_ymd_and_hms(2026, 5, 5, hour, 0, 0).unwrap();
    let request =
        |now| PromptRequest { role: &role, mode: PromptMode::Full, heartbeat: false, now };
    let (first, second) = (one.prompt(&request(at(1))), two.prompt(&request(at(2))));
    assert_eq!(first.system, second.system);
    assert_eq!(first.hash, second.hash);
}
