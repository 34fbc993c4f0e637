//! The items of an answer, assembled from whichever events a server sends. Servers name an item by its
//! id, by its index, by both or by neither, and repeat its content in several events.

use serde_json::{Map, Value, json};

use crate::provider::wire::{MAX_PARTS, items, str_at};

/// The kinds of item that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Call,
    Reasoning,
}

impl Kind {
    /// The kind of an item; `None` for the server's own tools and what is not known.
    pub(super) fn of(item: &Value) -> Option<Self> {
        match str_at(item, "/type") {
            "message" => Some(Self::Message),
            "function_call" => Some(Self::Call),
            "reasoning" => Some(Self::Reasoning),
            _ => None,
        }
    }
}

/// An item so far.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// Its index in the output, if the server says.
    index: Option<u64>,
    id: String,
    /// Whether its last event has come.
    is_done: bool,
    /// Its position in the output of the last event.
    listed: Option<usize>,
    /// Of a message: how much of each part's text was told, bytes.
    told: Vec<usize>,
    /// Of a message: the text that counts to it, bytes.
    pub(super) text_bytes: usize,
    /// Of a message: fields that go back with it.
    pub(super) fields: Map<String, Value>,
    /// Of a call.
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    /// Whether the arguments came in pieces.
    is_streamed: bool,
    /// Of reasoning: the item that goes back.
    pub(super) reasoning: Option<Value>,
}

impl Item {
    fn new(kind: Kind, index: Option<u64>, id: &str) -> Self {
        Self {
            kind,
            index,
            id: id.to_owned(),
            is_done: false,
            listed: None,
            told: Vec::new(),
            text_bytes: 0,
            fields: Map::new(),
            call_id: String::new(),
            name: String::new(),
            arguments: String::new(),
            is_streamed: false,
            reasoning: None,
        }
    }

    /// Whether it may be this call, by the id of the call.
    fn may_be(&self, call_id: &str) -> bool {
        self.call_id.is_empty() || call_id.is_empty() || self.call_id == call_id
    }

    /// Whether too little is known of it to tell it from the item with this id.
    fn is_vague(&self, id: &str) -> bool {
        self.id.is_empty() || id.is_empty() || self.index.is_none()
    }

    /// What is new of a part's text, of which so much was told before; it counts as told.
    fn rest<'a>(&mut self, part: usize, text: &'a str) -> &'a str {
        let told = self.told_of(part);
        let rest = text.get(*told..).unwrap_or_default();
        *told = (*told).max(text.len());
        rest
    }

    fn told_of(&mut self, part: usize) -> &mut usize {
        // Parts are few; a larger number is none.
        let part = part.min(MAX_TEXTS);
        if self.told.len() <= part {
            self.told.resize(part + 1, 0);
        }
        &mut self.told[part]
    }

    /// The rest of a whole message's text.
    fn rest_of_message(&mut self, item: &Value) -> String {
        if let Some(phase) = item.get("phase").filter(|phase| phase.is_string()) {
            // Source: https://openrouter.ai/docs/cookbook/evaluate-and-optimize/model-migrations/gpt-5-4
            self.fields.insert("phase".into(), phase.clone());
        }
        let mut rest = String::new();
        let mut surplus = 0;
        for (number, part) in items(item, "/content").enumerate() {
            let text = text_of_part(part);
            // Pieces that do not say which part they belong to were counted to the first one.
            *self.told_of(number) += surplus;
            surplus = self.told_of(number).saturating_sub(text.len());
            rest.push_str(self.rest(number, text));
        }
        rest
    }

    fn take_call(&mut self, item: &Value) {
        for (field, path) in [(&mut self.call_id, "/call_id"), (&mut self.name, "/name")] {
            let text = str_at(item, path);
            if !text.is_empty() {
                text.clone_into(field);
            }
        }
        self.take_arguments(item.get("arguments"));
    }

    /// Takes whole arguments, unless they are missing.
    fn take_arguments(&mut self, arguments: Option<&Value>) {
        match arguments {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => text.clone_into(&mut self.arguments),
            Some(other) => self.arguments = other.to_string(),
        }
    }

    /// Reasoning goes back encrypted, without an id, or as the text that a server without encryption
    /// sends: otherwise the server would look for an item that it has not stored
    /// (<https://github.com/vercel/ai/pull/12869>).
    fn take_reasoning(&mut self, item: &Value) {
        let summary = item.get("summary").filter(|summary| summary.is_array());
        let summary = summary.cloned().unwrap_or_else(|| json!([]));
        if let Some(sealed) = item.get("encrypted_content").filter(|sealed| sealed.is_string()) {
            self.reasoning = Some(
                json!({ "type": "reasoning", "summary": summary, "encrypted_content": sealed }),
            );
        } else if items(item, "/content").next().is_some() {
            let mut open = json!({ "type": "reasoning", "summary": summary,
                "content": item["content"] });
            if let Some(id) = item.get("id").filter(|id| id.is_string()) {
                open["id"] = id.clone();
            }
            self.reasoning.get_or_insert(open);
        }
    }
}

