//! Responses: complete and streamed.

use serde_json::{Value, json};

use super::usage::Counted;
use crate::event::FinishReason;
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::turn_parts::PartsNote;
use crate::provider::wire::{
    Assembly, Delta, End, MAX_PARTS, PartialCall, Reader, error_in, items, str_at, too_many_parts,
};

/// Parses a complete response.
///
/// # Errors
/// When it is an error or not an answer.
pub(in crate::provider) fn parse(provider: Provider, body: &Value) -> Result<Answer, Failure> {
    if let Some(error) = error_in(body) {
        return Err(Failure::of_error_object(provider, error));
    }
    if body.get("content").and_then(Value::as_array).is_none() {
        return Err(Failure::bad_answer("the answer has no content"));
    }
    let mut reader = AnthropicReader::new(provider);
    reader.message(body)?;
    reader.stop(str_at(body, "/stop_reason"));
    reader.answer()
}

/// How an answer ended.
///
/// `pause_turn` stands between steps of the server's own tools, which are never asked for, and is not
/// the end of an answer. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>.
fn finish(reason: &str) -> Option<End> {
    Some(match reason {
        "" => return None,
        "end_turn" | "stop_sequence" => End::Good(FinishReason::Stop),
        "max_tokens" | "model_context_window_exceeded" => End::Good(FinishReason::Length),
        "tool_use" => End::Good(FinishReason::ToolCalls),
        "refusal" => End::Good(FinishReason::ContentFilter),
        other => End::Bad(other.to_owned()),
    })
}

/// Reads a stream. It ends with `message_stop`; some servers forget that, and then a reason to stop,
/// usage and a clean end are enough.
#[derive(Debug)]
pub(in crate::provider) struct AnthropicReader {
    provider: Provider,
    assembly: Assembly,
    counted: Counted,
    blocks: Vec<Block>,
    ended: bool,
}

/// A block of content.
#[derive(Debug)]
struct Block {
    /// Its index; `None` when the server sends none.
    index: Option<u64>,
    kind: BlockKind,
}

#[derive(Debug)]
enum BlockKind {
    /// So many bytes of text.
    Text(usize),
    /// A tool call: its place in the assembly, and the input that came with its start.
    Call { place: usize, given: Option<String> },
    /// Thinking, as it goes back.
    Thought(Value),
    /// The server's own tools, and what is not known.
    Other,
}

