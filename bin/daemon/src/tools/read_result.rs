//! `read_result`: reads on in a result that was too long for the model. The run keeps the whole of it
//! (`agent/kept_results.rs`); here is what is read of it.

use std::borrow::Cow;
use std::sync::LazyLock;

use llm::request::ToolSpec;
use serde_json::Value;
use tool_search::{Entry, Index};
use wombat_core::redact::border_before;

use super::cutting::{cut_lists, cut_text, parsed, size_within};
use super::given::Given;
use super::json_path::JsonPath;
use super::own_call::{ReadRequest, Reading};
use super::reply::ToolReply;
use super::result_parts::{Part, Parts};
use super::set::ToolSet;
use super::specs::{Builtin, READ_RESULT};

/// How many parts with the words of a question are told at most.
const MAX_TOLD: usize = 20;

/// How many times as much as is told is taken of what a path finds, to be cut.
const TAKEN: usize = 4;

/// The tool as models see it.
static SPEC: LazyLock<ToolSpec> = LazyLock::new(|| Builtin::ReadResult.spec(&[]));

/// The tool, which models get once there is a result to read.
pub(super) fn spec() -> &'static ToolSpec {
    &SPEC
}

/// What a call wants. Exactly one way of reading is wanted at a time.
pub(super) fn wanted(arguments: &Value) -> ToolReply {
    let text = |name: &str| arguments[name].as_str().map(str::to_owned);
    let offset = arguments["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok());
    let how = match (offset, text("jsonpath"), text("query")) {
        (Some(offset), None, None) => Reading::From(offset),
        (None, Some(path), None) => Reading::Path(path),
        (None, None, Some(query)) => Reading::Words(query),
        (None, None, None) => Reading::From(0),
        _ => return ToolReply::NotMade("give one of offset, jsonpath and query".to_owned()),
    };
    let id = text("id").unwrap_or_default();
    ToolReply::OfRun(super::own_call::OwnCall::Result(ReadRequest { id, how }))
}

/// Reads on in a text, at most about `most` characters of it. The error is for the model.
pub fn read(text: &str, how: &Reading, most: usize, given: &Given) -> Result<String, String> {
    match how {
        Reading::From(offset) => from(text, *offset, most, given),
        Reading::Path(path) => by_path(text, path, most, given),
        Reading::Words(query) => Ok(by_words(text, query, most, given)),
    }
}

fn from(text: &str, offset: usize, most: usize, given: &Given) -> Result<String, String> {
    let total = text.chars().count();
    if offset >= total {
        return Err(format!(
            "offset {offset} is behind the end; the result has {total} characters"
        ));
    }
    let place = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (begin, end) = (place(offset), place(offset.saturating_add(most)));
    // What was replaced is given whole.
    let begin = border_before(text, begin);
    let end = Some(border_before(text, end)).filter(|end| *end > begin).unwrap_or(end);
    let offset = text[..begin].chars().count();
    let end_at = offset + text[begin..end].chars().count();
    let rest = match end_at < total {
        true => format!("offset {end_at} reads on"),
        false => "that is its end".to_owned(),
    };
    let shown = given.part(&text[begin..end]);
    Ok(format!("{shown}\n[characters {offset} to {end_at} of {total}; {rest}]"))
}

fn by_path(text: &str, path: &str, most: usize, given: &Given) -> Result<String, String> {
    let wrong = |why: String| format!("jsonpath {path:?}: {why}");
    let read = JsonPath::parse(path).map_err(wrong)?;
    let Some(value) = parsed(text) else {
        return Err("this result is no JSON; read it by offset or query".to_owned());
    };
    let found = read.find(&value, given).map_err(wrong)?;
    let count = found.len();
    let mut taken = taken(&found, most);
    let is_cut = taken.len() < count;
    let mut shown = Value::Array(std::mem::take(&mut taken));
    let mut cuts = cut_lists(&mut shown, most);
    if is_cut {
        let left = shown.as_array().map_or(0, Vec::len);
        cuts.retain(|cut| cut.starts_with('$'));
        cuts.insert(0, format!("the first {left} of {count} elements"));
    }
    let told = shown.to_string();
    if told.chars().count() > most {
        let cut = cut_text(&told, most);
        let shown = given.part(&cut.shown);
        return Ok(format!("{shown}\n[{count} found; {}; name more of the path]", cut.part));
    }
    let mut told = given.part(&told).into_owned();
    if !cuts.is_empty() {
        told += &format!("\n[{count} found; shown: {}; name more of the path]", cuts.join("; "));
    }
    Ok(told)
}

/// The first of what was found: as much as may be told, before it is cut. One value may be found many times.
fn taken(found: &[&Value], most: usize) -> Vec<Value> {
    let (mut taken, mut room) = (Vec::new(), most.saturating_mul(TAKEN));
    for value in found {
        let size = size_within(value, room);
        if size.is_some() || taken.is_empty() {
            taken.push((*value).clone());
        }
        match size {
            Some(size) => room = room.saturating_sub(size + 1),
            None => break,
        }
    }
    taken
}

fn by_words(text: &str, query: &str, most: usize, given: &Given) -> String {
    let parsed = parsed(text);
    let parts = match &parsed {
        Some(value) => Parts::of_json(value),
        None => Parts::of_text(text),
    };
    let looked_at: Vec<_> = parts.all.iter().map(|part| looked_at(part, given)).collect();
    let index = Index::build(looked_at.iter().map(|text| Entry::of_text(text)));
    let mut found = index.search(query, MAX_TOLD, |_| true);
    if found.is_empty() {
        found = as_they_stand(&looked_at, query);
    }
    let (mut told, mut left) = (Vec::new(), most);
    for place in found {
        let part = &parts.all[place];
        let size = part.text.chars().count();
        if size > left && !told.is_empty() {
            break;
        }
        told.push(given_part((part, parts.place(part)), left, given));
        left = left.saturating_sub(size);
    }
    let (count, of) = (parts.all.len(), if parts.is_all { "its" } else { "its first" });
    let mut note = match told.len() {
        0 => format!("none of {of} {count} parts has these words"),
        told => format!("the {told} that fit best of {of} {count} parts"),
    };
    if !parts.is_all {
        note += "; what is behind them was not looked at";
    }
    format!("[{}]\n[{note}]", told.join(","))
}

/// A part with the names that lead to it, as words are looked for in it.
fn looked_at<'p>(part: &'p Part<'_>, given: &Given) -> Cow<'p, str> {
    match part.names.is_empty() {
        true => given.looked_at(&part.text),
        false => {
            let named = format!("{} {}", part.names.join(" "), part.text);
            given.looked_at(&named).into_owned().into()
        }
    }
}

/// The first parts that hold all words of a question as it has them: also short ones, long ones and those that the
/// index leaves out.
fn as_they_stand(texts: &[Cow<'_, str>], query: &str) -> Vec<usize> {
    let query = query.to_lowercase();
    let words: Vec<&str> = query.split_whitespace().collect();
    let has_all = |(at, text): (usize, &Cow<'_, str>)| {
        let text = text.to_lowercase();
        words.iter().all(|word| text.contains(word)).then_some(at)
    };
    match words.is_empty() {
        true => Vec::new(),
        false => texts.iter().enumerate().filter_map(has_all).take(MAX_TOLD).collect(),
    }
}

fn given_part((part, at): (&Part<'_>, Value), most: usize, given: &Given) -> String {
    let at = match &at {
        Value::String(path) => given.quoted(path),
        other => other.to_string(),
    };
    let is_long = part.text.chars().count() > most;
    let value = match part.is_json && !is_long {
        true => given.part(&part.text).into_owned(),
        false => given.quoted(&cut_text(&part.text, most).shown),
    };
    format!("{{\"at\":{at},\"value\":{value}}}")
}

impl ToolSet {
    /// Whether the role's model can read on in a result.
    pub fn reads_results(&self) -> bool {
        self.has(READ_RESULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    const IS: Given = Given::AsItIs;

    fn wanted_of(arguments: Value) -> Option<Reading> {
        match wanted(&arguments) {
            ToolReply::OfRun(super::super::own_call::OwnCall::Result(read)) => Some(read.how),
            _ => None,
        }
    }

    #[test]
    fn one_way_of_reading_is_wanted() {
        assert_eq!(wanted_of(json!({ "id": "a" })), Some(Reading::From(0)));
        assert_eq!(wanted_of(json!({ "id": "a", "offset": 7 })), Some(Reading::From(7)));
        assert_eq!(wanted_of(json!({ "id": "a", "query": "x" })), Some(Reading::Words("x".into())));
        assert_eq!(wanted_of(json!({ "id": "a", "query": "x", "offset": 7 })), None);
    }

    #[test]
    fn a_text_is_read_to_its_end() {
        let text = "äöü".repeat(50);
        let first = read(&text, &Reading::From(0), 100, &IS).unwrap();
        assert!(first.ends_with("\n[characters 0 to 100 of 150; offset 100 reads on]"), "{first}");
        let rest = read(&text, &Reading::From(100), 100, &IS).unwrap();
        assert!(
            rest.starts_with("öü")
                && rest.ends_with("[characters 100 to 150 of 150; that is its end]"),
            "{rest}"
        );
        assert!(read(&text, &Reading::From(150), 100, &IS).unwrap_err().contains("150 characters"));
        assert!(
            read(&text, &Reading::Path("$.a".into()), 100, &IS).unwrap_err().contains("no JSON")
        );
    }

    #[test]
    fn json_is_read_by_path_and_by_words() {
        let items: Vec<Value> =
            (0..500).map(|id| json!({ "id": id, "name": format!("school {id}") })).collect();
        let text = json!({ "items": items }).to_string();
        let path = |path: &str| read(&text, &Reading::Path(path.into()), 200, &IS);
        assert_eq!(path("$.items[?@.id == 321].name").unwrap(), "[\"school 321\"]");
        let many = path("$.items[*].name").unwrap();
        assert!(
            many.contains("\n[500 found; shown: the first ") && many.contains(" of 500 elements"),
            "{many}"
        );
        assert!(path("$.items[").is_err());
        let found = read(&text, &Reading::Words("school 321".into()), 60, &IS).unwrap();
        assert!(
            found.starts_with(r#"[{"at":"$.items[321]","value":{"id":321,"name":"school 321"}}"#),
            "{found}"
        );
        assert!(
            read(&text, &Reading::Words("zebra".into()), 60, &IS)
                .unwrap()
                .contains("none of its 500 parts")
        );
        let lines: String = (0..500).map(|n| format!("line {n} says nothing\n")).collect();
        let found =
            read(&(lines + "here is the needle"), &Reading::Words("needle".into()), 5_000, &IS)
                .unwrap();
        assert!(found.contains("here is the needle") && found.contains("\"offset\":"), "{found}");
    }

    #[test]
    fn what_is_found_many_times_is_taken_once_and_counted() {
        let list: Value = (0..50_000).map(|n| json!([n, "text"])).collect();
        let text = json!({ "a": { "b": { "c": list } } }).to_string();
        let times =
            |name: &str, many: usize| format!("[{}]", vec![format!("'{name}'"); many].join(","));
        let path = format!("${}{}{}", times("a", 12), times("b", 12), times("c", 8));
        let read = JsonPath::parse(&path).unwrap();
        let value = parsed(&text).unwrap();
        let found = read.find(&value, &IS).unwrap();
        assert_eq!((found.len(), taken(&found, 1_000).len()), (12 * 12 * 8, 1));
        let told = by_path(&text, &path, 1_000, &IS).unwrap();
        assert!(
            told.contains("[1152 found; shown: the first 1 of 1152 elements; $[0]: the first "),
            "{told}"
        );
        assert!(told.contains(" of 50000 elements"), "{told}");
        // Nested ones are not more than there is room for.
        let deep = (0..100).fold(json!(["x".repeat(100)]), |value, _| json!([value]));
        let found = JsonPath::parse("$..*").unwrap();
        let found = found.find(&deep, &IS).unwrap();
        assert!(found.len() > 100 && taken(&found, 200).len() < 10);
    }

    #[test]
    fn words_are_found_to_the_end_of_a_long_line() {
        let line = "nothing here ".repeat(80_000) + "needle";
        let found = read(&line, &Reading::Words("needle".into()), 5_000, &IS).unwrap();
        assert!(found.contains("needle\"}]") && found.contains("the 1 that fit best"), "{found}");
        let text = json!({ "log": line, "items": [1, 2, 3] }).to_string();
        let found = read(&text, &Reading::Words("needle".into()), 5_000, &IS).unwrap();
        assert!(found.contains(r#"{"at":{"path":"$.log","character":"#), "{found}");
        // What was not looked at is told.
        let many = "nothing here\n".repeat(1_100_000);
        let found = read(&many, &Reading::Words("needle".into()), 5_000, &IS).unwrap();
        let note =
            "none of its first 20000 parts has these words; what is behind them was not looked at";
        assert!(found.contains(note), "{found}");
    }

    #[test]
    fn names_of_fields_and_words_that_no_index_has_are_found() {
        let hash = "0123456789abcdef".repeat(5);
        let items: Vec<Value> = (0..300)
            .map(|n| json!({ "id": n, "sum": hash.replace('f', &n.to_string()), "of": "x" }))
            .collect();
        let value = json!({ "total": 340, "page": { "items": items }, "grade": "\u{3a9}",
            "note": "\u{5b66}\u{6821}\u{306e}\u{56f3}\u{66f8}\u{9928}", "why": "so be it" });
        let text = value.to_string();
        let last = hash.replace('f', "299");
        for (query, at) in [
            ("total", "$.total"),
            ("page", "$.page.items[0]"),
            (&*last, "$.page.items[299]"),
            ("\u{56f3}\u{66f8}\u{9928}", "$.note"),
            ("grade \u{3a9}", "$.grade"),
            ("\u{3a9}", "$.grade"),
            ("so", "$.why"),
        ] {
            let told = by_words(&text, query, 2_000, &IS);
            assert!(told.contains(&format!("{{\"at\":{}", json!(at))), "{query}: {told}");
        }
        for query in ["", "zebra", "total zebra-7"] {
            let told = by_words(&text, query, 2_000, &IS);
            assert_eq!(told.contains("none of its "), query != "total zebra-7", "{told}");
        }
    }

    #[test]
    fn a_placeholder_is_read_whole() {
        let text = "mail [[email:0a1b2c3d]] and more";
        let first = read(text, &Reading::From(0), 12, &IS).unwrap();
        assert_eq!(first, "mail \n[characters 0 to 5 of 32; offset 5 reads on]");
        let next = read(text, &Reading::From(9), 20, &IS).unwrap();
        assert!(next.starts_with("[[email:0a1b2c3d]] and "), "{next}");
    }

    #[test]
    fn values_are_found_and_given_in_the_place_of_placeholders() {
        let redact = json!({ "to": ["journal"], "kinds": ["email", "card", "key"] });
        let rules = wombat_core::redact::RedactRules::of_entry(&json!({ "redact": redact }));
        let key = wombat_core::redact::RedactKey::new(b"a secret for tests");
        let redactor =
            wombat_core::redact::Redactor::new(rules.unwrap().unwrap().into(), key, "u1");
        let original = r#"{"jane@example.org":{"card":4111111111111111,"password":"hunter2\\x"},"b":"joe@example.org"}"#;
        let text = redactor.redact_exactly(original).into_owned();
        assert!(
            !text.contains("jane") && !text.contains("4111") && !text.contains("hunter"),
            "{text}"
        );
        let given = Given::Restored(redactor.into());
        let path = |path: &str| read(&text, &Reading::Path(path.into()), 400, &given).unwrap();
        assert_eq!(path("$['jane@example.org'].card"), r#"["4111111111111111"]"#);
        assert_eq!(path("$[?@ == 'joe@example.org']"), r#"["joe@example.org"]"#);
        assert_eq!(path(r"$[?@.password == 'hunter2\\x'].password"), r#"["hunter2\\x"]"#);
        let found = read(&text, &Reading::Words("hunter2".into()), 400, &given).unwrap();
        assert!(
            found.starts_with(r#"[{"at":"$[\"jane@example.org\"]","value":{"card":"#),
            "{found}"
        );
        let all = read(&text, &Reading::From(0), 400, &given).unwrap();
        assert!(all.starts_with(original), "{all}");
    }
}
