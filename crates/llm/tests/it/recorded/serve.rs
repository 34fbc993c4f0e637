//! A provider that answers with recorded bytes, in the pieces that the address asks for:
//! `/{number}/{how}/…`, where `how` is `whole`, `bytes` (one by one), `random-SEED`, `cut-N` (N
//! bytes and then an end as if that were all) or `break-N` (N bytes and then a broken connection).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use futures::stream;

use super::Recording;

pub(super) async fn start(recordings: Arc<Vec<Recording>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/{number}/{how}/{*rest}", axum::routing::post(answer))
        .with_state(recordings);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn answer(
    State(recordings): State<Arc<Vec<Recording>>>,
    Path((number, how, _rest)): Path<(usize, String, String)>,
) -> Response<Body> {
    let recording = &recordings[number];
    let body = recording.body.as_bytes();
    let (how, argument) = how.split_once('-').unwrap_or((&how, "0"));
    let argument: usize = argument.parse().unwrap();
    let sent = if matches!(how, "cut" | "break") { &body[..argument] } else { body };
    let mut seed = argument as u64 | 1;
    let mut pieces = Vec::new();
    let mut rest = sent;
    while !rest.is_empty() {
        let size = match how {
            "bytes" => 1,
            "random" => {
                // xorshift: any old pieces, but the same every time.
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                usize::try_from(seed % 97).unwrap() + 1
            }
            _ => rest.len(),
        };
        let (piece, more) = rest.split_at(size.min(rest.len()));
        pieces.push(Ok(piece.to_vec()));
        rest = more;
    }
    if how == "break" {
        pieces.push(Err(std::io::Error::other("broken")));
    }
    let content_type = if recording.stream { "text/event-stream" } else { "application/json" };
    let mut response =
        Response::builder().status(recording.status).header("content-type", content_type);
    if let Some(wait) = &recording.retry_after {
        response = response.header("retry-after", wait);
    }
    response.body(Body::from_stream(stream::iter(pieces))).unwrap()
}
