//! Every line of `cases.jsonl` is a file and what is read out of it. The same files are read by
//! python-dotenv, by three versions of npm's dotenv and by node itself.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::*;

fn cases() -> Vec<(String, String)> {
    let lines = include_str!("cases.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The only variable of the environment.
fn env(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home".to_owned())
}

/// One line for each entry: `NAME=value`, `NAME~value (why)` where readers differ, `NAME! why`.
fn told(entry: &Entry) -> String {
    let Entry { line, name, what } = entry;
    match what {
        What::Value { text, differs, unset } => {
            let differs = differs.map(|why| format!(" ({why})")).unwrap_or_default();
            let sign = if differs.is_empty() { "=" } else { "~" };
            let unset = if unset.is_empty() { String::new() } else { format!(" unset {unset:?}") };
            format!("{line} {name}{sign}{text}{differs}{unset}")
        }
        What::Bare => format!("{line} {name}"),
        What::Broken(why) => format!("{line} {name}! {why}"),
        What::Within(start) => format!("{line} {name} within {start}"),
    }
}

#[test]
fn each_line_is_read_as_the_table_says() {
    let cases = cases();
    assert!(cases.len() > 200, "{}", cases.len());
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let read: Vec<_> = parse(&text, &env).ours.iter().map(told).collect();
        if read.join(" | ") != expected {
            wrong.push(serde_json::to_string(&(&text, read.join(" | "))).unwrap());
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const PYTHON: &str = r#"
import io, json, logging, os, sys
from dotenv.main import DotEnv
logging.disable(logging.CRITICAL)
os.environ.clear()
os.environ["HOME"] = "/home"
read = lambda text: DotEnv(None, stream=io.StringIO(text, newline=None), override=False).dict()
print(json.dumps([[read(text)] for text in json.load(sys.stdin)]))
"#;

const NODE: &str = r#"
const readers = ["dotenv16", "dotenv17", "dotenv"].map((name) => require(name).parse)
readers.push(require("node:util").parseEnv)
const files = JSON.parse(require("fs").readFileSync(0, "utf8"))
console.log(JSON.stringify(files.map((text) => readers.map((read) => read(text)))))
"#;

/// What the readers of a program make of each file.
fn read_by(command: &mut Command, files: &[String]) -> Vec<Vec<Value>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = serde_json::to_string(files).unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Files of which node's own reader (20.20) loses a name, where all others read it: a mark of the byte
/// order, white space other than one space around a name, a line without `=` before it.
fn is_odd_in_node(text: &str) -> bool {
    let is_odd =
        |line: &str| !line.contains('=') || line.starts_with('\t') || line.starts_with("export\t");
    let lines = text.trim_end().split(['\r', '\n']).any(is_odd);
    lines || text.contains(['\u{feff}', '\r']) || text.contains("export  ")
}

#[test]
fn no_secret_differs_in_silence_from_what_python_and_node_read() {
    let (Some(python), Some(node)) =
        (std::env::var_os("WOMBAT_TEST_PYTHON"), std::env::var_os("WOMBAT_TEST_NODE"))
    else {
        return test_support::lacks("a reader of .env in Python or Node", "models node");
    };
    let files: Vec<_> = cases().into_iter().map(|(text, _)| text).collect();
    let python = read_by(Command::new(python).args(["-c", PYTHON]), &files);
    let node = read_by(Command::new("node").args(["-e", NODE]).current_dir(node), &files);
    let mut silent = Vec::new();
    for ((text, python), node) in files.iter().zip(python).zip(node) {
        let ours = parse(text, &env).ours;
        for name in ["AGENT_JWT_SECRET", "INTERNAL_API_TOKEN"] {
            let last = ours.iter().rev().find(|entry| entry.name == name).map(|entry| &entry.what);
            let of_python = python[0][name].as_str();
            let dotenvs = node[..3].iter().map(|read| read[name].as_str());
            let own = (!is_odd_in_node(text)).then(|| node[3][name].as_str());
            let others: Vec<_> = std::iter::once(of_python).chain(dotenvs).chain(own).collect();
            let agreed = others.iter().all(|value| *value == of_python);
            let is_right = match (last, agreed) {
                // These are of the newest release; what an older one reads is not compared.
                (Some(What::Value { text, differs: None | Some(OLDER), .. }), true) => {
                    Some(text.as_str()) == of_python
                }
                (Some(What::Value { text, differs: Some(_), .. }), false) => {
                    of_python.is_none_or(|value| value == text || files_braces(value, text))
                }
                (None | Some(What::Bare | What::Within(_)), _) => of_python.is_none(),
                (Some(What::Broken(why)), true) => {
                    of_python.is_none() || why.contains("UTF-8") || why.contains("NUL")
                }
                (Some(What::Broken(_)), false) => true,
                (Some(What::Value { .. }), _) => false,
            };
            if !is_right {
                silent.push(format!("{text:?} {name}: {last:?}, others {others:?}"));
            }
        }
    }
    assert!(silent.is_empty(), "\n{}", silent.join("\n"));
}

/// python-dotenv expands braces outside of double quotes, too.
fn files_braces(_python: &str, ours: &str) -> bool {
    ours.contains("${")
}
