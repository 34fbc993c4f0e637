//! `bench pair BASELINE DAEMON`: two builds of the daemon side by side, in interleaved rounds before one instant
//! model and backend, so that what else the machine does meets both.

use std::io::{Error, Result};
use std::path::Path;

use super::load::{self, Work};
use super::process::Process;
use super::{READERS, ROUND, ROUNDS, compare, median, small};

/// Prints how the daemon at one path compares to that at the other.
pub(crate) async fn run(baseline: &Path, daemon: &Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Process::start("bench", dir.path(), &[], &["upstream"]).await?;
    small::workspace(dir.path())?;
    let settings = small::settings(&upstream.url);
    let before = Process::start_path(baseline, dir.path(), &settings).await?;
    let now = Process::start_path(daemon, dir.path(), &settings).await?;
    let arms = [&before, &now];
    println!("| what | baseline / daemon | ratio |\n| --- | --- | --- |");
    for (work, name) in
        [(Work::plain(), "a send, task known, no tools"), (Work::tools(), "a turn with two tools")]
    {
        // The first calls fetch what is kept from then on.
        for arm in arms {
            load::closed(&arm.url, &work, READERS, ROUND / 3).await?;
        }
        let [old, new] = compare(&work, arms, None).await?;
        let rates = [median(old.rate), median(new.rate)];
        row(&format!("{name}: per second"), rates, 0);
        row("… its CPU, µs", [median(old.cpu), median(new.cpu)], 0);
        let pace = rates[0].min(rates[1]) / 2.0;
        let [old, new] = compare(&work, arms, Some(pace)).await?;
        row(&format!("… p99 at {pace:.0} per second, ms"), [median(old.p99), median(new.p99)], 2);
        row("… its CPU then, µs", [median(old.cpu), median(new.cpu)], 0);
    }
    let mut rates = [Vec::new(), Vec::new()];
    let mut cpu = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for n in [round % 2, (round + 1) % 2] {
            let used = arms[n].cpu();
            let rate = load::streams(&arms[n].url, READERS, ROUND).await?;
            let events = rate * ROUND.as_secs_f64();
            if events <= 0.0 {
                return Err(Error::other("no event came"));
            }
            cpu[n].push((arms[n].cpu() - used).as_secs_f64() * 1e6 / events);
            rates[n].push(rate);
        }
    }
    row("streams: events per second", rates.map(median), 0);
    row("… CPU of an event, µs", cpu.map(median), 2);
    Ok(())
}

fn row(name: &str, [old, new]: [f64; 2], digits: usize) {
    println!("| {name} | {old:.digits$} / {new:.digits$} | **{:.2}** |", new / old);
}
