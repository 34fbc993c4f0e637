//! What providers really answered, replayed: the client must read it as an independent decoder
//! does, in whatever pieces it comes, and must never take a part for the whole.
//!
//! `make recordings` collects the answers; `WOMBAT_TEST_RECORDINGS` names the file.

mod decode;
mod serve;

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt as _;
use llm::model::{ModelRef, Provider};
use llm::{
    CallContext, Endpoint, LlmClient, LlmError, LlmErrorKind, LlmSettings, OpenAiApi, RetrySettings,
};
use serde::Deserialize;

use crate::server::{drain, hello};
use decode::Said;

#[derive(Debug, Deserialize)]
struct Recording {
    source: String,
    wire: String,
    stream: bool,
    status: u16,
    retry_after: Option<String>,
    body: String,
}

/// How many exchanges are under way at once.
const AT_ONCE: usize = 16;

fn recordings() -> Option<Arc<Vec<Recording>>> {
    let Some(file) = std::env::var_os("WOMBAT_TEST_RECORDINGS") else {
        test_support::lacks("a collection of recorded answers of providers", "recordings");
        return None;
    };
    let text = std::fs::read_to_string(file).unwrap();
    let found: Vec<Recording> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(found.len() > 1000, "{} recordings are too few to be all", found.len());
    Some(Arc::new(found))
}

/// Asks for a recording, delivered in this way.
struct Replay {
    url: String,
    http: reqwest::Client,
    recordings: Arc<Vec<Recording>>,
}

impl Replay {
    async fn start() -> Option<Self> {
        let recordings = recordings()?;
        let url = serve::start(recordings.clone()).await;
        Some(Self { url, http: reqwest::Client::new(), recordings })
    }

    fn client(&self, number: usize, how: &str) -> LlmClient {
        let (provider, model, version) = match self.recordings[number].wire.as_str() {
            "chat" | "responses" => (Provider::OpenAi, "gpt-4o-mini", "/v1"),
            "anthropic" => (Provider::Anthropic, "claude-sonnet-4-5", ""),
            _ => (Provider::Google, "gemini-2.5-flash", ""),
        };
        let endpoint = Endpoint {
            base_url: Some(format!("{}/{number}/{how}{version}", self.url)),
            api_key: Some("sk-canary".to_owned().into()),
        };
        let is_responses = self.recordings[number].wire == "responses";
        let settings = LlmSettings {
            endpoints: HashMap::from([(provider, endpoint)]),
            openai_api: if is_responses { OpenAiApi::Responses } else { OpenAiApi::Chat },
            retry: RetrySettings { attempts: 1, ..RetrySettings::default() },
            ..LlmSettings::new(ModelRef::new(provider, model))
        };
        LlmClient::new(settings, self.http.clone()).unwrap()
    }

    async fn ask(&self, number: usize, how: &str) -> Result<Said, LlmError> {
        let client = self.client(number, how);
        let request = hello(&client);
        let answer = if self.recordings[number].stream {
            let (texts, end) = drain(&client, request).await;
            if let Ok(answer) = &end {
                assert_eq!(texts.concat(), answer.message.text, "the texts are the message");
            }
            end?
        } else {
            client.complete(&request, &CallContext::default()).await?
        };
        let usage = answer.usage;
        let calls = answer.message.tool_calls.into_iter();
        Ok(Said {
            text: answer.message.text,
            calls: calls.map(|call| (call.name, call.arguments)).collect(),
            finish: answer.finish_reason.as_str(),
            usage: [
                usage.prompt_tokens,
                usage.completion_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
            ],
        })
    }

    /// Asks for many, and gives what is wrong with each answer.
    async fn check<F>(&self, asked: Vec<(usize, String)>, wrong: F) -> Vec<String>
    where
        F: Fn(usize, &Result<Said, LlmError>) -> Option<String>,
    {
        let answers = futures::stream::iter(asked.into_iter().map(|(number, how)| async move {
            let answer = self.ask(number, &how).await;
            (number, how, answer)
        }));
        let mut answers = answers.buffer_unordered(AT_ONCE);
        let mut found = Vec::new();
        while let Some((number, how, answer)) = answers.next().await {
            if let Some(what) = wrong(number, &answer) {
                let recording = &self.recordings[number];
                found.push(format!("{} {} ({how}): {what}", recording.wire, recording.source));
            }
        }
        found
    }

