//! `make count`: the instructions that the daemon executes for its most frequent work, counted by
//! valgrind. Unlike times they hardly vary between machines or moments, so an increase is a finding:
//! more than [`SLACK`] above `bench/counts.json` is a failure.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;
use test_support::program::Program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::load::Work;
use super::process::{Process, failed};
use super::small;

/// The recorded counts, by kind of work.
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.json");
/// By how much a count may be higher, percent: C libraries and processors differ a little.
const SLACK: f64 = 10.0;
/// Warm-up requests before anything is counted, so that caches are filled.
const BEFORE: usize = 40;
/// The number that valgrind gives to a program's first thread.
const MAIN_THREAD: &str = "1";
/// Skills of the workspace.
const SKILLS: usize = 50;

/// What is counted: name, number of requests, and the request.
struct Kind {
    name: &'static str,
    times: usize,
    path: &'static str,
    body: String,
}

fn kinds() -> [Kind; 4] {
    let body = |work: Work| work.body(0).to_string();
    let wrong = json!({ "user_id": "ann", "session_key": "user:ann:scout", "message": "hello",
        "messages": [{ "role": "user", "content": "a" }, { "role": "nobody", "content": "b" }],
        "metadata": { "timezone": "Mars", "prompt_mode": "full" }, "limits": { "max_steps": 3 } });
    [
        Kind {
            name: "a request that is read and refused",
            times: 400,
            path: "/api/agents/send",
            body: wrong.to_string(),
        },
        Kind {
            name: "a send without tools",
            times: 200,
            path: "/api/agents/send",
            body: body(Work::plain()),
        },
        Kind {
            name: "a turn with two tools",
            times: 100,
            path: "/api/agents/send",
            body: body(Work::tools()),
        },
        Kind {
            name: "a stream of 2,000 events",
            times: 10,
            path: "/api/agents/stream",
            body: body(Work::long()),
        },
    ]
}

/// Counts everything; `write` records the counts instead of comparing them.
pub(crate) async fn run(daemon: &Path, write: bool) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Process::start("bench", dir.path(), &[], &["upstream"]).await?;
    small::workspace(dir.path())?;
    skills(dir.path())?;
    let settings = small::settings(&upstream.url);
    let mut counted = BTreeMap::new();
    for kind in kinds() {
        let mut counts = [0, 0];
        for (count, times) in counts.iter_mut().zip([0, kind.times]) {
            *count = instructions(daemon, dir.path(), &settings, &kind, BEFORE + times).await?;
        }
        let one = counts[1].saturating_sub(counts[0]) / kind.times as u64;
        counted.insert(kind.name, one);
    }
    if write {
        let text = serde_json::to_string_pretty(&counted).map_err(failed)? + "\n";
        return std::fs::write(COUNTS, text);
    }
    let known = std::fs::read_to_string(COUNTS)?;
    compare(&counted, &serde_json::from_str(&known).map_err(failed)?)
}

/// Prints the counts beside the recorded ones, and fails when one has increased.
fn compare(counted: &BTreeMap<&str, u64>, known: &BTreeMap<String, u64>) -> Result<()> {
    println!("| instructions of | known | now | |\n| --- | --- | --- | --- |");
    let (mut grown, mut shrunk) = (Vec::new(), false);
    for (name, now) in counted {
        let before = known.get(*name).copied().unwrap_or_default();
        let percent = (*now as f64 / before.max(1) as f64 - 1.0) * 100.0;
        println!("| {name} | {before} | {now} | {percent:+.1} % |");
        if percent > SLACK {
            grown.push(*name);
        }
        shrunk |= percent < -SLACK;
    }
    if shrunk {
        println!("There are fewer than before: `make count ARGS=--write` keeps the new counts.");
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(Error::other(format!(
        "more than {SLACK} % more instructions for: {}. Find out why (docs/BENCHMARKS.md), or, if it \
         is worth it, say so with `make count ARGS=--write`",
        grown.join(", ")
    )))
}

/// The instructions of a daemon that answers this many requests, from start to exit, in all of its threads
/// but the first. That one reads settings and workspace and waits for the end; it never does the same
/// amount of work twice, and none for a request.
async fn instructions(
    daemon: &Path,
    dir: &Path,
    settings: &[(&str, String)],
    kind: &Kind,
    requests: usize,
) -> Result<u64> {
    let out = tempfile::tempdir()?;
    let out_option = format!("--callgrind-out-file={}", out.path().join("thread").display());
    let daemon = daemon.display().to_string();
    let arguments = ["--tool=callgrind", "--separate-threads=yes", &out_option, &daemon];
    let mut settings = settings.to_vec();
    settings.push(("PATH", std::env::var("PATH").unwrap_or_default()));
    // One worker: threads that look for work count, too, and never the same.
    settings.push(("TOKIO_WORKER_THREADS", "1".to_owned()));
    settings.push(("WOMBAT_THREADS", "1".to_owned()));
    let valgrind = PathBuf::from("valgrind");
    let mut program = Program::start_path(&valgrind, dir, &settings, &arguments)
        .map_err(|error| failed(format!("{error}; apt-get install valgrind")))?;
    let url = program.url().await.map_err(failed)?;
    for _ in 0..requests {
        ask(&url, kind).await?;
    }
    program.signal(Signal::TERM);
    program.wait().await.map_err(failed)?;
    let mut total = 0;
    for entry in std::fs::read_dir(out.path())? {
        let text = std::fs::read_to_string(entry?.path())?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(thread), Some(count)) = (field("thread: "), field("totals: ")) {
            let count: u64 = count.trim().parse().map_err(failed)?;
            total += if thread.trim() == MAIN_THREAD { 0 } else { count };
        }
    }
    if total == 0 { Err(failed("valgrind counted nothing")) } else { Ok(total) }
}

/// One request on a connection of its own.
async fn ask(url: &str, kind: &Kind) -> Result<()> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        kind.path,
        kind.body.len(),
        kind.body
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let status = if kind.name.contains("refused") { " 400 " } else { " 200 " };
    let first = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
    if first.contains(status) {
        return Ok(());
    }
    Err(failed(format!("{} was answered with {first}", kind.name)))
}

/// Skills of a screen each.
fn skills(dir: &Path) -> Result<()> {
    for n in 0..SKILLS {
        let skill = dir.join(format!("workspace/skills/skill-{n}"));
        std::fs::create_dir_all(&skill)?;
        let head = format!("---\nname: skill-{n}\ndescription: Does what {n} stands for.\n---\n");
        std::fs::write(skill.join("SKILL.md"), head + &"Use it when it is needed.\n".repeat(20))?;
    }
    Ok(())
}
