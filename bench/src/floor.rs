//! `bench floor`: the overhead of the daemon over a minimal relay, the floor.
//!
//! The floor is a relay that makes the same calls to model and backend with the same bodies, reads
//! and writes the same JSON, and does nothing else. Model and backend are one instant server in a
//! process of its own, as are relay and daemon; rounds of both are interleaved.

pub(crate) mod count;
pub(crate) mod load;
pub(crate) mod pair;
pub(crate) mod peers;
mod process;
pub(crate) mod relay;
mod small;
pub(crate) mod soak;
pub(crate) mod upstream;

use std::io::{Error, Result};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::program::Program;

use self::load::{Measured, Work};
use self::process::{Process, failed};

/// Rounds per figure.
const ROUNDS: usize = 5;
/// How long a round takes.
const ROUND: Duration = Duration::from_secs(3);
/// Concurrent callers.
const CALLERS: usize = 32;
/// Concurrent readers of streams.
const READERS: usize = 8;

/// The figures of one program, one per round.
#[derive(Default)]
struct Arm {
    rate: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

impl Arm {
    /// A round of a program, as fast as its answers come or at this pace.
    async fn measure(&mut self, program: &Process, work: &Work, pace: Option<f64>) -> Result<()> {
        let before = program.cpu();
        let measured = match pace {
            None => load::closed(&program.url, work, CALLERS, ROUND).await?,
            Some(rate) => load::paced(&program.url, work, rate, ROUND).await?,
        };
        if measured.failed > 0 {
            return Err(Error::other(format!("{} calls failed", measured.failed)));
        }
        self.take(&measured, program.cpu() - before);
        Ok(())
    }

    fn take(&mut self, measured: &Measured, cpu: Duration) {
        let done = measured.done.max(1) as f64;
        self.rate.push(measured.done as f64 / measured.took.as_secs_f64());
        self.p99.push(measured.at(0.99).as_secs_f64() * 1e3);
        self.cpu.push(cpu.as_secs_f64() * 1e6 / done);
    }
}

/// Measures one kind of work on both programs, round by round.
async fn compare(work: &Work, arms: [&Process; 2], pace: Option<f64>) -> Result<[Arm; 2]> {
    let mut figures = [Arm::default(), Arm::default()];
    for round in 0..ROUNDS {
        // Neither arm is always the first.
        for n in [round % 2, (round + 1) % 2] {
            figures[n].measure(arms[n], work, pace).await?;
        }
    }
    Ok(figures)
}

/// Prints the results of a kind of work.
async fn report(
    name: &str,
    calls: usize,
    work: &Work,
    arms: [&Process; 2],
    goal: &str,
) -> Result<()> {
    let [floor, daemon] = compare(work, arms, None).await?;
    let cpu = [median(floor.cpu), median(daemon.cpu)];
    let rates = [median(floor.rate), median(daemon.rate)];
    println!(
        "| {name} ({calls} upstream calls): per second, floor / daemon | {:.0} / {:.0} | **{:.2}** | {goal} |",
        rates[0],
        rates[1],
        rates[1] / rates[0],
    );
    println!(
        "| … its CPU in the relay / in the daemon | {:.0} / {:.0} µs | {:.2} | |",
        cpu[0],
        cpu[1],
        cpu[1] / cpu[0]
    );
    // A rate that both can keep, and a clock that does not wait for slow answers.
    let pace = rates[1].min(rates[0]) / 2.0;
    let [floor, daemon] = compare(work, arms, Some(pace)).await?;
    let p99 = [median(floor.p99), median(daemon.p99)];
    println!(
        "| … p99 at {pace:.0} per second, floor / daemon | {:.2} / {:.2} ms | **{:.2}** | ≤ 1.5 |",
        p99[0],
        p99[1],
        p99[1] / p99[0],
    );
    Ok(())
}

/// The upstream calls of one run of the daemon, for the relay to repeat.
async fn record(
    http: &reqwest::Client,
    upstream: &str,
    daemon: &str,
    work: &Work,
) -> Result<Value> {
    let call = |url: String| http.post(url).send();
    // The first run fetches what is kept from then on.
    for _ in 0..3 {
        let answer = http.post(format!("{daemon}{}", work.path)).json(&work.body(0)).send();
        let answer = answer.await.map_err(failed)?.text().await.map_err(failed)?;
        if !answer.contains("\"status\":\"ok\"") {
            return Err(Error::other(format!("the daemon answered {answer}")));
        }
    }
    call(format!("{upstream}/record")).await.map_err(failed)?;
    let run = http.post(format!("{daemon}{}", work.path)).json(&work.body(0)).send();
    run.await.map_err(failed)?.text().await.map_err(failed)?;
    let recorded = call(format!("{upstream}/recorded")).await.map_err(failed)?;
    recorded.json().await.map_err(failed)
}

pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Process::start("bench", dir.path(), &[], &["upstream"]).await?;
    small::workspace(dir.path())?;
    let settings = small::settings(&upstream.url);
    let daemon = Process::start("wombat-daemon", dir.path(), &settings, &[]).await?;
    let http = reqwest::Client::new();
    let kinds = [Work::plain(), Work::tools()];
    let mut calls = json!({});
    for work in &kinds {
        calls[work.name] = record(&http, &upstream.url, &daemon.url, work).await?;
    }
    let templates = dir.path().join("calls.json");
    std::fs::write(&templates, calls.to_string())?;
    let settings = [("UPSTREAM", upstream.url.clone()), ("CALLS", templates.display().to_string())];
    let relay = Process::start("bench", dir.path(), &settings, &["relay"]).await?;
    let arms = [&relay, &daemon];
    println!("| what | figures | ratio | goal |\n| --- | --- | --- | --- |");
    for (work, name) in kinds.iter().zip(["send, task known, no tools", "a turn with two tools"]) {
        let count = calls[work.name].as_array().map(Vec::len).unwrap_or_default();
        report(name, count, work, arms, "≥ 0.75").await?;
    }
    streams(arms).await?;
    small::report(dir.path(), &upstream.url).await
}

/// Events per second through both.
async fn streams(arms: [&Process; 2]) -> Result<()> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for n in [round % 2, (round + 1) % 2] {
            rates[n].push(load::streams(&arms[n].url, READERS, ROUND).await?);
        }
    }
    let [floor, daemon] = rates.map(median);
    println!(
        "| streams: events per second, floor / daemon | {floor:.0} / {daemon:.0} | **{:.2}** | ≥ 0.8 |",
        daemon / floor
    );
    Ok(())
}

/// Serves on a free port, and prints the address in the form that [`Program::url`] expects.
async fn listen(router: axum::Router) -> Result<()> {
    use axum::serve::ListenerExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
