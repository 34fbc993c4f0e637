//! Completions and manual pages of all programs, tested with real shells and mandoc.

use std::path::Path;
use std::process::Output;

use test_support::program::Program;
use tokio::process::Command;

use crate::peers::installed;

const PROGRAMS: [(&str, &str); 5] = [
    ("wombat-daemon", "chat"),
    ("wombat-dispatcher", "config"),
    ("wombat-heartbeat", "crontab"),
    ("wombat-standup", "config"),
    ("wombat-mission-control", "conformance"),
];

/// Runs a program without any setting.
async fn run(program: &Path, arguments: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("HOME", dir).env("TERM", "dumb").output().await.unwrap()
}

/// The same, which must succeed without a message on standard error.
async fn works(program: &Path, arguments: &[&str], dir: &Path) -> String {
    let output = run(program, arguments, dir).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program:?} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn completions_load_in_real_shells_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (program, subcommand) in PROGRAMS {
        let path = Program::path(program).unwrap();
        for (shell, file) in [
            ("bash", format!("{program}.bash")),
            ("zsh", format!("_{program}")),
            ("fish", format!("{program}.fish")),
        ] {
            let script = works(&path, &["completions", shell], dir).await;
            assert!(script.contains(subcommand), "{shell} does not know {program} {subcommand}");
            std::fs::write(dir.join(&file), script).unwrap();
            let Some(shell_path) = installed(shell) else { continue };
            // The first letters of a subcommand, completed as the shell would.
            let begun = &subcommand[..subcommand.len() - 2];
            let (flags, ask) = match shell {
                "bash" => (
                    vec!["--norc", "-u"],
                    format!(
                        "source ./{file}; COMP_WORDS=({program} {begun}); COMP_CWORD=1; \
                         f=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); \
                         $f {program} {begun} {program}; echo \"${{COMPREPLY[@]}}\""
                    ),
                ),
                "zsh" => (
                    vec!["-f"],
                    format!(
                        "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; \
                         autoload +X -U _{program}; echo $_comps[{program}] {subcommand}"
                    ),
                ),
                _ => {
                    (vec!["--no-config"], format!("source {file}; complete -C '{program} {begun}'"))
                }
            };
            let mut arguments = flags;
            arguments.extend(["-c", &ask]);
            let answer = works(&shell_path, &arguments, dir).await;
            assert!(answer.contains(subcommand), "{shell}, {program} {begun}: {answer}");
            assert!(shell != "zsh" || answer.starts_with(&format!("_{program} ")), "{answer}");
        }
    }
}

#[tokio::test]
async fn manual_pages_are_whole_and_mandoc_complains_of_no_more_than_the_date() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (program, subcommand) in PROGRAMS {
        let path = Program::path(program).unwrap();
        let page = works(&path, &["man"], dir).await;
        let named = works(&path, &["man", "--dir", "man1"], dir).await;
        let own = dir.join("man1").join(format!("{program}.1"));
        assert_eq!(std::fs::read_to_string(&own).unwrap(), page);
        let of_subcommand = format!("man1/{program}-{subcommand}.1");
        assert!(named.lines().any(|line| line == of_subcommand), "{named}");
        let Some(mandoc) = installed("mandoc") else { continue };
        for file in named.lines() {
            let output = run(&mandoc, &["-Tlint", "-Wwarning", file], dir).await;
            let said = String::from_utf8_lossy(&output.stdout);
            let wrong: Vec<_> =
                said.lines().filter(|line| !line.contains("missing date")).collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
        let text = works(&mandoc, &["-Tascii", &of_subcommand], dir).await;
        assert!(text.contains(&format!("{program}-{subcommand}").to_uppercase()), "{text}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_to_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let path = Program::path("wombat-standup").unwrap();
    let output = run(&path, &["man", "--dir", "file"], dir.path()).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("wombat-standup: file cannot be written to: "), "{said}");
}
