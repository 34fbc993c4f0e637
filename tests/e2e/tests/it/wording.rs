//! What people read is plain English: no Debug form of a value, and one of a thing is singular.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use test_support::stack::{Stack, StackOptions, example};
use test_support::wait_for;

/// Nouns that are counted in texts, in their plural.
const PLURALS: [&str; 22] = [
    "roles",
    "skills",
    "tools",
    "endpoints",
    "tasks",
    "operations",
    "notifications",
    "users",
    "runs",
    "messages",
    "warnings",
    "entries",
    "rows",
    "steps",
    "problems",
    "sessions",
    "connections",
    "documents",
    "schools",
    "items",
    "calls",
    "events",
];

/// All sources of programs and libraries, without those of tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut found = Vec::new();
    for group in ["bin", "crates"] {
        for package in std::fs::read_dir(root.join(group)).unwrap() {
            let package = package.unwrap().path();
            if !package.ends_with("test-support") {
                collect(&package.join("src"), &mut found);
            }
        }
    }
    assert!(found.len() > 400, "{}", found.len());
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !is_test {
            found.push(path);
        }
    }
}

/// A source without its module of tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap()
}

/// The arguments of each macro of `tracing` in a source.
fn logged(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for level in ["error!(", "warn!(", "info!("] {
        for part in text.split(&format!("tracing::{level}")).skip(1) {
            let mut depth = 1;
            let end = part.find(|c| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            });
            found.push(&part[..end.unwrap()]);
        }
    }
    found
}

#[test]
fn no_log_line_holds_the_debug_form_of_a_value() {
    let mut count = 0;
    for (name, text) in sources() {
        for arguments in logged(without_tests(&text)) {
            count += 1;
            for line in arguments.lines().map(str::trim) {
                assert!(!line.starts_with('?') && !line.contains("= ?"), "{name}: {line}");
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn what_is_counted_may_be_one() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for line in without_tests(&text).lines().filter(|line| !line.trim().starts_with("//")) {
            for (before, after) in line.match_indices("} ").map(|(at, _)| line.split_at(at)) {
                let word = after[2..].split(|c: char| !c.is_ascii_alphabetic()).next().unwrap();
                let value = before.rsplit('{').next().unwrap();
                // A constant is never one.
                let is_constant = value.len() > 1 && value.chars().all(|c| !c.is_ascii_lowercase());
                let is_text = before.contains('"') || !before.contains(['(', ';', '=']);
                if PLURALS.contains(&word) && is_text && !is_constant && before.contains('{') {
                    wrong.push(format!("{name}: {}", line.trim()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "use shown::counted");
}

/// Whether a text holds the Debug form of an enum or a struct: `Some("x")`, `Failed { cause: …`.
fn holds_debug(text: &str) -> bool {
    let is_name = |name: &str| {
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(char::is_alphanumeric)
            && name.contains(|c: char| c.is_ascii_lowercase())
    };
    let ends_as_name = |part: &str| {
        let from = part.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| at + 1);
        is_name(&part[from..])
    };
    let by = |mark: &str| {
        text.match_indices(mark).any(|(at, _)| {
            let after = &text[at + mark.len()..];
            ends_as_name(&text[..at])
                && after.starts_with(|c: char| c.is_alphanumeric() || c == '"')
        })
    };
    by("(") || by(" { ")
}

#[tokio::test]
async fn what_fails_is_told_in_words() {
    assert!(
        holds_debug("Llm(NotConfigured { variable: \"X\" })") && holds_debug("Failed { a: 1 }")
    );
    assert!(!holds_debug("it failed (see OPENAI_API_KEY): {\"a\": 1}"));
    for (model, code) in [
        (vec![("LLM_PROVIDER", "openai".to_owned())], "llm_not_configured"),
        (
            vec![
                ("LLM_PROVIDER", "openai".to_owned()),
                ("OPENAI_API_KEY", "sk-x".to_owned()),
                ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1".to_owned()),
                ("WOMBAT_RETRY_ATTEMPTS", "1".to_owned()),
            ],
            "llm_unavailable",
        ),
    ] {
        let options = StackOptions { daemon: model, example: example(), ..StackOptions::default() };
        let mut stack = Stack::start(&options).await.unwrap();
        let request = json!({
            "user_id": "ann", "session_key": "user:ann:scout", "task_title": "Schools", "message": "hello",
        });
        let sent = reqwest::Client::new()
            .post(format!("{}/api/agents/send", stack.daemon_url))
            .header("X-Agent-Daemon-Key", stack.daemon_key())
            .json(&request)
            .send()
            .await
            .unwrap();
        let answer: Value = sent.json().await.unwrap();
        assert_eq!(answer["code"], code, "{answer}");
        assert!(!holds_debug(answer["error"].as_str().unwrap()), "{answer}");
        let log = wait_for("the run's end is logged", async || {
            Some(stack.daemon.log()).filter(|log| log.contains("run failed"))
        })
        .await;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ended: Vec<_> = lines.filter(|line| line["message"] == "run failed").collect();
        assert!(ended[0]["code"] == code && !ended[0]["reason"].is_null(), "{ended:?}");
        for line in log.lines() {
            assert!(!holds_debug(line), "{line}");
        }
        stack.stop().await.unwrap();
    }
}
