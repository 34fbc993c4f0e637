//! What `make demo`, `make chaos` and `make screenshots` do once everything is built.

mod chaos;
mod demo;
mod provider;
mod screenshots;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Tasks of the Makefile that need more than a shell.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start backend, daemon and dispatcher, and show a full round trip.
    Demo {
        /// Exit after the round trip instead of keeping the page open.
        #[arg(long)]
        exit: bool,
        /// A small real model on this machine instead of the built-in script or a provider.
        #[arg(long)]
        model: Option<Model>,
    },
    /// Deliver notifications while programs are killed at random, and check that each has exactly
    /// one stored reply. The programs must be built.
    Chaos(chaos::Arguments),
    /// Take the README's screenshots of the page.
    Screenshots,
}

/// Models that the demo starts by itself.
#[derive(Clone, Copy, ValueEnum)]
enum Model {
    /// SmolLM2 behind llama.cpp's server (docs/REAL_MODELS.md).
    Local,
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed("xtask", &error),
    };
    let (name, result) = match task {
        Task::Demo { exit, model } => ("demo", runtime.block_on(demo::run(exit, model))),
        Task::Screenshots => ("screenshots", runtime.block_on(screenshots::run())),
        Task::Chaos(arguments) => ("chaos", runtime.block_on(chaos::run(&arguments))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(name, &error),
    }
}

#[expect(clippy::print_stderr, reason = "this is where the command line ends")]
fn failed(task: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{task}: {error}");
    ExitCode::FAILURE
}