impl AnthropicReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self {
            provider,
            assembly: Assembly::default(),
            counted: Counted::default(),
            blocks: Vec::new(),
            ended: false,
        }
    }

    /// Reads a message, which is whole in a complete response and mostly empty at the start of a
    /// stream.
    fn message(&mut self, message: &Value) -> Result<Delta, Failure> {
        self.counted.take(&message["usage"]);
        let mut all = String::new();
        for block in items(message, "/content") {
            if let Delta::Text(text) = self.start(None, block) {
                all.push_str(&text);
            }
            self.check()?;
        }
        Ok(Delta::text(all))
    }

    /// A block begins; some servers send it complete, without deltas.
    fn start(&mut self, index: Option<u64>, block: &Value) -> Delta {
        let (kind, delta) = match str_at(block, "/type") {
            "text" => {
                let text = str_at(block, "/text");
                self.assembly.text.push_str(text);
                (BlockKind::Text(text.len()), Delta::text(text.to_owned()))
            }
            "tool_use" => {
                self.assembly.calls.push(PartialCall {
                    id: str_at(block, "/id").to_owned(),
                    name: str_at(block, "/name").to_owned(),
                    ..PartialCall::default()
                });
                let place = self.assembly.calls.len() - 1;
                (BlockKind::Call { place, given: given_input(block) }, Delta::Nothing)
            }
            "thinking" | "redacted_thinking" => (BlockKind::Thought(block.clone()), Delta::Nothing),
            _ => (BlockKind::Other, Delta::Nothing),
        };
        self.blocks.push(Block { index, kind });
        delta
    }

    /// More text. It counts to the newest block of text, for that is how it was told.
    fn text(&mut self, index: Option<u64>, text: &str) -> Delta {
        let is_new = self.block(index).is_none();
        let newest = self.blocks.iter_mut().rev().find_map(|block| match &mut block.kind {
            BlockKind::Text(bytes) if !is_new => Some(bytes),
            _ => None,
        });
        match newest {
            Some(bytes) => *bytes += text.len(),
            None => self.blocks.push(Block { index, kind: BlockKind::Text(text.len()) }),
        }
        self.assembly.text.push_str(text);
        Delta::text(text.to_owned())
    }

    fn delta(&mut self, event: &Value) -> Delta {
        let index = event.get("index").and_then(Value::as_u64);
        let kind = str_at(event, "/delta/type");
        if kind == "text_delta" {
            return self.text(index, str_at(event, "/delta/text"));
        }
        if kind == "thinking_delta" && self.block(index).is_none() {
            let thought = json!({ "type": "thinking", "thinking": "" });
            self.blocks.push(Block { index, kind: BlockKind::Thought(thought) });
        }
        let (field, piece) = match kind {
            "thinking_delta" => ("thinking", str_at(event, "/delta/thinking")),
            "signature_delta" => ("signature", str_at(event, "/delta/signature")),
            "input_json_delta" => ("input", str_at(event, "/delta/partial_json")),
            // Citations, and what is not known.
            _ => return Delta::Nothing,
        };
        let place = self.block(index);
        match place.and_then(|place| self.blocks.get_mut(place)).map(|block| &mut block.kind) {
            Some(BlockKind::Thought(thought)) if field != "input" => append(thought, field, piece),
            Some(BlockKind::Call { place, .. }) if field == "input" => {
                if let Some(call) = self.assembly.calls.get_mut(*place) {
                    call.arguments.push_str(piece);
                }
            }
            // Deltas of the server's own tools have no call.
            Some(_) | None => {}
        }
        Delta::Nothing
    }

    /// The place of a block: the newest with this index, or else the newest.
    fn block(&self, index: Option<u64>) -> Option<usize> {
        let Some(index) = index else { return self.blocks.len().checked_sub(1) };
        let same = self.blocks.iter().rposition(|block| block.index == Some(index));
        same.or_else(|| {
            let last = self.blocks.last().filter(|block| block.index.is_none());
            last.map(|_| self.blocks.len() - 1)
        })
    }

    fn stop(&mut self, reason: &str) {
        self.assembly.ends(finish(reason));
    }

    fn check(&self) -> Result<(), Failure> {
        if self.blocks.len() > MAX_PARTS { Err(too_many_parts()) } else { Ok(()) }
    }
}

/// The input that comes with the start of a call, if it says anything: an empty object may only mean
/// that the input follows.
fn given_input(block: &Value) -> Option<String> {
    match block.get("input")? {
        Value::Object(fields) if fields.is_empty() => None,
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        other => Some(other.to_string()),
    }
}

/// Adds to a text field of a block.
fn append(block: &mut Value, field: &str, piece: &str) {
    match block.get_mut(field) {
        Some(Value::String(text)) => text.push_str(piece),
        _ => block[field] = json!(piece),
    }
}

impl Reader for AnthropicReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        let delta = match str_at(event, "/type") {
            "message_start" => self.message(&event["message"])?,
            "content_block_start" => {
                let index = event.get("index").and_then(Value::as_u64);
                self.start(index, &event["content_block"])
            }
            "content_block_delta" => self.delta(event),
            "message_delta" => {
                self.counted.take(&event["usage"]);
                self.stop(str_at(event, "/delta/stop_reason"));
                Delta::Nothing
            }
            "message_stop" => {
                self.counted.take(&event["usage"]);
                self.ended = true;
                Delta::End
            }
            "error" => return Err(Failure::of_error_object(self.provider, event)),
            _ => match error_in(event) {
                Some(error) => return Err(Failure::of_error_object(self.provider, error)),
                None => Delta::Nothing,
            },
        };
        self.check()?;
        Ok(delta)
    }

    fn is_complete(&self) -> bool {
        self.ended || (self.assembly.end.is_some() && !self.counted.usage().is_unknown())
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        let mut note = PartsNote::default();
        for block in std::mem::take(&mut self.blocks) {
            match block.kind {
                BlockKind::Text(bytes) => note.text(bytes),
                BlockKind::Call { place, given } => {
                    let call = self.assembly.calls.get_mut(place);
                    if let (Some(call), Some(given)) = (call, given)
                        && call.arguments.trim().is_empty()
                    {
                        call.arguments = given;
                    }
                    note.call();
                }
                BlockKind::Thought(thought) => note.own(thought),
                BlockKind::Other => {}
            }
        }
        self.assembly.thoughts = note.thoughts(self.provider);
        self.assembly.usage = self.counted.usage();
        self.assembly.take()
    }
}
