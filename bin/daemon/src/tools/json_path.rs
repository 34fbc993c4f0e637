//! JSONPath (RFC 9535) over results of tools: names, indexes, slices, wildcards, descendants, filters with comparisons. A
//! crate for it would put no bound on the work; functions are left out.

use std::cmp::Ordering;

use serde_json::Value;

/// The longest path, bytes.
const MAX_PATH: usize = 500;

/// The most segments and parts of filters in a path.
const MAX_PARTS: usize = 40;

/// How deep filters may be in each other.
const MAX_DEPTH: usize = 4;

/// How many values are looked at.
const MAX_WORK: usize = 2_000_000;

/// How many values are found.
const MAX_FOUND: usize = 20_000;

/// A path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq)]
struct Segment {
    /// Whether it means all that is below, too.
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Debug, Clone, PartialEq)]
enum Selector {
    Name(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    All,
    Filter(Filter),
}

#[derive(Debug, Clone, PartialEq)]
enum Filter {
    Any(Vec<Filter>),
    Every(Vec<Filter>),
    Not(Box<Filter>),
    Is(Operand),
    Compares(Operand, Comparison, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Literal(Value),
    /// From the value that is looked at, or from the root.
    Path { from_root: bool, segments: Vec<Segment> },
}

impl JsonPath {
    /// Reads a path; the error is for the model.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATH {
            return Err(format!("it has more than {MAX_PATH} bytes"));
        }
        let mut parser = Parser { text, at: 0, parts: 0, depth: 0 };
        parser.skip();
        if !parser.take("$") {
            return Err("it does not begin with $".to_owned());
        }
        let segments = parser.segments()?;
        parser.skip();
        match parser.rest().is_empty() {
            true => Ok(Self(segments)),
            false => Err(parser.wrong("the end")),
        }
    }

    /// The values that it means, in their order.
    pub(super) fn find<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, String> {
        let mut search = Search { root, work: 0 };
        search.find(&self.0, root)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    parts: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    fn wrong(&self, wanted: &str) -> String {
        let found: String = self.rest().chars().take(20).collect();
        format!("{wanted} is missing before {found:?}")
    }

    fn part(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > MAX_PARTS { Err("it has too many parts".to_owned()) } else { Ok(()) }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, String> {
        let mut segments = Vec::new();
        loop {
            self.part()?;
            let before = self.at;
            self.skip();
            let descends = self.take("..");
            let selectors = if self.take("[") {
                self.bracket()?
            } else if descends || self.take(".") {
                if self.take("*") { vec![Selector::All] } else { vec![Selector::Name(self.word()?)] }
            } else {
                self.at = before;
                return Ok(segments);
            };
            segments.push(Segment { descends, selectors });
        }
    }

    fn word(&mut self) -> Result<String, String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || !c.is_ascii();
        let end = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        if end == 0 {
            return Err(self.wrong("a name"));
        }
        let word = self.rest()[..end].to_owned();
        self.at += end;
        Ok(word)
    }

    fn bracket(&mut self) -> Result<Vec<Selector>, String> {
        let mut selectors = Vec::new();
        loop {
            self.part()?;
            self.skip();
            selectors.push(self.selector()?);
            self.skip();
            if self.take("]") {
                return Ok(selectors);
            }
            if !self.take(",") {
                return Err(self.wrong("]"));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, String> {
        if self.take("*") {
            return Ok(Selector::All);
        }
        if self.take("?") {
            return Ok(Selector::Filter(self.any()?));
        }
        if self.rest().starts_with(['\'', '"']) {
            return Ok(Selector::Name(self.string()?));
        }
        let first = self.number()?;
        self.skip();
        if !self.take(":") {
            return first.map(Selector::Index).ok_or_else(|| self.wrong("a name, an index or *"));
        }
        self.skip();
        let end = self.number()?;
        self.skip();
        let step = if self.take(":") {
            self.skip();
            self.number()?.unwrap_or(1)
        } else {
            1
        };
        Ok(Selector::Slice(first, end, step))
    }

    fn number(&mut self) -> Result<Option<i64>, String> {
        let digits = self.rest().strip_prefix('-').unwrap_or(self.rest());
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if count == 0 {
            return Ok(None);
        }
        let end = self.rest().len() - digits.len() + count;
        let number = self.rest()[..end].parse().map_err(|_| self.wrong("a smaller number"))?;
        self.at += end;
        Ok(Some(number))
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.rest().chars().next().unwrap_or('"');
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c)) => text.push(c),
                    None => break,
                },
                c if c == quote => {
                    self.at += at + c.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(format!("{quote} is missing at the end"))
    }

    fn any(&mut self) -> Result<Filter, String> {
        let first = self.every()?;
        let mut all = vec![first];
        loop {
            self.skip();
            if !self.take("||") {
                break;
            }
            all.push(self.every()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::Any(all) })
    }

    fn every(&mut self) -> Result<Filter, String> {
        let first = self.one()?;
        let mut all = vec![first];
        loop {
            self.skip();
            if !self.take("&&") {
                break;
            }
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::Every(all) })
    }

    fn one(&mut self) -> Result<Filter, String> {
        self.part()?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("its filters are too deep".to_owned());
        }
        let filter = self.shallow();
        self.depth -= 1;
        filter
    }

    fn shallow(&mut self) -> Result<Filter, String> {
        self.skip();
        if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.at += 1;
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            self.skip();
            return if self.take(")") { Ok(inner) } else { Err(self.wrong(")")) };
        }
        let left = self.operand()?;
        self.skip();
        let comparisons = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ];
        for (token, comparison) in comparisons {
            if self.take(token) {
                self.skip();
                return Ok(Filter::Compares(left, comparison, self.operand()?));
            }
        }
        match left {
            Operand::Path { .. } => Ok(Filter::Is(left)),
            Operand::Literal(_) => Err(self.wrong("a comparison")),
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        for (token, from_root) in [("@", false), ("$", true)] {
            if self.take(token) {
                return Ok(Operand::Path { from_root, segments: self.segments()? });
            }
        }
        if self.rest().starts_with(['\'', '"']) {
            return Ok(Operand::Literal(Value::String(self.string()?)));
        }
        for (token, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
        {
            if self.take(token) {
                return Ok(Operand::Literal(value));
            }
        }
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let end = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        match serde_json::from_str(&self.rest()[..end]) {
            Ok(number) => {
                self.at += end;
                Ok(Operand::Literal(number))
            }
            Err(_) => Err(self.wrong("@, $, a text or a number (functions are not known)")),
        }
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
                return Err(format!("it finds more than {MAX_FOUND} values; name more of the path"));
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
        let (mut at, end) = (from(begin.unwrap_or(0)).clamp(0, len), from(end.unwrap_or(len)).clamp(0, len));
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
        for wrong in ["", "store", "$.", "$[", "$['a", "$.a b", "$[?length(@) > 1]", "$[?1]", "$[?@.a ==]"] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(JsonPath::parse(&"$".repeat(MAX_PATH + 1)).is_err());
        assert!(JsonPath::parse(&format!("${}", "..*".repeat(MAX_PARTS))).is_err());
        assert!(JsonPath::parse(&format!("$[?{}@.a]", "!".repeat(99))).is_err());
        let wide: Value = (0..2_000).map(|n| json!({ "a": { "b": { "c": n } } })).collect();
        assert!(JsonPath::parse("$..*..*..*..*").unwrap().find(&wide).is_err());
        let filter = JsonPath::parse("$[?$..c == @..c]").unwrap();
        assert!(filter.find(&wide).is_err());
    }
}
