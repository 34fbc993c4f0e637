//! `make bench`: runs all benchmarks and writes docs/BENCHMARKS.md, with machine and commit.
//!
//! With names of sections as arguments it runs only those, and writes nothing.

#![allow(clippy::print_stdout, reason = "the figures are the result")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Error, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// A benchmark: its title, the program beside this one with its arguments, and the text before and
/// after its tables.
struct Section {
    title: &'static str,
    program: &'static [&'static str],
    before: &'static str,
    after: &'static str,
}

const SECTIONS: [Section; 6] = [
    Section {
        title: "Over the floor",
        program: &["floor"],
        before: include_str!("../../notes/floor.md"),
        after: include_str!("../../notes/floor-after.md"),
    },
    Section {
        title: "Compared with others",
        program: &["floor", "peers"],
        before: include_str!("../../notes/peers.md"),
        after: "",
    },
    Section {
        title: "Prompts, streams and waiting runs",
        program: &["bench"],
        before: include_str!("../../notes/streams.md"),
        after: "",
    },
    Section {
        title: "A million runs",
        program: &["floor", "soak"],
        before: include_str!("../../notes/soak.md"),
        after: "",
    },
    Section {
        title: "Dispatcher",
        program: &["dispatch"],
        before: include_str!("../../notes/dispatch.md"),
        after: "",
    },
    Section {
        title: "Queue",
        program: &["queue"],
        before: include_str!("../../notes/queue.md"),
        after: "",
    },
];

/// Runs a program beside this one, shows what it prints, and gives that.
fn measure(program: &[&str]) -> Result<String> {
    let (name, arguments) =
        program.split_first().ok_or_else(|| Error::other("a section without a program"))?;
    let path = std::env::current_exe()?.with_file_name(name);
    let mut child = Command::new(&path)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::other(format!("{}: {error}", path.display())))?;
    let mut told = String::new();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line?;
        println!("{line}");
        told.push_str(&line);
        told.push('\n');
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(told.trim().to_owned());
    }
    Err(Error::other(format!("{} ended with {status}", program.join(" "))))
}

/// The first line of a file or of what a program prints that has something behind this word.
fn fact(text: Result<String>, word: &str) -> Option<String> {
    let text = text.ok()?;
    let line = text.lines().find(|line| line.starts_with(word))?;
    let value = line.trim_start_matches(word).trim_matches([' ', '\t', ':']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn printed(program: &str, arguments: &[&str]) -> Result<String> {
    let out = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// One line on where and what was measured.
fn place() -> String {
    let unknown = || "unknown".to_owned();
    let processor = fact(std::fs::read_to_string("/proc/cpuinfo"), "model name");
    let memory = fact(std::fs::read_to_string("/proc/meminfo"), "MemTotal");
    let kernel = fact(std::fs::read_to_string("/proc/sys/kernel/osrelease"), "");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let commit = fact(printed("git", &["rev-parse", "--short", "HEAD"]), "");
    let changed = printed("git", &["status", "--porcelain", "--untracked-files=no"]);
    let changed = if changed.is_ok_and(|list| !list.trim().is_empty()) { ", changed" } else { "" };
    let day = fact(printed("date", &["-u", "+%F"]), "");
    let compiler = fact(printed("rustc", &["--version"]), "");
    format!(
        "Measured on {} at commit {}{changed}, {}, on {} with {cores} cores and {} of memory, Linux {}.",
        day.unwrap_or_else(unknown),
        commit.unwrap_or_else(unknown),
        compiler.unwrap_or_else(unknown),
        processor.unwrap_or_else(unknown),
        memory.unwrap_or_else(unknown),
        kernel.unwrap_or_else(unknown),
    )
}

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut document = format!("{}\n{}\n", include_str!("../../notes/head.md"), place());
    for section in SECTIONS {
        let name = section.program.join("-");
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        println!("\n## {} ({name})\n", section.title);
        let told = measure(section.program)?;
        let Section { title, before, after, .. } = section;
        let parts = [before.trim(), &told, after.trim()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        write!(document, "\n## {title}\n\n{}\n", parts.join("\n\n")).map_err(Error::other)?;
    }
    if !wanted.is_empty() {
        return Ok(());
    }
    let chaos = include_str!("../../notes/chaos.md").trim();
    write!(document, "\n## Chaos\n\n{chaos}\n").map_err(Error::other)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BENCHMARKS.md");
    std::fs::write(&path, document)?;
    println!("\nWritten to docs/BENCHMARKS.md.");
    Ok(())
}
