//! Images and PDFs through each provider's strict server: natively where the model reads them, else as a
//! text; in tool results, after a fallback, after a refusal, in recordings and in the offline script.

use std::io::Write as _;

use llm::model::{ModelRef, Provider};
use llm::request::{LlmRequest, Message};
use llm::{CallContext, LlmClient, LlmSettings, Media, MediaKind, MediaUse, NotSent};
use serde_json::json;
use test_support::strict::Profile;
use test_support::strict_llm::{Answer, StrictLlm};

use crate::server::{client, request, weather};
use crate::strict::settings_for;

/// A picture of so many pixels, and its own bytes.
pub(crate) fn png(name: &str) -> Media {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20\0\0\0\x20".to_vec();
    bytes.extend(name.bytes());
    Media::new(name, "image/png", bytes)
}

pub(crate) fn pdf(name: &str) -> Media {
    let body = format!("%PDF-1.4\n1 0 obj <</Type /Page>> % {name}");
    Media::new(name, "application/pdf", body.into_bytes())
}

/// A model of the profile that reads images.
pub(crate) fn model(profile: Profile) -> &'static str {
    match profile {
        Profile::Groq => "meta-llama/llama-4-scout-17b-16e-instruct",
        Profile::Kimi => "kimi-vl-a3b",
        Profile::Ollama => "llava:7b",
        Profile::Template => "qwen3-vl-8b",
        other => other.model(),
    }
}

fn seeing(profile: Profile, server: &StrictLlm) -> LlmClient {
    let mut settings = settings_for(profile, &server.base_url());
    model(profile).clone_into(&mut settings.default.name);
    // No table knows Moonshot's models.
    settings.image_models = vec![ModelRef::new(Provider::OpenAi, "kimi-vl*")];
    client(settings)
}

/// Whether models of the profile get PDFs.
fn reads_pdfs(profile: Profile) -> bool {
    !matches!(
        profile,
        Profile::Xai | Profile::Groq | Profile::Kimi | Profile::Ollama | Profile::Template
    )
}

fn hashes(media: &[Media]) -> Vec<&str> {
    media.iter().map(Media::sha256).collect()
}

/// The hashes of what a server got.
fn got(server: &StrictLlm) -> Vec<(String, String)> {
    let all = server.media().into_iter();
    all.map(|item| {
        let bytes = item.bytes().expect("valid base64");
        let again = Media::new("", item.media_type, bytes);
        (item.place, again.sha256().to_owned())
    })
    .collect()
}

#[tokio::test]
async fn an_image_and_a_pdf_reach_every_provider_in_its_own_form() {
    for profile in Profile::ALL {
        let name = profile.name();
        let server = StrictLlm::start(profile, [Answer::text("A cat.")]).await;
        let client = seeing(profile, &server);
        let media = vec![png("cat.png"), pdf("a.pdf"), png("cat.png")];
        let asked = request(&client, vec![Message::user_with("What is it?", media.clone())]);
        let call = CallContext::default();
        client.complete(&asked, &call).await.unwrap();
        let sent: Vec<String> = got(&server).into_iter().map(|(_, hash)| hash).collect();
        let wanted = if reads_pdfs(profile) { &media[..2] } else { &media[..1] };
        assert_eq!(sent, hashes(wanted), "{name}");
        let body = server.asked()[0].body.to_string();
        assert!(body.contains("[image cat.png]"), "{name}");
        assert!(body.contains("[image cat.png again, as above]"), "{name}");
        assert_eq!(body.contains("a.pdf (application/pdf, "), !reads_pdfs(profile), "{name}");
        let shown = call.shown.by_hash();
        assert_eq!(shown.len(), 2, "{name}");
        let image = &shown[media[0].sha256()];
        assert!(matches!(image, MediaUse::Sent(_) | MediaUse::Repeated(_)), "{name} {image:?}");
        let expected = match reads_pdfs(profile) {
            true => MediaUse::Sent(MediaKind::Document),
            false => MediaUse::Named(NotSent::NotRead(MediaKind::Document)),
        };
        let document = &shown[media[1].sha256()];
        // Of a model that the operator names, no more is known.
        assert!(*document == expected, "{name} {document:?}");
    }
}

