//! Tool calls, assembled from whatever pieces a server makes of them.
//!
//! By the protocol, a call's first piece has its index, id and name, and the later ones its index and
//! more of the arguments (<https://platform.openai.com/docs/api-reference/chat-streaming>). Servers
//! leave out or change each of these: no index (<https://github.com/ollama/ollama/issues/7881>), index
//! zero for all calls (<https://github.com/ollama/ollama/issues/15457>,
//! <https://github.com/InternLM/lmdeploy/issues/3412>), no id
//! (<https://github.com/continuedev/continue/pull/13235>), a new id in each piece
//! (<https://github.com/poolsideai/pool/issues/9>), the name in each piece or in pieces
//! (<https://github.com/NVIDIA-NeMo/Switchyard/pull/785>), arguments as an object, one call in the old
//! form `function_call`.

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::model::Provider;
use crate::provider::failure::Failure;
use crate::provider::wire::{MAX_PARTS, PartialCall, at, str_at, too_many_parts};

/// The field of a call that Gemini's server needs back: it holds the thought's signature
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures#openai>).
pub(super) const EXTRA: &str = "extra_content";

/// The calls of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    text: String,
    /// How far the text is.
    progress: Progress,
    /// The arguments, where they come as an object.
    object: Option<Map<String, Value>>,
    extra: Option<Value>,
}

/// A piece of a call.
pub(super) struct Piece<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: Option<Arguments<'a>>,
    pub(super) extra: Option<&'a Value>,
}

/// Arguments in a piece.
pub(super) enum Arguments<'a> {
    /// A piece of their JSON.
    Text(&'a str),
    Object(&'a Map<String, Value>),
    /// What is no arguments.
    Other(&'a Value),
}

impl<'a> Arguments<'a> {
    fn read(arguments: &'a Value) -> Option<Self> {
        match arguments {
            Value::Null => None,
            Value::String(text) => Some(Self::Text(text)),
            Value::Object(fields) => Some(Self::Object(fields)),
            other => Some(Self::Other(other)),
        }
    }
}

impl<'a> Piece<'a> {
    fn read(piece: &'a Value) -> Self {
        let index = match piece.get("index") {
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(index) => index.as_u64(),
            None => None,
        };
        Self {
            index,
            id: str_at(piece, "/id"),
            name: str_at(piece, "/function/name"),
            arguments: at(piece, "/function/arguments").and_then(Arguments::read),
            extra: piece.get(EXTRA).filter(|extra| extra.is_object()),
        }
    }

    fn is_empty(&self) -> bool {
        self.id.is_empty()
            && self.name.is_empty()
            && self.arguments.is_none()
            && self.extra.is_none()
    }

    /// Whether it has the beginning of arguments.
    fn begins_arguments(&self) -> bool {
        match self.arguments {
            Some(Arguments::Text(text)) => text.trim_start().starts_with('{'),
            Some(Arguments::Object(_) | Arguments::Other(_)) => true,
            None => false,
        }
    }

    fn has_arguments(&self) -> bool {
        !matches!(self.arguments, None | Some(Arguments::Text("")))
    }
}

impl Calls {
    /// Takes the calls of a delta.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn delta(&mut self, delta: &Value) -> Result<(), Failure> {
        let pieces = list(delta);
        if pieces.is_empty() {
            if let Some(function) = delta.get("function_call").filter(|call| call.is_object()) {
                let piece = json!({ "index": 0, "function": function });
                self.piece(&Piece::read(&piece))?;
            }
            return Ok(());
        }
        self.pieces(pieces.iter().map(Piece::read))
    }

    /// Takes the pieces of a delta.
    ///
    /// # Errors
    /// When there are too many calls.
    pub(super) fn pieces<'a>(
        &mut self,
        pieces: impl ExactSizeIterator<Item = Piece<'a>>,
    ) -> Result<(), Failure> {
        let are_several = pieces.len() > 1;
        for (place, piece) in (0..).zip(pieces) {
            // Calls that come together are told apart by their places.
            let implied = are_several.then_some(place);
            self.piece(&Piece { index: piece.index.or(implied), ..piece })?;
        }
        Ok(())
    }

    fn piece(&mut self, piece: &Piece<'_>) -> Result<(), Failure> {
        if piece.is_empty() {
            return Ok(());
        }
        let at = self.find(piece).unwrap_or_else(|| {
            self.0.push(Call { index: piece.index, ..Call::default() });
            self.0.len() - 1
        });
        if at >= MAX_PARTS {
            return Err(too_many_parts());
        }
        self.0[at].add(piece);
        Ok(())
    }

    /// The call that a piece continues.
    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        let calls = &self.0;
        let newest = calls.len().checked_sub(1);
        let by_id = (!piece.id.is_empty())
            .then(|| calls.iter().rposition(|call| call.id == piece.id))
            .flatten();
        let at = match piece.index {
            None => by_id.or(newest)?,
            Some(_) => {
                let is_there = |at: &usize| calls[*at].index == piece.index;
                let by_index = calls.iter().rposition(|call| call.index == piece.index);
                let found = by_id.filter(is_there).or(by_index);
                found.or_else(|| match by_id {
                    Some(at) if calls[at].index.is_none() => Some(at),
                    _ if piece.name.is_empty() => by_id.or(newest),
                    _ => None,
                })?
            }
        };
        calls[at].goes_on_with(piece).then_some(at)
    }

    /// The calls, at the end.
    pub(super) fn take(&mut self, provider: Provider) -> Vec<PartialCall> {
        let calls = std::mem::take(&mut self.0);
        let calls = calls.into_iter().map(|call| PartialCall {
            id: call.id,
            name: call.name,
            arguments: match call.object {
                Some(object) => Value::Object(object).to_string(),
                None => call.text,
            },
            state: call.extra.map(|extra| json!({ provider.as_str(): { EXTRA: extra } })),
        });
        calls.collect()
    }
}

