//! A listener that gives prepared answers, one connection each, and keeps what it was asked.

use std::time::Duration;

use daemon_client::{CallOptions, DaemonClient, SendRequest, key_header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request: its head in lower case, and its body.
pub(crate) type Asked = (String, String);

/// Gives the answers in turn, then closes each connection.
pub(crate) async fn serve(answers: Vec<String>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(read_request(&mut stream).await);
            // A client that has read enough hangs up.
            let _hung_up = stream.write_all(answer.as_bytes()).await;
        }
        asked
    });
    (url, task)
}

pub(crate) async fn read_request(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head
                .split_once("content-length: ")
                .map(|(_, rest)| rest.lines().next().unwrap().parse::<usize>().unwrap());
            if body.len() >= length.unwrap_or_default() {
                return (head, body.to_owned());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request broke off");
    }
}

/// An answer with its whole body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

pub(crate) fn client(url: &str) -> DaemonClient {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = key_header(&"the-key".to_owned().into()).unwrap();
    DaemonClient::new(http, url, Some(key))
}

pub(crate) fn request() -> SendRequest<'static> {
    SendRequest {
        user_id: "ann".into(),
        session_key: "user:ann:scout".into(),
        message: "hi".into(),
        ..SendRequest::default()
    }
}

pub(crate) fn options() -> CallOptions<'static> {
    CallOptions { timeout: Duration::from_secs(10), traceparent: Some("00-1-2-01") }
}