/// The most parts of a message whose texts are told apart.
const MAX_TEXTS: usize = 64;

/// The text of a part of a message; a refusal counts as text.
fn text_of_part(part: &Value) -> &str {
    let text = str_at(part, "/text");
    if text.is_empty() { str_at(part, "/refusal") } else { text }
}

/// The items so far, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn into_items(self) -> Vec<Item> {
        self.0
    }

    /// Whether there are too many.
    pub(super) fn are_too_many(&self) -> bool {
        self.0.len() > MAX_PARTS
    }

    /// An item begins.
    pub(super) fn begin(&mut self, event: &Value, item: &Value) {
        let Some(kind) = Kind::of(item) else { return };
        let (index, id) = (index_of(event), str_at(item, "/id"));
        let known = self.0.iter().rposition(|known| known.kind == kind && is_same(&known.id, id));
        let place = known.unwrap_or_else(|| self.push(kind, index, id));
        if let (Kind::Call, Some(known)) = (kind, self.0.get_mut(place)) {
            known.take_call(item);
        }
    }

    /// A piece of a message's text. Returns it.
    pub(super) fn text_piece(&mut self, event: &Value, piece: &str) -> String {
        let place = self.place(Kind::Message, event);
        let part = part_of(event);
        if let Some(item) = self.0.get_mut(place) {
            *item.told_of(part) += piece.len();
        }
        self.count_text(place, piece.len());
        piece.to_owned()
    }

    /// The whole text of a part of a message. Returns what is new of it.
    pub(super) fn whole_text(&mut self, event: &Value, text: &str) -> String {
        let place = self.place(Kind::Message, event);
        let part = part_of(event);
        let rest = self.0.get_mut(place).map(|item| item.rest(part, text)).unwrap_or_default();
        self.count_text(place, rest.len());
        rest.to_owned()
    }

    /// A whole part of an item. Returns what is new of its text.
    pub(super) fn whole_part(&mut self, event: &Value) -> String {
        let part = &event["part"];
        match str_at(part, "/type") {
            "output_text" | "refusal" => self.whole_text(event, text_of_part(part)),
            _ => String::new(),
        }
    }

    /// A piece of a call's arguments.
    pub(super) fn arguments_piece(&mut self, event: &Value) {
        let place = self.place(Kind::Call, event);
        if let Some(item) = self.0.get_mut(place) {
            if !item.is_streamed {
                // Whole arguments at the start are repeated in pieces.
                item.arguments.clear();
                item.is_streamed = true;
            }
            item.arguments.push_str(str_at(event, "/delta"));
        }
    }

    /// The whole arguments of a call.
    pub(super) fn whole_arguments(&mut self, event: &Value) {
        let place = self.place(Kind::Call, event);
        if let Some(item) = self.0.get_mut(place) {
            item.take_arguments(event.get("arguments"));
            if item.name.is_empty() {
                str_at(event, "/name").clone_into(&mut item.name);
            }
        }
    }

    /// An item ends. Returns what is new of its text.
    pub(super) fn finish(&mut self, event: &Value, item: &Value) -> String {
        let Some(kind) = Kind::of(item) else { return String::new() };
        let (index, id, call_id) = (index_of(event), str_at(item, "/id"), str_at(item, "/call_id"));
        let by_call = |known: &Item| kind == Kind::Call && is_same(&known.call_id, call_id);
        let known = self.0.iter().rposition(|known| known.kind == kind && by_call(known));
        let known = known
            .or_else(|| self.find(kind, index, id).filter(|place| self.0[*place].may_be(call_id)));
        let place = known.unwrap_or_else(|| self.push(kind, index, id));
        self.take(place, item)
    }

    /// The output of the last event, which may repeat what was told before or be the first to tell it.
    /// Returns what is new of its texts.
    pub(super) fn list(&mut self, output: &Value, told: &str) -> String {
        let new_by_item = self.take_all(output);
        let texts = items(output, "/output").map(|item| match Kind::of(item) {
            Some(Kind::Message) => items(item, "/content").map(text_of_part).collect(),
            Some(Kind::Call | Kind::Reasoning) | None => String::new(),
        });
        let texts: Vec<String> = texts.collect();
        let whole = texts.concat();
        // The output has all that was told, whichever message it was counted to.
        let new = whole.strip_prefix(told).filter(|_| !whole.is_empty());
        if new.is_some() {
            for item in self.0.iter_mut().filter(|item| item.kind == Kind::Message) {
                let text = item.listed.and_then(|position| texts.get(position));
                item.text_bytes = text.map_or(0, String::len);
            }
        }
        self.put_in_order();
        new.map_or(new_by_item, str::to_owned)
    }

    /// Takes each item of an output. Returns what is new of their texts, each compared by itself.
    fn take_all(&mut self, output: &Value) -> String {
        let mut rest = String::new();
        for (position, item) in items(output, "/output").enumerate() {
            if self.are_too_many() {
                break;
            }
            let Some(kind) = Kind::of(item) else { continue };
            let (id, call_id) = (str_at(item, "/id"), str_at(item, "/call_id"));
            let index = u64::try_from(position).ok();
            let open = |known: &&Item| {
                known.kind == kind && known.listed.is_none() && known.may_be(call_id)
            };
            let by = |is_it: &dyn Fn(&Item) -> bool| {
                self.0.iter().position(|known| open(&known) && is_it(known))
            };
            let known = by(&|known| is_same(&known.call_id, call_id))
                .or_else(|| by(&|known| is_same(&known.id, id)))
                .or_else(|| by(&|known| known.index == index))
                .or_else(|| by(&|known| known.is_vague(id)));
            let place = known.unwrap_or_else(|| self.push(kind, index, id));
            if let Some(known) = self.0.get_mut(place) {
                known.listed = Some(position);
            }
            rest.push_str(&self.take(place, item));
        }
        rest
    }

    /// Puts the items in the order of the last event's output, if it has them all. The texts must keep
    /// the order in which they were told.
    fn put_in_order(&mut self) {
        let is_complete = self.0.iter().all(|item| item.listed.is_some());
        let texts = self.0.iter().filter(|item| item.text_bytes > 0).map(|item| item.listed);
        if is_complete && texts.is_sorted() {
            self.0.sort_by_key(|item| item.listed);
        }
    }

    /// Takes a whole item. Returns what is new of its text.
    fn take(&mut self, place: usize, whole: &Value) -> String {
        let Some(item) = self.0.get_mut(place) else { return String::new() };
        item.is_done = true;
        match item.kind {
            Kind::Message => {
                let rest = item.rest_of_message(whole);
                self.count_text(place, rest.len());
                rest
            }
            Kind::Call => {
                item.take_call(whole);
                String::new()
            }
            Kind::Reasoning => {
                item.take_reasoning(whole);
                String::new()
            }
        }
    }

    /// Counts text to a message, or to a later one that has text already: so it was told.
    fn count_text(&mut self, place: usize, bytes: usize) {
        let items = self.0.get_mut(place..).unwrap_or_default();
        let later = items.iter().rposition(|item| item.text_bytes > 0).unwrap_or_default();
        if let Some(item) = items.get_mut(later) {
            item.text_bytes += bytes;
        }
    }

    /// The item that an event is about; a new one if there is none.
    fn place(&mut self, kind: Kind, event: &Value) -> usize {
        let (index, id) = (index_of(event), str_at(event, "/item_id"));
        self.find(kind, index, id).unwrap_or_else(|| self.push(kind, index, id))
    }

    /// The item with this id; or else the open one with this index; or else the open one of which
    /// nothing else is known.
    fn find(&self, kind: Kind, index: Option<u64>, id: &str) -> Option<usize> {
        let same = |is_it: &dyn Fn(&Item) -> bool| {
            self.0.iter().rposition(|item| item.kind == kind && is_it(item))
        };
        same(&|item| is_same(&item.id, id))
            .or_else(|| same(&|item| !item.is_done && index.is_some() && item.index == index))
            .or_else(|| {
                same(&|item| {
                    let no_id = item.id.is_empty() || id.is_empty();
                    let no_index = item.index.is_none() || index.is_none();
                    !item.is_done && no_id && no_index
                })
            })
    }

    fn push(&mut self, kind: Kind, index: Option<u64>, id: &str) -> usize {
        self.0.push(Item::new(kind, index, id));
        self.0.len() - 1
    }
}

fn is_same(known: &str, id: &str) -> bool {
    !id.is_empty() && known == id
}

fn index_of(event: &Value) -> Option<u64> {
    event.get("output_index").and_then(Value::as_u64)
}

fn part_of(event: &Value) -> usize {
    let index = event.get("content_index").and_then(Value::as_u64);
    index.and_then(|index| usize::try_from(index).ok()).unwrap_or_default()
}