    fn numbers(&self, wanted: impl Fn(&Recording) -> bool) -> Vec<usize> {
        (0..self.recordings.len()).filter(|n| wanted(&self.recordings[*n])).collect()
    }

    fn said(&self, number: usize) -> Option<Said> {
        let recording = &self.recordings[number];
        decode::said(&recording.wire, recording.stream, &recording.body)
    }
}

/// What differs between what was read and what stands there.
fn difference(read: &Result<Said, LlmError>, there: Option<&Said>) -> Option<String> {
    match (read, there) {
        (Ok(read), Some(there)) if read == there => None,
        (Ok(read), Some(there)) => {
            let mut parts = Vec::new();
            if read.text != there.text {
                parts.push(format!("text {:?} is {:?}", head(&there.text), head(&read.text)));
            }
            if read.calls != there.calls {
                parts.push(format!("calls {:?} are {:?}", there.calls, read.calls));
            }
            if read.finish != there.finish {
                parts.push(format!("finish {} is {}", there.finish, read.finish));
            }
            if read.usage != there.usage {
                parts.push(format!("usage {:?} is {:?}", there.usage, read.usage));
            }
            Some(parts.join("; "))
        }
        (Err(_), None) => None,
        (Err(error), Some(_)) => Some(format!("{:?}: {}", error.kind, error.cause)),
        (Ok(read), None) => Some(format!("an error was read as {:?}", head(&read.text))),
    }
}

fn head(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Recorded errors: their kind, told by hand from their status and words.
fn kind(recording: &Recording) -> LlmErrorKind {
    let auth = |variable| LlmErrorKind::Auth { variable: Some(variable) };
    let says = |text: &str| recording.body.contains(text);
    match (recording.status, recording.wire.as_str()) {
        (401, "anthropic") => auth("ANTHROPIC_API_KEY"),
        (401, _) => auth("OPENAI_API_KEY"),
        (400, "gemini") if says("API key not valid") => auth("GEMINI_API_KEY"),
        (400, _) if says("tool_use_failed") => LlmErrorKind::BadAnswer,
        (404, _) => LlmErrorKind::Rejected,
        (400, _) if says("model_not_found") || says("was provided without its required") => {
            LlmErrorKind::Rejected
        }
        (400, _) => LlmErrorKind::InvalidRequest,
        (429, _) if says("insufficient_quota") => LlmErrorKind::QuotaExhausted,
        (429 | 500.., _) => LlmErrorKind::Unavailable,
        (status, wire) => panic!("no kind is known for {wire} {status}: {}", recording.source),
    }
}

fn assert_none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} wrong, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_answers_are_read_as_they_stand() {
    let Some(replay) = Replay::start().await else { return };
    let numbers = replay.numbers(|recording| recording.status < 300);
    let asked = numbers.iter().map(|number| (*number, "whole".to_owned())).collect();
    let wrong = replay.check(asked, |n, read| difference(read, replay.said(n).as_ref())).await;
    assert_none(&wrong);
}

/// Streams that are too long to be cut at every event within a test's time; they hold pictures.
const LONG: usize = 200_000;
/// Streams that are short enough to be sent byte by byte: most.
const SHORT: usize = 12_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_any_size_make_the_same_answer() {
    let Some(replay) = Replay::start().await else { return };
    let numbers = replay.numbers(|r| r.status < 300 && r.stream && r.body.len() < LONG);
    let mut asked = Vec::new();
    for number in numbers {
        asked.push((number, format!("random-{number}")));
        if replay.recordings[number].body.len() < SHORT {
            asked.push((number, "bytes".to_owned()));
        }
    }
    let wrong = replay.check(asked, |n, read| difference(read, replay.said(n).as_ref())).await;
    assert_none(&wrong);
}

