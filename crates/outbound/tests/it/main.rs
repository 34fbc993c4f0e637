//! What goes past reqwest is what reqwest sends, and fails alike.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use outbound::{HttpClient, SendError, WithLoopback};
use reqwest::{Request, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const USER_AGENT: &str = "tests/1";

/// The same client, past reqwest and through it.
fn both() -> [HttpClient; 2] {
    let library = reqwest::Client::builder()
        .no_proxy()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(std::sync::Arc::new(WithLoopback))
        .build()
        .unwrap();
    [HttpClient::with_direct(library.clone(), USER_AGENT), library.into()]
}

/// Reads one request, head and body.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        text.extend_from_slice(&piece[..count]);
        let now = String::from_utf8_lossy(&text);
        let Some((head, body)) = now.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return now.into_owned();
        }
    }
}

/// A server that answers each connection's requests with these bytes, and then hangs up if it is to.
async fn server(
    answer: &'static str,
    hangs_up: bool,
) -> (Url, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a%20b/c?d=e%2Ff", listener.local_addr().unwrap());
    let (told, asked) = tokio::sync::mpsc::channel(10);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                loop {
                    let text = read(&mut stream).await;
                    let _ = told.send(text).await;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if hangs_up {
                        return;
                    }
                }
            });
        }
    });
    (url.parse().unwrap(), asked)
}

fn request(url: &Url, body: Option<&'static str>) -> Request {
    let mut request = Request::new(Method::POST, url.clone());
    request.headers_mut().insert("x-one", HeaderValue::from_static("1"));
    request.headers_mut().append("x-one", HeaderValue::from_static("2"));
    *request.body_mut() = body.map(Into::into);
    request
}

/// The lines of a request in a fixed order.
fn lines(request: &str) -> Vec<&str> {
    let mut lines: Vec<_> = request.lines().collect();
    lines[1..].sort_unstable();
    lines
}

async fn send(client: &HttpClient, request: Request) -> Result<reqwest::Response, SendError> {
    tokio::time::timeout(Duration::from_secs(20), client.execute(request)).await.unwrap()
}

#[tokio::test]
async fn both_ways_send_and_answer_the_same() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nx-two: 1\r\nx-two: 2\r\n\
                  content-length: 5\r\n\r\nhello";
    let (url, mut asked) = server(answer, false).await;
    for body in [Some("{\"a\":1}"), None] {
        let mut seen: Vec<(String, HeaderMap)> = Vec::new();
        for client in both() {
            for _ in 0..2 {
                let mut request = request(&url, body);
                request.url_mut().set_fragment(Some("not-sent"));
                let answer = send(&client, request).await.unwrap();
                assert_eq!((answer.status().as_u16(), answer.url()), (302, &url));
                let headers = answer.headers().clone();
                assert_eq!(answer.text().await.unwrap(), "hello");
                seen.push((asked.recv().await.unwrap(), headers));
            }
        }
        let (first, headers) = &seen[0];
        assert!(first.starts_with("POST /a%20b/c?d=e%2Ff HTTP/1.1\r\n"), "{first}");
        assert!(first.contains("user-agent: tests/1\r\n"), "{first}");
        for (text, others) in &seen {
            assert_eq!(lines(text), lines(first));
            assert_eq!(others, headers);
        }
    }
}

#[tokio::test]
async fn both_ways_fail_alike() {
    // Nobody listens; somebody hangs up at once; somebody in the middle of the answer.
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap()
    };
    let (silent, _one) = server("", true).await;
    let (broken, _other) = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", true).await;
    let mut told = [Vec::new(), Vec::new()];
    for (client, told) in both().iter().zip(&mut told) {
        for (url, is_connect) in [(&closed, true), (&silent, false)] {
            let error = send(client, request(url, None)).await.unwrap_err();
            assert_eq!((error.is_connect(), error.is_timeout()), (is_connect, false), "{error:?}");
            assert_eq!((error.is_invalid(), error.url()), (false, Some(url)), "{error:?}");
            told.push(shown::cause(error.cause().unwrap()).to_string());
        }
        let error = send(client, request(&broken, None)).await.unwrap().text().await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect());
        told.push(shown::cause(std::error::Error::source(&error).unwrap()).to_string());
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0][0].contains("refused"), "{told:?}");
}

