//! YAML front matter of a Markdown file. No other module uses the YAML crate.

use serde_json::{Map, Value};
use strict_json::Strict;

/// A Markdown file, split into front matter and body.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontMatter<'a> {
    /// The fields; empty when there is no front matter.
    pub fields: Map<String, Value>,
    /// The text after it.
    pub body: &'a str,
}

/// Front matter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FrontMatterError {
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// Splits a file at its `---` lines and reads what is between them.
pub fn parse(text: &str) -> Result<FrontMatter<'_>, FrontMatterError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n');
    if lines.next().map(str::trim_end) != Some("---") {
        return Ok(FrontMatter { fields: Map::new(), body: text });
    }
    let start = text.find('\n').map_or(text.len(), |at| at + 1);
    let mut end = start;
    for line in lines {
        if line.trim_end() == "---" {
            let fields = read_fields(&text[start..end])?;
            return Ok(FrontMatter { fields, body: &text[end + line.len()..] });
        }
        end += line.len();
    }
    Err(FrontMatterError {
        line: Some(1),
        reason: "the front matter that begins with '---' is never closed".to_owned(),
    })
}

fn read_fields(yaml: &str) -> Result<Map<String, Value>, FrontMatterError> {
    if yaml.trim().is_empty() {
        return Ok(Map::new());
    }
    let normal = yaml.replace("\r\n", "\n");
    // Older files have JSON5 under `metadata:`. With comments it is not YAML or, worse, YAML with
    // another meaning; what is valid in both has the same meaning.
    if let Some(fields) = with_json5_metadata(&normal) {
        return Ok(fields);
    }
    match read_yaml(&normal)? {
        Value::Object(mut fields) => {
            if let Some(Value::String(inline)) = fields.get("metadata")
                && let Ok(value @ Value::Object(_)) =
                    json5::from_str::<Strict>(inline).map(|strict| strict.0)
            {
                fields.insert("metadata".to_owned(), value);
            }
            Ok(fields)
        }
        Value::Null => Ok(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(FrontMatterError {
                line: Some(2),
                reason: "the front matter is not a list of 'name: value' lines".to_owned(),
            })
        }
    }
}

fn read_yaml(yaml: &str) -> Result<Value, FrontMatterError> {
    serde_saphyr::from_str(yaml).map_err(|error| FrontMatterError {
        // Line 1 of the file is the opening `---`.
        line: error.location().map(|place| usize::try_from(place.line()).unwrap_or(0) + 1),
        reason: format!("the front matter is not valid YAML: {}", first_line(&error.to_string())),
    })
}

/// Reads `metadata:` as JSON5 up to its matching brace, and the rest as YAML.
fn with_json5_metadata(yaml: &str) -> Option<Map<String, Value>> {
    let at = if yaml.starts_with("metadata:") { 0 } else { yaml.find("\nmetadata:")? + 1 };
    let value_at = at + "metadata:".len();
    let open = value_at + yaml[value_at..].find('{')?;
    if !yaml[value_at..open].trim().is_empty() {
        return None;
    }
    let close = matching_brace(&yaml[open..])? + open;
    let Strict(metadata) = json5::from_str(&yaml[open..=close]).ok()?;
    let rest = format!("{}{}", &yaml[..at], &yaml[close + 1..]);
    let mut fields = match read_yaml(&rest) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => Map::new(),
        Ok(_) | Err(_) => return None,
    };
    fields.insert("metadata".to_owned(), metadata);
    Some(fields)
}

/// The position of the brace that closes the first one; strings and comments are skipped.
fn matching_brace(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '/') if chars.peek().is_some_and(|(_, next)| *next == '/') => {
                for (_, c) in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            (None, '/') if chars.peek().is_some_and(|(_, next)| *next == '*') => {
                let mut before = ' ';
                for (_, c) in chars.by_ref().skip(1) {
                    if (before, c) == ('*', '/') {
                        break;
                    }
                    before = c;
                }
            }
            (None, '{') => depth += 1,
            (None, '}') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_forms_of_existing_files_are_read() {
        let expected = json!({ "openclaw": { "emoji": "🔎", "requires": { "env": ["A"] } } });
        for metadata in [
            "metadata: {\"openclaw\":{\"emoji\":\"🔎\",\"requires\":{\"env\":[\"A\"]}}}",
            "metadata:\n  openclaw:\n    emoji: 🔎\n    requires:\n      env: [A]",
            "metadata:\n  {\n    // a comment: with { braces\n    openclaw: { emoji: '🔎', requires: { env: [\"A\",] }, },\n  }",
            "metadata: '{openclaw: {emoji: \"🔎\", requires: {env: [\"A\"]}}}'",
        ] {
            for end in ["\n", "\r\n"] {
                let text = format!(
                    "\u{feff}---\nname: x\ndescription: >\n  two\n  lines\n{metadata}\n---\nbody\n"
                )
                .replace('\n', end);
                let parsed = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
                assert_eq!(parsed.fields["metadata"], expected, "{text}");
                assert_eq!(parsed.fields["description"].as_str().unwrap().trim(), "two lines");
                assert_eq!(parsed.body.trim(), "body");
            }
        }
    }

    #[test]
    fn a_file_without_front_matter_is_all_body() {
        for text in ["", "# Title\n---\n", "--- \n x", "----\n"] {
            let parsed = parse(text);
            if text.starts_with("--- ") {
                assert!(parsed.is_err());
            } else {
                assert_eq!(parsed.unwrap(), FrontMatter { fields: Map::new(), body: text });
            }
        }
        assert_eq!(parse("---\n---\nb").unwrap().body, "b");
    }

    #[test]
    fn broken_front_matter_names_its_line() {
        let error = parse("---\nname: x\nbad: [1, 2\n---\nbody").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 3), "{error:?}");
        assert_eq!(parse("---\nname: x\n").unwrap_err().line, Some(1));
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text in "(---\n|[a-z:{}\\[\\]\"'#&*!|> -]|\n|é){0,40}") {
            let _any = parse(&text);
            let _any = parse(&format!("---\n{text}\n---\n"));
        }
    }
}