#[tokio::test]
async fn results_with_images_and_pdfs_are_taken_by_every_provider() {
    for profile in Profile::ALL {
        let name = profile.name();
        let calls = Answer::calls(&[
            ("weather", json!({ "place": "A" })),
            ("weather", json!({ "place": "B" })),
        ]);
        let server = StrictLlm::start(profile, [calls, Answer::text("Sun.")]).await;
        let client = seeing(profile, &server);
        let mut asked = request(&client, vec![Message::user("Rain?")]);
        asked.tools = vec![weather()].into();
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        let calls = answer.message.tool_calls.clone();
        asked.messages.push(Message::Assistant(answer.message));
        let media = [vec![png("map.png"), pdf("b.pdf")], vec![png("sky.png")]];
        for (call, media) in calls.into_iter().zip(media.clone()) {
            asked.messages.push(Message::tool_with(call.id, call.name, "see the map", media));
        }
        asked.messages.push(Message::user("And?"));
        client.complete(&asked, &CallContext::default()).await.unwrap();
        let wanted: Vec<&str> = media.iter().flat_map(|all| hashes(all)).collect();
        let wanted: Vec<&str> = match reads_pdfs(profile) {
            true => wanted,
            false => vec![wanted[0], wanted[2]],
        };
        let got = got(&server);
        let sent: Vec<&str> = got.iter().map(|(_, hash)| hash.as_str()).collect();
        assert_eq!(sent, wanted, "{name}");
        let is_native =
            matches!(profile, Profile::Anthropic | Profile::Responses | Profile::Gemini);
        let place = if is_native { "tool" } else { "user" };
        assert!(got.iter().all(|(stands, _)| stands == place), "{name}: {got:?}");
        let body = server.asked()[1].body.to_string();
        assert_eq!(
            body.contains("map.png] is part of the result of weather."),
            !is_native,
            "{name}"
        );
    }
}

#[tokio::test]
async fn older_geminis_get_what_results_hold_from_the_user() {
    let server = StrictLlm::start(Profile::Gemini, [Answer::text("Fine.")]).await;
    let client = seeing(Profile::Gemini, &server);
    let call = llm::request::ToolCall {
        id: "1".into(),
        name: "weather".into(),
        arguments: json!({}),
        provider_state: None,
    };
    let turn = llm::request::AssistantMessage { tool_calls: vec![call], ..Default::default() };
    let messages = vec![
        Message::user("Rain?"),
        Message::Assistant(turn),
        Message::tool_with("1", "weather", "", vec![png("map.png")]),
    ];
    let mut asked = request(&client, messages);
    asked.tools = vec![weather()].into();
    asked.model = ModelRef::new(Provider::Google, "gemini-2.5-flash");
    client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(got(&server)[0].0, "user");
}

