//! Chunks of a stream in the form that nearly all have. They are read without building a `Value` of
//! each, and without copying their texts.

use std::borrow::Cow;
use std::fmt::{Formatter, Result as FmtResult};
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::calls::{Arguments, Piece};
use super::usage::Counts;

/// A chunk with nothing in it that another reader would have to look at.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    choices: AtMostOne<Choice<'a>>,
    pub(super) usage: Option<Counts>,
    #[serde(borrow)]
    object: Option<Text<'a>>,
    x_groq: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
    base_resp: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Option<ChoiceDelta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    native_finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    object: Option<Text<'a>>,
    error: Option<IgnoredAny>,
    usage: Option<IgnoredAny>,
    message: Option<IgnoredAny>,
    detail: Option<IgnoredAny>,
    base_resp: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct ChoiceDelta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    function_call: Option<IgnoredAny>,
    // OpenRouter sends an empty list with each text.
    reasoning_details: Option<[IgnoredAny; 0]>,
    thinking_blocks: Option<[IgnoredAny; 0]>,
    extra_content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    extra_content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

impl<'a> Chunk<'a> {
    /// Reads a chunk; `None` when it contains anything else.
    pub(super) fn parse(event: &'a str) -> Option<Self> {
        let chunk: Self = serde_json::from_str(event).ok()?;
        chunk.is_usual().then_some(chunk)
    }

    fn is_usual(&self) -> bool {
        str_of(self.object.as_ref()) != "error"
            && (&self.x_groq, &self.error, &self.base_resp) == (&None, &None, &None)
            && self.choices.0.as_ref().is_none_or(Choice::is_usual)
    }

    pub(super) fn choice(&self) -> Option<&Choice<'a>> {
        self.choices.0.as_ref()
    }
}

impl Choice<'_> {
    fn is_usual(&self) -> bool {
        let others = [&self.error, &self.usage, &self.message, &self.detail, &self.base_resp];
        self.index.is_none_or(|index| index == 0)
            && str_of(self.object.as_ref()) != "error"
            && others.into_iter().all(Option::is_none)
            && self.delta.as_ref().is_none_or(ChoiceDelta::is_usual)
    }

    /// The finish reason, and the one of the model's own provider.
    pub(super) fn finish_reasons(&self) -> [&str; 2] {
        [&self.finish_reason, &self.native_finish_reason].map(|reason| str_of(reason.as_ref()))
    }
}

impl ChoiceDelta<'_> {
    fn is_usual(&self) -> bool {
        let is_usual = |call: &Call<'_>| call.extra_content.is_none();
        // An empty list says nothing, and no other can be read here.
        let (None | Some([]), None | Some([])) = (&self.reasoning_details, &self.thinking_blocks);
        (&self.function_call, &self.extra_content) == (&None, &None)
            && self.tool_calls.iter().flatten().all(is_usual)
    }

    /// The text; a refusal counts as text.
    pub(super) fn text(&self) -> String {
        let mut text = str_of(self.content.as_ref()).to_owned();
        text.push_str(str_of(self.refusal.as_ref()));
        text
    }

    /// The texts that are thoughts, with their fields' names.
    pub(super) fn thoughts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields =
            [("reasoning_content", &self.reasoning_content), ("reasoning", &self.reasoning)];
        fields.into_iter().filter_map(|(name, text)| Some((name, &*text.as_ref()?.0)))
    }

    /// Pieces of calls.
    pub(super) fn calls(&self) -> impl ExactSizeIterator<Item = Piece<'_>> {
        let calls = self.tool_calls.as_deref().unwrap_or_default();
        calls.iter().map(|call| {
            let function = call.function.as_ref();
            let arguments = function.and_then(|function| function.arguments.as_ref());
            Piece {
                index: call.index,
                id: str_of(call.id.as_ref()),
                name: str_of(function.and_then(|function| function.name.as_ref())),
                arguments: arguments.map(|text| Arguments::Text(&text.0)),
                extra: None,
            }
        })
    }
}

fn str_of<'a>(text: Option<&'a Text<'_>>) -> &'a str {
    text.map(|text| &*text.0).unwrap_or_default()
}

/// A text, borrowed where it has no escapes. (An optional `Cow` is always copied.)
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A list of one item, or none.
struct AtMostOne<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AtMostOne<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneVisitor<T> {
            type Value = AtMostOne<T>;

            fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
                f.write_str("a list of at most one item")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<AtMostOne<T>, A::Error> {
                let first = items.next_element()?;
                match items.next_element::<IgnoredAny>()? {
                    None => Ok(AtMostOne(first)),
                    Some(_) => Err(A::Error::custom("a second item")),
                }
            }
        }
        deserializer.deserialize_seq(OneVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests;
