//! JSONPath (RFC 9535) over results of tools: names, indexes, slices, wildcards, descendants, filters with comparisons. A
//! crate for it would put no bound on the work; functions are left out.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::given::Given;
use super::json_path_parser::Parser;

/// The longest path, bytes.
const MAX_PATH: usize = 500;

/// How many values are looked at.
const MAX_WORK: usize = 2_000_000;

/// The timeout of a search, and after how many values the clock is looked at.
const TIMEOUT: Duration = Duration::from_secs(2);
const WORK_OF_LOOK: usize = 4_096;

/// How many values are found.
const MAX_FOUND: usize = 20_000;

const TOO_LONG: &str = "it takes too long; name more of the path";

/// A path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    /// Whether it means all that is below, too.
    pub(super) descends: bool,
    pub(super) selectors: Vec<Selector>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selector {
    Name(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    All,
    Filter(Filter),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Any(Vec<Filter>),
    Every(Vec<Filter>),
    Not(Box<Filter>),
    Is(Operand),
    Compares(Operand, Comparison, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Literal(Value),
    /// From the value that is looked at, or from the root.
    Path {
        from_root: bool,
        segments: Vec<Segment>,
    },
}

impl JsonPath {
    /// Reads a path; the error is for the model.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATH {
            return Err(format!("it has more than {MAX_PATH} bytes"));
        }
        Parser::new(text).path().map(Self)
    }

    /// The values that it means, in their order, where texts are what they are given as.
    pub(super) fn find<'v>(
        &self,
        root: &'v Value,
        given: &Given,
    ) -> Result<Vec<&'v Value>, String> {
        let until = Instant::now() + TIMEOUT;
        let mut search = Search { root, given, work: 0, next_look: WORK_OF_LOOK, until };
        search.find(&self.0, root)
    }
}

pub(super) struct Search<'v, 'g> {
    root: &'v Value,
    pub(super) given: &'g Given,
    work: usize,
    next_look: usize,
    until: Instant,
}

