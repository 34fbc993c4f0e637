//! Workspaces as they are found in the wild: each does what the documentation says, none hangs.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Instant;

use wombat_core::workspace::{PromptMode, Workspace, WorkspaceStatus};

use crate::{options, prompt, write};

const GATE: &str = "the environment variable NEEDED is not set";

#[test]
fn front_matter_of_every_form_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let gate = r#"{"openclaw": {"requires": {"env": ["NEEDED"]}}}"#;
    let forms = [
        ("inline-json", format!("---\nname: inline-json\ndescription: d\nmetadata: {gate}\n---\nbody")),
        ("block-yaml", "---\nname: block-yaml\ndescription: d\nmetadata:\n  openclaw:\n    requires:\n      env:\n        - NEEDED\n---\nbody".to_owned()),
        ("json5", "---\nname: json5\ndescription: d\nmetadata: {\n  // it's why\n  /* {don't} */ openclaw: {requires: {env: ['NEEDED',],},},\n}\n---\nbody".to_owned()),
        ("older-key", format!("---\nname: older-key\ndescription: d\nmetadata: {}\n---\nbody", gate.replace("openclaw", "clawdbot"))),
        ("quoted", format!("---\nname: \"quoted\"\ndescription: 'a: b # c'\nmetadata: {gate}\n---\nbody")),
        ("folded", format!("---\nname: folded\ndescription: >\n  one\n  two\nmetadata: {gate}\n---\nbody")),
        ("crlf", format!("---\r\nname: crlf\r\ndescription: d\r\nmetadata: {gate}\r\n---\r\nbody\r\n")),
        ("bom", format!("\u{feff}---\nname: bom\ndescription: d\nmetadata: {gate}\n---\nbody")),
        ("letters", format!("---\nname: letters\ndescription: Überprüft 学校 🏫\nmetadata: {gate}\n---\nbody")),
    ];
    for (name, text) in &forms {
        write(dir.path(), &[(&format!("skills/{name}/SKILL.md"), text)]);
    }
    let workspace = Workspace::open(options(dir.path()));
    let snapshot = workspace.snapshot();
    assert_eq!(snapshot.problems(), []);
    assert_eq!(snapshot.skills().len(), forms.len());
    for skill in snapshot.skills() {
        assert_eq!(skill.gate_reason.as_deref(), Some(GATE), "{}", skill.name);
        assert!(!skill.enabled && !skill.description.is_empty());
    }
    let of = |name: &str| snapshot.skills().iter().find(|skill| skill.name == name).unwrap();
    assert_eq!(of("quoted").description, "a: b # c");
    assert_eq!(of("folded").description, "one two");
    assert_eq!(of("letters").description, "Überprüft 学校 🏫");
}

#[test]
fn strange_files_are_told_and_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("workspace");
    fs::create_dir(&root).unwrap();
    fs::write(dir.path().join("secret.md"), "SECRET").unwrap();
    write(&root, &[("IDENTITY.md", ""), ("real.md", "REAL"), ("SOUL.md", &"é".repeat(2_500_000))]);
    fs::write(root.join("AGENTS.md"), [0, 159, 146, 150]).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(root.join("USER.md")).status().unwrap().success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(root.join("BOOT.md")).unwrap();
    symlink("real.md", root.join("TOOLS.md")).unwrap();
    symlink("../secret.md", root.join("MEMORY.md")).unwrap();
    symlink("HEARTBEAT.md", root.join("HEARTBEAT.md")).unwrap();
    symlink(dir.path(), root.join("skills")).unwrap();
    let begun = Instant::now();
    let snapshot = Workspace::open(options(&root)).snapshot();
    assert!(begun.elapsed().as_secs() < 5, "it took {:?}", begun.elapsed());
    assert_eq!(snapshot.status(), WorkspaceStatus::Degraded);
    let problems: Vec<String> = snapshot.problems().iter().map(ToString::to_string).collect();
    for (file, reason) in [
        ("AGENTS.md", "not UTF-8"),
        ("USER.md", "regular file"),
        ("BOOT.md", "regular file"),
        ("MEMORY.md", "leads out"),
        ("HEARTBEAT.md", "cannot be read"),
    ] {
        let found =
            problems.iter().any(|problem| problem.starts_with(file) && problem.contains(reason));
        assert!(found, "{file}: {reason}: {problems:?}");
    }
    let text = prompt(&snapshot, "a", PromptMode::Full, false);
    assert!(text.contains("REAL") && !text.contains("SECRET"));
    assert!(text.chars().count() < 25_000 && text.contains("of 2500000 characters"));
}

#[test]
fn a_file_that_may_not_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("AGENTS.md", "x"), ("SOUL.md", "SOUL")]);
    let file = dir.path().join("AGENTS.md");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&file).is_ok() {
        // Whoever runs this may read everything, as root may.
        return;
    }
    let snapshot = Workspace::open(options(dir.path())).snapshot();
    assert!(snapshot.problems()[0].to_string().starts_with("AGENTS.md: cannot be read"));
    assert!(prompt(&snapshot, "a", PromptMode::Full, false).contains("SOUL"));
}

#[test]
fn five_hundred_skills_are_read_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..500 {
        let text = format!(
            "---\nname: skill-{n}\ndescription: number {n}\n---\n```\nGET /api/things/{n}\n```\n{}",
            "x".repeat(200)
        );
        write(dir.path(), &[(&format!("skills/skill-{n}/SKILL.md"), &text)]);
    }
    let snapshot = Workspace::open(options(dir.path())).snapshot();
    assert_eq!((snapshot.status(), snapshot.skills().len()), (WorkspaceStatus::Ok, 500));
    assert_eq!(snapshot.endpoints().len(), 500);
    let text = prompt(&snapshot, "a", PromptMode::Full, false);
    assert!(text.contains("- **skill-499**: number 499") && !text.contains("xxxx"));
    assert!(snapshot.read_skill("skill-7", None).unwrap().contains("xxxx"));
}
