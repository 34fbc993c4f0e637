//! Gateways that forward a model call: LiteLLM's proxy (PyPI) and Portkey's gateway (npm), each when
//! it is installed, beside the floor's relay and the daemon, all in OpenAI's protocol.
//!
//! The daemon does more than they with the same call: it loads role, prompt and tools, acts as one
//! user, and stores the reply, which is a second call.

use std::io::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;

use test_support::program::Program;
use tokio::time::{Instant, sleep};

use super::load::{self, Work};
use super::process::{Process, failed};
use super::{Arm, CALLERS, ROUND, ROUNDS, median, small};

/// How long a peer may take to start.
const START: Duration = Duration::from_secs(120);

/// The key of the one that requires one.
const KEY: &str = "sk-0123456789abcdef0123456789abcdef";

/// Which program is called, and how.
struct Peer {
    name: &'static str,
    process: Process,
    work: Work,
    figures: Arm,
}

impl Peer {
    fn new(name: &'static str, process: Process, work: Work) -> Self {
        Self { name, process, work, figures: Arm::default() }
    }
}

/// Prints calls per second of each, and their CPU time.
pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Process::start("bench", dir.path(), &[], &["upstream"]).await?;
    small::workspace(dir.path())?;
    let calls = dir.path().join("calls.json");
    std::fs::write(&calls, "{}")?;
    let settings = [("UPSTREAM", upstream.url.clone()), ("CALLS", calls.display().to_string())];
    let relay = Process::start("bench", dir.path(), &settings, &["relay"]).await?;
    let mut settings = small::settings(&upstream.url);
    settings.push(("WOMBAT_PROTOCOLS", "openai".to_owned()));
    let daemon = Process::start("wombat-daemon", dir.path(), &settings, &[]).await?;
    let task = "x-wombat-task-id: t\r\n".to_owned();
    let mut all = vec![
        Peer::new("the floor's relay", relay, Work::chat("m", String::new())),
        Peer::new("the daemon, which also stores the reply", daemon, Work::chat("scout", task)),
    ];
    let (mut started, mut missing) = (Vec::new(), Vec::new());
    for (name, peer) in [
        ("LiteLLM's proxy", litellm(dir.path(), &upstream.url).await?),
        ("Portkey's gateway", portkey(dir.path(), &upstream.url).await?),
    ] {
        match peer {
            Some((process, work)) => started.push(Peer::new(name, process, work)),
            None => missing.push(name),
        }
    }
    all.append(&mut started);
    for round in 0..ROUNDS {
        let count = all.len();
        for n in 0..count {
            let peer = &mut all[(n + round) % count];
            let before = peer.process.cpu();
            let measured = load::closed(&peer.process.url, &peer.work, CALLERS, ROUND).await?;
            if measured.failed > 0 || measured.done == 0 {
                let log = peer.process.program.log();
                return Err(failed(format!("{} failed {}: {log}", peer.name, measured.failed)));
            }
            peer.figures.take(&measured, peer.process.cpu() - before);
        }
    }
    println!("| a model call through | per second | CPU of one | p99, {CALLERS} at a time |");
    println!("| --- | --- | --- | --- |");
    for peer in all {
        let Arm { rate, p99, cpu } = peer.figures;
        let (rate, cpu, p99) = (median(rate), median(cpu), median(p99));
        println!("| {} | {rate:.0} | {cpu:.0} µs | {p99:.1} ms |", peer.name);
    }
    for name in missing {
        println!("| {name} | not installed | | |");
    }
    Ok(())
}

fn installed(variable: &str, place: impl Fn(PathBuf) -> PathBuf) -> Option<PathBuf> {
    let path = place(PathBuf::from(std::env::var_os(variable)?));
    path.is_file().then_some(path)
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A peer that does not print its address when it is ready.
async fn start(
    program: &Path,
    dir: &Path,
    port: u16,
    settings: &[(&str, String)],
    arguments: &[&str],
    work: &Work,
) -> Result<Process> {
    let mut settings = settings.to_vec();
    settings.push(("PATH", std::env::var("PATH").unwrap_or_default()));
    settings.push(("HOME", dir.display().to_string()));
    let mut program = Program::start_path(program, dir, &settings, arguments).map_err(failed)?;
    let url = format!("http://127.0.0.1:{port}");
    let begun = Instant::now();
    loop {
        let once = load::closed(&url, work, 1, Duration::from_millis(1)).await;
        if once.is_ok_and(|measured| measured.done > 0) {
            return Ok(Process { program, url });
        }
        if begun.elapsed() > START {
            let _ended = program.kill().await;
            return Err(failed(format!("{url} does not answer: {}", program.log())));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// LiteLLM's proxy with one worker, as it starts by default.
async fn litellm(dir: &Path, upstream: &str) -> Result<Option<(Process, Work)>> {
    let place = |python: PathBuf| python.with_file_name("litellm");
    let Some(program) = installed("WOMBAT_TEST_PYTHON", place) else { return Ok(None) };
    let config = dir.join("litellm.yaml");
    let text = format!(
        "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/m\n      \
         api_base: {upstream}/v1\n      api_key: none\ngeneral_settings:\n  \
         master_key: {KEY}\n"
    );
    std::fs::write(&config, text)?;
    let (port, config) = (free_port()?, config.display().to_string());
    let number = port.to_string();
    let arguments = ["--host", "127.0.0.1", "--port", &number, "--config", &config];
    let settings = [("LITELLM_LOCAL_MODEL_COST_MAP", "True".to_owned())];
    let work = Work::chat("m", format!("authorization: Bearer {KEY}\r\n"));
    let process = start(&program, dir, port, &settings, &arguments, &work).await?;
    Ok(Some((process, work)))
}

/// Portkey's gateway, as `npx @portkey-ai/gateway` starts it.
async fn portkey(dir: &Path, upstream: &str) -> Result<Option<(Process, Work)>> {
    let script = "node_modules/@portkey-ai/gateway/build/start-server.js";
    let Some(script) = installed("WOMBAT_TEST_NODE", |node| node.join(script)) else {
        return Ok(None);
    };
    let (port, script) = (free_port()?, script.display().to_string());
    let option = format!("--port={port}");
    // It asks no server on loopback unless that is trusted by name.
    let settings = [("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost".to_owned())];
    let headers = format!(
        "authorization: Bearer none\r\nx-portkey-provider: openai\r\n\
         x-portkey-custom-host: {upstream}/v1\r\n"
    );
    let work = Work::chat("m", headers);
    let arguments = [script.as_str(), &option, "--headless"];
    let process = start(Path::new("node"), dir, port, &settings, &arguments, &work).await?;
    Ok(Some((process, work)))
}
