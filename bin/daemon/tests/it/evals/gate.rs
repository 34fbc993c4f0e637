//! The suite of the example workspace, and the gate that it is: it passes, and what is broken on purpose fails.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{daemon, told};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workspace-example")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A copy of the example workspace in which something can be broken.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        copy(&example(), dir.path());
        Self(dir)
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let path = self.0.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{path:?}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Whether the gate is open, what it says, and the cases that did not pass.
    async fn gate(&self, arguments: &[&str], script: &str) -> (bool, String, Vec<String>) {
        let all =
            ["eval", "run", "evals/cases.yaml", "--workspace", "workspace", "--json", "r.json"];
        let all = [&all, arguments].concat();
        let output = daemon(self.0.path(), &all, &[("LLM_OFFLINE_SCRIPT", script)]).await;
        let report = fs::read_to_string(self.0.path().join("r.json"));
        let report: Value = serde_json::from_str(&report.unwrap_or_default()).unwrap_or_default();
        let cases = report["cases"].as_array().cloned().unwrap_or_default();
        let failed = cases.iter().filter(|case| case["status"] != "passed");
        let failed =
            failed.map(|case| case["id"].as_str().unwrap_or_default().to_owned()).collect();
        (output.status.success(), told(&output), failed)
    }
}

const MODEL: &str = "evals/model.yaml";

#[tokio::test]
async fn the_suite_of_the_example_workspace_passes() {
    let copy = Copy::new();
    let (is_open, told, failed) = copy.gate(&[], MODEL).await;
    assert!(is_open && failed.is_empty(), "{told}");
    assert!(told.contains("20 cases: 20 passed"), "{told}");
}

#[tokio::test]
async fn the_gate_catches_a_removed_rule() {
    let copy = Copy::new();
    copy.replace("config/agent-config.json", "\"deny\": [\"call_backend\"]", "\"deny\": []");
    let (is_open, told, failed) = copy.gate(&[], MODEL).await;
    assert!(!is_open, "{told}");
    assert_eq!(failed, ["jarvis-may-not-search"], "{told}");
}

#[tokio::test]
async fn the_gate_catches_a_swapped_skill() {
    let copy = Copy::new();
    let skill = |name: &str| copy.0.path().join(format!("workspace/skills/{name}/SKILL.md"));
    let read = |name: &str| fs::read_to_string(skill(name)).unwrap();
    let (search, analysis) = (read("school-search"), read("fit-analysis"));
    let body = |text: &str| text.splitn(3, "---\n").nth(2).unwrap().to_owned();
    let swapped = |text: &str, other: &str| text.replace(&body(text), &body(other));
    fs::write(skill("school-search"), swapped(&search, &analysis)).unwrap();
    fs::write(skill("fit-analysis"), swapped(&analysis, &search)).unwrap();
    let (is_open, told, failed) = copy.gate(&[], MODEL).await;
    assert!(!is_open, "{told}");
    for case in ["scout-finds-a-school-near-the-beach", "analyst-has-a-method"] {
        assert!(failed.iter().any(|id| id == case), "{case}: {told}");
    }
}

#[tokio::test]
async fn the_gate_catches_a_cheaper_models_recording() {
    let copy = Copy::new();
    // The cheaper model searches, and does not look at what it found.
    let good = fs::read_to_string(copy.0.path().join(MODEL)).unwrap();
    let cheap = good.replace(
        "Seabreeze Primary, because it is two minutes from the beach.",
        "There are many schools.",
    );
    let cheap = cheap.replace("I found no school there.", "Moon Primary is lovely.");
    fs::write(copy.0.path().join("cheap.yaml"), cheap).unwrap();
    let recorded = ["--record", "good", "--model", "offline/large"];
    let (is_open, told, _) = copy.gate(&recorded, MODEL).await;
    assert!(is_open, "{told}");
    copy.gate(&["--record", "cheap", "--model", "offline/small"], "cheap.yaml").await;
    // Without a script: what answers is the recording.
    let none = copy.0.path().join("none.yaml");
    fs::write(&none, "rules: [{say: nothing}]").unwrap();
    let (is_open, told, _) =
        copy.gate(&["--replay", "good", "--model", "offline/large"], "none.yaml").await;
    assert!(is_open, "{told}");
    let replayed = ["--replay", "cheap", "--model", "offline/small", "--baseline", "before.json"];
    fs::rename(copy.0.path().join("r.json"), copy.0.path().join("before.json")).unwrap();
    let (is_open, told, failed) = copy.gate(&replayed, "none.yaml").await;
    assert!(!is_open && told.contains("2 regressed"), "{told}");
    let expected =
        ["scout-finds-a-school-near-the-beach", "scout-claims-nothing-that-it-did-not-find"];
    assert_eq!(failed, expected, "{told}");
    // What was never recorded is an error, and no answer.
    let (is_open, told, failed) =
        copy.gate(&["--replay", "good", "--model", "offline/other"], "none.yaml").await;
    assert!(!is_open && failed.len() == 20 && told.contains("no recorded answer"), "{told}");
}
