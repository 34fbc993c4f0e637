//! Reads a JSONPath (`json_path.rs`).

use serde_json::Value;

use super::json_path::{Comparison, Filter, Operand, Segment, Selector};

/// The most segments and parts of filters in a path.
const MAX_PARTS: usize = 40;

/// How deep filters may be in each other.
const MAX_DEPTH: usize = 4;

pub(super) struct Parser<'t> {
    text: &'t str,
    at: usize,
    parts: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, parts: 0, depth: 0 }
    }

    /// The whole path.
    pub(super) fn path(&mut self) -> Result<Vec<Segment>, String> {
        self.skip();
        if !self.take("$") {
            return Err("it does not begin with $".to_owned());
        }
        let segments = self.segments()?;
        self.skip();
        if self.rest().is_empty() { Ok(segments) } else { Err(self.wrong("the end")) }
    }

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
                if self.take("*") {
                    vec![Selector::All]
                } else {
                    vec![Selector::Name(self.word()?)]
                }
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
