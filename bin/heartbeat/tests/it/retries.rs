//! Calls that fail on their way: nothing is lost, nothing is done twice.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

const SLOT: [&str; 2] = ["--slot", "2026-01-31T09:00:00Z"];
const KEY: &str = "heartbeat:2026-01-31T09:00:00Z";

fn refusal(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .set_body_json(json!({"error": "not\nnow", "code": code}))
        .insert_header("retry-after", "0")
}

/// The first calls of a path get this answer, the later ones that of the setup.
async fn first(setup: &Setup, to: &str, times: u64, answer: ResponseTemplate) {
    Mock::given(path(to))
        .respond_with(answer)
        .up_to_n_times(times)
        .with_priority(1)
        .mount(&setup.server)
        .await;
}

fn claimed(claimed: bool) -> ResponseTemplate {
    reply(json!({"status": "ok", "claimed": claimed,
        "pending": {"notifications": 1, "tasks": 0}}))
}

#[tokio::test]
async fn a_daemon_that_restarts_or_is_busy_is_asked_again_with_the_same_message() {
    for (status, code) in [(503, "draining"), (409, "session_busy"), (502, "backend_unavailable")] {
        let setup = Setup::new(pending(1, 0), did()).await;
        first(&setup, SEND, 1, refusal(status, code)).await;
        let (code, out, err) = run(setup.program().env("RUST_LOG", "warn")).await;
        assert_eq!((code, err.as_str()), (0, ""), "{status}");
        assert!(out.ends_with("Did it.\nheartbeat_ok\n"), "{out}");
        let sent = setup.bodies(SEND).await;
        assert!(sent.len() == 2 && sent[0] == sent[1], "{sent:?}");
        assert_eq!(setup.bodies(HEARTBEAT).await.len(), 1, "the wake is recorded once");
    }
}

#[tokio::test]
async fn a_daemon_that_stays_away_fails_with_one_line() {
    let setup = Setup::new(pending(1, 0), refusal(503, "overloaded")).await;
    let (code, out, err) = run(setup.program().env("RUST_LOG", "warn")).await;
    assert_eq!((code, setup.bodies(SEND).await.len()), (1, 3));
    assert_eq!(err, "wombat-heartbeat: the daemon answered 503 overloaded: not now\n");
    assert!(!out.contains("heartbeat_ok"), "{out}");
}

#[tokio::test]
async fn what_a_repeat_cannot_mend_is_not_repeated() {
    for (status, told) in [
        (500, "answered 500 run_cancelled: not now\n"),
        (401, "(check AGENT_DAEMON_API_KEY on both sides)\n"),
        (404, "(check AGENT_DAEMON_URL)\n"),
        (409, "answered 409 run_cancelled: not now\n"),
        (402, "answered 402 run_cancelled: not now\n"),
    ] {
        let setup = Setup::new(pending(1, 0), refusal(status, "run_cancelled")).await;
        let (code, _, err) = run(setup.program().args(SLOT)).await;
        assert_eq!((code, setup.bodies(SEND).await.len()), (1, 1), "{err}");
        assert!(err.lines().count() == 1 && err.ends_with(told), "{err}");
    }
    // The daemon itself says what is missing: nothing is wrong with its address.
    let setup = Setup::new(pending(1, 0), refusal(404, "unknown_role")).await;
    let (_, _, err) = run(setup.program().args(SLOT)).await;
    assert!(err.ends_with("answered 404 unknown_role: not now\n"), "{err}");
    // A wait longer than until the next tick is left to the next tick.
    let busy = refusal(503, "overloaded").insert_header("retry-after", "600");
    let setup = Setup::new(pending(1, 0), busy).await;
    assert_eq!(run(&mut setup.program()).await.0, 1);
    assert_eq!(setup.bodies(SEND).await.len(), 1);
}

#[tokio::test]
async fn nobody_at_the_daemons_address_is_one_line() {
    let setup = Setup::new(pending(1, 0), did()).await;
    // A socket that is bound and does not listen keeps the port from all others.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut program = setup.program();
    program.env("AGENT_DAEMON_URL", format!("http://127.0.0.1:{port}")).env("RUST_LOG", "warn");
    let (code, _, err) = run(&mut program).await;
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
    assert!(err.contains("cannot be reached") && err.contains("AGENT_DAEMON_URL"), "{err}");
}

