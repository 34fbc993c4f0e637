//! `cargo run -p xtask -- demo`: what `make demo` does once everything is built.

mod demo;
mod provider;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Makefile that want more than a shell.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start backend, daemon and dispatcher, and show a whole round trip.
    Demo {
        /// End after the round trip instead of leaving the page open.
        #[arg(long)]
        exit: bool,
    },
}

fn main() -> ExitCode {
    let Task::Demo { exit } = Cli::parse().task;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(demo::run(exit)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[expect(clippy::print_stderr, reason = "this is where the command line ends")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("demo: {error}");
    ExitCode::FAILURE
}
