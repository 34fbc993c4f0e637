//! Skipped tests are seen: `make test` ends with them, and with the command that installs what they lack.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs scripts/test.sh with this as its runner, where nothing is installed.
fn tested(runner: &str) -> Output {
    let empty = tempfile::tempdir().unwrap();
    Command::new("bash")
        .arg(root().join("scripts/test.sh"))
        .args(["sh", "-c", runner])
        .env("XDG_CACHE_HOME", empty.path())
        .output()
        .unwrap()
}

#[test]
fn the_last_lines_say_what_was_skipped_why_and_how_to_install_it() {
    let output = tested(
        "for line in \
           'e2e::it b::two: PostgreSQL is not installed: apt-get install postgresql' \
           'e2e::it a::one: PostgreSQL is not installed: apt-get install postgresql' \
           'e2e::it a::one: axe-core is not installed: scripts/extras.sh node' \
           'e2e::it c::three: a small disk cannot be mounted: only root may'; \
         do echo \"$line\" >> \"$WOMBAT_TEST_SKIPPED\"; done; echo summary; exit 7",
    );
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "summary

Skipped tests:
  e2e::it a::one: axe-core is not installed: scripts/extras.sh node
  e2e::it a::one: PostgreSQL is not installed: apt-get install postgresql
  e2e::it b::two: PostgreSQL is not installed: apt-get install postgresql
  e2e::it c::three: a small disk cannot be mounted: only root may

3 tests were skipped:
     2  PostgreSQL is not installed: apt-get install postgresql
     1  axe-core is not installed: scripts/extras.sh node
     1  a small disk cannot be mounted: only root may
One command installs everything that is missing: scripts/extras.sh
";
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(&said), lines(expected), "{said}");
    assert!(said.ends_with("scripts/extras.sh\n"), "{said}");

    let output = tested("echo summary");
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"summary\n"[..]));
    let output = tested("echo 'e2e::it a: only root may' >> \"$WOMBAT_TEST_SKIPPED\"");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("1 test was skipped:\n     1  only root may\n"), "{said}");
}

/// The last arguments of this function's calls, `lacks("what", "PART")`, each of its words.
fn named(function: &str) -> BTreeSet<String> {
    let listed =
        Command::new("git").args(["ls-files", "-z", "*.rs"]).current_dir(root()).output().unwrap();
    let mut found = BTreeSet::new();
    for name in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        for call in text.split(function).skip(1) {
            let arguments = call.split(");").next().unwrap();
            // Where the last argument is a text.
            let Some(arguments) = arguments.strip_suffix('"') else { continue };
            let last = arguments.rsplit('"').next().unwrap();
            found.extend(last.split(' ').map(str::to_owned));
        }
    }
    found
}

#[test]
fn each_command_installs_what_there_is() {
    let script = root().join("scripts/extras.sh");
    let list = Command::new("bash").arg(&script).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let parts: BTreeSet<_> = list.lines().collect();
    let lacks = ["lack", "s("].concat();
    let wanted = named(&lacks);
    assert!(wanted.len() > 12, "{wanted:?}");
    let known = |part: &String| parts.contains(part.as_str());
    let unknown: Vec<_> = wanted.iter().filter(|part| !known(part)).collect();
    assert!(unknown.is_empty(), "no parts of scripts/extras.sh: {unknown:?}");
    // What is installed by Debian's name alone is installed by the script, too.
    let text = std::fs::read_to_string(&script).unwrap();
    let words: BTreeSet<_> = text.split_whitespace().map(|word| word.trim_matches(';')).collect();
    for package in named(&["lacks_", "package("].concat()) {
        assert!(words.contains(package.as_str()), "{package}");
    }
    let wrong = Command::new("bash").arg(&script).arg("brwoser").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
