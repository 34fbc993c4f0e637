//! What a client writes is what the daemon reads.

use std::time::Duration;

use daemon_api::{Attachment, Limits, Output, SendRequest, Turn, TurnRole};
use http::HeaderMap;
use serde_json::json;
use service::settings::Layers;

use mc_client::idempotency::RunKey;

use super::*;
use crate::run::request::RunKind;
use crate::settings::Settings;

/// A daemon whose backend cannot be reached.
fn app(workspace: &std::path::Path) -> App {
    let pairs = [
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ("BACKEND_URL", "http://127.0.0.1:1".to_owned()),
        ("WOMBAT_WORKSPACE", workspace.display().to_string()),
        ("WOMBAT_RETRY_DELAY_MS", "1".to_owned()),
        ("WOMBAT_RETRY_MAX_DELAY_MS", "1".to_owned()),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
    App::new(Settings::read(&Layers::from_pairs(pairs)).unwrap()).unwrap()
}

async fn received(app: &App, request: &SendRequest<'_>) -> Result<RunRequest, ApiError> {
    let Value::Object(body) = serde_json::to_value(request).unwrap() else { panic!() };
    let (request, wants_stream) =
        Box::pin(read(app, &TraceId::random(), HeaderMap::new(), body.into(), false)).await?;
    assert!(!wants_stream);
    Ok(request)
}

#[tokio::test]
async fn every_field_that_a_client_sends_arrives() {
    let workspace = tempfile::tempdir().unwrap();
    let roles = r#"{"agents": [{"role": "scout"}]}"#;
    std::fs::write(workspace.path().join("agent-config.json"), roles).unwrap();
    let app = app(workspace.path());
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let object = |value: Value| value.as_object().cloned();
    // No field is left to its default, so that a new one is added here, too.
    let request = SendRequest {
        user_id: "ann".into(),
        session_key: "user:ann:scout".into(),
        message: "hello".into(),
        messages: Some(
            vec![
                turn(TurnRole::User, "a"),
                turn(TurnRole::Assistant, "b"),
                turn(TurnRole::System, "c"),
            ]
            .into(),
        ),
        task_id: None,
        task_title: Some("A task".into()),
        task_description: Some("What it is".into()),
        task_metadata: object(json!({ "colour": "red" })),
        metadata: object(json!({ "type": "heartbeat", "kept": [1] })),
        idempotency_key: Some("once".into()),
        resume_run_key: None,
        answers: None,
        limits: Some(Limits {
            max_steps: Some(2),
            max_output_tokens: Some(300),
            max_cost_usd: Some(0.5),
            timeout_secs: Some(7),
        }),
        output: Some(Output {
            schema: json!({ "type": "integer" }),
            name: Some("number".to_owned()),
            strict: Some(false),
        }),
        attachments: None,
    };
    let got = received(&app, &request).await.unwrap();
    assert_eq!(got.session.to_string(), "user:ann:scout");
    assert_eq!(got.message, "hello");
    let turns = vec![Message::user("a"), Message::assistant("b"), Message::system("c")];
    assert_eq!(got.history, Some(turns));
    let title = TaskTarget::Title {
        title: "A task".to_owned(),
        description: Some("What it is".to_owned()),
        metadata: object(json!({ "colour": "red" })),
    };
    assert_eq!(got.task, title);
    assert_eq!(got.options.kind, RunKind::Heartbeat);
    assert_eq!(Some(got.metadata), request.metadata);
    assert!(got.key == Some(RunKey::derive("ann", "scout", "once")) && !got.resumed);
    let output = got.output.unwrap();
    assert_eq!((&output.schema, output.name.as_str()), (&json!({ "type": "integer" }), "number"));
    assert!(!output.strict && !output.fixed);
    let limits = got.limits;
    assert_eq!((limits.max_steps, limits.max_output_tokens), (2, Some(300)));
    assert_eq!((limits.max_cost_usd, limits.timeout), (Some(0.5), Duration::from_secs(7)));

    let with_id = SendRequest { task_id: Some("t1".into()), ..request.clone() };
    let got = received(&app, &with_id).await.unwrap();
    assert_eq!(got.task, TaskTarget::Id("t1".to_owned()));

    // Only a request with files, or one that resumes a run, asks the backend for it.
    let file = Attachment { file_id: Some("f".to_owned()), ..Attachment::default() };
    let with_files = SendRequest { attachments: Some(vec![file].into()), ..request.clone() };
    let error = received(&app, &with_files).await.unwrap_err();
    assert_eq!(error.body.code, "backend_unavailable");

    let answers = object(json!({ "q": 1 }));
    let answered = SendRequest { answers: answers.clone(), ..request.clone() };
    let error = received(&app, &answered).await.unwrap_err();
    assert_eq!(error.body.code, "invalid_payload");

    let run_key = RunKey::random();
    let resume = SendRequest { resume_run_key: Some(run_key.as_str().into()), answers, ..request };
    let error = received(&app, &resume).await.unwrap_err();
    assert_eq!(error.body.code, "backend_unavailable");
}
