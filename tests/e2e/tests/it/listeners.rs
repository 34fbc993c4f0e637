//! Limits of each listener, tested with raw sockets: headers, bodies, nesting depth, compression.

use serde_json::json;
use test_support::stack::{Stack, StackOptions, example};
use test_support::wait_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends bytes and reads until the other side closes.
async fn exchange(url: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    // The other side may have had enough before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = timeout(test_support::PATIENCE, stream.read_to_end(&mut all)).await.expect("kept open");
    String::from_utf8_lossy(&all).into_owned()
}

/// A POST of a body with valid credentials.
fn post(stack: &Stack, path: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         x-agent-daemon-key: {}\r\nx-internal-token: {}\r\nx-on-behalf-of: ann\r\n\
         content-length: {}\r\n{more}\r\n",
        stack.daemon_key(),
        stack.internal_token(),
        body.len(),
    );
    [head.as_bytes(), body].concat()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

async fn stack() -> (Stack, String) {
    let port = crate::peers::free_port();
    let options = StackOptions {
        example: example(),
        everywhere: vec![("DISPATCH_HTTP_PORT", port.to_string())],
        ..StackOptions::default()
    };
    let stack = Stack::start(&options).await.unwrap();
    let listens = || stack.dispatcher.log().contains("serving /livez").then_some(());
    wait_for("the dispatcher's listener", async || listens()).await;
    (stack, format!("http://127.0.0.1:{port}"))
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_http_are_refused_by_every_listener() {
    let (stack, dispatcher) = stack().await;
    let heads = [
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(300_000)),
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200)),
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(300_000)),
        "GET /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n".to_owned(),
        "POST /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
            .to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1} this is TLS\r\n\r\n".to_owned(),
    ];
    for url in [&stack.backend_url, &stack.daemon_url, &dispatcher] {
        for head in &heads {
            let answer = exchange(url, head.as_bytes()).await;
            // What was sent too much of may cost the answer on its way.
            let refused = answer.is_empty() || status(&answer).starts_with('4');
            assert!(refused, "{url}: {head:.60}: {answer}");
        }
        let well = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert_eq!(status(&exchange(url, well.as_bytes()).await), "200", "{url}");
    }
}

#[tokio::test]
async fn bodies_that_are_deep_or_compressed_or_broken_off_are_refused_with_a_reason() {
    let (stack, _) = stack().await;
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)).into_bytes();
    let mut nested =
        br#"{"message":"hi","user_id":"ann","session_key":"agent:scout:main","metadata":"#.to_vec();
    nested.extend([b"[".repeat(200), b"]".repeat(200), b"}".to_vec()].concat());
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2];
    let places = [
        (&stack.daemon_url, "/api/agents/send"),
        (&stack.daemon_url, "/compact"),
        (&stack.backend_url, "/api/mission-control/tasks"),
    ];
    for (url, path) in places {
        for (more, body, expected) in [
            ("", &deep[..], "400"),
            ("", &nested[..], "400"),
            ("content-encoding: gzip\r\n", &gzip[..], "415"),
            ("content-encoding: br\r\n", b"{}", "415"),
        ] {
            let answer = exchange(url, &post(&stack, path, more, body)).await;
            assert_eq!(status(&answer), expected, "{path} {more}: {answer}");
            assert!(answer.contains("\"code\""), "{answer}");
        }
        let mut half = post(&stack, path, "", br#"{"title":"x"}"#);
        half.truncate(half.len() - 3);
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(&half).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = String::new();
        let _ = timeout(test_support::PATIENCE, stream.read_to_string(&mut all)).await.unwrap();
        assert!(all.is_empty() || status(&all) == "400", "{all}");
    }
    let tasks = stack.person("ann").list("/tasks").await.unwrap();
    assert_eq!(json!(tasks), json!([]), "half a body made a task");
}

#[tokio::test]
async fn a_slow_head_is_cut_off_by_every_listener_while_others_are_served() {
    let (stack, dispatcher) = stack().await;
    let mut slow = Vec::new();
    for url in [&stack.backend_url, &stack.daemon_url, &dispatcher] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: local").await.unwrap();
            slow.push(stream);
        }
        let well = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert_eq!(status(&exchange(url, well.as_bytes()).await), "200", "{url}");
    }
    for mut stream in slow {
        let mut all = Vec::new();
        let _ = timeout(test_support::PATIENCE, stream.read_to_end(&mut all)).await.expect("kept");
        let all = String::from_utf8_lossy(&all);
        assert!(all.is_empty() || status(&all).starts_with('4'), "{all}");
    }
}

#[tokio::test]
async fn a_low_limit_of_open_files_is_raised_as_far_as_the_system_allows() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = test_support::program::Program::path("wombat-daemon").unwrap();
    let settings = [
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ("BACKEND_URL", "http://127.0.0.1:9".to_owned()),
        ("LLM_PROVIDER", "offline".to_owned()),
        ("WOMBAT_PORT", "0".to_owned()),
    ];
    let script = "ulimit -Sn 256 && exec \"$0\"";
    let arguments = ["-c", script, &daemon.display().to_string()];
    let shell = std::path::Path::new("/bin/sh");
    let mut program =
        test_support::program::Program::start_path(shell, dir.path(), &settings, &arguments)
            .unwrap();
    program.url().await.unwrap();
    let limits = format!("/proc/{}/limits", program.id().unwrap());
    let limits = std::fs::read_to_string(limits).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let figures: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(figures[0], figures[1], "{line}");
    assert_ne!(figures[0], "256", "{line}");
}
