//! `bench prompts`: the cost of a prompt, streams, and runs that wait for a slow model. Each figure
//! is the median of five rounds.

mod redaction;
mod render;
mod streams;

use std::time::{Duration, Instant};

/// Rounds per figure.
const ROUNDS: usize = 5;

/// The time of one turn: the median over the rounds.
fn median(turns: u32, mut turn: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..turns).for_each(|_| turn());
            begun.elapsed() / turns
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

fn row(what: &str, time: Duration, goal: &str) {
    println!("| {what} | {:.2} µs | {goal} |", time.as_secs_f64() * 1e6);
}

/// Runs all rounds and prints the table.
pub(crate) async fn run() -> std::io::Result<()> {
    println!("| what | time | goal |\n| --- | --- | --- |");
    render::run()?;
    redaction::run();
    streams::run().await
}
