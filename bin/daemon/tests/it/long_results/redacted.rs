//! Long results of a role whose values are replaced: what its model, its journal and the backend get of them.

use std::sync::Arc;

use mc_client::files::sha256_hex;
use serde_json::{Value, json};
use service::otel::OtelSettings;
use service::settings::{Layers, Reader};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wombat_core::redact::{RedactKey, RedactRules, Redactor};

use super::{SETTINGS, begun, get, got, keeps, last, prepare};
use crate::harness::{SECRET, World, calls, message, says};
use crate::journaled::Journal;

fn redact(to: &[&str], mode: &str) -> Value {
    let patterns = json!([{ "name": "member", "regex": r"member \d{4}" }]);
    json!({ "to": to, "kinds": ["email", "key"], "patterns": patterns, "mode": mode })
}

fn people() -> Value {
    let person = |id: u32| {
        json!({ "id": id, "mail": format!("p{id}@example.org"), "password": format!("hunter{id}x"),
        "note": format!("\"a\" member {}", 1_000 + id) })
    };
    (0..300).map(person).collect()
}

/// The list as it is kept.
fn kept_text(redact: &Value) -> String {
    let rules = RedactRules::of_entry(&json!({ "redact": redact })).unwrap().unwrap();
    let is_for_models = rules.to.provider;
    let redactor = Redactor::new(Arc::new(rules), RedactKey::new(SECRET.as_bytes()), "u1");
    let text = people().to_string();
    match is_for_models {
        true => redactor.redact_answer(&text).into_owned(),
        false => redactor.redact_exactly(&text).into_owned(),
    }
}

/// The placeholder that follows on a text.
fn behind<'t>(text: &'t str, before: &str) -> &'t str {
    let at = text.find(before).unwrap() + before.len();
    let end = text[at..].find("]]").unwrap();
    &text[at..at + end + 2]
}

fn read(kept: &str, more: Value) -> (&'static str, Value) {
    let mut arguments = json!({ "id": sha256_hex(kept.as_bytes())[..12] });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ("read_result", arguments)
}

async fn world(features: &[&str], steps: Vec<Value>, redact: &Value) -> (World, Journal) {
    let (world, journal) = Journal::world_that_has(features, &SETTINGS, steps).await;
    prepare(&world, people(), json!({ "redact": redact })).await;
    (world, journal)
}

async fn journal_texts(world: &World) -> String {
    let requests = world.backend.received_requests().await.unwrap();
    let of_runs = requests.iter().filter(|request| request.url.path().contains("/runs"));
    of_runs.map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}

fn has_value(text: &str) -> bool {
    ["hunter", "@example.org", "member 1"].iter().any(|value| text.contains(value))
}

#[tokio::test]
async fn what_is_replaced_in_a_result_is_not_read_out_of_its_surroundings() {
    for mode in ["redact", "redact-restore"] {
        let redact = redact(&["provider", "journal"], mode);
        let kept = kept_text(&redact);
        let (world, _journal) = world(&[], Vec::new(), &redact).await;
        let before = "\"password\":\"";
        let at = kept.find(before).unwrap() + before.len();
        let password = behind(&kept, before);
        let filter = format!("$[?@.password == '{password}'].id");
        let read = |more: Value| calls(&[read(&kept, more)]);
        world
            .model(vec![
                get("GET"),
                read(json!({ "jsonpath": "$..password" })),
                read(json!({ "offset": at })),
                read(json!({ "offset": at + 3 })),
                read(json!({ "query": "member" })),
                read(json!({ "jsonpath": filter })),
                read(json!({ "jsonpath": "$[?@.mail == 'p7@example.org'].id" })),
                says("done"),
            ])
            .await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["status"], "ok", "{answer}");
        let asked = world.model_got().await;
        for request in &asked[..6] {
            assert!(!has_value(&last(request)), "{mode}: {}", last(request));
        }
        assert!(last(&asked[2]).contains(&format!("[\"{password}\",")), "{}", last(&asked[2]));
        for place in [3, 4] {
            assert!(last(&asked[place]).contains(password), "{}", last(&asked[place]));
        }
        // What a model asks for has its placeholders, or the values themselves.
        assert!(last(&asked[6]).contains("[0]"), "{}", last(&asked[6]));
        assert!(last(&asked[7]).contains("[7]"), "{}", last(&asked[7]));
        let journal = journal_texts(&world).await;
        assert!(!journal.contains("hunter") && !journal.contains("member 1"), "{journal}");
    }
}

