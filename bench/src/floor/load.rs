//! Load generators: closed loop, or at a fixed rate.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A text that makes the scripted model call its tools.
pub(crate) const TOOLS: &str = "with-both-tools";
/// A text that makes the scripted model write a long answer.
pub(crate) const LONG: &str = "at-full-length";
/// The number of events of a long answer.
pub(crate) const EVENTS: usize = 2_000;
/// Timeout of one call.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of call.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    message: String,
    /// Further header lines, with line ends.
    pub(crate) headers: String,
    /// The model that OpenAI's protocol names; the daemon's own protocol when empty.
    pub(crate) model: &'static str,
}

impl Work {
    fn of(name: &'static str, message: String) -> Self {
        let path = "/api/agents/send";
        Self { name, path, message, headers: String::new(), model: "" }
    }

    pub(crate) fn plain() -> Self {
        Self::of("plain", "What is there to do?".to_owned())
    }

    pub(crate) fn tools() -> Self {
        Self::of("tools", format!("Look and write it down, {TOOLS}."))
    }

    /// A call whose answer is long.
    pub(crate) fn long() -> Self {
        Self::of("long", format!("Tell me, {LONG}."))
    }

    /// A call in OpenAI's protocol, of this model.
    pub(crate) fn chat(model: &'static str, headers: String) -> Self {
        let path = "/v1/chat/completions";
        Self { path, model, headers, ..Self::plain() }
    }

    /// The body of the call with this number; each is a session of its own.
    pub(crate) fn body(&self, n: usize) -> Value {
        let user = format!("u{n}");
        if !self.model.is_empty() {
            let messages = [json!({ "role": "user", "content": self.message })];
            return json!({ "model": self.model, "user": user, "messages": messages });
        }
        json!({ "user_id": user, "session_key": format!("user:{user}:scout"),
            "message": self.message, "task_id": format!("t{n}") })
    }

    fn request(&self, n: usize) -> Vec<u8> {
        let body = self.body(n).to_string();
        format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
            {}content-length: {}\r\n\r\n{body}",
            self.path,
            self.headers,
            body.len()
        )
        .into_bytes()
    }
}

/// The result of a round.
pub(crate) struct Measured {
    pub(crate) done: usize,
    pub(crate) failed: usize,
    pub(crate) took: Duration,
    /// Sorted.
    times: Vec<Duration>,
}

impl Measured {
    fn of(mut times: Vec<Duration>, failed: usize, took: Duration) -> Self {
        times.sort_unstable();
        Self { done: times.len(), failed, took, times }
    }

    /// The latency within which this share was answered.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// A kept-alive connection that reads responses with minimal work.
pub(crate) struct Caller {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Caller {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Whether the answer was a success.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<bool> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::other("the connection ended"));
            }
            let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let text = String::from_utf8_lossy(&self.buffer[..head]).to_lowercase();
            let length = text
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            let length = length.ok_or_else(|| Error::other("no content-length"))?;
            if self.buffer.len() >= head + 4 + length {
                return Ok(text.starts_with("http/1.1 200"));
            }
        }
    }
}

/// Closed loop: calls again as soon as the response has arrived.
pub(crate) async fn closed(
    url: &str,
    work: &Work,
    callers: usize,
    lasts: Duration,
) -> Result<Measured> {
    let begun = Instant::now();
    let calls = (0..callers).map(|n| async move {
        let (mut caller, request) = (Caller::connect(url).await?, work.request(n));
        let (mut times, mut failed) = (Vec::new(), 0);
        while begun.elapsed() < lasts {
            let asked = Instant::now();
            match tokio::time::timeout(PATIENCE, caller.call(&request)).await {
                Ok(Ok(true)) => times.push(asked.elapsed()),
                _ => failed += 1,
            }
        }
        Ok::<_, Error>((times, failed))
    });
    let mut all = (Vec::new(), 0);
    for one in futures::future::join_all(calls).await {
        let (times, failed) = one?;
        all.0.extend(times);
        all.1 += failed;
    }
    Ok(Measured::of(all.0, all.1, begun.elapsed()))
}

/// Calls at a fixed rate. Latency counts from when a call was due, not from when a connection was
/// free: a late response delays those after it, too.
pub(crate) async fn paced(url: &str, work: &Work, rate: f64, lasts: Duration) -> Result<Measured> {
    let (due, queue) = mpsc::unbounded_channel::<Instant>();
    let queue = tokio::sync::Mutex::new(queue);
    let begun = Instant::now();
    let total = (rate * lasts.as_secs_f64()) as usize;
    let clock = async {
        for n in 0..total {
            let at = begun + Duration::from_secs_f64(n as f64 / rate);
            tokio::time::sleep_until(at.into()).await;
            let _ = due.send(at);
        }
        drop(due);
    };
    let callers = (0..super::CALLERS * 4).map(|n| {
        let queue = &queue;
        async move {
            let (mut caller, request) = (Caller::connect(url).await?, work.request(n));
            let (mut times, mut failed) = (Vec::new(), 0);
            loop {
                let Some(at) = queue.lock().await.recv().await else { break };
                match tokio::time::timeout(PATIENCE, caller.call(&request)).await {
                    Ok(Ok(true)) => times.push(at.elapsed()),
                    _ => failed += 1,
                }
            }
            Ok::<_, Error>((times, failed))
        }
    });
    let ((), told) = tokio::join!(clock, futures::future::join_all(callers));
    let mut all = (Vec::new(), 0);
    for one in told {
        let (times, failed) = one?;
        all.0.extend(times);
        all.1 += failed;
    }
    Ok(Measured::of(all.0, all.1, begun.elapsed()))
}

/// Events per second of streams that restart when they end.
pub(crate) async fn streams(url: &str, readers: usize, lasts: Duration) -> Result<f64> {
    let begun = Instant::now();
    let reads = (0..readers).map(|n| async move {
        let body = Work::long().body(n).to_string();
        let request = format!(
            "POST /api/agents/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
            content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut events = 0;
        while begun.elapsed() < lasts {
            let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut all = Vec::with_capacity(256 * 1024);
            stream.read_to_end(&mut all).await?;
            let text = String::from_utf8_lossy(&all);
            let told = text.matches("event: chunk").count();
            if !text.contains("event: done") || told == 0 {
                return Err(Error::other(format!("a stream ended early after {told} events")));
            }
            events += told;
        }
        Ok::<_, Error>(events)
    });
    let mut events = 0;
    for one in futures::future::join_all(reads).await {
        events += one?;
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}
