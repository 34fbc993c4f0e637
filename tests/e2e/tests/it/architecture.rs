//! Which package may depend on which (docs/ARCHITECTURE.md), checked with `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each package of the workspace and those that it depends on, without dev-dependencies.
fn knows() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let shipped = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(name)
            .filter(|name| ours.contains(name))
            .collect()
    };
    packages.iter().map(|package| (name(package), shipped(package))).collect()
}

#[test]
fn programs_know_crates_and_crates_know_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("retry", &[][..]),
        ("chat", &["daemon-client", "service", "wombat-core"]),
        ("daemon-client", &["retry"]),
        ("llm", &["retry"]),
        ("mc-client", &["retry"]),
        ("openapi-tools", &[]),
        ("wombat-core", &[]),
        ("service", &["mc-client"]),
        ("conformance", &["mc-client", "retry", "service"]),
        ("test-support", &[]),
        ("e2e", &[]),
        ("xtask", &["test-support"]),
        ("axum-backend", &["mc-client"]),
        ("bench", &["mc-client", "test-support", "wombat-core", "wombat-mission-control"]),
        (
            "wombat-daemon",
            &["chat", "llm", "mc-client", "openapi-tools", "retry", "service", "wombat-core"],
        ),
        ("wombat-dispatcher", &["daemon-client", "mc-client", "retry", "service"]),
        ("wombat-heartbeat", &["daemon-client", "mc-client", "retry", "service", "wombat-core"]),
        ("wombat-standup", &["mc-client", "service", "wombat-core"]),
        ("wombat-mission-control", &["conformance", "mc-client", "retry", "service"]),
    ]);
    for (package, known) in knows() {
        let allowed = allowed.get(package.as_str());
        let allowed =
            allowed.unwrap_or_else(|| panic!("{package} has no place in docs/ARCHITECTURE.md"));
        for other in known {
            assert!(allowed.contains(&other.as_str()), "{package} may not know {other}");
        }
    }
}