#[tokio::test]
async fn a_url_that_is_too_long_is_told_so_by_both() {
    let (mut url, _asked) = server("", false).await;
    url.set_query(Some(&"q".repeat(70_000)));
    for client in both() {
        let error = send(&client, request(&url, None)).await.unwrap_err();
        assert!(error.is_invalid() && !error.is_connect() && !error.is_timeout(), "{error}");
        assert_eq!(error.url(), Some(&url));
        assert!(error.cause().is_some());
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    for client in both() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let serving = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                read(&mut stream).await;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        });
        for _ in 0..2 {
            assert_eq!(send(&client, request(&url, Some("{}"))).await.unwrap().status(), 204);
            // The server's end arrives before the next request, or while it is sent.
            tokio::task::yield_now().await;
        }
        serving.await.unwrap();
    }
}

/// How many connections are opened by two threads, each with a runtime of its own, that make a call after the other.
async fn connections_of_two_threads(client: HttpClient) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let shared = tokio::runtime::Handle::current();
    let calling = tokio::task::spawn_blocking(move || {
        let (to_second, first_called) = std::sync::mpsc::channel();
        let (to_first, second_called) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for (may_call, called) in [(second_called, to_second), (first_called, to_first.clone())]
            {
                let (client, url, shared) = (client.clone(), url.clone(), shared.clone());
                scope.spawn(move || {
                    outbound::own_connections(shared);
                    let mut runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = runtime.enable_all().build().unwrap();
                    for _ in 0..2 {
                        may_call.recv_timeout(Duration::from_secs(30)).unwrap();
                        runtime.block_on(async {
                            let answer = send(&client, request(&url, None)).await.unwrap();
                            assert_eq!(answer.text().await.unwrap(), "ok");
                            // Its connection gets back to the others.
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        });
                        let _ = called.send(());
                    }
                });
            }
            to_first.send(()).unwrap();
        });
    });
    let mut connections = 0;
    tokio::pin!(calling);
    loop {
        tokio::select! {
            called = &mut calling => break called.unwrap(),
            opened = listener.accept() => {
                connections += 1;
                let (mut stream, _) = opened.unwrap();
                tokio::spawn(async move {
                    loop {
                        read(&mut stream).await;
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                    }
                });
            }
        }
    }
    connections
}

#[tokio::test]
async fn a_thread_has_connections_of_its_own_but_for_those_of_the_library() {
    let [direct, library] = both();
    assert_eq!(connections_of_two_threads(direct).await, 2);
    // The first thread does nothing while the second one uses its connection, which would wait for it.
    assert!(connections_of_two_threads(library).await <= 2);
}

#[tokio::test]
async fn an_answer_of_http_1_0_ends_with_its_connection() {
    let (url, _asked) = server("HTTP/1.0 200 OK\r\n\r\nhello", true).await;
    for client in both() {
        let answer = send(&client, request(&url, None)).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn what_is_not_plain_http_goes_through_the_library() {
    let [direct, _] = both();
    // No certificate; and a timeout of the request's own.
    let (mut url, _asked) = server("", false).await;
    let mut limited = request(&url, None);
    *limited.timeout_mut() = Some(Duration::from_millis(50));
    let error = send(&direct, limited).await.unwrap_err();
    assert!(matches!(error, SendError::Library(_)) && error.is_timeout(), "{error:?}");
    url.set_scheme("https").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let error = send(&direct, request(&url, None)).await.unwrap_err();
    assert!(matches!(error, SendError::Library(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_on_either_loopback_address_is_reached_by_its_name() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // A machine without IPv6 has only one of them.
        let Ok(listener) = TcpListener::bind(address).await else { continue };
        let port = listener.local_addr().unwrap().port();
        let url: Url = format!("http://localhost:{port}/").parse().unwrap();
        for client in both() {
            let call = tokio::spawn({
                let url = url.clone();
                async move { send(&client, request(&url, None)).await.unwrap().status().as_u16() }
            });
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            assert_eq!(call.await.unwrap(), 204, "{address}");
        }
    }
}
