//! Entry points of the fuzz targets, built with `--cfg fuzzing` only.

use crate::context::CallContext;
use crate::model::{ModelRef, Provider};
use crate::offline::{Rules, Script};
use crate::provider::fuzzing::{read_stream, read_whole};
use crate::request::{LlmRequest, Message, ToolChoice};

/// Reads an answer of a provider: as a stream that arrives in these pieces, and as a whole.
/// Panics when the streamed text differs from the text of the final answer.
pub async fn answer(provider: u8, pieces: &[&[u8]]) {
    let provider = Provider::ALL[usize::from(provider) % Provider::ALL.len()];
    read_stream(provider, pieces).await;
    read_whole(provider, &pieces.concat());
}

/// Has the built-in script answer a person, then a script that is read.
pub async fn script(text: &str, words: &str) {
    answer_by(&Script::BuiltIn, words);
    if let Ok(rules) = Rules::parse(text) {
        answer_by(&Script::Own(rules), words);
    }
}

fn answer_by(script: &Script, words: &str) {
    let request = LlmRequest {
        model: ModelRef::new(Provider::Offline, "offline"),
        messages: vec![Message::user(words)],
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        max_output_tokens: None,
        temperature: None,
        response_schema: None,
    };
    // A rule may have a delay, which is not awaited.
    let _ = futures::FutureExt::now_or_never(script.answer(&request, &CallContext::default()));
}
