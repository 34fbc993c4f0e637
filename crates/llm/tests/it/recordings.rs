//! Recording real answers, and answering from the recordings.

use llm::model::{ModelRef, Provider};
use llm::request::Message;
use llm::{CallContext, LlmClient, LlmErrorKind, LlmSettings};

use crate::server::{Reply, Server, client, drain, hello, request, settings};

fn recording(server: &Server, dir: &std::path::Path) -> LlmClient {
    let settings = settings(Provider::OpenAi, "gpt-4o-mini", &format!("{}/v1", server.url));
    client(LlmSettings { record_dir: Some(dir.to_owned()), ..settings })
}

fn replaying(dir: &std::path::Path) -> LlmClient {
    let settings = LlmSettings::new(ModelRef::new(Provider::OpenAi, "gpt-4o-mini"));
    client(LlmSettings { replay_dir: Some(dir.to_owned()), ..settings })
}

fn spoken(text: &str) -> CallContext {
    CallContext {
        role: "scout".to_owned(),
        user_text: Some(text.to_owned()),
        ..CallContext::default()
    }
}

#[tokio::test]
async fn what_was_recorded_is_answered_again_without_a_provider_and_a_key() {
    let (server, dir) =
        (Server::start([Reply::chat("Recorded")]).await, tempfile::tempdir().unwrap());
    let client = recording(&server, dir.path());
    let asked = request(&client, vec![Message::system("one"), Message::user("10:00 Hello")]);
    let first = client.complete(&asked, &spoken("Hello")).await.unwrap();
    // Readable, and without the key.
    let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(file).unwrap();
    assert!(
        text.contains("10:00 Hello") && text.contains("Recorded") && !text.contains("canary"),
        "{text}"
    );
    let client = replaying(dir.path());
    assert!(client.configured());
    // Another time, another workspace.
    let asked = request(&client, vec![Message::system("two"), Message::user("11:00 Hello")]);
    assert_eq!(client.complete(&asked, &spoken("Hello")).await.unwrap(), first);
    let call = spoken("Hello");
    let mut events = client.stream(asked.clone(), call);
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event.unwrap());
    }
    assert_eq!(last, Some(llm::event::StreamEvent::Done(Box::new(first))));
    assert_eq!(server.asked().len(), 1);
    let other = client.complete(&asked, &spoken("Something else")).await.unwrap_err();
    assert_eq!(other.kind, LlmErrorKind::InvalidRequest);
    assert!(other.message.contains("record it first"), "{}", other.message);
}

#[tokio::test]
async fn a_stream_is_recorded_as_a_whole_and_a_broken_one_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let piece =
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    let broken = Server::start([Reply::events(&[piece])]).await;
    let client = recording(&broken, dir.path());
    drain(&client, hello(&client)).await.1.unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let whole = Server::start([Reply::events(&[piece, "data: [DONE]"])]).await;
    let client = recording(&whole, dir.path());
    drain(&client, hello(&client)).await.1.unwrap();
    let client = replaying(dir.path());
    assert_eq!(drain(&client, hello(&client)).await.1.unwrap().message.text, "Hi");
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let of = |record: Option<&str>, replay: Option<&str>| {
        let settings = LlmSettings {
            record_dir: record.map(Into::into),
            replay_dir: replay.map(Into::into),
            ..LlmSettings::new(ModelRef::new(Provider::Offline, "offline"))
        };
        LlmClient::new(settings, reqwest::Client::new()).unwrap_err().to_string()
    };
    assert!(of(None, Some("/nowhere/x")).starts_with("LLM_REPLAY_DIR: /nowhere/x cannot be read"));
    assert!(of(Some("/proc/x"), None).starts_with("LLM_RECORD_DIR: /proc/x cannot be written"));
    assert!(of(Some("/tmp"), Some("/tmp")).contains("set only one of them"));
}

#[tokio::test]
async fn tests_have_recordings_of_their_own() {
    let replies = [Reply::chat("of one"), Reply::chat("of the other"), Reply::chat("of none")];
    let (server, dir) = (Server::start(replies).await, tempfile::tempdir().unwrap());
    let client = recording(&server, dir.path());
    let asked = request(&client, vec![Message::user("Hello")]);
    let of = |case: Option<&str>| CallContext { case: case.map(str::to_owned), ..spoken("Hello") };
    for case in [Some("one"), Some("other"), None] {
        client.complete(&asked, &of(case)).await.unwrap();
    }
    let client = replaying(dir.path());
    for (case, text) in [
        (Some("other"), "of the other"),
        (Some("one"), "of one"),
        (Some("new"), "of none"),
        (None, "of none"),
    ] {
        let answer = client.complete(&asked, &of(case)).await.unwrap();
        assert_eq!(answer.message.text, text, "{case:?}");
    }
}
