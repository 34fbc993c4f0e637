//! The shell blocks of a document as one script.

use std::fmt::Write as _;
use std::path::Path;

/// Reports the place of a command that fails, and leaves no process behind.
const PRELUDE: &str = r#"set -Eeuo pipefail
set -m
declare -A jobs starts
# Each job is a group of its own.
end() {
  kill -TERM -- "-$1" 2>/dev/null || return 0
  wait "$1" || true
  # Its port is free when the last of the group has ended.
  while kill -0 -- "-$1" 2>/dev/null; do sleep 0.05; done
}
end_all() {
  for number in "${!jobs[@]}"; do end "${jobs[$number]}"; done
  jobs=()
}
finish() {
  trap - EXIT ERR
  end_all
}
exec 8>&2
: > "$TOP/out"
trap 'cat "$TOP/out" >&8; echo "FAILED: $place" >&8' ERR
trap finish EXIT
# What the last block has printed must hold this text.
prints() {
  grep -qF -- "$1" "$TOP/out" || { echo "it did not print: $1" >> "$TOP/out"; return 1; }
}
# And must not hold these.
check_out() {
  cat "$TOP/out"
  ! grep -E 'there is no tool|"ok": ?false|^\{"error"|^FAIL |"status": ?"(failed|awaiting_approval)"' "$TOP/out" > "$TOP/bad"
}
begin() {
  : > "$TOP/log.$1"
  "stay_$1" > "$TOP/log.$1" 2>&1 8>&- &
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

/// A block of shell commands: its line, the comment before it, the commands.
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) note: Option<String>,
    pub(super) commands: String,
}

/// The shell blocks of a document.
pub(super) fn blocks(text: &str) -> Vec<Block> {
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
    found.retain(|block| !is_run_elsewhere(block));
    found
}

/// Whether a script of this repository runs the block, and not the document's reader, or the comment says why
/// nobody does.
fn is_run_elsewhere(block: &Block) -> bool {
    if block.note.as_deref().is_some_and(|note| note.starts_with("not run: ")) {
        return true;
    }
    let Some(script) = block.note.as_deref().and_then(|note| note.strip_prefix("by ")) else {
        return false;
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(script);
    assert!(script.starts_with("scripts/") && file.is_file(), "line {}: {script}", block.line);
    true
}

/// What a comment before a block says.
#[derive(Debug, Default, PartialEq)]
struct Note {
    dir: Option<String>,
    restart: Option<String>,
    stays_until: Option<String>,
    prints: Vec<String>,
    /// What ran until now is stopped first.
    ends_others: bool,
    /// A call that fails is what the text shows.
    fails: bool,
}

impl Note {
    /// The parts of a comment, separated by `; `. The text after `prints` stands between backticks.
    fn parse(note: &str) -> Option<Self> {
        let mut read = Self::default();
        let mut rest = note.trim();
        while !rest.is_empty() {
            if let Some(text) = rest.strip_prefix("prints `") {
                let (text, after) = text.split_once('`')?;
                read.prints.push(text.to_owned());
                rest = after;
            } else if let Some(text) = rest.strip_prefix("stays until \"") {
                let (text, after) = text.split_once('"')?;
                read.stays_until = Some(text.to_owned());
                rest = after;
            } else {
                let (part, after) = rest.split_at(rest.find("; ").unwrap_or(rest.len()));
                if let Some(dir) = part.strip_prefix("in ") {
                    read.dir = Some(dir.to_owned());
                } else if part == "ends the others" {
                    read.ends_others = true;
                } else if part == "with a failure" {
                    read.fails = true;
                } else {
                    read.restart = Some(part.strip_prefix("restart ")?.to_owned());
                }
                rest = after;
            }
            rest = if rest.is_empty() { rest } else { rest.strip_prefix("; ")? };
        }
        Some(read)
    }
}

/// Commands whose answers say whether they did what the text promises.
const ANSWERING: [&str; 11] = [
    "curl ",
    "psql ",
    "sqlite3 ",
    "wombat-daemon health",
    "wombat-daemon chat",
    "wombat-daemon check",
    "wombat-daemon init",
    "wombat-mission-control conformance",
    "wombat-heartbeat",
    "wombat-standup",
    "conformance --url",
];

/// The script of documents, one after the other.
pub(super) fn script(documents: &[(&str, Vec<Block>)]) -> String {
    let mut script = PRELUDE.to_owned();
    let mut programs: Vec<(String, usize)> = Vec::new();
    let all = documents.iter().flat_map(|(name, blocks)| blocks.iter().map(move |b| (name, b)));
    for (job, (name, Block { line, note, commands })) in all.enumerate() {
        let mut block = format!("\nplace='{name}, line {line}'\necho \"== $place\"\n");
        let note = note.as_deref().unwrap_or_default();
        let Some(note) = Note::parse(note) else { panic!("{name}, line {line}: {note}") };
        if note.ends_others {
            block.push_str("end_all\n");
        }
        if let Some(dir) = note.dir {
            writeln!(block, "cd \"$TOP/{dir}\"").unwrap();
        }
        if let Some(program) = note.restart {
            let (_, job) = programs.iter().find(|(name, _)| *name == program).unwrap();
            write!(block, "end \"${{jobs[{job}]}}\"\nbegin {job}\n").unwrap();
        }
        if let Some(text) = note.stays_until {
            // Settings may stand before the program's name.
            let mut words = commands.split_whitespace();
            let program = words.find(|word| !word.contains('=')).unwrap_or_default();
            programs.push((program.to_owned(), job));
            // The last command takes the shell's place, so that signals reach it.
            write!(
                block,
                "starts[{job}]='{text}'\nstay_{job}() {{\nset +m\n{commands}}}\nbegin {job}\n"
            )
            .unwrap();
        } else {
            let asks = ANSWERING.iter().any(|command| commands.contains(command));
            assert!(
                !asks || !note.prints.is_empty(),
                "{name}, line {line}: say what the answer is: <!-- test: prints `TEXT` -->"
            );
            let check = if note.fails { "cat \"$TOP/out\"" } else { "check_out" };
            write!(block, "{{\n{commands}}} > \"$TOP/out\" 2>&1\n{check}\n").unwrap();
            for text in note.prints {
                writeln!(block, "prints '{}'", text.replace('\'', "'\\''")).unwrap();
            }
        }
        script.push_str(&block);
    }
    script
}

#[test]
fn a_block_is_found_with_its_comment_and_its_line() {
    let text = "a\n\n<!-- test: stays until \"x\" -->\n```sh\nrun\n```\n```json\n{}\n```\n````md\n```sh\nno\n```\n````\n";
    let found = blocks(text);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].commands.as_str()), (4, "run\n"));
    assert_eq!(found[0].note.as_deref(), Some("stays until \"x\""));
}

