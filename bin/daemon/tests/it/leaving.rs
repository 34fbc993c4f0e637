//! Clients that disconnect, and clients that do not read. The model is a bare socket, so that the
//! test sees when its connection is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::harness::{World, message};

/// A timeout that is long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A model that starts a stream and then sends nothing more, or never stops sending.
struct Model {
    url: String,
    asked: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Model {
    async fn start(goes_on: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let model = Self { url, asked: Arc::clone(&asked), dropped: Arc::clone(&dropped) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (asked, dropped) = (Arc::clone(&asked), Arc::clone(&dropped));
                tokio::spawn(async move {
                    answer(socket, goes_on, &asked).await;
                    dropped.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        model
    }

    async fn world(&self, settings: &[(&str, &str)]) -> World {
        let mut all = vec![("OPENAI_BASE_URL", self.url.as_str())];
        all.extend(settings);
        World::with(&all, json!({})).await
    }
}

/// Waits until the other side has disconnected.
async fn answer(mut socket: TcpStream, goes_on: bool, asked: &AtomicUsize) {
    let mut request = vec![0; 64 * 1024];
    if socket.read(&mut request).await.unwrap_or(0) == 0 {
        return;
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "x".repeat(4096) } }] });
    let mut text = format!("{head}data: {chunk}\n\n");
    while socket.write_all(text.as_bytes()).await.is_ok() {
        if !goes_on {
            // Nothing more is sent: this waits for the end of the connection.
            let _ = socket.read(&mut request).await;
            return;
        }
        text = format!("data: {chunk}\n\n");
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waited = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, waited).await.is_ok(), "{what}");
}

async fn in_flight(world: &World) -> Option<String> {
    let text = world.daemon.get("/metrics").await.text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix("wombat_runs_in_flight ").map(str::to_owned))
}

#[tokio::test]
async fn a_reader_that_leaves_its_stream_ends_the_run_and_the_call_of_the_model() {
    let model = Model::start(false).await;
    let world = model.world(&[]).await;
    let mut response =
        world.daemon.post("/api/agents/stream", &message(json!({}))).send().await.unwrap();
    // The run has started and the model was called.
    until("the model is asked", async || model.asked.load(Ordering::SeqCst) == 1).await;
    response.chunk().await.unwrap();
    drop(response);
    until("the model's connection is dropped", async || model.dropped.load(Ordering::SeqCst) == 1)
        .await;
    until("the run is gone", async || in_flight(&world).await.as_deref() == Some("0")).await;
    assert!(world.backend_got("POST", "/messages").await.is_empty());
    let usage: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert!(usage["estimatedTokens"].as_u64().unwrap() > 0, "{usage}");
}

#[tokio::test]
async fn a_send_without_a_key_ends_with_its_caller_and_one_with_a_key_does_not() {
    let model = Model::start(false).await;
    let world = model.world(&[]).await;
    for (more, goes_on) in [(json!({}), false), (json!({ "idempotency_key": "k" }), true)] {
        let before = model.dropped.load(Ordering::SeqCst);
        let asked = model.asked.load(Ordering::SeqCst);
        let call = world.daemon.post("/api/agents/send", &message(more)).send();
        let call = tokio::spawn(call);
        until("the model is asked", async || model.asked.load(Ordering::SeqCst) > asked).await;
        call.abort();
        if goes_on {
            sleep(Duration::from_millis(300)).await;
            assert_eq!(model.dropped.load(Ordering::SeqCst), before);
            assert_eq!(in_flight(&world).await.as_deref(), Some("1"));
        } else {
            until("the call is dropped", async || model.dropped.load(Ordering::SeqCst) > before)
                .await;
        }
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nothing_beyond_the_runs_time() {
    let model = Model::start(true).await;
    let world = model.world(&[("WOMBAT_RUN_TIMEOUT_SECS", "1")]).await;
    let address = world.daemon.url.strip_prefix("http://").unwrap().to_owned();
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let body = message(json!({})).to_string();
    let request = format!(
        "POST /api/agents/stream HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    until("the model is asked", async || model.asked.load(Ordering::SeqCst) == 1).await;
    until("the run is over", async || in_flight(&world).await.as_deref() == Some("0")).await;
    until("the model's connection is dropped", async || model.dropped.load(Ordering::SeqCst) == 1)
        .await;
    // A client that reads on finds the earlier events and the end of the run.
    let mut text = Vec::new();
    let read = timeout(PATIENCE, async {
        let mut buffer = vec![0; 64 * 1024];
        while !String::from_utf8_lossy(&text).contains("run_timeout") {
            let n = socket.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the stream ended without its last event");
            text.extend_from_slice(&buffer[..n]);
        }
    });
    assert!(read.await.is_ok());
}

#[tokio::test]
async fn who_joined_a_run_that_was_left_takes_its_place() {
    let model = Model::start(false).await;
    let world = model.world(&[]).await;
    let body = message(json!({ "idempotency_key": "k", "limits": { "timeout_secs": 3 } }));
    let stream = world.daemon.post("/api/agents/stream", &body).send().await.unwrap();
    until("the model is asked", async || model.asked.load(Ordering::SeqCst) == 1).await;
    let joined = tokio::spawn(world.daemon.post("/api/agents/send", &body).send());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(model.asked.load(Ordering::SeqCst), 1);
    drop(stream);
    // It calls the model itself and gets its own result.
    until("the model is asked again", async || model.asked.load(Ordering::SeqCst) == 2).await;
    let answer = joined.await.unwrap().unwrap();
    assert_eq!(answer.status(), 504);
}
