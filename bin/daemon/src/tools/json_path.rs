//! JSONPath (RFC 9535) over results of tools: names, indexes, slices, wildcards, descendants, filters with comparisons. A
//! crate for it would put no bound on the work; functions are left out.

use std::cmp::Ordering;

use serde_json::Value;

use super::json_path_parser::Parser;

/// The longest path, bytes.
const MAX_PATH: usize = 500;

/// How many values are looked at.
const MAX_WORK: usize = 2_000_000;

/// How many values are found.
const MAX_FOUND: usize = 20_000;

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

    /// The values that it means, in their order.
    pub(super) fn find<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, String> {
        let mut search = Search { root, work: 0 };
        search.find(&self.0, root)
    }
}

struct Search<'v> {
    root: &'v Value,
    work: usize,
}

impl<'v> Search<'v> {
    fn look(&mut self) -> Result<(), String> {
        self.work += 1;
        if self.work > MAX_WORK {
            return Err("it takes too long; name more of the path".to_owned());
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
            if found.len() > MAX_FOUND {
                return Err(format!(
                    "it finds more than {MAX_FOUND} values; name more of the path"
                ));
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
        self.look()?;
        match (selector, value) {
            (Selector::Name(name), Value::Object(fields)) => found.extend(fields.get(name)),
            (Selector::Index(at), Value::Array(items)) => {
                found.extend(place(*at, items.len()).and_then(|at| items.get(at)));
            }
            (Selector::Slice(begin, end, step), Value::Array(items)) => {
                for at in slice((*begin, *end, *step), items.len()) {
                    self.look()?;
                    found.extend(items.get(at));
                }
            }
            (Selector::All, Value::Array(items)) => {
                self.work += items.len();
                found.extend(items);
            }
            (Selector::All, Value::Object(fields)) => {
                self.work += fields.len();
                found.extend(fields.values());
            }
            (Selector::Filter(filter), Value::Array(items)) => {
                for item in items {
                    if self.fits(filter, item)? {
                        found.push(item);
                    }
                }
            }
            (Selector::Filter(filter), Value::Object(fields)) => {
                for item in fields.values() {
                    if self.fits(filter, item)? {
                        found.push(item);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fits(&mut self, filter: &Filter, value: &'v Value) -> Result<bool, String> {
        self.look()?;
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
                compare(left.as_ref(), *comparison, right.as_ref())
            }
        })
    }

    fn value(&mut self, operand: &Operand, value: &'v Value) -> Result<Option<Value>, String> {
        match operand {
            Operand::Literal(literal) => Ok(Some(literal.clone())),
            Operand::Path { from_root, segments } => {
                let from = if *from_root { self.root } else { value };
                Ok(self.find(segments, from)?.first().map(|found| (*found).clone()))
            }
        }
    }
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

fn compare(left: Option<&Value>, comparison: Comparison, right: Option<&Value>) -> bool {
    let order = match (left, right) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Some(Value::String(a)), Some(Value::String(b))) => Some(a.cmp(b)),
        _ => None,
    };
    let is_equal = order.map_or(left == right, |order| order == Ordering::Equal);
    match comparison {
        Comparison::Equal => is_equal,
        Comparison::Unequal => !is_equal,
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::More => order == Some(Ordering::Greater),
        Comparison::AtMost => is_equal || order == Some(Ordering::Less),
        Comparison::AtLeast => is_equal || order == Some(Ordering::Greater),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str, value: &Value) -> Value {
        let path = JsonPath::parse(path).unwrap();
        path.find(value).unwrap().into_iter().cloned().collect()
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
        assert!(JsonPath::parse("$..*..*..*..*").unwrap().find(&wide).is_err());
        let filter = JsonPath::parse("$[?$..c == @..c]").unwrap();
        assert!(filter.find(&wide).is_err());
    }
}
