//! The commands of README, quickstart and guide, run one after the other as a reader would type them.
//!
//! A document becomes one script. What differs from a reader's terminal: ports are free ones,
//! `<this repository>` is a copy of this one, `cargo` stands for what has been built already, and a
//! model's server answers what is asked with a key. A comment before a block says what a reader
//! does by hand:
//!
//! - `<!-- test: stays until "TEXT" -->`: it goes on in a terminal of its own; the next block may come
//!   once it has said this;
//! - `<!-- test: in DIR -->`: the reader is in this folder; may stand before one of the others, with `; `;
//! - `<!-- test: restart PROGRAM -->`: that program is stopped and started again before this block.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use tokio::io::AsyncReadExt as _;

use crate::peers::{free_port, installed, pypi};

/// How long the commands of one document may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a reader needs.
const TOOLS: [&str; 5] = ["bash", "git", "make", "curl", "openssl"];

/// The programs that the commands start.
const PROGRAMS: [&str; 6] = [
    "wombat-daemon",
    "wombat-dispatcher",
    "wombat-heartbeat",
    "wombat-mission-control",
    "wombat-standup",
    "xtask",
];

/// Does for `cargo` what these documents use it for.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
  --version) echo "cargo, whose builds are done" ;;
  build) mkdir -p target && ln -sfn "$PROGRAMS" target/debug ;;
  run)
    shift
    while [ $# -gt 0 ]; do
      case "$1" in
        --quiet) shift ;;
        -p) program=$2; shift 2 ;;
        --) shift; break ;;
        *) break ;;
      esac
    done
    exec "$PROGRAMS/$program" "$@" ;;
  *) echo "cargo $*: not done here" >&2; exit 1 ;;
esac
"#;

/// Stops with the place of what failed, and leaves nothing behind.
const PRELUDE: &str = r#"set -Eeuo pipefail
set -m
declare -A jobs starts
# Each job is a group of its own.
end() {
  kill -TERM -- "-$1" 2>/dev/null || return 0
  wait "$1" || true
}
finish() {
  trap - EXIT ERR
  for number in "${!jobs[@]}"; do end "${jobs[$number]}"; done
}
trap 'echo "FAILED: $place" >&2' ERR
trap finish EXIT
begin() {
  : > "$TOP/log.$1"
  "stay_$1" > "$TOP/log.$1" 2>&1 &
  jobs[$1]=$!
  echo "$!" >> "$TOP/jobs"
  for _ in $(seq 1200); do
    grep -qF -- "${starts[$1]}" "$TOP/log.$1" && return 0
    kill -0 "${jobs[$1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "it did not say “${starts[$1]}”, but:"
  cat "$TOP/log.$1"
  return 1
}
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A block of shell commands: its line, what a comment says of it, the commands.
struct Block {
    line: usize,
    note: Option<String>,
    commands: String,
}

/// The blocks of a document; every other kind of block is none.
fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut note = None;
    let mut fence: Option<(String, bool)> = None;
    for (n, line) in text.lines().enumerate() {
        let bare = line.trim();
        if let Some((end, is_shell)) = &fence {
            if bare == end {
                fence = None;
            } else if *is_shell {
                let commands = &mut found.last_mut().unwrap().commands;
                writeln!(commands, "{line}").unwrap();
            }
            continue;
        }
        if let Some(said) = bare.strip_prefix("<!-- test: ") {
            note = Some(said.trim_end_matches("-->").trim().to_owned());
        } else if bare.starts_with("```") {
            let end: String = bare.chars().take_while(|c| *c == '`').collect();
            let is_shell = ["sh", "bash", "shell", "console"].contains(&&bare[end.len()..]);
            if is_shell {
                found.push(Block { line: n + 1, note: note.take(), commands: String::new() });
            }
            fence = Some((end, is_shell));
        } else if !bare.is_empty() {
            assert!(note.is_none(), "line {n}: the comment {note:?} belongs to no block");
        }
    }
    found
}

