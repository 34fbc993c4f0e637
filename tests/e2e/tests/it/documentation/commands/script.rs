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

/// Whether a script of this repository runs the block, and not the document's reader.
fn is_run_elsewhere(block: &Block) -> bool {
    let Some(script) = block.note.as_deref().and_then(|note| note.strip_prefix("by ")) else {
        return false;
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(script);
    assert!(script.starts_with("scripts/") && file.is_file(), "line {}: {script}", block.line);
    true
}

/// The script of a document.
pub(super) fn script(name: &str, blocks: &[Block]) -> String {
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
        if let Some(said) = note.strip_prefix("restart ") {
            let (program, rest) = said.split_once("; ").unwrap_or((said, ""));
            let (_, line) = programs.iter().find(|(name, _)| name == program).unwrap();
            write!(block, "end \"${{jobs[{line}]}}\"\nbegin {line}\n").unwrap();
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
        } else {
            assert_eq!(note, "", "{name}, line {line}");
            block.push_str(commands);
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
    std::fs::write(&file, script("a.md", &found)).unwrap();
    let done =
        std::process::Command::new("bash").arg(file).env("TOP", path.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && told.contains("FAILED: a.md, line 5"), "{told}");
    assert!(!String::from_utf8_lossy(&done.stdout).contains("on\n"));
}
