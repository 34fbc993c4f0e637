//! Personal data replaced by placeholders: the same value by the same one, in all cases of an export.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::{Map, Number, Value};

use crate::cases::Case;
use crate::shapes::{check_of, placeholder};

/// A user's id of one character is only replaced where it is all of a text: it may be anything else.
const MIN_WITHIN: usize = 2;

/// What was found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub at: Range<usize>,
    /// What it is: `email`, `phone`, `iban`, `card`, `key`, or a pattern's name.
    pub kind: String,
}

/// Finds personal data in a text: in order, and nothing overlaps.
pub type Finder = Box<dyn Fn(&str) -> Vec<Found> + Send>;

/// Replaces personal data, and remembers by what.
pub struct Placeholders {
    finder: Finder,
    users: Vec<(String, String)>,
    /// By kind and value without separators, the number of its placeholder.
    numbers: HashMap<(String, String), usize>,
    /// How many there are of each kind.
    counts: HashMap<String, usize>,
    /// What was read: no placeholder is one of these.
    originals: HashSet<String>,
}

impl Placeholders {
    /// Looks for what is known to be personal, and with this finder.
    pub fn new(finder: Finder) -> Self {
        Self {
            finder,
            users: Vec::new(),
            numbers: HashMap::new(),
            counts: HashMap::new(),
            originals: HashSet::new(),
        }
    }

    /// Another finder from now on: another role's patterns. What is known stays.
    pub fn look_with(&mut self, finder: Finder) {
        self.finder = finder;
    }

    /// Knows this user, whose id is replaced wherever it stands as a word.
    pub fn know_user(&mut self, user: &str) -> String {
        if let Some((_, known)) = self.users.iter().find(|(id, _)| id == user) {
            return known.clone();
        }
        // An address or a number is replaced as such, wherever it stands.
        let found = (self.finder)(user);
        let shape = match found.as_slice() {
            [found] if found.at == (0..user.len()) => self.shape_of(&found.kind, user),
            _ => self.next("user", user, user),
        };
        self.users.push((user.to_owned(), shape.clone()));
        // The longest first: it may have another one in it.
        self.users.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
        shape
    }

    /// The placeholder of what was found.
    fn shape_of(&mut self, kind: &str, value: &str) -> String {
        let same: String = match kind {
            kind if check_of(kind, value).is_some() => {
                value.chars().filter(|c| c.is_alphanumeric()).collect()
            }
            "phone" => {
                let digits: String = value.chars().filter(char::is_ascii_digit).collect();
                digits.strip_prefix("00").unwrap_or(&digits).to_owned()
            }
            "email" => value.to_lowercase(),
            _ => value.to_owned(),
        };
        self.next(kind, value, &same)
    }

    /// The placeholder of a value; `same` is the value without what does not count.
    fn next(&mut self, kind: &str, value: &str, same: &str) -> String {
        let key = (kind.to_owned(), same.to_owned());
        let known = self.numbers.get(&key).copied();
        let number = known.unwrap_or_else(|| {
            let count = self.counts.entry(kind.to_owned()).or_default();
            loop {
                *count += 1;
                // A placeholder that is somebody's real value would say who is meant.
                if !self.originals.contains(&placeholder(kind, value, *count)) {
                    break *count;
                }
            }
        });
        self.numbers.insert(key, number);
        self.originals.insert(value.to_owned());
        placeholder(kind, value, number)
    }

    /// A text without personal data.
    pub fn text(&mut self, text: &str) -> String {
        let found = (self.finder)(text);
        self.replaced(text, found)
    }

    /// A text of a field, whose name may say that it is a secret.
    fn named(&mut self, name: &str, text: &str) -> String {
        let before = format!("{name}: ");
        let found = (self.finder)(&format!("{before}{text}")).into_iter();
        let of_text = found.filter(|found| found.at.end > before.len()).map(|found| Found {
            at: found.at.start.saturating_sub(before.len())..found.at.end - before.len(),
            kind: found.kind,
        });
        let of_text = of_text.collect();
        self.replaced(text, of_text)
    }

    fn replaced(&mut self, text: &str, found: Vec<Found>) -> String {
        if let Some((_, shape)) = self.users.iter().find(|(id, _)| id == text) {
            return shape.clone();
        }
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for found in found {
            out += &self.without_users(&text[from..found.at.start]);
            out += &self.shape_of(&found.kind, &text[found.at.clone()]);
            from = found.at.end;
        }
        out + &self.without_users(&text[from..])
    }