/// The script of a document.
fn script(name: &str, blocks: &[Block]) -> String {
    let mut script = PRELUDE.to_owned();
    let mut programs: Vec<(String, usize)> = Vec::new();
    for Block { line, note, commands } in blocks {
        let mut block = format!("\nplace='{name}, line {line}'\necho \"== $place\"\n");
        let mut note = note.as_deref().unwrap_or_default();
        if let Some(said) = note.strip_prefix("in ") {
            let (dir, rest) = said.split_once("; ").unwrap_or((said, ""));
            writeln!(block, "cd \"$TOP/{dir}\"").unwrap();
            note = rest;
        }
        if let Some(text) = note.strip_prefix("stays until ") {
            let text = text.trim_matches('"');
            let program = commands.split_whitespace().next().unwrap_or_default().to_owned();
            programs.push((program, *line));
            // The last command takes the shell's place, so that signals reach it.
            write!(
                block,
                "starts[{line}]='{text}'\nstay_{line}() {{\nset +m\n{commands}}}\nbegin {line}\n"
            )
            .unwrap();
        } else if let Some(program) = note.strip_prefix("restart ") {
            let (_, line) = programs.iter().find(|(name, _)| name == program).unwrap();
            write!(block, "end \"${{jobs[{line}]}}\"\nbegin {line}\n{commands}").unwrap();
        } else {
            assert_eq!(note, "", "{name}, line {line}");
            block.push_str(commands);
        }
        script.push_str(&block);
    }
    script
}

/// A copy of this repository as it is now, for readers to clone.
fn copy(to: &Path) {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().split('\0') {
        let (source, target) = (root.join(name), to.join(name));
        if name.is_empty() || !source.is_file() {
            continue;
        }
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(source, target).unwrap();
    }
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=reader", "-c", "user.email=reader@localhost"])
            .args(arguments)
            .current_dir(to)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "As it is now"]);
}

/// Where a document's commands are run.
struct Place {
    dir: tempfile::TempDir,
    programs: PathBuf,
    model: ScriptedLlm,
    ports: [u16; 2],
}

impl Place {
    /// Nothing where a tool is missing.
    async fn new() -> Option<Self> {
        for tool in TOOLS {
            installed(tool)?;
        }
        let dir = tempfile::tempdir().unwrap();
        let built = PROGRAMS.map(|name| Program::path(name).unwrap());
        let programs = built[0].parent().unwrap().to_owned();
        let shims = dir.path().join("shims");
        std::fs::create_dir(&shims).unwrap();
        std::fs::write(shims.join("cargo"), CARGO).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(shims.join("cargo"), mode).unwrap();
        let model = ScriptedLlm::start((0..50).map(|_| Reply::text("Here you are."))).await;
        Some(Self { dir, programs, model, ports: [free_port(), free_port()] })
    }

    /// Puts free ports and what is here in the place of what a reader has.
    fn fill(&self, text: &str) -> String {
        let [backend, daemon] = self.ports;
        text.replace(":8000", &format!(":{backend}"))
            .replace(":8081", &format!(":{daemon}"))
            .replace(
                "OPENAI_API_KEY=sk-",
                &format!("OPENAI_BASE_URL={} OPENAI_API_KEY=sk-", self.model.base_url()),
            )
            .replace("--port 8000", &format!("--port {backend}"))
            .replace("<this repository>", &self.dir.path().join("repository").display().to_string())
    }

