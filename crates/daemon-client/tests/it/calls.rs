//! Whole answers: read, refused, broken off, too large, late, retried.

use std::time::Duration;

use daemon_client::{CallOptions, DaemonError, RetryPolicy, RunStatus, key_header};
use retry::Backoff;
use tokio::net::TcpListener;

use crate::server::{answer, client, options, request, serve};

const OK: &str = r#"{"status":"ok","response":"Hello","run_id":"r"}"#;

#[tokio::test]
async fn a_message_is_sent_with_key_and_trace_and_its_answer_read() {
    let (url, server) = serve(vec![answer("200 OK", "", OK)]).await;
    let reply = client(&format!("{url}/")).send(&request(), &options()).await.unwrap();
    assert_eq!((reply.status, reply.response.as_deref()), (RunStatus::Ok, Some("Hello")));
    let (head, body) = server.await.unwrap().remove(0);
    assert!(head.starts_with("post /api/agents/send http/1.1"), "{head}");
    assert!(head.contains("x-agent-daemon-key: the-key"), "{head}");
    assert!(head.contains("traceparent: 00-1-2-01"), "{head}");
    assert_eq!(body, r#"{"user_id":"ann","session_key":"user:ann:scout","message":"hi"}"#);
}

#[tokio::test]
async fn roles_and_features_are_read() {
    let agents = r#"{"agents":[{"role":"scout","model_tier":"cheap","tools":{"deny":["x"]}}]}"#;
    let features = r#"{"compatible":true,"features":{"messages_list":true,"wake":false}}"#;
    let answers = [agents, features, "{}"].map(|body| answer("200 OK", "", body));
    let (url, _server) = serve(answers.to_vec()).await;
    let client = client(&url);
    let agents = client.agents().await.unwrap();
    assert_eq!(
        (agents[0].role.as_str(), agents[0].tools.deny.as_slice()),
        ("scout", &["x".to_owned()][..])
    );
    let compatibility = client.compatibility().await.unwrap();
    assert!(compatibility.has("messages_list") && !compatibility.has("wake"));
    let error = client.agents().await.unwrap_err();
    assert!(matches!(error, DaemonError::BadAnswer { .. }), "no roles are no empty list: {error}");
}

#[tokio::test]
async fn each_failure_has_its_class() {
    let body = r#"{"error":"not now","code":"overloaded","details":{"a":1}}"#;
    let key = r#"{"error":"whose?","code":"invalid_daemon_key","details":{}}"#;
    let cut = answer("200 OK", "", OK).replace(&format!("{}\r\n", OK.len()), "999\r\n");
    let (url, _server) = serve(vec![
        answer("503 Service Unavailable", "retry-after: 7\r\n", body),
        answer("403 Forbidden", "", key),
        answer("200 OK", "", "<html>welcome</html>"),
        answer("200 OK", "", "welcome"),
        cut,
    ])
    .await;
    let client = client(&url);
    let mut errors = Vec::new();
    for _ in 0..5 {
        errors.push(client.send(&request(), &options()).await.unwrap_err());
    }
    let DaemonError::Status { status: 503, body, .. } = &errors[0] else { panic!("{errors:?}") };
    assert_eq!((body.code.as_ref(), body.details["a"].as_u64()), ("overloaded", Some(1)));
    assert_eq!(errors[0].retry_after(), Some(Duration::from_secs(7)));
    assert!(matches!(errors[1], DaemonError::Refused { status: 403, .. }), "{errors:?}");
    assert_eq!(errors[1].code(), Some("invalid_daemon_key"));
    assert!(matches!(errors[2], DaemonError::InBetween { status: 200, .. }), "{errors:?}");
    assert!(matches!(errors[3], DaemonError::BadAnswer { .. }), "{errors:?}");
    assert!(errors[4].is_in_doubt(), "{errors:?}");
}

#[tokio::test]
async fn an_answer_beyond_all_measure_is_not_read_to_its_end() {
    let huge = format!("\"{}\"", "x".repeat(17 * 1024 * 1024));
    let (url, _server) =
        serve(vec![answer("200 OK", "", &huge), answer("500 No", "", &huge)]).await;
    let client = client(&url);
    let error = client.send(&request(), &options()).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    let error = client.send(&request(), &options()).await.unwrap_err();
    assert!(error.status() == Some(500) && error.to_string().len() < 1_100, "{error}");
}

#[tokio::test]
async fn nobody_and_silence_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hurried = CallOptions { timeout: Duration::from_millis(200), traceparent: None };
    for error in [
        client(&url).send(&request(), &hurried).await.map(drop).unwrap_err(),
        client(&url).stream(&request(), &hurried).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error, DaemonError::Timeout { after: hurried.timeout });
    }
    drop(listener);
    let error = client(&url).send(&request(), &options()).await.unwrap_err();
    assert!(matches!(error, DaemonError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("AGENT_DAEMON_URL"), "{error}");
}

#[tokio::test]
async fn only_safe_calls_are_retried() {
    let policy = RetryPolicy {
        attempts: 3,
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(4)),
        max_wait: Duration::from_secs(1),
    };
    let busy = answer("409 Conflict", "", r#"{"error":"busy","code":"session_busy"}"#);
    let failed = answer("500 No", "", r#"{"error":"oh","code":"internal_error"}"#);
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned();
    let ok = answer("200 OK", "", OK);
    let keyed = daemon_client::SendRequest { idempotency_key: Some("k".into()), ..request() };
    for (answers, request, succeeds, calls) in [
        (vec![busy.clone(), busy.clone(), ok.clone()], request(), true, 3),
        (vec![busy.clone(), busy.clone(), busy, ok.clone()], request(), false, 3),
        (vec![failed, ok.clone()], request(), false, 1),
        (vec![cut.clone(), ok.clone()], request(), false, 1),
        (vec![cut, ok], keyed, true, 2),
    ] {
        let left = answers.len() - calls;
        let (url, server) = serve(answers).await;
        let result = client(&url).send_with_retries(&request, &options(), &policy).await;
        assert_eq!(result.is_ok(), succeeds, "{result:?}");
        if left == 0 {
            let asked = server.await.unwrap();
            assert!(asked.iter().all(|(_, body)| *body == asked[0].1), "{asked:?}");
        } else {
            assert!(!server.is_finished(), "{result:?}");
            server.abort();
        }
    }
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_and_no_key_is_shown() {
    assert!(key_header(&"a\nb".to_owned().into()).is_err());
    assert!(!format!("{:?}", client("http://127.0.0.1:9")).contains("the-key"));
}