    fn without_users(&self, text: &str) -> String {
        let is_part = char::is_alphanumeric;
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        'rest: while let Some(first) = rest.chars().next() {
            for (id, shape) in self.users.iter().filter(|(id, _)| id.len() >= MIN_WITHIN) {
                if let Some(after) = rest.strip_prefix(id.as_str())
                    && !before.is_some_and(is_part)
                    && !after.chars().next().is_some_and(is_part)
                {
                    out += shape;
                    (before, rest) = (id.chars().next_back(), after);
                    continue 'rest;
                }
            }
            out.push(first);
            (before, rest) = (Some(first), &rest[first.len_utf8()..]);
        }
        out
    }

    /// A value without personal data, in its texts, its numbers and the names of its fields.
    pub fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(number) => self.number("", number),
            Value::String(text) => Value::String(self.text_or_json("", text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => Value::Object(self.fields(fields)),
        }
    }

    /// The fields of an object without personal data.
    pub fn fields(&mut self, fields: &Map<String, Value>) -> Map<String, Value> {
        let mut replaced = Map::with_capacity(fields.len());
        for (name, field) in fields {
            let value = match field {
                Value::Number(number) => self.number(name, number),
                Value::String(text) => Value::String(self.text_or_json(name, text)),
                other => self.value(other),
            };
            replaced.insert(self.text(name), value);
        }
        replaced
    }

    /// A text that may be JSON, whose texts then are looked at one by one: what stands between quotes is whole.
    fn text_or_json(&mut self, name: &str, text: &str) -> String {
        let is_json = text.starts_with(['{', '[']);
        match serde_json::from_str::<Value>(text) {
            Ok(read) if is_json => {
                let replaced = self.value(&read);
                // As it was written, unless something was found.
                if replaced == read { text.to_owned() } else { replaced.to_string() }
            }
            Ok(_) | Err(_) if name.is_empty() => self.text(text),
            Ok(_) | Err(_) => self.named(name, text),
        }
    }

    fn number(&mut self, name: &str, number: &Number) -> Value {
        let text = number.to_string();
        let replaced = match name {
            "" => self.text(&text),
            // One digit is a user's id by chance.
            _ if text.len() < MIN_WITHIN => text.clone(),
            name => self.named(name, &text),
        };
        if replaced == text {
            return Value::Number(number.clone());
        }
        // What is no number that is written so stays a text.
        let read = serde_json::from_str::<Number>(&replaced).ok();
        read.map_or(Value::String(replaced), Value::Number)
    }

    /// A case without personal data.
    pub fn case(&mut self, case: Case) -> Result<Case, String> {
        let mut case = case;
        if let Some(user) = &case.user {
            case.user = Some(self.know_user(user));
        }
        case.message = self.text(&case.message);
        for turn in &mut case.history {
            turn.content = self.text(&turn.content);
        }
        case.metadata = self.fields(&case.metadata);
        for memory in &mut case.memories {
            memory.text = self.text(&memory.text);
        }
        case.profile = case.profile.as_ref().map(|profile| self.value(profile));
        for answer in &mut case.answers {
            answer.arguments = self.value(&answer.arguments);
            answer.content = self.value(&answer.content);
        }
        for call in &mut case.expect.calls {
            if let Some(arguments) = &call.arguments {
                let written = self.value(arguments.written());
                call.arguments = Some(crate::Matcher::new(written)?);
            }
        }
        if let Some(output) = &case.expect.output {
            let written = self.value(output.written());
            case.expect.output = Some(crate::OutputSchema::new(written)?);
        }
        Ok(case)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn placeholders() -> Placeholders {
        let kinds = [
            ("email", r"[\w.]+@[\w.]+\w"),
            ("phone", r"(?:\+|\b00)[0-9](?:[ ]?[0-9]){7,14}"),
            ("card", r"\b[0-9](?:[ -]?[0-9]){15}\b"),
        ];
        let kinds = kinds.map(|(kind, text)| (kind, regex::Regex::new(text).unwrap()));
        let find = move |text: &str| {
            let all = kinds.iter().flat_map(|(kind, regex)| {
                let found = regex.find_iter(text).map(|found| found.range());
                found.map(|at| Found { at, kind: (*kind).to_owned() }).collect::<Vec<_>>()
            });
            let mut all: Vec<_> = all.collect();
            all.sort_by_key(|found| found.at.start);
            all
        };
        Placeholders::new(Box::new(find))
    }

    #[test]
    fn equal_values_get_equal_placeholders() {
        let mut placeholders = placeholders();
        let first = placeholders.text("ann@x.org, +49 30 1234567, 4111 1111 1111 1111");
        let second =
            placeholders.text("004930 1234567 / ANN@x.org / bob@x.org / 4111-1111-1111-1111");
        assert!(first.starts_with("person1@example.com, +49 "), "{first}");
        assert!(
            second.contains("person1@example.com") && second.contains("person2@example.com"),
            "{second}"
        );
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let card = |text: &str| digits(text)[digits(text).len() - 16..].to_owned();
        assert_eq!(card(&first), card(&second));
        assert!(!first.contains("1234567") && !second.contains("1234567"), "{first} {second}");
    }

    #[test]
    fn a_users_id_is_replaced_as_a_word() {
        let mut placeholders = placeholders();
        assert_eq!(placeholders.know_user("ann"), "user-1");
        assert_eq!(placeholders.know_user("u1"), "user-2");
        let text = placeholders.text("ann asks for planning, user:ann:scout, u1, task_ann, u12");
        assert_eq!(text, "user-1 asks for planning, user:user-1:scout, user-2, task_user-1, u12");
        assert_eq!(placeholders.value(&json!({ "user_id": "u1" })), json!({ "user_id": "user-2" }));
    }

    #[test]
    fn an_id_that_is_an_address_has_one_placeholder() {
        let mut placeholders = placeholders();
        assert_eq!(placeholders.know_user("ann@x.org"), "person1@example.com");
        let value = json!({ "user_id": "ann@x.org", "text": "I am ann@x.org" });
        let expected =
            json!({ "user_id": "person1@example.com", "text": "I am person1@example.com" });
        assert_eq!(placeholders.value(&value), expected);
    }

    #[test]
    fn values_are_replaced_wherever_they_stand() {
        let mut placeholders = placeholders();
        let value = json!({
            "to": ["ann@x.org"],
            "ann@x.org": 4_111_111_111_111_111_u64,
            "body": "{\"a\":\"ann@x.org\", \"n\": 1}",
            "n": 12,
        });
        let replaced = placeholders.value(&value).to_string();
        assert!(
            !replaced.contains("ann@x.org") && !replaced.contains("4111111111111111"),
            "{replaced}"
        );
        assert_eq!(replaced.matches("person1@example.com").count(), 3, "{replaced}");
        assert!(replaced.contains("\"n\":12"), "{replaced}");
    }
}