/// Text models get a line, and the text where there is one.
#[tokio::test]
async fn a_fallback_gets_a_request_of_its_own() {
    let down = Answer::raw(503, json!({ "error": { "message": "overloaded" } }));
    let first = StrictLlm::start(Profile::OpenAi, [down]).await;
    let second = StrictLlm::start(Profile::Groq, [Answer::text("I cannot see.")]).await;
    let mut settings = settings_for(Profile::OpenAi, &first.base_url());
    settings.retry.attempts = 1;
    let other = settings_for(Profile::Groq, &second.base_url());
    settings.fallback = Some(other.default.clone());
    settings.endpoints.extend(other.endpoints);
    let client = client(settings);
    let media = vec![png("cat.png"), pdf("a.pdf").with_text("the words of a.pdf")];
    let asked = request(&client, vec![Message::user_with("What?", media.clone())]);
    let call = CallContext::default();
    client.complete(&asked, &call).await.unwrap();
    assert_eq!((got(&first).len(), got(&second).len()), (2, 0));
    let body = second.asked()[0].body["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(body.contains("[image cat.png (image/png, 31 bytes) is attached, but you cannot see it: this model reads no images.]"), "{body}");
    assert!(body.contains("the words of a.pdf") && !body.contains("base64"), "{body}");
    let shown = call.shown.by_hash();
    assert_eq!(shown[media[0].sha256()], MediaUse::Named(NotSent::NotRead(MediaKind::Image)));
    assert_eq!(shown[media[1].sha256()], MediaUse::Text);
}

#[tokio::test]
async fn a_refused_image_fails_no_call() {
    for (profile, status, body) in [
        (
            Profile::Anthropic,
            400,
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "Could not process image" } }),
        ),
        (
            Profile::OpenAi,
            400,
            json!({ "error": { "message": "something new", "type": "invalid_request_error" } }),
        ),
        (
            Profile::Gemini,
            413,
            json!({ "error": { "code": 413, "message": "Request payload size exceeds the limit", "status": "INVALID_ARGUMENT" } }),
        ),
    ] {
        let name = profile.name();
        let server =
            StrictLlm::start(profile, [Answer::raw(status, body), Answer::text("Fine.")]).await;
        let client = seeing(profile, &server);
        let media = png("broken.png");
        let asked = request(&client, vec![Message::user_with("What?", vec![media.clone()])]);
        let call = CallContext::default();
        let answer = client.complete(&asked, &call).await.unwrap();
        assert_eq!((answer.message.text.as_str(), server.asked_so_far()), ("Fine.", 2), "{name}");
        assert!(server.media().is_empty(), "{name}");
        let told = server.asked()[1].body.to_string();
        assert!(
            told.contains("broken.png") && told.contains("provider refused it"),
            "{name}: {told}"
        );
        assert_eq!(
            call.shown.by_hash()[media.sha256()],
            MediaUse::Named(NotSent::Refused),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_unknown_model_gets_files_only_if_the_operator_says_so() {
    let server = StrictLlm::start(Profile::OpenAi, [Answer::text("Fine.")]).await;
    let mut settings = settings_for(Profile::OpenAi, &server.base_url());
    "my-eyes-2".clone_into(&mut settings.default.name);
    for (known, sent) in
        [(Vec::new(), 0), (vec![ModelRef::parse_pattern("my-eyes*", Provider::OpenAi).unwrap()], 1)]
    {
        let client = client(LlmSettings { image_models: known, ..settings.clone() });
        let asked = request(&client, vec![Message::user_with("What?", vec![png("a.png")])]);
        client.complete(&asked, &CallContext::default()).await.unwrap();
        assert_eq!(server.media().len(), sent);
        assert_eq!(client.media_support(&asked.model).reads(MediaKind::Image), sent == 1);
    }
    assert!(ModelRef::parse("my-eyes*", Provider::OpenAi).is_err());
}

/// Twenty megabytes, as a request may bring them.
#[tokio::test]
async fn large_files_are_sent_whole() {
    let server = StrictLlm::start(Profile::OpenAi, [Answer::text("Long.")]).await;
    let client = seeing(Profile::OpenAi, &server);
    let mut bytes = b"%PDF-1.4 <</Type /Page>> ".to_vec();
    bytes.resize(20 << 20, 7);
    let media = Media::new("long.pdf", "application/pdf", bytes);
    let asked = request(&client, vec![Message::user_with("Sum up.", vec![media.clone()])]);
    client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(got(&server), [("user".to_owned(), media.sha256().to_owned())]);
}

fn offline(folder: &std::path::Path, is_replay: bool) -> LlmClient {
    let mut settings = LlmSettings::new(ModelRef::new(Provider::Offline, "offline"));
    let place = if is_replay { &mut settings.replay_dir } else { &mut settings.record_dir };
    *place = Some(folder.to_owned());
    client(settings)
}

#[tokio::test]
async fn recordings_hold_hashes_and_tell_files_apart() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |client: &LlmClient, media| -> LlmRequest {
        request(client, vec![Message::user_with("hello", vec![media])])
    };
    let recorder = offline(folder.path(), false);
    let media = png("cat.png");
    recorder.complete(&ask(&recorder, media.clone()), &CallContext::default()).await.unwrap();
    let written = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let written = std::fs::read_to_string(written).unwrap();
    assert!(written.contains(media.sha256()) && !written.contains("IHDR"), "{written}");
    let player = offline(folder.path(), true);
    let call = CallContext::default();
    player.complete(&ask(&player, media), &call).await.unwrap();
    player.complete(&ask(&player, png("dog.png")), &call).await.unwrap_err();
}

#[tokio::test]
async fn a_script_sees_which_files_came() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let script = "rules:
  - when: {user: '\\[image (.+)\\]$'}
    say: 'I see {1}: {user}'
  - when: {files: 'document'}
    say: 'read {files}'
  - when: {tool: look, result: 'image map'}
    say: 'a map'
  - when: {user: '^plain$'}
    say: 'no file'
";
    file.write_all(script.as_bytes()).unwrap();
    let mut settings = LlmSettings::new(ModelRef::new(Provider::Offline, "offline"));
    settings.offline_script = Some(file.path().into());
    let client = client(settings);
    let call = CallContext::default();
    let mut said = Vec::new();
    for messages in [
        vec![Message::user_with("what?", vec![png("cat.png")])],
        vec![Message::user_with("what?", vec![png("cat.png"), pdf("a.pdf")])],
        vec![Message::user("plain")],
        vec![Message::user("look"), Message::tool_with("1", "look", "here", vec![png("map.png")])],
    ] {
        let answer = client.complete(&request(&client, messages), &call).await.unwrap();
        said.push(answer.message.text);
    }
    assert_eq!(
        said,
        ["I see cat.png: what?", "read [image cat.png] [document a.pdf]", "no file", "a map"]
    );
    let scripted = client.media_support(&ModelRef::new(Provider::Offline, "x"));
    assert!(scripted.reads(MediaKind::Document));
    let built_in = LlmSettings::new(ModelRef::new(Provider::Offline, "offline"));
    let built_in = crate::server::client(built_in);
    let asked = request(&built_in, vec![Message::user_with("Hello!", vec![png("cat.png")])]);
    let answer = built_in.complete(&asked, &call).await.unwrap();
    assert!(answer.message.text.starts_with("You attached [image cat.png];"), "{answer:?}");
}
