//! What cron and systemd themselves say to the schedules that are printed for them.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use super::*;

/// Whether a program is there; a test that needs it and does without it says so.
pub(crate) async fn is_installed(name: &str, package: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().await;
    let is_there = found.is_ok_and(|output| output.status.success());
    if !is_there {
        test_support::lacks_package(name, package);
    }
    is_there
}

async fn setup() -> Setup {
    let setup = Setup::new(pending(1, 1), did()).await;
    setup.agents(json!([
        {"role": "a", "heartbeat_cron": "*/15 * * * *"},
        {"role": "b", "heartbeat_cron": "5/20 9-17 * jan,jul mon-fri"},
        {"role": "c", "heartbeat_cron": "0   0 13\t* fri"},
        {"role": "d", "heartbeat_cron": "1,5/7,20-30/2 */2 3/4 jan/3 1/2"},
        {"role": "e", "heartbeat_cron": "0 0 * * 7"},
        {"role": "idle"},
    ]));
    setup
}

const USERS: [&str; 4] = ["--user", "o'brien 100% \"$HOME\"", "--user", "cn=b,dc=c"];

#[tokio::test]
async fn cron_takes_the_crontab() {
    if !is_installed("crontab", "cron").await {
        return;
    }
    let setup = setup().await;
    let (code, out, err) = run(program(setup.dir.path()).arg("crontab").args(USERS)).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().filter(|line| !line.starts_with('#')).count(), 5, "{out}");
    // Only looked at, never installed: the crontab of whoever runs this test stays as it is.
    let mut crontab = Command::new("crontab");
    crontab.args(["-n", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = crontab.spawn().unwrap();
    child.stdin.take().unwrap().write_all(out.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn systemd_takes_the_units() {
    if !is_installed("systemd-analyze", "systemd").await {
        return;
    }
    let setup = setup().await;
    let out = tempfile::tempdir().unwrap();
    let arguments = ["systemd", "--out", out.path().to_str().unwrap()];
    let (code, said, err) = run(program(setup.dir.path()).args(arguments).args(USERS)).await;
    assert_eq!((code, said.lines().count()), (0, 10), "{err}");
    let mut units: Vec<_> = said.lines().map(str::to_owned).collect();
    units.sort();
    let mut analyze = Command::new("systemd-analyze");
    let output = analyze.args(["verify", "--man=no"]).args(&units).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    // What else is wrong on the machine is none of this test's concern.
    let ours: Vec<_> = told.lines().filter(|line| line.contains("wombat-heartbeat")).collect();
    assert!(output.status.success() && ours.is_empty(), "{told}");
    for unit in units.iter().filter(|unit| unit.ends_with(".timer")) {
        let text = std::fs::read_to_string(unit).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("OnCalendar=")) {
            let output =
                Command::new("systemd-analyze").args(["calendar", line]).output().await.unwrap();
            assert!(output.status.success(), "{line}");
        }
    }
}

#[tokio::test]
async fn units_are_printed_when_no_directory_is_named() {
    let setup = setup().await;
    let (code, out, err) = run(program(setup.dir.path()).args(["systemd", "--user", "u"])).await;
    assert_eq!(code, 0, "{err}");
    for name in ["# wombat-heartbeat-a.service\n", "# wombat-heartbeat-e.timer\n"] {
        assert!(out.contains(name), "{out}");
    }
    let nowhere = ["systemd", "--out", "/nowhere/at/all"];
    let (code, out, err) = run(program(setup.dir.path()).args(nowhere)).await;
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
}
