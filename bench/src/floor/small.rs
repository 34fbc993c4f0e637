//! Small figures: idle memory, startup time, the cron programs.

use std::io::Result;
use std::path::Path;
use std::time::{Duration, Instant};

use super::process::failed;
use super::{Process, Program, median};

/// How often each is started.
const TIMES: usize = 11;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A workspace with one role.
pub(crate) fn workspace(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir.join("workspace/souls"))?;
    std::fs::write(dir.join("workspace/souls/scout.md"), "You help a family to find a school.\n")?;
    std::fs::write(dir.join("workspace/HEARTBEAT.md"), "- Look after the tasks.\n")
}

/// The daemon's settings.
pub(crate) fn settings(upstream: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("BACKEND_URL", upstream.to_owned()),
        ("LLM_PROVIDER", "openai".to_owned()),
        ("OPENAI_BASE_URL", format!("{upstream}/v1")),
        ("WOMBAT_PORT", "0".to_owned()),
        ("WOMBAT_MAX_CONCURRENT_RUNS", "20000".to_owned()),
        ("RUST_LOG", "info".to_owned()),
    ]
}

/// Prints the table's last rows.
pub(crate) async fn report(dir: &Path, upstream: &str) -> Result<()> {
    let settings = settings(upstream);
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let begun = Instant::now();
        let mut daemon = Program::start("wombat-daemon", dir, &settings, &[]).map_err(failed)?;
        while !daemon.log().contains("listening on ") {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        ready.push(begun.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(100)).await;
        memory.push(daemon.memory().unwrap_or_default() as f64 / 1024.0 / 1024.0);
        daemon.kill().await.map_err(failed)?;
    }
    println!("| the daemon, start to ready | {:.1} ms | | ≤ 20 ms |", median(ready));
    println!("| the daemon, idle | {:.1} MiB | | ≤ 15 MiB |", median(memory));
    let daemon = Process::start("wombat-daemon", dir, &settings, &[]).await?;
    let settings = [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", "token".to_owned()),
        ("BACKEND_URL", upstream.to_owned()),
        ("AGENT_DAEMON_URL", daemon.url.clone()),
        ("USER_ID", "ann".to_owned()),
        ("RUST_LOG", "error".to_owned()),
    ];
    for (name, arguments) in
        [("wombat-heartbeat", &["--wake", "never"][..]), ("wombat-standup", &["--user", "ann"])]
    {
        let (mut took, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let begun = Instant::now();
            let mut program = Program::start(name, dir, &settings, arguments).map_err(failed)?;
            let mut most = 0;
            let ended = loop {
                most = most.max(program.memory().unwrap_or_default());
                tokio::select! {
                    ended = program.wait() => break ended,
                    () = tokio::time::sleep(Duration::from_micros(300)) => {}
                }
            };
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            memory.push(most as f64 / 1024.0 / 1024.0);
            let log = program.full_log().await;
            if !ended.map_err(failed)?.success() {
                return Err(failed(format!("{name}: {log}")));
            }
        }
        println!("| {name}, start to exit | {:.1} ms | | ≤ 10 ms |", median(took));
        println!("| {name}, peak memory | {:.1} MiB | | ≤ 15 MiB |", median(memory));
    }
    Ok(())
}