/// The basis of the other tests: a command that fails is detected.
#[tokio::test]
async fn a_command_that_fails_is_told_of_with_its_place() {
    let path = tempfile::tempdir().unwrap();
    let found = blocks("```sh\ntrue\n```\n\n```sh\nfalse | cat\necho on\n```\n");
    let file = path.path().join("commands.sh");
    std::fs::write(&file, script(&[("a.md", found)])).unwrap();
    let done =
        std::process::Command::new("bash").arg(file).env("TOP", path.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && told.contains("FAILED: a.md, line 5"), "{told}");
    assert!(!String::from_utf8_lossy(&done.stdout).contains("on\n"));
}

/// What a command answers counts, not only its exit code.
#[tokio::test]
async fn an_answer_that_is_not_the_promised_one_is_told_of() {
    for (text, complaint) in [
        ("<!-- test: prints `a 'b'` -->\n```sh\necho \"a 'b'\"\n```\n", None),
        ("<!-- test: prints `a`; prints `c` -->\n```sh\necho a\n```\n", Some("not print: c")),
        ("```sh\necho '{\"error\":\"there is no tool x\"}'\n```\n", Some("there is no tool x")),
        ("```sh\necho '[{\"name\":\"x\",\"ok\":false}]'\n```\n", Some("\"ok\":false")),
    ] {
        let path = tempfile::tempdir().unwrap();
        let file = path.path().join("commands.sh");
        std::fs::write(&file, script(&[("a.md", blocks(text))])).unwrap();
        let done =
            std::process::Command::new("bash").arg(file).env("TOP", path.path()).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.success(), complaint.is_none(), "{text}: {told}");
        assert!(told.contains(complaint.unwrap_or_default()), "{text}: {told}");
    }
}

#[test]
fn a_comment_has_parts() {
    let note = Note::parse("in wombat; restart x; prints `a; \"b\"`; prints `c`").unwrap();
    assert_eq!(note.dir.as_deref(), Some("wombat"));
    assert_eq!(note.restart.as_deref(), Some("x"));
    assert_eq!(note.prints, ["a; \"b\"", "c"]);
    assert_eq!(Note::parse("prints"), None);
}

#[test]
#[should_panic(expected = "say what the answer is")]
fn a_block_that_asks_says_what_the_answer_is() {
    script(&[("a.md", blocks("```sh\ncurl -sS http://127.0.0.1\n```\n"))]);
}