impl<'v> Search<'v, '_> {
    /// Counts values that are looked at.
    pub(super) fn look(&mut self, many: usize) -> Result<(), String> {
        self.work += many;
        if self.work > MAX_WORK {
            return Err(TOO_LONG.to_owned());
        }
        if self.work >= self.next_look {
            self.next_look = self.work + WORK_OF_LOOK;
            if Instant::now() > self.until {
                return Err(TOO_LONG.to_owned());
            }
        }
        Ok(())
    }

    fn find(&mut self, segments: &[Segment], from: &'v Value) -> Result<Vec<&'v Value>, String> {
        let mut found = vec![from];
        for segment in segments {
            let mut next = Vec::new();
            for value in found {
                self.segment(segment, value, &mut next)?;
            }
            found = next;
        }
        Ok(found)
    }

    fn segment(
        &mut self,
        segment: &Segment,
        value: &'v Value,
        found: &mut Vec<&'v Value>,
    ) -> Result<(), String> {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            for selector in &segment.selectors {
                self.select(selector, value, found)?;
            }
            if segment.descends {
                let before = open.len();
                match value {
                    Value::Array(items) => open.extend(items),
                    Value::Object(fields) => open.extend(fields.values()),
                    _ => {}
                }
                open[before..].reverse();
            }
        }
        Ok(())
    }

    fn select(
        &mut self,
        selector: &Selector,
        value: &'v Value,
        found: &mut Vec<&'v Value>,
    ) -> Result<(), String> {
        self.look(1)?;
        match (selector, value) {
            (Selector::Name(name), Value::Object(fields)) => {
                add(found, self.field(fields, name)?)?;
            }
            (Selector::Index(at), Value::Array(items)) => {
                add(found, place(*at, items.len()).and_then(|at| items.get(at)))?;
            }
            (Selector::Slice(begin, end, step), Value::Array(items)) => {
                for at in slice((*begin, *end, *step), items.len()) {
                    self.look(1)?;
                    add(found, items.get(at))?;
                }
            }
            (Selector::All, Value::Array(items)) => {
                self.look(items.len())?;
                add(found, items)?;
            }
            (Selector::All, Value::Object(fields)) => {
                self.look(fields.len())?;
                add(found, fields.values())?;
            }
            (Selector::Filter(filter), Value::Array(items)) => {
                for item in items {
                    if self.fits(filter, item)? {
                        add(found, [item])?;
                    }
                }
            }
            (Selector::Filter(filter), Value::Object(fields)) => {
                for item in fields.values() {
                    if self.fits(filter, item)? {
                        add(found, [item])?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn field(
        &mut self,
        fields: &'v Map<String, Value>,
        name: &str,
    ) -> Result<Option<&'v Value>, String> {
        let found = fields.get(name);
        if found.is_some() || !self.given.changes() {
            return Ok(found);
        }
        self.look(fields.len())?;
        let is_it = |known: &str| self.given.changes_text(known) && self.given.meant(known) == name;
        Ok(fields.iter().find(|(known, _)| is_it(known)).map(|(_, value)| value))
    }

    fn fits(&mut self, filter: &Filter, value: &'v Value) -> Result<bool, String> {
        self.look(1)?;
        Ok(match filter {
            Filter::Any(all) => {
                for one in all {
                    if self.fits(one, value)? {
                        return Ok(true);
                    }
                }
                false
            }
            Filter::Every(all) => {
                for one in all {
                    if !self.fits(one, value)? {
                        return Ok(false);
                    }
                }
                true
            }
            Filter::Not(inner) => !self.fits(inner, value)?,
            Filter::Is(operand) => self.value(operand, value)?.is_some(),
            Filter::Compares(left, comparison, right) => {
                let (left, right) = (self.value(left, value)?, self.value(right, value)?);
                self.compare(left, *comparison, right)?
            }
        })
    }

    fn value<'x>(
        &mut self,
        operand: &'x Operand,
        value: &'v Value,
    ) -> Result<Option<&'x Value>, String>
    where
        'v: 'x,
    {
        match operand {
            Operand::Literal(literal) => Ok(Some(literal)),
            Operand::Path { from_root, segments } => {
                let from = if *from_root { self.root } else { value };
                Ok(self.find(segments, from)?.first().copied())
            }
        }
    }
}

/// Adds what was found, within bounds.
fn add<'v>(
    found: &mut Vec<&'v Value>,
    more: impl IntoIterator<Item = &'v Value>,
) -> Result<(), String> {
    for value in more {
        if found.len() >= MAX_FOUND {
            return Err(format!("it finds more than {MAX_FOUND} values; name more of the path"));
        }
        found.push(value);
    }
    Ok(())
}

/// A place from the beginning, or below zero from the end.
fn place(at: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    usize::try_from(if at < 0 { at.saturating_add(len) } else { at }).ok()
}

fn slice((begin, end, step): (Option<i64>, Option<i64>, i64), len: usize) -> Vec<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let mut places = Vec::new();
    if step > 0 {
        let (mut at, end) =
            (from(begin.unwrap_or(0)).clamp(0, len), from(end.unwrap_or(len)).clamp(0, len));
        while at < end {
            places.extend(usize::try_from(at));
            at = at.saturating_add(step);
        }
    } else if step < 0 {
        let mut at = begin.map_or(len - 1, from).clamp(-1, len - 1);
        let end = end.map_or(-1, from).clamp(-1, len - 1);
        while at > end {
            places.extend(usize::try_from(at));
            at = at.saturating_add(step);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str, value: &Value) -> Value {
        let path = JsonPath::parse(path).unwrap();
        path.find(value, &Given::AsItIs).unwrap().into_iter().cloned().collect()
    }

    #[test]
    fn paths_mean_what_the_standard_says() {
        let value = json!({ "store": { "book": [
            { "title": "A", "price": 8.95, "isbn": "1" }, { "title": "B", "price": 12, "odd name": true },
            { "title": "C", "price": 22.5, "tags": ["x", "y"] },
        ], "bicycle": { "price": 19.95 } } });
        for (path, means) in [
            ("$.store.book[*].title", json!(["A", "B", "C"])),
            ("$..price", json!([8.95, 12, 22.5, 19.95])),
            ("$.store.book[-1].title", json!(["C"])),
            ("$.store.book[0,1].title", json!(["A", "B"])),
            ("$.store.book[:2].title", json!(["A", "B"])),
            ("$.store.book[::-1].title", json!(["C", "B", "A"])),
            ("$.store.book[?@.isbn].title", json!(["A"])),
            ("$['store'][\"book\"][?@.price < 10 || @.title == 'C']['title']", json!(["A", "C"])),
            ("$.store.book[?(@.price >= 12 && !@.tags)].title", json!(["B"])),
            ("$.store.book[?@['odd name'] == true].title", json!(["B"])),
            ("$..tags[1]", json!(["y"])),
            ("$.nothing.here", json!([])),
            ("$.store.book[7]", json!([])),
        ] {
            assert_eq!(found(path, &value), means, "{path}");
        }
        assert_eq!(found("$", &json!(1)), json!([1]));
    }

    #[test]
    fn what_is_wrong_is_told_and_the_work_is_bounded() {
        for wrong in
            ["", "store", "$.", "$[", "$['a", "$.a b", "$[?length(@) > 1]", "$[?1]", "$[?@.a ==]"]
        {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(JsonPath::parse(&"$".repeat(MAX_PATH + 1)).is_err());
        assert!(JsonPath::parse(&format!("${}", "..*".repeat(40))).is_err());
        assert!(JsonPath::parse(&format!("$[?{}@.a]", "!".repeat(99))).is_err());
        let wide: Value = (0..5_000).map(|n| json!({ "a": { "b": { "c": n } } })).collect();
        assert!(JsonPath::parse("$..*..*..*..*").unwrap().find(&wide, &Given::AsItIs).is_err());
        let filter = JsonPath::parse("$[?$..c == @..c]").unwrap();
        assert!(filter.find(&wide, &Given::AsItIs).is_err());
    }

    #[test]
    fn no_comparison_takes_the_whole_of_a_value_many_times() {
        let value: Value = (0..20_000).map(|n| json!({ "n": n, "text": "x".repeat(50) })).collect();
        for long in ["$[?$ == $]", "$[?@.n >= 0 && $ != @.n && $ == $]", "$[*,*,*]"] {
            let before = Instant::now();
            assert!(JsonPath::parse(long).unwrap().find(&value, &Given::AsItIs).is_err(), "{long}");
            assert!(before.elapsed() < Duration::from_secs(30), "{long}");
        }
        let small = json!({ "same": [1, { "a": "b" }], "all": [{ "x": [1, { "a": "b" }] }, { "x": [1, { "a": 2 }] }] });
        assert_eq!(found("$.all[?@.x == $.same].x[0]", &small), json!([1]));
        assert_eq!(found("$.all[?@.x != $.same].x[1].a", &small), json!([2]));
        assert_eq!(found("$.all[?@.y == @.z].x[0]", &small), json!([1, 1]));
    }
}
