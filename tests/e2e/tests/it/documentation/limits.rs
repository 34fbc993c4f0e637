//! The table of models' limits in docs/PROVIDERS.md is that of crates/llm/data/models.json.

use std::path::Path;

use serde_json::Value;

/// A number with commas: `128,000`.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The rows: a provider's models with the same limits stand in one, in the order of the data.
fn rows(data: &Value) -> Vec<String> {
    let mut rows: Vec<(String, String)> = Vec::new();
    for group in data["providers"].as_array().unwrap() {
        let first = rows.len();
        for model in group["models"].as_array().unwrap() {
            let limit = |field: &str| with_commas(model[field].as_u64().unwrap());
            let limits = format!("{} | {}", limit("context"), limit("max_output"));
            let name = format!("`{}`", model["name"].as_str().unwrap());
            match rows[first..].iter_mut().find(|(_, of_row)| *of_row == limits) {
                Some((names, _)) => *names = format!("{names}, {name}"),
                None => {
                    let provider = group["provider"].as_str().unwrap();
                    rows.push((format!("{provider} | {name}"), limits));
                }
            }
        }
    }
    rows.into_iter().map(|(names, limits)| format!("| {names} | {limits} |")).collect()
}

#[test]
fn the_limits_of_models_are_those_of_the_data() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let data: Value = serde_json::from_str(&read("crates/llm/data/models.json")).unwrap();
    let page = read("docs/PROVIDERS.md");
    let section = page.split("\n## Limits\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let told: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert_eq!(rows(&data), told, "the data (left) and docs/PROVIDERS.md (right)");
}
