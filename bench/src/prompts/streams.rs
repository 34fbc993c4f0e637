//! Open streams and waiting runs: the latency of text, the memory of a waiting run, and that none
//! fails.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use test_support::program::{Program, ProgramError};
use tokio::sync::watch;

/// How many streams are open at once.
const STREAMS: usize = 5_000;
/// This many of them are started one after the other, without other load.
const ALONE: usize = 500;
/// This many of the others are started at the same time.
const AT_ONCE: usize = 100;
/// How many runs wait for a slow model at once; fewer when the limit of open files is lower.
const WAITING: u64 = 10_000;
/// Timeout for all of them together.
const PATIENCE: Duration = Duration::from_secs(120);

/// Microseconds since 1970, the text that is streamed.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How many runs can wait: each has two connections, and this process the other end of both.
fn waiting() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Only root may go beyond the hard limit; the daemon inherits what is reached.
    for wanted in [Some(4 * WAITING), limit.maximum] {
        let maximum = limit.maximum.max(wanted);
        if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }).is_ok() {
            break;
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(WAITING.min(files.saturating_sub(1_000) / 2)).unwrap_or_default()
}

/// A model whose first text is the time, and which holds back the second, and complete responses.
async fn model(State(go): State<watch::Sender<bool>>, Json(asked): Json<Value>) -> Response {
    if asked["stream"] != json!(true) {
        let mut go = go.subscribe();
        // An error means that nobody is left who could let it go on.
        let _ = go.wait_for(|go| *go).await.is_ok();
        return Json(json!({ "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "Done." } }] }))
        .into_response();
    }
    let event = |delta: Value, reason: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        format!("data: {}\n\n", json!({ "choices": choices }))
    };
    let go = go.subscribe();
    let events = futures::stream::unfold(0, move |n| {
        let mut go = go.clone();
        async move {
            let piece = match n {
                0 => event(json!({ "content": format!("{} ", now()) }), Value::Null),
                1 => {
                    let _open = go.wait_for(|go| *go).await;
                    event(json!({ "content": "end" }), json!("stop"))
                }
                2 => "data: [DONE]\n\n".to_owned(),
                _ => return None,
            };
            Some((Ok::<_, io::Error>(piece), n + 1))
        }
    });
    let mut response = Response::new(Body::from_stream(events));
    let kind = axum::http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    response
}

async fn serve(app: Router) -> io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// A backend with the required part of the contract that answers at once.
fn backend() -> Router {
    let capabilities = || async { Json(json!({ "contract_version": "v1", "features": {} })) };
    let message = || async { Json(json!({ "id": "m", "task_id": "t", "content": "" })) };
    Router::new()
        .route("/api/mission-control/capabilities", get(capabilities))
        .route("/api/mission-control/messages", post(message))
}

pub(crate) async fn run() -> io::Result<()> {
    let waiting = waiting();
    let go = watch::Sender::new(false);
    let model =
        serve(Router::new().route("/v1/chat/completions", post(model)).with_state(go.clone()))
            .await?;
    let backend = serve(backend()).await?;
    let dir = tempfile::tempdir()?;
    std::fs::create_dir_all(dir.path().join("workspace/souls"))?;
    std::fs::write(dir.path().join("workspace/souls/scout.md"), "Be brief.\n")?;
    let settings = [
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ("BACKEND_URL", backend),
        ("LLM_PROVIDER", "openai".to_owned()),
        ("OPENAI_BASE_URL", format!("{model}/v1")),
        ("WOMBAT_PORT", "0".to_owned()),
        ("WOMBAT_MAX_CONCURRENT_RUNS", (STREAMS * 4).to_string()),
    ];
    let failed = |error: ProgramError| io::Error::other(error.to_string());
    let mut daemon = Program::start("wombat-daemon", dir.path(), &settings, &[]).map_err(failed)?;
    let url = daemon.url().await.map_err(failed)?;
    let http = reqwest::Client::new();
    let before = daemon.memory().unwrap_or_default();
    let mut open = Vec::with_capacity(STREAMS);
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    let begin = |n: usize| {
        first_text(http.post(format!("{url}/api/agents/stream")).json(&json!({
            "user_id": "u", "session_key": "user:u:scout", "message": "Go.",
            "task_id": format!("t{n}"),
        })))
    };
    let begun = tokio::time::Instant::now();
    for n in 0..ALONE {
        let (answer, delay) = begin(n).await?;
        open.push(answer);
        alone.push(delay);
    }
    while open.len() < STREAMS {
        let calls = (open.len()..STREAMS).take(AT_ONCE).map(begin);
        for opened in futures::future::join_all(calls).await {
            let (answer, delay) = opened?;
            open.push(answer);
            together.push(delay);
        }
    }
    let opening = begun.elapsed();
    let after = daemon.memory().unwrap_or_default();
    go.send_replace(true);
    let ends = open.into_iter().map(|answer| async move {
        let rest = tokio::time::timeout(PATIENCE, answer.text()).await;
        matches!(rest, Ok(Ok(text)) if text.contains("event: done"))
    });
    let done = futures::future::join_all(ends).await.into_iter().filter(|done| *done).count();
    daemon.stop().await.map_err(failed)?;
    go.send_replace(false);
    let mut daemon = Program::start("wombat-daemon", dir.path(), &settings, &[]).map_err(failed)?;
    let held = hold(&mut daemon, waiting, &go).await?;
    daemon.stop().await.map_err(failed)?;
    println!("\n| {STREAMS} open streams | figure | goal |\n| --- | --- | --- |");
    println!("| opened in | {:.1} s | |", opening.as_secs_f64());
    println!("| finished | {done} | all |");
    for (what, goal, mut delays) in [
        ("streams started one after the other".to_owned(), "≤ 1 ms", alone),
        (format!("{AT_ONCE} streams started at a time"), "", together),
    ] {
        delays.sort_unstable();
        let at = |share: usize| delays[(delays.len() - 1) * share / 100];
        println!(
            "| latency of the model's first text, {what}: median / p99 | {} / {} µs | {goal} |",
            at(50),
            at(99)
        );
    }
    println!(
        "| memory of a waiting stream | {:.1} KiB | ≤ 64 KiB |",
        (after - before) as f64 / 1024.0 / STREAMS as f64
    );
    println!(
        "| {waiting} runs that wait for a model: memory of one | {:.1} KiB | ≤ 64 KiB |",
        held.kib
    );
    println!("| … and answered, when it answered | {} | all |", held.answered);
    Ok(())
}

/// The results of waiting runs.
struct Held {
    kib: f64,
    answered: usize,
}

/// Lets runs wait for a model that does not answer, and then answers them all.
async fn hold(daemon: &mut Program, runs: usize, go: &watch::Sender<bool>) -> io::Result<Held> {
    let url = daemon.url().await.map_err(|error| io::Error::other(error.to_string()))?;
    let before = daemon.memory().unwrap_or_default();
    let http = reqwest::Client::new();
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..runs {
        let body = json!({ "user_id": "u", "session_key": "user:u:scout", "message": "Go.",
            "task_id": format!("t{n}") });
        let send = http.post(format!("{url}/api/agents/send")).json(&body).send();
        sends.spawn(async move { send.await.is_ok_and(|answer| answer.status() == 200) });
        if n % AT_ONCE == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // All of them wait once the model was asked by each.
    let begun = tokio::time::Instant::now();
    while go.receiver_count() < runs {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("only {} runs wait", go.receiver_count())));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = daemon.memory().unwrap_or_default();
    go.send_replace(true);
    let answers = tokio::time::timeout(PATIENCE, sends.join_all()).await.unwrap_or_default();
    Ok(Held {
        kib: after.saturating_sub(before) as f64 / 1024.0 / runs as f64,
        answered: answers.into_iter().filter(|done| *done).count(),
    })
}

/// Opens a stream and reads until its first text; returns that text's latency.
async fn first_text(call: reqwest::RequestBuilder) -> io::Result<(reqwest::Response, u64)> {
    let failed = |error: reqwest::Error| io::Error::other(error.to_string());
    let mut answer = call.send().await.map_err(failed)?;
    let mut text = String::new();
    loop {
        let piece = answer.chunk().await.map_err(failed)?;
        let piece = piece.ok_or_else(|| io::Error::other(format!("a stream ended: {text}")))?;
        let arrived = now();
        text.push_str(&String::from_utf8_lossy(&piece));
        let data = text.lines().find_map(|line| line.strip_prefix("data: {\"type\":\"chunk\","));
        let said = data.and_then(|data| data.split('"').nth(3)?.trim().parse::<u64>().ok());
        if let Some(said) = said {
            return Ok((answer, arrived.saturating_sub(said)));
        }
    }
}
