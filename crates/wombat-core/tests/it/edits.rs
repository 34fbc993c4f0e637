//! Edits while runs go on: each shows, none shows by half.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wombat_core::workspace::{PromptMode, Workspace};

use crate::{options, prompt, wait_for, write};

fn shows(workspace: &Workspace, text: &str) -> bool {
    prompt(&workspace.snapshot(), "a", PromptMode::Full, false).contains(text)
}

/// A text of which every line says the same, so that a mixture or a beginning can be told.
fn version(n: usize) -> String {
    format!("version {n}\n").repeat(400) + "end"
}

fn is_whole(text: &str) -> bool {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.collect();
    rest.split_last()
        .is_some_and(|(last, same)| *last == "end" && same.iter().all(|line| *line == first))
}

/// How long a folder must be unchanged before it is read.
const SETTLE: Duration = Duration::from_millis(50);

#[test]
fn two_hundred_edits_never_show_by_half() {
    // A half edit that stands still for as long as the folder must be unchanged cannot be told from a
    // whole one. On a machine so busy that this happens by itself, the trial says nothing.
    let trials = (0..5).map(|_| two_hundred_edits());
    let whole = trials.inspect(|(half, longest)| {
        assert!(half.is_none() || *longest >= SETTLE, "{longest:?}: {half:?}");
    });
    assert!({ whole }.any(|(half, _)| half.is_none()), "half an edit was seen in every trial");
}

/// Edits a file and reads it all the while: half an edit, if one was seen, and the longest time
/// that an edit took.
fn two_hundred_edits() -> (Option<String>, Duration) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("AGENTS.md", &version(0))]);
    let workspace = Workspace::open(options(dir.path()));
    let _watch = workspace.watch();
    let file = dir.path().join("AGENTS.md");
    let over = AtomicBool::new(false);
    let (mut runs, mut half) = (0, None);
    let longest = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            for n in 1..=200 {
                // The worst way: empty first, then in two pieces.
                let text = version(n);
                let begun = Instant::now();
                let mut out = fs::File::create(&file).unwrap();
                let (a, b) = text.split_at(text.len() / 2);
                out.write_all(a.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(10));
                out.write_all(b.as_bytes()).unwrap();
                drop(out);
                longest = longest.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(if n % 20 == 0 { 120 } else { 5 }));
            }
            over.store(true, Ordering::SeqCst);
            longest
        });
        while !over.load(Ordering::SeqCst) || runs < 1000 {
            let text = prompt(&workspace.snapshot(), "a", PromptMode::Full, false);
            let rules = text.split_once("## Operating Rules\n\n").map_or("", |(_, rules)| rules);
            if !is_whole(rules) {
                half = Some(rules.to_owned());
            }
            runs += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        writer.join().unwrap()
    });
    wait_for("the last edit", || shows(&workspace, "version 200\n"));
    (half, longest)
}

fn git(dir: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
}

#[test]
fn another_branch_shows_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q", "-b", "one"]);
    write(
        dir.path(),
        &[("AGENTS.md", "RULES ONE"), ("SOUL.md", "SOUL ONE"), ("TOOLS.md", "ONLY ONE")],
    );
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-q", "-m", "one"]);
    git(dir.path(), &["checkout", "-q", "-b", "two"]);
    write(dir.path(), &[("AGENTS.md", "RULES TWO"), ("SOUL.md", "SOUL TWO")]);
    fs::remove_file(dir.path().join("TOOLS.md")).unwrap();
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["commit", "-q", "-m", "two"]);
    let workspace = Workspace::open(options(dir.path()));
    let _watch = workspace.watch();
    for (branch, rules, only_one) in
        [("one", "RULES ONE", true), ("two", "RULES TWO", false), ("one", "RULES ONE", true)]
    {
        git(dir.path(), &["checkout", "-q", branch]);
        wait_for(branch, || shows(&workspace, rules));
        assert!(shows(&workspace, &rules.replace("RULES", "SOUL")));
        assert_eq!(shows(&workspace, "ONLY ONE"), only_one, "{branch}");
    }
}

/// As Kubernetes mounts a ConfigMap: files are links through `..data`, and that link is swapped.
#[test]
fn a_swapped_config_map_shows_as_a_whole() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    for (version, text) in [("..v1", "ONE"), ("..v2", "TWO")] {
        write(
            &dir.path().join(version),
            &[("AGENTS.md", &format!("RULES {text}")), ("SOUL.md", &format!("SOUL {text}"))],
        );
    }
    symlink("..v1", dir.path().join("..data")).unwrap();
    for file in ["AGENTS.md", "SOUL.md"] {
        symlink(format!("..data/{file}"), dir.path().join(file)).unwrap();
    }
    let workspace = Workspace::open(options(dir.path()));
    assert!(shows(&workspace, "RULES ONE"), "{:?}", workspace.snapshot().problems());
    let _watch = workspace.watch();
    symlink("..v2", dir.path().join("..data_tmp")).unwrap();
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    wait_for("the swap", || shows(&workspace, "RULES TWO"));
    assert!(shows(&workspace, "SOUL TWO"));
}
