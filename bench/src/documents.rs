//! How long published OpenAPI documents take to read, and how much memory: each in a process of its own.

use std::io::{Error, Result};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use openapi_tools::{Document, decode};

/// Reads each document of a folder and prints a table.
pub(crate) fn run(folder: &Path) -> Result<()> {
    println!("| document | MB | read, ms | peak, MB | operations | tools | problems |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let files = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some()) {
        Command::new(std::env::current_exe()?).arg("document").arg(file).status()?;
    }
    Ok(())
}

/// Reads one document and prints its line.
pub(crate) fn one(file: &Path) -> Result<()> {
    let bytes = std::fs::read(file)?;
    let size = bytes.len();
    let begin = Instant::now();
    let text = decode(bytes).map_err(Error::other)?;
    let document = Document::parse(&text, &[], "").map_err(Error::other)?;
    let read = begin.elapsed().as_millis();
    let peak = peak()?;
    let import = document.import(|_| true);
    println!(
        "| {} | {:.1} | {read} | {:.0} | {} | {} | {} |",
        file.file_name().unwrap_or_default().display(),
        size as f64 / 1e6,
        peak as f64 / 1e6,
        document.candidates().count(),
        import.operations.len(),
        import.problems.len()
    );
    Ok(())
}

/// The most memory that this process had resident so far, bytes.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Error::other("no VmHWM in /proc/self/status"))
}
