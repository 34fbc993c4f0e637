//! Everything that is timed or counted (docs/BENCHMARKS.md): one program with a subcommand for each
//! section, so that what the sections share is compiled and linked once.
//!
//! Figures are printed, never asserted, with one exception: `count` fails when a kind of work needs
//! more instructions than bench/counts.json allows.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are the result")]

mod dispatch;
mod documents;
mod floor;
mod lists;
mod prompts;
mod queue;
mod report;
mod tools;
mod writes;

use std::io::{Error, Result};
use std::process::ExitCode;

const USAGE: &str = "usage: bench COMMAND
  report [SECTION …]     run the sections and write docs/BENCHMARKS.md; with names, only run those
  floor                  the daemon beside a bare relay that makes the same calls
  pair BASELINE DAEMON   two builds of the daemon side by side
  peers                  the daemon beside other gateways
  prompts                prompts, streams and waiting runs
  soak                   a million runs
  dispatch               notifications through the dispatcher
  queue                  the reference backend's queue
  writes [BACKEND …]     durable writes of the reference backend, or of these builds of it in turns
  tools DIR              finding the right one of GitHub's operations there (scripts/documents.sh)
  lists [sqlite|postgres|URL] [RUNS]
                         lists of a million runs with ten million steps (6 GB of temporary files), or of what is there
  documents DIR          OpenAPI documents in this folder (scripts/documents.sh)
  count DAEMON [--write] instructions of the daemon at this path, against bench/counts.json";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else { return Err(Error::other(USAGE)) };
    match (command.as_str(), rest) {
        ("report", sections) => return report::run(sections),
        ("tools", [folder]) => return tools::run(folder.as_ref()),
        ("documents", [folder]) => return documents::run(folder.as_ref()),
        // Started by `documents`.
        ("document", [file]) => return documents::one(file.as_ref()),
        _ => {}
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        match command.as_str() {
            "floor" => floor::run().await,
            "pair" => pair(rest).await,
            "peers" => floor::peers::run().await,
            "prompts" => prompts::run().await,
            "soak" => floor::soak::run().await,
            "dispatch" => dispatch::run().await,
            "queue" => queue::run().await,
            "lists" => lists::run(rest).await,
            "writes" => writes::run(rest).await,
            "count" => count(rest).await,
            // Started by `floor` and its relatives.
            "upstream" => floor::upstream::serve().await,
            "relay" => floor::relay::serve().await,
            _ => Err(Error::other(format!("unknown command {command}\n{USAGE}"))),
        }
    })
}

/// `pair BASELINE DAEMON`.
async fn pair(arguments: &[String]) -> Result<()> {
    let [baseline, daemon] = arguments else { return Err(Error::other(USAGE)) };
    floor::pair::run(&std::path::absolute(baseline)?, &std::path::absolute(daemon)?).await
}

/// `count DAEMON [--write]`.
async fn count(arguments: &[String]) -> Result<()> {
    let (flags, paths): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| argument.starts_with("--"));
    let [daemon] = paths[..] else { return Err(Error::other(USAGE)) };
    let daemon = std::path::absolute(daemon)?;
    floor::count::run(&daemon, flags.iter().any(|flag| *flag == "--write")).await
}
