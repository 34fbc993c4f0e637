//! The library of `sdk/python`: its own tests, among them the conformance suite on each framework and database.

use std::path::Path;
use std::process::Command;

use test_support::program::Program;

use crate::peers;

/// Runs some of its tests; what they print is told where one fails.
fn passes(tests: &[&str]) {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python");
    let Some(python) = peers::sdk_python(&library.join("requirements-tests.txt")) else { return };
    // They run these beside it.
    for program in ["wombat-daemon", "wombat-dispatcher"] {
        Program::path(program).unwrap();
    }
    let ran = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(tests)
        .current_dir(&library)
        .env("WOMBAT_MISSION_CONTROL", Program::path("wombat-mission-control").unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!told.contains("skipped"), "{told}");
}

#[test]
fn the_python_library_keeps_the_contract_in_each_framework_on_each_database() {
    passes(&["tests/test_conformance.py"]);
}

#[test]
fn the_python_library_loses_nothing_among_several_callers_and_its_package_is_whole() {
    passes(&[
        "tests/test_queue.py",
        "tests/test_kills.py",
        "tests/test_daemon.py",
        "tests/test_django.py",
        "tests/test_readme.py",
        "tests/test_rules.py",
        "tests/test_client.py",
        "tests/test_package.py",
    ]);
}