#[tokio::test]
async fn a_model_reads_values_that_its_journal_does_not_get() {
    let redact = redact(&["journal"], "redact");
    let kept = kept_text(&redact);
    let (world, _journal) = world(&[], Vec::new(), &redact).await;
    let read = |more: Value| calls(&[read(&kept, more)]);
    world
        .model(vec![
            get("GET"),
            read(json!({ "jsonpath": "$[7:9].password" })),
            read(json!({ "jsonpath": "$[?@.mail == 'p9@example.org'].note" })),
            read(json!({ "query": "p250@example.org" })),
            says("done"),
        ])
        .await;
    world.send_keyed().await;
    let asked = world.model_got().await;
    assert!(last(&asked[2]).contains(r#"["hunter7x","hunter8x"]"#), "{}", last(&asked[2]));
    assert!(last(&asked[3]).contains(r#"["\"a\" member 1009"]"#), "{}", last(&asked[3]));
    assert!(last(&asked[4]).contains("hunter250x"), "{}", last(&asked[4]));
    let journal = journal_texts(&world).await;
    assert!(journal.contains("[[key:") && !has_value(&journal), "{journal}");
}

#[tokio::test]
async fn another_instance_gives_the_values_back() {
    let redact = redact(&["provider"], "redact-restore");
    let text = kept_text(&redact);
    let kept = Arc::default();
    let (first, journal) = world(&["artifacts"], Vec::new(), &redact).await;
    keeps(&first, &kept).await;
    first.model(vec![get("POST"), says("done")]).await;
    first.send_keyed().await;
    assert_eq!(journal.held().steps[&2]["payload"]["artifact"]["stored"], true);
    let stored: Vec<_> = kept.lock().unwrap().values().cloned().collect();
    assert_eq!(stored, [text.as_bytes()]);
    assert!(!has_value(&text));

    let (resumed, _) = world(&["artifacts"], begun(&journal), &redact).await;
    keeps(&resumed, &kept).await;
    let mail = behind(&text, "\"id\":250,\"mail\":\"");
    let script = vec![
        calls(&[read(&text, json!({ "jsonpath": "$[250].mail" }))]),
        calls(&[("create_task", json!({ "title": format!("Mail {mail}") }))]),
        says(&format!("Sent to {mail}.")),
    ];
    resumed.model(script).await;
    let (_, answer) = resumed.send_keyed().await;
    let told = last(&resumed.model_got().await[1]);
    assert!(told.contains(&format!("[\"{mail}\"]")), "{told}");
    let made: Value = resumed.backend_got("POST", "/tasks").await[0].body_json().unwrap();
    assert_eq!(made["title"], "Mail p250@example.org");
    assert_eq!(answer["response"], "Sent to p250@example.org.");
    assert_eq!(got(&resumed, "POST").await, 0);
}

#[tokio::test]
async fn another_instance_reads_the_values_that_the_first_one_read() {
    let redact = redact(&["journal"], "redact");
    let text = kept_text(&redact);
    let kept = Arc::default();
    let (first, journal) = world(&["artifacts"], Vec::new(), &redact).await;
    keeps(&first, &kept).await;
    first.model(vec![get("POST"), says("done")]).await;
    first.send_keyed().await;
    assert!(kept.lock().unwrap().values().all(|text| !has_value(&String::from_utf8_lossy(text))));

    let (resumed, _) = world(&["artifacts"], begun(&journal), &redact).await;
    keeps(&resumed, &kept).await;
    let path = "$[?@.mail == 'p250@example.org']['password','note']";
    resumed.model(vec![calls(&[read(&text, json!({ "jsonpath": path }))]), says("done")]).await;
    resumed.send_keyed().await;
    let told = last(&resumed.model_got().await[1]);
    assert!(told.contains(r#"["hunter250x","\"a\" member 1250"]"#), "{told}");
    let journal = journal_texts(&resumed).await;
    assert!(!has_value(&journal), "{journal}");
}

/// A collector of the process's traces, with what was said: those of this test, as each has a process of its own.
async fn collector() -> MockServer {
    let collector = MockServer::start().await;
    let taken = ResponseTemplate::new(200);
    Mock::given(path("/v1/traces")).respond_with(taken).mount(&collector).await;
    let endpoint = collector.uri();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),
    ];
    let layers = Layers::from_pairs(settings);
    service::otel::start(&OtelSettings::read(&mut Reader::new(&layers)), "test").unwrap();
    collector
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_without_its_word_is_replaced_at_another_instance_too() {
    let collector = collector().await;
    let redact = redact(&["journal", "traces"], "redact");
    let text = kept_text(&redact);
    let (first, journal) = world(&[], Vec::new(), &redact).await;
    let path = json!({ "jsonpath": "$[7:9].password" });
    first.model(vec![get("GET"), calls(&[read(&text, path)]), says("done")]).await;
    first.send_keyed().await;
    assert!(last(&first.model_got().await[2]).contains("hunter8x"));
    let steps: Vec<Value> = journal.held().steps.values().take(5).cloned().collect();
    assert_eq!(steps[4]["payload"]["name"], "read_result");
    assert!(steps[4]["payload"]["revealed"].is_string(), "{}", steps[4]);

    let (resumed, _) = world(&[], steps, &redact).await;
    resumed.model(vec![says("It is hunter7x.")]).await;
    let (_, answer) = resumed.send_keyed().await;
    assert_eq!(answer["response"], "It is hunter7x.", "{answer}");
    assert!(last(&resumed.model_got().await[0]).contains("hunter7x"));
    let journal = journal_texts(&resumed).await;
    assert!(journal.contains("It is [[key:") && !has_value(&journal), "{journal}");
    service::otel::stop().await;
    let traces = collector.received_requests().await.unwrap();
    let traces: String =
        traces.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert!(traces.contains("It is [[key:") && traces.contains("execute_tool read_result"));
    assert!(!has_value(&traces), "{traces}");
}

#[tokio::test]
async fn rules_that_were_added_hold_for_what_was_kept() {
    let kept = Arc::default();
    let (first, journal) = super::world(&["artifacts"], Vec::new(), people()).await;
    keeps(&first, &kept).await;
    first.model(vec![get("POST"), says("done")]).await;
    first.send_keyed().await;
    let text = people().to_string();
    let (resumed, _) =
        world(&["artifacts"], begun(&journal), &redact(&["provider"], "redact")).await;
    keeps(&resumed, &kept).await;
    let path = json!({ "jsonpath": "$[250].password" });
    resumed.model(vec![calls(&[read(&text, path)]), says("done")]).await;
    let (status, answer) = resumed.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
    assert_eq!(status, 200, "{answer}");
    let asked = resumed.model_got().await;
    assert!(last(&asked[1]).contains("[[key:"), "{}", last(&asked[1]));
    assert!(!asked.iter().any(|request| has_value(&request.to_string())));
}
