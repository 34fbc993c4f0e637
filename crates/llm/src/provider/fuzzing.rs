//! Parsing responses of providers from arbitrary bytes.

use bytes::Bytes;
use futures::stream;

use super::answer::Piece;
use super::body::{self, Body};
use super::network::{LiveStream, Mode, read_json};
use super::target::Target;
use crate::context::Received;
use crate::model::{ModelRef, Provider};
use crate::request::{ToolChoice, ToolList};
use crate::settings::{Endpoint, OpenAiApi, Timeouts};

fn targets(provider: Provider) -> Vec<Target> {
    let endpoint = Endpoint { base_url: None, api_key: Some("key".into()) };
    let apis = [OpenAiApi::Chat, OpenAiApi::Responses];
    apis.into_iter().filter_map(|api| Target::new(provider, &endpoint, api).ok()?).collect()
}

/// Reads pieces as a stream: the streamed text must equal the text of the final answer.
pub(crate) async fn read_stream(provider: Provider, pieces: &[&[u8]]) {
    for target in targets(provider) {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        let body = reqwest::Body::wrap_stream(stream::iter(pieces));
        let response = reqwest::Response::from(http::Response::new(body));
        let Ok(Body::Events(events)) = body::open(response, &Timeouts::default()).await else {
            continue;
        };
        let model = ModelRef::new(provider, "model");
        let tools = target.tools(&model, &ToolList::default(), false, None);
        let mut live = LiveStream::new(target, tools, ToolChoice::Auto, Mode::default());
        live.events = Some(events);
        let received = Received::default();
        let mut streamed = String::new();
        loop {
            match live.next(&received).await {
                Ok(Piece::Text(text)) => streamed += &text,
                Ok(Piece::Done(answer)) => {
                    assert_eq!(answer.message.text, streamed);
                    assert!(answer.message.tool_calls.iter().all(|call| !call.id.is_empty()));
                    break;
                }
                Err(failure) => {
                    assert!(!failure.cause.contains("\"key\""));
                    break;
                }
            }
        }
    }
}

/// Reads bytes as a complete response.
pub(crate) fn read_whole(provider: Provider, bytes: &[u8]) {
    for target in targets(provider) {
        if let Ok(json) = read_json(bytes)
            && let Ok(answer) = target.parse(&json)
        {
            assert!(answer.message.tool_calls.iter().all(|call| !call.id.is_empty()));
        }
    }
}
