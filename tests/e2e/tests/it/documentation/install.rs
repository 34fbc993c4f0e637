//! What is to be pasted before anything is installed: where the repository is, and the README's lines under
//! "Install". `scripts/install-check.sh` runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: &str =
    "wombat-daemon wombat-dispatcher wombat-heartbeat wombat-standup wombat-mission-control";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Where this repository is: the one setting, in Cargo.toml.
pub(super) fn repository() -> &'static str {
    env!("CARGO_PKG_REPOSITORY")
}

/// The host of an address that is none yet.
const PLACEHOLDER: &str = "git.example.com";

/// What stands above the first lines that name it.
const EXPLAINED: &str = "\n(`git.example.com` stands for this repository's address: put in the one you read this at.)\n";

/// The texts of the repository that name addresses: documents and packaging.
fn texts() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--", "*.md", "packaging", "scripts", ".github"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let names = String::from_utf8(listed.stdout).unwrap();
    let found: Vec<_> = names
        .split_terminator('\0')
        .filter(|name| root().join(name).is_file())
        .map(|name| (name.to_owned(), read(name)))
        .collect();
    assert!(found.len() > 40, "{}", found.len());
    found
}

#[test]
fn what_is_cloned_can_be_pasted_and_is_the_one_address() {
    let repository = repository();
    let parts: Vec<_> = repository.strip_prefix("https://").unwrap().split('/').collect();
    assert!(parts.len() >= 3 && parts.iter().all(|part| !part.is_empty()), "{repository}");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:.-_~".contains(c);
    assert!(repository.chars().all(is_plain), "{repository}");
    let clone = format!("git clone {repository}.git");
    let mut clones = 0;
    for (name, text) in texts() {
        for line in text.lines().filter(|line| line.trim_start().starts_with("git clone ")) {
            let rest = line.trim_start().strip_prefix(&clone);
            let whole = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
            assert!(whole, "{name}: {line}");
            clones += 1;
        }
        assert!(!text.contains("<this repository>"), "{name}");
        // Another address on the same host would be one that nobody changes.
        let host = format!("https://{}/", parts[0]);
        if host.ends_with(".example.com/") {
            assert_eq!(text.matches(&host).count(), text.matches(repository).count(), "{name}");
        }
    }
    assert!(clones >= 4, "{clones}");
    // The placeholder is explained where a reader begins, for as long as it is one.
    let is_placeholder = parts[0] == PLACEHOLDER;
    for name in ["README.md", "docs/QUICKSTART.md"] {
        let text = read(name);
        let (before, _) = text.split_once(&clone).unwrap();
        assert_eq!(before.contains(EXPLAINED), is_placeholder, "{name}");
    }
    let docker = read("packaging/docker/Dockerfile");
    assert!(docker.contains(&format!("\nARG REPOSITORY={repository}\n")));
    assert!(docker.contains(&format!("\nARG VERSION={}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_address_is_changed_everywhere_by_one_command() {
    let dir = tempfile::tempdir().unwrap();
    super::commands::copy(dir.path());
    let set = |address: &str| {
        let script = dir.path().join("scripts/repository.sh");
        let output = Command::new("bash").arg(script).arg(address).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for wrong in ["ssh://host/a/b", "https://host", "https://host/a b", "https://host/a;b"] {
        let (code, said) = set(wrong);
        assert!(code == Some(2) && said.starts_with("usage: "), "{wrong}: {said}");
    }
    let (code, said) = set("https://git.example.org/someone/wombat.git");
    assert_eq!(code, Some(0), "{said}");
    let left = Command::new("git")
        .args(["grep", "-nF", repository()])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
    let readme = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    assert!(readme.contains("git clone https://git.example.org/someone/wombat.git"), "{readme}");
    for name in ["README.md", "docs/QUICKSTART.md"] {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(!text.contains(PLACEHOLDER), "{name}");
    }
}

/// The README's section "Install".
fn section() -> String {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("\n## Install\n").expect("README.md has a section Install");
    rest.split_once("\n## ").map_or(rest, |(section, _)| section).to_owned()
}

#[test]
fn the_install_lines_name_what_a_release_holds() {
    let (section, version) = (section(), env!("CARGO_PKG_VERSION"));
    let release = format!("release={}/releases/download/v{version}", repository());
    let lines: Vec<_> = section.lines().map(str::trim).collect();
    let count = |line: &str| lines.iter().filter(|other| **other == line).count();
    assert_eq!(count(&release), 3, "{section}");
    // The names that scripts/dist.sh, scripts/deb.sh and .github/workflows/release.yml give.
    for line in [
        format!("archive=wombat-{version}-$(uname -m)-unknown-linux-musl"),
        format!("package=wombat_{version}-1_$(dpkg --print-architecture).deb"),
        format!("image=wombat-{version}-image-$(uname -m).tar.gz"),
        r#"sha256sum -c "$archive.tar.gz.sha256" && tar -xzf "$archive.tar.gz""#.to_owned(),
        r#"sha256sum -c "$package.sha256" && sudo apt-get install "./$package""#.to_owned(),
        r#"sha256sum -c "$image.sha256" && docker load --input "$image""#.to_owned(),
        format!("docker run --rm wombat:{version} wombat-daemon --version"),
    ] {
        assert_eq!(count(&line), 1, "{line}\n{section}");
    }
    let joined = section.replace("\\\n", " ");
    let words: Vec<_> = joined.split_whitespace().collect();
    let cargo = format!("cargo install --locked --git {}.git {PROGRAMS}", repository());
    assert!(words.join(" ").contains(&cargo), "{section}");
}

#[test]
fn until_there_is_a_release_the_readme_says_so_in_one_line() {
    let released = read("CHANGELOG.md").lines().any(|line| {
        line.strip_prefix("## [").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    let readme = read("README.md");
    let lines = readme.lines().filter(|line| line.contains("There is no release yet")).count();
    assert_eq!(lines, usize::from(!released));
    assert_eq!(section().contains("There is no release yet"), !released);
}

#[test]
fn the_workflow_attaches_all_that_the_install_lines_name() {
    let workflow = read(".github/workflows/release.yml");
    for part in [
        r#"tags: ["v[0-9]*"]"#,
        "architecture: x86_64}",
        "architecture: aarch64}",
        "scripts/dist.sh\n",
        "scripts/deb.sh --no-build\n",
        "scripts/install-check.sh dist/wombat-*.tar.gz dist/wombat_*.deb\n",
        r#""dist/wombat-$version-image-${{ matrix.architecture }}.tar.gz""#,
        "dist/*.tar.gz\n",
        "dist/*.deb\n",
        "dist/*.cdx.json\n",
        "dist/*.sha256\n",
        "cat -- *.sha256 >SHA256SUMS\n",
        "gh release create",
        "dist/*\n",
    ] {
        assert!(workflow.contains(part), "{part}");
    }
}