    /// Runs the commands of a document; gives what was printed.
    async fn run(&self, name: &str) -> String {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let blocks = blocks(&self.fill(&text));
        assert!(!blocks.is_empty(), "{name} has no commands");
        let path = self.dir.path().join("commands.sh");
        std::fs::write(&path, script(name, &blocks)).unwrap();
        let system = std::env::var("PATH").unwrap();
        let (shims, top) = (self.dir.path().join("shims"), self.dir.path());
        let [backend, daemon] = self.ports;
        let mut child = tokio::process::Command::new("bash")
            .arg(&path)
            .current_dir(top)
            .env_clear()
            .env("PATH", format!("{}:{}:{system}", shims.display(), self.programs.display()))
            .env("HOME", top)
            .env("TOP", top)
            .env("PROGRAMS", &self.programs)
            .env("LANG", "C.UTF-8")
            // What pip has fetched before.
            .env("PIP_CACHE_DIR", std::env::temp_dir().join("wombat-test-pip"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("MC_PORT", backend.to_string())
            .env("WOMBAT_PORT", daemon.to_string())
            .env("BACKEND_URL", format!("http://127.0.0.1:{backend}"))
            .env("AGENT_DAEMON_URL", format!("http://127.0.0.1:{daemon}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (mut told, mut complained) = (String::new(), String::new());
        let ended = tokio::time::timeout(PATIENCE, async {
            let reading = (out.read_to_string(&mut told), err.read_to_string(&mut complained));
            let (_, _, ended) = tokio::join!(reading.0, reading.1, child.wait());
            ended.unwrap()
        });
        let ended = ended.await;
        if ended.is_err() {
            self.stop(child.id());
        }
        let success = ended.as_ref().is_ok_and(std::process::ExitStatus::success);
        assert!(success, "{name}: {ended:?}\n{told}\n{complained}");
        told
    }

    /// Ends a script that does not, with all that it has begun.
    fn stop(&self, script: Option<u32>) {
        let jobs = std::fs::read_to_string(self.dir.path().join("jobs")).unwrap_or_default();
        let group = |id: &str| Pid::from_raw(id.parse().ok()?);
        for job in jobs.lines().filter_map(group) {
            let _gone = kill_process_group(job, Signal::TERM);
        }
        if let Some(script) = script.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            let _gone = kill_process(script, Signal::KILL);
        }
    }
}

/// Both let `make demo` take the usual ports where these are free, and so they take turns.
#[tokio::test]
async fn the_commands_of_readme_and_quickstart_do_what_stands_there() {
    for (name, results) in [
        ("README.md", &["Runs can work.", "\"status\":\"ok\""][..]),
        (
            "docs/QUICKSTART.md",
            &[
                "Runs can work.",
                "is on your list",
                "\"status\":\"ok\"",
                "You help families",
                "I found ",
            ],
        ),
    ] {
        let Some(place) = Place::new().await else { return };
        copy(&place.dir.path().join("repository"));
        let told = place.run(name).await;
        for result in results {
            assert!(told.contains(result), "{name}: no {result} in\n{told}");
        }
    }
}

#[tokio::test]
async fn the_commands_of_the_guide_do_what_stands_there() {
    let Some(place) = Place::new().await else { return };
    let told = place.run("docs/GUIDE.md").await;
    for result in [
        "0 failed",
        "Runs can work.",
        "\"compatible\":true",
        "\"plan_document_id\"",
        "\"actor_type\":\"agent\"",
        "heartbeat_ok",
        "standup_ok",
    ] {
        assert!(told.contains(result), "no {result} in\n{told}");
    }
}

/// Fetches the application's packages, and so it runs where others from PyPI are installed, too.
#[tokio::test]
async fn the_commands_of_the_fastapi_tutorial_do_what_stands_there() {
    if pypi("fastapi, jwt, uvicorn").is_none() {
        return;
    }
    let Some(place) = Place::new().await else { return };
    copy(&place.dir.path().join("repository"));
    let told = place.run("docs/FASTAPI.md").await;
    for result in [
        "Runs can work.",
        "A visit of Dune Street Primary is booked",
        "'ann', 'visit'",
        "A visit of Harbour Grammar is booked",
        "0 failed",
    ] {
        assert!(told.contains(result), "no {result} in\n{told}");
    }
}

#[test]
fn a_block_is_found_with_its_comment_and_its_line() {
    let text = "a\n\n<!-- test: stays until \"x\" -->\n```sh\nrun\n```\n```json\n{}\n```\n````md\n```sh\nno\n```\n````\n";
    let found = blocks(text);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].commands.as_str()), (4, "run\n"));
    assert_eq!(found[0].note.as_deref(), Some("stays until \"x\""));
}

/// What makes the other tests worth something: a command that fails is found.
#[tokio::test]
async fn a_command_that_fails_is_told_of_with_its_place() {
    let path = tempfile::tempdir().unwrap();
    let found = blocks("```sh\ntrue\n```\n\n```sh\nfalse | cat\necho on\n```\n");
    let file = path.path().join("commands.sh");
    std::fs::write(&file, script("a.md", &found)).unwrap();
    let done = Command::new("bash").arg(file).env("TOP", path.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && told.contains("FAILED: a.md, line 5"), "{told}");
    assert!(!String::from_utf8_lossy(&done.stdout).contains("on\n"));
}
