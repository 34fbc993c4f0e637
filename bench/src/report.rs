//! `bench report` (`make bench`): runs all benchmarks and writes docs/BENCHMARKS.md, with machine and commit.
//!
//! With names of sections as arguments it runs only those, and writes nothing.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Error, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// One section of docs/BENCHMARKS.md.
struct Section {
    title: &'static str,
    /// The subcommand that measures it, and its name in the arguments.
    command: &'static str,
    /// The text before its tables.
    before: &'static str,
    /// The text after them.
    after: &'static str,
}

const SECTIONS: [Section; 7] = [
    Section {
        title: "Over the floor",
        command: "floor",
        before: include_str!("../notes/floor.md"),
        after: include_str!("../notes/floor-after.md"),
    },
    Section {
        title: "Compared with others",
        command: "peers",
        before: include_str!("../notes/peers.md"),
        after: "",
    },
    Section {
        title: "Prompts, streams and waiting runs",
        command: "prompts",
        before: include_str!("../notes/streams.md"),
        after: "",
    },
    Section {
        title: "A million runs",
        command: "soak",
        before: include_str!("../notes/soak.md"),
        after: "",
    },
    Section {
        title: "Dispatcher",
        command: "dispatch",
        before: include_str!("../notes/dispatch.md"),
        after: "",
    },
    Section {
        title: "Queue",
        command: "queue",
        before: include_str!("../notes/queue.md"),
        after: "",
    },
    Section {
        title: "Writes",
        command: "writes",
        before: include_str!("../notes/writes.md"),
        after: "",
    },
];

/// Runs one section as a process of its own, so that none inherits the memory and the threads of
/// another; shows what it prints, and returns that.
fn measure(command: &str) -> Result<String> {
    let mut child =
        Command::new(std::env::current_exe()?).arg(command).stdout(Stdio::piped()).spawn()?;
    let mut printed = String::new();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line?;
        println!("{line}");
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(printed.trim().to_owned());
    }
    Err(Error::other(format!("{command} ended with {status}")))
}

/// The rest of the first line of a file, or of a program's output, that begins with this word.
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

/// One line that names machine, commit and compiler.
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

/// Measures the named sections, or all of them, which also writes the document.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    let mut document = format!("{}\n{}\n", include_str!("../notes/head.md"), place());
    for section in SECTIONS {
        let name = section.command;
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("\n## {} ({name})\n", section.title);
        let tables = measure(name)?;
        let Section { title, before, after, .. } = section;
        let parts = [before.trim(), &tables, after.trim()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        write!(document, "\n## {title}\n\n{}\n", parts.join("\n\n")).map_err(Error::other)?;
    }
    if !wanted.is_empty() {
        return Ok(());
    }
    // Measured by hand.
    let by_hand = [
        ("Lists of runs", include_str!("../notes/lists.md")),
        ("Chaos", include_str!("../notes/chaos.md")),
        ("Building", include_str!("../notes/building.md")),
    ];
    for (title, text) in by_hand {
        write!(document, "\n## {title}\n\n{}\n", text.trim()).map_err(Error::other)?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BENCHMARKS.md");
    std::fs::write(&path, document)?;
    println!("\nWritten to docs/BENCHMARKS.md.");
    Ok(())
}
