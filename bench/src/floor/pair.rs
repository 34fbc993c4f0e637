//! `bench pair BASELINE DAEMON`: two builds of the daemon side by side, in interleaved rounds before one instant
//! model and backend, so that what else the machine does meets both.

use std::io::{Error, Result};
use std::path::Path;

use super::load::{self, Work};
use super::process::Process;
use super::{Arm, READERS, ROUND, ROUNDS, median, small};

/// Prints how the daemon at one path compares to that at the other.
pub(crate) async fn run(baseline: &Path, daemon: &Path) -> Result<()> {
    let paths = [baseline, daemon];
    let dir = tempfile::tempdir()?;
    let upstream = Process::start("bench", dir.path(), &[], &["upstream"]).await?;
    small::workspace(dir.path())?;
    let settings = small::settings(&upstream.url);
    println!("| what | baseline / daemon | ratio |\n| --- | --- | --- |");
    for (work, name) in
        [(Work::plain(), "a send, task known, no tools"), (Work::tools(), "a turn with two tools")]
    {
        let pace = {
            let mut figures = [Arm::default(), Arm::default()];
            each(paths, dir.path(), &settings, async |n, daemon| {
                figures[n].measure(daemon, &work, None).await
            })
            .await?;
            let [old, new] = figures;
            let rates = [median(old.rate), median(new.rate)];
            row(&format!("{name}: per second"), rates, 0);
            row("… its CPU, µs", [median(old.cpu), median(new.cpu)], 0);
            rates[0].min(rates[1]) / 2.0
        };
        let mut figures = [Arm::default(), Arm::default()];
        each(paths, dir.path(), &settings, async |n, daemon| {
            figures[n].measure(daemon, &work, Some(pace)).await
        })
        .await?;
        let [old, new] = figures;
        row(&format!("… p99 at {pace:.0} per second, ms"), [median(old.p99), median(new.p99)], 2);
        row("… its CPU then, µs", [median(old.cpu), median(new.cpu)], 0);
    }
    let mut rates = [Vec::new(), Vec::new()];
    let mut cpu = [Vec::new(), Vec::new()];
    each(paths, dir.path(), &settings, async |n, daemon| {
        let used = daemon.cpu();
        let rate = load::streams(&daemon.url, READERS, ROUND).await?;
        let events = rate * ROUND.as_secs_f64();
        if events <= 0.0 {
            return Err(Error::other("no event came"));
        }
        cpu[n].push((daemon.cpu() - used).as_secs_f64() * 1e6 / events);
        rates[n].push(rate);
        Ok(())
    })
    .await?;
    row("streams: events per second", rates.map(median), 0);
    row("… CPU of an event, µs", cpu.map(median), 2);
    Ok(())
}

/// Measures both, round by round. Each round starts them anew: how a process happens to lie in memory is worth some
/// percent, for as long as it lives.
async fn each(
    paths: [&Path; 2],
    dir: &Path,
    settings: &[(&str, String)],
    mut measure: impl AsyncFnMut(usize, &Process) -> Result<()>,
) -> Result<()> {
    for round in 0..ROUNDS {
        // Neither is always the first.
        for n in [round % 2, (round + 1) % 2] {
            let daemon = Process::start_path(paths[n], dir, settings).await?;
            // The first calls fetch what is kept from then on.
            for work in [Work::plain(), Work::tools()] {
                load::closed(&daemon.url, &work, READERS, ROUND / 6).await?;
            }
            measure(n, &daemon).await?;
        }
    }
    Ok(())
}

fn row(name: &str, [old, new]: [f64; 2], digits: usize) {
    println!("| {name} | {old:.digits$} / {new:.digits$} | **{:.2}** |", new / old);
}
