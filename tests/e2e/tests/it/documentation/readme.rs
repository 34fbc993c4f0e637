//! The README's first screen and its claims: the conversation is one that the programs have, the lines are those
//! of the example, and each claim leads to its test.

use serde_json::{Value, json};
use test_support::stack::{Stack, StackOptions, example};

use super::root;

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The first block of this language.
fn block(text: &str, language: &str) -> String {
    let (_, rest) = text.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned()
}

/// What is in the first screen: 60 lines.
fn first_screen() -> String {
    readme().lines().take(60).map(|line| format!("{line}\n")).collect()
}

/// Text without Markdown's marks, in one line.
fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !"*`".contains(*c)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_conversation_of_the_readme_is_one_that_the_programs_have() {
    let lines = block(&first_screen(), "text");
    let lines: Vec<(&str, &str)> = lines
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(who, what)| (who, what.trim()))
        .collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let options = StackOptions { example: example(), ..StackOptions::default() };
    let mut stack = Stack::start(&options).await.unwrap();
    let (mut turns, mut answer) = (Vec::new(), Value::Null);
    for (who, what) in lines {
        if who == "you" {
            let request = json!({
                "user_id": "ann", "session_key": "user:ann:scout", "task_title": "Schools",
                "message": what, "messages": turns,
            });
            let sent = reqwest::Client::new()
                .post(format!("{}/api/agents/send", stack.daemon_url))
                .header("X-Agent-Daemon-Key", stack.daemon_key())
                .json(&request)
                .send()
                .await
                .unwrap();
            answer = sent.json().await.unwrap();
            assert_eq!(answer["status"], "ok", "{answer}");
            turns.push(json!({ "role": "user", "content": what }));
            turns.push(json!({ "role": "assistant", "content": answer["response"] }));
        } else if let Some(call) = what.strip_prefix("calls ") {
            let mut parts = call.splitn(3, ' ');
            let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
            let body: Value = serde_json::from_str(parts.next().unwrap()).unwrap();
            let is_it = |step: &Value| {
                let arguments = &step["arguments"];
                arguments["method"] == method
                    && arguments["path"] == path
                    && arguments["body"] == body
            };
            assert!(answer["steps"].as_array().unwrap().iter().any(is_it), "{what}: {answer}");
        } else {
            let said = plain(answer["response"].as_str().unwrap());
            let what = plain(what.trim_end_matches('…'));
            assert!(said.contains(&what), "{what}: {said}");
        }
    }
    stack.stop().await.unwrap();
}

#[test]
fn the_lines_that_an_application_needs_are_those_of_the_example() {
    let patch = root().join("examples/beside/fastapi/agent.patch");
    let patch = std::fs::read_to_string(patch).unwrap();
    let added: Vec<_> = patch.lines().filter_map(|line| line.strip_prefix('+')).collect();
    let lines = block(&first_screen(), "python");
    for line in lines.lines().filter(|line| !line.is_empty()) {
        // What goes into a function that is there already.
        let within = line.strip_prefix("# in current_user: ");
        let has = |known: &&str| within.map_or(**known == *line, |code| known.trim() == code);
        assert!(added.iter().any(has), "examples/beside/fastapi/agent.patch has no {line}");
    }
    assert_eq!(lines.matches("# in current_user: ").count(), 3, "{lines}");
    let commands = first_screen();
    assert!(commands.contains("\nmake demo\n") && commands.contains("\nmake test\n"), "{commands}");
}

#[test]
fn every_claim_of_the_readme_leads_to_its_test() {
    let readme = readme();
    let (_, claims) = readme.split_once("\n## What you can rely on\n").unwrap();
    let (claims, _) = claims.split_once("\n## ").unwrap();
    let mut checked = 0;
    for claim in claims.replace("\n- ", "\n\n- ").split("\n\n").filter(|part| part.contains("**")) {
        let tests: Vec<_> = claim
            .split("[`")
            .skip(1)
            .map(|link| {
                let (name, rest) = link.split_once("`](").unwrap();
                (name, rest.split(')').next().unwrap())
            })
            .collect();
        // Times are measured, and no test asserts one.
        let is_measured = claim.contains("](docs/BENCHMARKS.md)");
        assert!(is_measured || !tests.is_empty(), "no test stands for: {claim}");
        for (name, path) in tests {
            let source = std::fs::read_to_string(root().join(path)).unwrap();
            assert!(source.contains(&format!("fn {name}(")), "{path} has no {name}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}
