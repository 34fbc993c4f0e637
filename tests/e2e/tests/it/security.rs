//! Attacks with a model that always obeys: one attacker after the other, then every pair of AgentDojo
//! and the attacks of agent-injection-bench.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use test_support::program::Program;
use test_support::{lacks, lacks_package};
use tokio::process::Command;

/// What a suite prints. It fails when the suite does.
async fn report_of(mut suite: Command) -> String {
    let suite = suite.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).kill_on_drop(true);
    let report = suite.output().await.unwrap();
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    let errors = String::from_utf8_lossy(&report.stderr);
    assert!(report.status.success(), "{said}\n{errors}");
    said
}

#[tokio::test]
async fn every_attacker_gets_what_the_documentation_says_and_no_more() {
    let version = "import sys; sys.exit(sys.version_info < (3, 10))";
    let python = std::process::Command::new("python3").args(["-c", version]).output();
    if !python.is_ok_and(|said| said.status.success()) {
        return lacks_package("Python 3.10 or newer", "python3");
    }
    // All of them lie in one folder.
    let programs = ["wombat-dispatcher", "wombat-mission-control", "wombat-daemon"];
    let paths = programs.map(|name| Program::path(name).unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new("python3");
    command.arg(root.join("security/attackers")).arg("--bin").arg(paths[0].parent().unwrap());
    // They wait more than they compute.
    command.args(["--jobs", "8"]);
    let said = report_of(command).await;
    let page = std::fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    for row in said.lines().filter(|line| line.starts_with('|')) {
        assert!(page.contains(&format!("{row}\n")), "not in docs/SECURITY.md: {row}\n{said}");
    }
}

#[tokio::test]
async fn nothing_happens_outside_of_what_a_role_declares_however_obedient_the_model() {
    let python = std::env::var_os("WOMBAT_TEST_AGENTDOJO").map(PathBuf::from);
    let Some(python) = python.filter(|python| python.is_file()) else {
        return lacks("AgentDojo", "agentdojo");
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(python);
    command.arg(root.join("security/run.py")).arg("--daemon");
    command.arg(Program::path("wombat-daemon").unwrap());
    let said = report_of(command).await;
    // All pairs, and every injection was read: else nothing was tried.
    for row in ["| workspace | 560 | 560 |", "| travel | 140 | 140 |"] {
        assert!(said.contains(row), "{said}");
    }
    for row in ["| banking | 144 | 144 |", "| slack | 105 | 105 |"] {
        assert!(said.contains(row), "{said}");
    }
}
