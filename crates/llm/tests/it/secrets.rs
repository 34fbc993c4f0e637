//! Keys stay where they are: in no error, no log, no recording, whoever repeats them.

use std::cell::RefCell;
use std::io::Write;

use llm::model::Provider;
use llm::{CallContext, LlmSettings};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::server::{Reply, Server, client, drain, hello, settings};

/// The key that [`settings`] sets.
const CANARY: &str = "canary";

thread_local! {
    /// What was logged on this thread, once somebody listens. The subscriber is the whole process's, for one
    /// that a thread has for itself misses what another thread's test has met first.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What a server can say that repeats the key.
fn repeating() -> Vec<Reply> {
    let error = json!({ "error": { "message": "the key sk-canary is bad", "code": "sk-canary", "type": "sk-canary" } });
    let event = format!("data: {error}");
    vec![
        Reply::json(400, &error),
        Reply::json(401, &error),
        Reply::json(403, &json!("sk-canary")),
        Reply::json(429, &error),
        Reply::json(500, &error).header("x-echo", "sk-canary"),
        Reply::json(200, &error),
        Reply::json(200, &json!({ "sk-canary": 1 })),
        Reply::events(&[&event]),
        Reply::events(&["data: sk-canary"]),
        Reply::events(&[&event]).cut(),
    ]
}

#[tokio::test]
async fn no_key_shows_in_errors_logs_or_recordings() {
    LOG.set(Some(Vec::new()));
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(Log).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let recordings = tempfile::tempdir().unwrap();
    for provider in Provider::ALL {
        if provider == Provider::Offline {
            continue;
        }
        for reply in repeating() {
            let server = Server::start([reply]).await;
            let mut settings = LlmSettings {
                record_dir: Some(recordings.path().to_owned()),
                ..settings(provider, "a-model", &server.url)
            };
            settings.retry.attempts = 2;
            let client = client(settings);
            let whole = client.complete(&hello(&client), &CallContext::default()).await;
            let streamed = drain(&client, hello(&client)).await.1;
            for error in [whole.unwrap_err(), streamed.unwrap_err()] {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(CANARY), "{provider}: {shown}");
            }
            let asked = server.asked();
            let headers = format!("{:?}", asked[0].headers);
            // It did go where it belongs, and into no address.
            assert!(
                asked[0]
                    .headers
                    .values()
                    .any(|value| { value.to_str().is_ok_and(|value| value.contains(CANARY)) }),
                "{provider}: {headers}"
            );
            assert!(!asked[0].path.contains(CANARY) && !asked[0].body.to_string().contains(CANARY));
        }
    }
    let server = Server::start([Reply::chat("Hi")]).await;
    let client = client(LlmSettings {
        record_dir: Some(recordings.path().to_owned()),
        ..settings(Provider::Groq, "a-model-without-a-price", &server.url)
    });
    client.complete(&hello(&client), &CallContext::default()).await.unwrap();
    client.complete(&hello(&client), &CallContext::default()).await.unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(recordings.path()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(CANARY), "{text}");
        files += 1;
    }
    assert_eq!(files, 1);
    let log = String::from_utf8(LOG.take().unwrap_or_default()).unwrap();
    assert!(log.contains("retrying after a delay"), "{log}");
    assert!(!log.contains(CANARY), "{log}");
    // A missing price is logged once.
    assert_eq!(log.matches("no price is known").count(), 1, "{log}");
}