/// A daemon whose first answer breaks off; it tells what it was asked.
async fn breaking_daemon() -> (String, tokio::task::JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let reply = r#"{"status":"ok","response":"x","replayed":true}"#;
        let mut asked = Vec::new();
        for part in [&reply[..10], reply] {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(body_of(&mut stream).await);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len());
            stream.write_all((head + part).as_bytes()).await.unwrap();
        }
        asked
    });
    (url, task)
}

/// Reads a request until its body is complete.
async fn body_of(stream: &mut TcpStream) -> Value {
    let mut request = Vec::new();
    loop {
        let n = stream.read_buf(&mut request).await.unwrap();
        assert!(n > 0, "the request broke off");
        let text = String::from_utf8(request.clone()).unwrap();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body));
        if let Some(Ok(body)) = body {
            return body;
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_only_where_a_key_makes_it_safe() {
    let setup = Setup::new(pending(1, 0), did()).await;
    let (url, daemon) = breaking_daemon().await;
    let (code, out, err) =
        run(setup.program().args(SLOT).env("AGENT_DAEMON_URL", url).env("RUST_LOG", "warn")).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("\nx\nheartbeat_ok\n"), "{out}");
    let asked = daemon.await.unwrap();
    assert!(
        asked.len() == 2 && asked[0] == asked[1] && asked[0]["idempotency_key"] == KEY,
        "{asked:?}"
    );

    let (url, daemon) = breaking_daemon().await;
    let (code, _, err) = run(setup.program().env("AGENT_DAEMON_URL", url)).await;
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
    assert!(err.contains("the connection to the daemon broke"), "{err}");
    daemon.abort();
}

#[tokio::test]
async fn a_heartbeat_is_recorded_by_a_backend_that_stumbles() {
    let setup = Setup::new(pending(1, 0), did()).await;
    first(&setup, HEARTBEAT, 2, refusal(503, "busy")).await;
    let (code, out, _) = run(setup.program().env("RUST_LOG", "warn")).await;
    assert!(code == 0 && out.ends_with("Did it.\nheartbeat_ok\n"), "{out}");
    assert_eq!(setup.bodies(HEARTBEAT).await.len(), 3);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_does_not_lose_the_run() {
    // The backend claimed, failed to say so, and calls the repeat a duplicate.
    let setup = Setup::new(claimed(false), did()).await;
    first(&setup, HEARTBEAT, 1, refusal(500, "internal")).await;
    let (code, out, err) = run(setup.program().args(SLOT).env("RUST_LOG", "warn")).await;
    assert!(code == 0 && out.ends_with("Did it.\nheartbeat_ok\n"), "{out}{err}");
    let sent = setup.bodies(SEND).await;
    assert!(sent.len() == 1 && sent[0]["idempotency_key"] == KEY, "{sent:?}");
    let asked = setup.bodies(HEARTBEAT).await;
    assert!(asked.len() == 2 && asked[0] == asked[1], "{asked:?}");
}

#[tokio::test]
async fn a_claim_that_was_turned_away_is_not_in_doubt() {
    for (answer, sent) in [(claimed(false), 0), (claimed(true), 1)] {
        let setup = Setup::new(answer, did()).await;
        first(&setup, HEARTBEAT, 1, refusal(503, "busy")).await;
        let (code, out, _) = run(setup.program().args(SLOT).env("RUST_LOG", "warn")).await;
        assert!(code == 0 && out.ends_with("heartbeat_ok\n"), "{out}");
        assert_eq!(setup.bodies(SEND).await.len(), sent);
    }
}

#[tokio::test]
async fn a_run_that_another_machine_makes_is_left_to_it() {
    let setup = Setup::new(pending(1, 0), refusal(409, "idempotency_conflict")).await;
    let (code, out, err) = run(setup.program().args(SLOT)).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.ends_with("another machine makes this run\nheartbeat_ok\n"), "{out}");
    // Without a slot there is no key that another could have used.
    assert_eq!(run(&mut setup.program()).await.0, 1);
}

#[tokio::test]
async fn of_a_fleet_one_machine_makes_the_run() {
    let setup = Setup::new(claimed(false), did()).await;
    first(&setup, HEARTBEAT, 1, claimed(true)).await;
    let machines = (0..5).map(|_| async { run(setup.program().args(SLOT)).await });
    let ends = futures::future::join_all(machines).await;
    assert!(ends.iter().all(|(code, out, _)| *code == 0 && out.ends_with("heartbeat_ok\n")));
    assert_eq!(ends.iter().filter(|(_, out, _)| out.contains("Did it.")).count(), 1);
    assert_eq!(setup.bodies(SEND).await.len(), 1);
}
