//! Streams of events: read to their end, refused, broken off, silent.

use std::time::Duration;

use daemon_client::{DaemonError, StreamEvent};

use crate::server::{answer, client, options, read_request, request, serve};

const TYPE: &str = "content-type: text/event-stream\r\n";

fn events(body: &str) -> String {
    answer("200 OK", TYPE, body)
}

#[tokio::test]
async fn a_run_is_read_to_its_last_event() {
    let body = concat!(
        ":\n\nevent: start\ndata: {\"type\":\"start\",\"task_id\":\"t\"}\n\n",
        "event: thought\ndata: {\"type\":\"thought\"}\n\n",
        "event: chunk\ndata: {\"type\":\"chunk\",\"data\":\"Hi\"}\n\n",
        "event: done\ndata: {\"type\":\"done\",\"status\":\"ok\",\"response\":\"Hi\"}\n\n",
    );
    let failed = "data: {\"type\":\"error\",\"error\":\"away\",\"code\":\"llm_unavailable\"}\n\n";
    let (url, server) = serve(vec![events(body), events(failed)]).await;
    let mut stream = client(&url).stream(&request(), &options()).await.unwrap();
    let mut names = Vec::new();
    while let Some(event) = stream.next().await.unwrap() {
        names.push(event.name());
    }
    assert_eq!(names, ["start", "chunk", "done"]);
    let mut stream = client(&url).stream(&request(), &options()).await.unwrap();
    let Some(StreamEvent::Error(body)) = stream.next().await.unwrap() else { panic!() };
    assert_eq!((body.error.as_str(), body.code.as_ref()), ("away", "llm_unavailable"));
    assert_eq!(stream.next().await.unwrap(), None);
    let asked = server.await.unwrap();
    assert!(asked[0].0.starts_with("post /api/agents/stream"), "{asked:?}");
}

#[tokio::test]
async fn what_is_wrong_before_the_run_is_a_plain_error() {
    let body = r#"{"error":"wrong","code":"invalid_payload","details":{"fields":{"message":"is required"}}}"#;
    let (url, _server) =
        serve(vec![answer("400 Bad Request", "", body), answer("200 OK", "", "{}")]).await;
    let error = client(&url).stream(&request(), &options()).await.map(drop).unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(400), Some("invalid_payload")));
    let error = client(&url).stream(&request(), &options()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("not a stream of events"), "{error}");
}

#[tokio::test]
async fn a_stream_without_its_last_event_is_broken() {
    let chunk = "data: {\"type\":\"chunk\",\"data\":\"Hi\"}\n\n";
    let head = format!("HTTP/1.1 200 OK\r\n{TYPE}content-length: 999\r\n\r\n{chunk}");
    let odd = "data: {\"type\":\"chunk\"}\n\n";
    let (url, _server) = serve(vec![events(chunk), head, events(odd)]).await;
    for whole in [true, true, false] {
        let mut stream = client(&url).stream(&request(), &options()).await.unwrap();
        if whole {
            assert_eq!(stream.next().await.unwrap().unwrap().name(), "chunk");
        }
        let error = stream.next().await.unwrap_err();
        assert!(matches!(error, DaemonError::Broken { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_times_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\n{TYPE}content-length: 999\r\n\r\n:\n\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let stream = client(&url).stream(&request(), &options()).await.unwrap();
    let error = stream.with_silence(Duration::from_millis(100)).next().await.unwrap_err();
    assert!(error.to_string().contains("timeout"), "{error}");
    server.abort();
}
