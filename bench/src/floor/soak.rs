//! A million runs: whether memory or open files grow.

use std::io::Result;
use std::time::Duration;

use super::CALLERS;
use super::load::{self, Work};
use super::process::{Process, failed};
use super::small;

/// How many runs.
const RUNS: usize = 1_000_000;
/// How long runs are made between two measurements.
const LAP: Duration = Duration::from_secs(10);

/// Prints memory and open files after the first tenth of the runs, in the middle and at the end.
pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Process::start("bench", dir.path(), &[], &["upstream"]).await?;
    small::workspace(dir.path())?;
    let mut settings = small::settings(&upstream.url);
    settings.retain(|(name, _)| *name != "RUST_LOG");
    // A line for each run is kept in memory here, and not there.
    settings.push(("RUST_LOG", "error,wombat_daemon=info,wombat_daemon::agent=error".to_owned()));
    let daemon = Process::start("wombat-daemon", dir.path(), &settings, &[]).await?;
    let kinds = [Work::plain(), Work::tools()];
    let (mut done, mut looks) = (0, Vec::new());
    for work in kinds.iter().cycle() {
        let measured = load::closed(&daemon.url, work, CALLERS, LAP).await?;
        if measured.failed > 0 {
            return Err(failed(format!("{} runs failed", measured.failed)));
        }
        done += measured.done;
        looks.push((done, look(&daemon)?));
        if done >= RUNS {
            break;
        }
    }
    println!(
        "| after this many runs, alternating without and with two tools | memory | open files |"
    );
    println!("| --- | --- | --- |");
    for share in [RUNS / 10, RUNS / 2, RUNS] {
        let Some((runs, (memory, files))) = looks.iter().find(|(runs, _)| *runs >= share) else {
            continue;
        };
        println!("| {runs} | {:.1} MiB | {files} |", *memory as f64 / 1024.0 / 1024.0);
    }
    Ok(())
}

/// Memory in bytes, and the number of open files.
fn look(daemon: &Process) -> Result<(u64, usize)> {
    let id = daemon.program.id().ok_or_else(|| failed("the daemon has ended"))?;
    let files = std::fs::read_dir(format!("/proc/{id}/fd"))?.count();
    Ok((daemon.program.memory().unwrap_or_default(), files))
}
