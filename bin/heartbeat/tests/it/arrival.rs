//! What arrives at the program when a real shell and a real systemd read the schedules.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::schedules::is_installed;
use super::*;

/// User ids that shells, crons and systemd could take for something else.
const USERS: [&str; 14] = [
    "-x",
    "--all-roles",
    "o'brien 100% \"$HOME\"",
    "cn=b,dc=c",
    "back\\slash",
    "two\\\\slashes\\",
    "\\%",
    "%%h %i",
    "$$ ${HOME} `id` $(id)",
    "tab\there",
    "Jürgen 漢字 🦘",
    " leading and trailing ",
    "a;b&c|d>e<f*?[!~#",
    "\u{1b}[31m",
];

/// A schedule for a program that writes its arguments into a file, NUL after each, and that file.
async fn scheduled(command: &str) -> (Setup, tempfile::TempDir, String) {
    let setup = Setup::new(pending(1, 1), did()).await;
    setup.agents(json!([{"role": "a-", "heartbeat_cron": "* * * * *"}]));
    let dir = tempfile::tempdir().unwrap();
    let text = format!("#!/bin/sh\nprintf '%s\\0' \"$@\" > '{}/arguments'\n", dir.path().display());
    std::fs::write(dir.path().join("recorder"), text).unwrap();
    std::fs::set_permissions(dir.path().join("recorder"), Permissions::from_mode(0o755)).unwrap();
    let mut program = program(setup.dir.path());
    program.arg(command);
    for user in USERS {
        program.arg(format!("--user={user}"));
    }
    let (code, out, err) = run(&mut program).await;
    assert_eq!(code, 0, "{err}");
    let out = out.replace(
        env!("CARGO_BIN_EXE_wombat-heartbeat"),
        &dir.path().join("recorder").display().to_string(),
    );
    (setup, dir, out)
}

/// A value that begins with `-` comes with its flag.
fn expected() -> Vec<String> {
    let users = USERS.iter().flat_map(|user| match user.starts_with('-') {
        true => vec![format!("--user={user}")],
        false => vec!["--user".to_owned(), (*user).to_owned()],
    });
    users.chain(["--role", "a-", "--slot", "auto"].map(str::to_owned)).collect()
}

fn arrived(dir: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("arguments")).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// What Debian's cron makes of a command before it gives it to the shell (`do_command.c`): after a
/// backslash, `%` and `\` stand for themselves, and a `%` without one ends the command.
fn as_cron_reads(command: &str) -> String {
    let mut out = String::new();
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('%' | '\\')) => out.push(next),
                Some(next) => out.extend([c, next]),
                None => out.push(c),
            },
            '%' => break,
            c => out.push(c),
        }
    }
    out
}

#[tokio::test]
async fn each_argument_of_a_crontab_arrives_byte_for_byte() {
    let (_setup, dir, out) = scheduled("crontab").await;
    let line = out.lines().find(|line| !line.starts_with('#')).unwrap();
    let command = line.splitn(6, ' ').last().unwrap();
    // With a cron that takes `\\` for one backslash, and with one that leaves it.
    for read in [as_cron_reads(command), command.replace("\\%", "%")] {
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &read]).env("HOME", "/wrong").output().await.unwrap();
        assert!(output.status.success(), "{read}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(arrived(dir.path()), expected(), "{read}");
    }
}

#[tokio::test]
async fn each_argument_of_a_unit_arrives_byte_for_byte() {
    if !is_installed("systemd-analyze", "systemd").await {
        return;
    }
    let (_setup, dir, out) = scheduled("systemd").await;
    let unit = out.split("# wombat-heartbeat-a-.timer").next().unwrap();
    let file = dir.path().join("wombat-heartbeat-a-.service");
    std::fs::write(&file, unit).unwrap();
    let mut analyze = Command::new("systemd-analyze");
    let output = analyze.args(["verify", "--man=no"]).arg(&file).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("wombat-heartbeat"), "{told}\n{unit}");
    // What a manager has read, as it quotes it itself. It says so to others than root only.
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(systemd_reads(line)[1..], expected(), "{line}");
}

/// A command line as systemd.service(5) and systemd.syntax(7) say that it is read: quotes and escapes,
/// then specifiers, then variables, of which there are none here.
fn systemd_reads(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut started) = (Vec::new(), String::new(), false, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => (quoted, started) = (!quoted, true),
            '\\' => match chars.next().unwrap() {
                'x' => {
                    let code: String = chars.by_ref().take(2).collect();
                    word.push(char::from(u8::from_str_radix(&code, 16).unwrap()));
                }
                escaped @ ('\\' | '"') => word.push(escaped),
                other => panic!("\\{other} in {line}"),
            },
            c if c.is_whitespace() && !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            '%' | '$' => {
                assert_eq!(chars.next(), Some(c), "a lone {c} in {line}");
                word.push(c);
                started = true;
            }
            c => {
                word.push(c);
                started = true;
            }
        }
    }
    assert!(!quoted, "{line}");
    words.extend(started.then_some(word));
    words
}

#[tokio::test]
async fn a_user_id_with_a_line_break_is_refused() {
    let setup = Setup::new(pending(1, 1), did()).await;
    setup.agents(json!([{"role": "a", "heartbeat_cron": "* * * * *"}]));
    for command in ["crontab", "systemd"] {
        let arguments = [command, "--user", "a\n* * * * * evil"];
        let (code, out, err) = run(program(setup.dir.path()).args(arguments)).await;
        assert_eq!((code, out.as_str(), err.lines().count()), (78, "", 1), "{err}");
        assert!(err.contains("a user id holds a line break"), "{err}");
    }
}
