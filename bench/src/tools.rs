//! `bench tools DIR`: whether the right one of GitHub's 1,200 operations is found for 60 questions
//! (bench/questions.json), how long that takes, and how many tokens a turn has less. DIR is where scripts/documents.sh
//! has put the document.

use std::io::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

use openapi_tools::{Document, Operation};
use serde_json::{Value, json};
use tool_search::{Entry, Index};

const QUESTIONS: &str = include_str!("../questions.json");

/// How many tools one question finds, as in the daemon.
const FOUND: usize = 5;

/// How many tools are given at once, as by default in the daemon.
const DIRECT: usize = 40;

/// How often each question is timed.
const ROUNDS: u32 = 20;

/// Prints the figures.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let text = std::fs::read_to_string(folder.join("github.json"))?;
    let document = Document::parse(&text, &[], "").map_err(Error::other)?;
    let ids: Vec<_> = document
        .candidates()
        .map(|known| (known.name.to_owned(), known.id.map(str::to_owned)))
        .collect();
    let import = document.import(|_| true);
    let operations = &import.operations;
    let begun = Instant::now();
    let index = Index::build(operations.iter().map(entry));
    let built = begun.elapsed();
    // An operation has its id as its name where that can be a name.
    let name_of = |id: &str| {
        let is_it =
            |(name, other): &&(String, Option<String>)| name == id || other.as_deref() == Some(id);
        ids.iter().find(is_it).map(|(name, _)| name.as_str())
    };
    let questions: Vec<Value> = serde_json::from_str(QUESTIONS)?;
    let (mut right, mut first, mut tokens, mut most) = (0, 0, 0, Duration::ZERO);
    for asked in &questions {
        let question = asked["question"].as_str().unwrap_or_default();
        let id = asked["operation"].as_str().unwrap_or_default();
        let name =
            name_of(id).ok_or_else(|| Error::other(format!("there is no operation {id}")))?;
        let begun = Instant::now();
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            found = index.search(question, FOUND, |_| true);
        }
        most = most.max(begun.elapsed() / ROUNDS);
        let place = found.iter().position(|at| operations[*at].name() == name);
        right += usize::from(place.is_some());
        first += usize::from(place == Some(0));
        tokens += found.iter().map(|at| size(&operations[*at])).sum::<usize>();
        if place.is_none() {
            let found: Vec<_> = found.iter().map(|at| operations[*at].name()).collect();
            eprintln!("not found: {question} ({name}); instead: {}", found.join(", "));
        }
    }
    let count = questions.len();
    let all: usize = operations.iter().map(size).sum();
    let direct: usize = operations.iter().take(DIRECT - 1).map(size).sum();
    let turn = direct + tokens / count;
    println!("| what | figure | goal |\n| --- | --- | --- |");
    println!("| operations in GitHub's document, as tools | {} | |", operations.len());
    println!(
        "| right tool among the first {FOUND} found | {right} of {count} ({} %) | 90 % |",
        100 * right / count
    );
    println!("| right tool first | {first} of {count} | |");
    println!("| tokens of all tools | {all} | |");
    println!(
        "| tokens of {DIRECT} tools and {FOUND} found ones | {turn} (-{:.1} %) | -90 % |",
        100.0 - 100.0 * turn as f64 / all as f64
    );
    println!("| finding, slowest question | {:.3} ms | 1 ms |", most.as_secs_f64() * 1e3);
    println!("| building the index, once | {:.0} ms | |", built.as_secs_f64() * 1e3);
    Ok(())
}

fn entry(operation: &Operation) -> Entry<'_> {
    Entry {
        name: operation.name(),
        description: operation.description(),
        tags: operation.tags(),
        parameters: operation.parameters(),
    }
}

/// About how many tokens a tool has in a request: four bytes of its JSON each.
fn size(operation: &Operation) -> usize {
    let tool = json!({ "type": "function", "function": {
        "name": operation.name(), "description": operation.description(), "parameters": operation.parameters()
    } });
    tool.to_string().len() / 4
}