/// At how many bytes that are no boundaries each stream is cut.
const ANYWHERE: usize = 12;

/// Gemini marks the end by a reason to stop alone, and its own tools end a part of an answer with
/// one as well: a cut just there cannot be told from an end. With chat and Anthropic, a reason and usage are one.
fn is_whole_by_protocol(wire: &str, part: &[u8]) -> bool {
    let text = String::from_utf8_lossy(part);
    // An event that is not whole is none.
    let end =
        ["\n\n", "\r\n\r\n"].iter().filter_map(|blank| Some(text.rfind(blank)? + blank.len()));
    let events = decode::events(&text[..end.max().unwrap_or_default()]);
    match wire {
        "gemini" => events.last().is_some_and(|(_, data)| data.contains("\"finishReason\"")),
        "chat" => decode::has_reason_and_usage(&events),
        "anthropic" => decode::has_stop_reason_and_usage(&events),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_stream_is_an_error_wherever_it_ends() {
    let Some(replay) = Replay::start().await else { return };
    let numbers = replay.numbers(|r| r.status < 300 && r.stream && r.body.len() < LONG);
    let (mut asked, mut whole) = (Vec::new(), Vec::new());
    for number in numbers {
        let recording = &replay.recordings[number];
        let ends: Vec<usize> = decode::events(&recording.body).iter().map(|(at, _)| *at).collect();
        let Some((_last, ends)) = ends.split_last() else { continue };
        let mut cut = |how: &str, at: usize| {
            let is_whole = is_whole_by_protocol(&recording.wire, &recording.body.as_bytes()[..at]);
            match (is_whole, recording.wire.as_str(), how) {
                (true, "chat" | "anthropic", "cut") => whole.push((number, format!("cut-{at}"))),
                (true, "gemini", _) => {}
                _ => asked.push((number, format!("{how}-{at}"))),
            }
        };
        cut("cut", 0);
        // Every boundary before the last event, and some bytes anywhere before it.
        for at in ends {
            cut("cut", *at);
        }
        let limit = ends.last().copied().unwrap_or(1);
        for turn in 1..=ANYWHERE {
            let somewhere = (number + turn).wrapping_mul(2_654_435_761) % limit;
            cut(if turn % 2 == 0 { "cut" } else { "break" }, somewhere);
        }
    }
    eprintln!("{} parts of streams, {} wholes without an end mark", asked.len(), whole.len());
    assert!(whole.len() > 100, "{}", whole.len());
    let differs = replay.check(whole, |n, read| difference(read, replay.said(n).as_ref())).await;
    assert_none(&differs);
    let wrong = replay
        .check(asked, |_, read| match read {
            Err(error) => match error.kind {
                LlmErrorKind::BadAnswer | LlmErrorKind::Unavailable => None,
                // The answer says itself that it failed.
                LlmErrorKind::InvalidRequest | LlmErrorKind::Rejected if error.status.is_some() => {
                    None
                }
                ref other => Some(format!("{other:?}: {}", error.cause)),
            },
            Ok(said) => Some(format!("a success: {:?} {:?}", head(&said.text), said.calls)),
        })
        .await;
    assert_none(&wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_errors_are_told_apart() {
    let Some(replay) = Replay::start().await else { return };
    let numbers = replay.numbers(|recording| recording.status >= 400);
    assert!(numbers.len() > 20, "{}", numbers.len());
    let asked = numbers.iter().map(|number| (*number, "whole".to_owned())).collect();
    let wrong = replay
        .check(asked, |number, read| {
            let recording = &replay.recordings[number];
            match read {
                Err(error) if error.kind == kind(recording) => None,
                Err(error) => Some(format!("{} is {:?}", recording.status, error.kind)),
                Ok(said) => Some(format!("a success: {:?}", head(&said.text))),
            }
        })
        .await;
    assert_none(&wrong);
}