/// The calls of a whole message: each is one.
///
/// # Errors
/// When there are too many.
pub(super) fn whole(provider: Provider, message: &Value) -> Result<Vec<PartialCall>, Failure> {
    let mut calls = Calls::default();
    let pieces = list(message);
    if pieces.is_empty() {
        calls.delta(message)?;
    }
    for piece in pieces {
        let piece = Piece::read(piece);
        if !piece.is_empty() {
            let mut call = Call::default();
            call.add(&piece);
            calls.0.push(call);
        }
    }
    Ok(calls.take(provider))
}

/// The field of a call that goes back to the provider that sent it.
pub(super) fn extra_of(state: Option<&Value>, provider: Provider) -> Option<&Value> {
    state?.get(provider.as_str())?.get(EXTRA)
}

fn list(message: &Value) -> &[Value] {
    message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Call {
    /// Whether a piece that was found by its index, id or place belongs to this call, and is not the
    /// beginning of another one.
    fn goes_on_with(&self, piece: &Piece<'_>) -> bool {
        let is_same_id = !piece.id.is_empty() && piece.id == self.id;
        if is_same_id || piece.name.is_empty() {
            return true;
        }
        let has_other_id = !piece.id.is_empty() && !self.id.is_empty();
        let is_blank = self.text.is_empty() && self.object.is_none();
        // The same name again, or more of it.
        if piece.name.starts_with(&self.name) {
            let is_next = self.is_complete() && (piece.begins_arguments() || has_other_id)
                || has_other_id && is_blank && !piece.has_arguments();
            return !is_next;
        }
        // A name in pieces.
        is_blank && piece.index.is_some() && piece.id.is_empty()
    }

    /// Whether the arguments are whole.
    fn is_complete(&self) -> bool {
        self.object.is_some() || self.progress.is_whole
    }

    fn add(&mut self, piece: &Piece<'_>) {
        if self.id.is_empty() {
            piece.id.clone_into(&mut self.id);
        }
        if piece.name.starts_with(&self.name) {
            piece.name.clone_into(&mut self.name);
        } else {
            self.name.push_str(piece.name);
        }
        if let Some(extra) = piece.extra {
            self.extra = Some(extra.clone());
        }
        match piece.arguments {
            None => {}
            Some(Arguments::Text(text)) => {
                if piece.begins_arguments() && self.is_complete() {
                    // All of them again.
                    self.text.clear();
                    self.progress = Progress::default();
                    self.object = None;
                }
                self.text.push_str(text);
                self.progress.add(text, &self.text);
            }
            Some(Arguments::Object(fields)) => {
                self.object.get_or_insert_default().extend(fields.clone());
            }
            Some(Arguments::Other(other)) => {
                self.text = other.to_string();
                self.progress = Progress::default();
            }
        }
    }
}

/// How far arguments are that come in pieces. Each is parsed at its end only, since pieces are many.
#[derive(Debug, Default)]
struct Progress {
    /// The objects and lists that are open.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// Whether the text is a whole object.
    is_whole: bool,
    /// Whether it is none, whatever follows.
    is_broken: bool,
}

impl Progress {
    /// Takes notice of a piece at the end of the whole text.
    fn add(&mut self, piece: &str, all: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        let at_end = self.depth == 0 && !self.in_string;
        if !at_end || self.is_broken || piece.trim_end().is_empty() {
            self.is_whole &= piece.trim_end().is_empty();
            return;
        }
        if all.trim_end().ends_with('}') {
            self.is_whole = serde_json::from_str::<IgnoredAny>(all).is_ok();
            self.is_broken = !self.is_whole;
        } else {
            self.is_whole = false;
        }
    }
}

#[cfg(test)]
mod tests;
