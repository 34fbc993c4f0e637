//! Skipping a test, with the reason, where something that it needs is not installed.

use std::io::Write as _;
use std::path::Path;

/// Names the file that gets a line for each skipped test; `make test` sets it and prints the file
/// after the runner's summary.
const LIST: &str = "WOMBAT_TEST_SKIPPED";

/// Reports why a test is skipped: on standard error, which test runners show only on demand, and in
/// the file that `WOMBAT_TEST_SKIPPED` names. The test must return after it.
///
/// # Panics
/// When nothing may be skipped, since `WOMBAT_TEST_ALL` is 1; and when the file cannot be written.
#[track_caller]
#[allow(clippy::print_stderr, reason = "who runs a single test reads it")]
pub fn skip(reason: &str) {
    let must = std::env::var_os("WOMBAT_TEST_ALL").is_some_and(|value| value == "1");
    assert!(!must, "{reason}");
    eprintln!("SKIPPED: {reason}");
    if let Some(list) = std::env::var_os(LIST) {
        let line = format!("{}: {reason}\n", test_name());
        let file = std::fs::File::options().append(true).create(true).open(list);
        // One write for a whole line: other tests append at the same time.
        file.expect("the list of skipped tests").write_all(line.as_bytes()).expect("a line of it");
    }
}

/// Skips a test, since something is missing that a part of `scripts/extras.sh` installs; or several
/// parts, with spaces between them.
///
/// # Panics
/// As [`skip`].
#[track_caller]
pub fn lacks(what: &str, part: &str) {
    skip(&format!("{what} is not installed: scripts/extras.sh {part}"));
}

/// Skips a test, since something is missing that packages of Debian have.
///
/// # Panics
/// As [`skip`].
#[track_caller]
pub fn lacks_package(what: &str, packages: &str) {
    skip(&format!("{what} is not installed: apt-get install {packages}"));
}

/// The test's binary and name. Nextest says it in the environment; `cargo test` names the thread.
fn test_name() -> String {
    let variable = |name: &str| std::env::var(name).ok();
    if let (Some(binary), Some(test)) =
        (variable("NEXTEST_BINARY_ID"), variable("NEXTEST_TEST_NAME"))
    {
        return format!("{binary} {test}");
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let thread = std::thread::current();
    format!("{} {}", binary(&exe), thread.name().unwrap_or("a test"))
}

/// The name of a test executable without its hash.
fn binary(exe: &Path) -> String {
    let name = exe.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('-').map_or(&*name, |(name, _hash)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_executables_name_is_known_without_its_hash() {
        for (exe, expected) in
            [("/t/debug/deps/it-0123456789abcdef", "it"), ("/t/test_support", "test_support")]
        {
            assert_eq!(binary(Path::new(exe)), expected);
        }
    }

    #[test]
    fn a_test_knows_its_own_name() {
        let name = test_name();
        assert!(name.ends_with("skip::tests::a_test_knows_its_own_name"), "{name}");
    }
}
