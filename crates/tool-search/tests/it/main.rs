//! Ranking over a small application's tools, with what people ask for.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use tool_search::{Entry, Index};

const TOOLS: &str = include_str!("../data/school.json");

#[test]
fn what_people_ask_for_is_among_the_first_five() {
    let data: Value = serde_json::from_str(TOOLS).unwrap();
    let tools = data["tools"].as_array().unwrap();
    let tags: Vec<Vec<String>> =
        tools.iter().map(|tool| vec![tool["tag"].as_str().unwrap().to_owned()]).collect();
    let index = Index::build(tools.iter().zip(&tags).map(|(tool, tags)| Entry {
        name: tool["name"].as_str().unwrap(),
        description: tool["description"].as_str().unwrap(),
        tags,
        parameters: &tool["parameters"],
    }));
    let name = |at: usize| tools[at]["name"].as_str().unwrap();
    let questions = data["questions"].as_object().unwrap();
    let mut missed = Vec::new();
    for (question, right) in questions {
        let found: Vec<_> = index.search(question, 5, |_| true).into_iter().map(name).collect();
        if !found.contains(&right.as_str().unwrap()) {
            missed.push((question, found));
        }
        // A tool that is not to be found is not.
        let kept = index.search(question, 5, |at| name(at) != right);
        assert!(kept.into_iter().all(|at| name(at) != right), "{question}");
    }
    assert!(tools.len() >= 40 && questions.len() >= 20);
    assert!(missed.len() * 10 <= questions.len(), "{missed:#?}");
}
