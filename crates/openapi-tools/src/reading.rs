//! Reading a document: JSON, or YAML by the rules of YAML 1.2; of what it holds, only what tools are made
//! of (`part.rs`), as answers and examples are most of a large one.

mod core_schema;
mod json;
mod part;
mod surrogates;
mod yaml;

use serde_json::Value;

use crate::error::DocumentError;

pub(crate) use part::Part;

/// The largest document that is read, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The text of a document, from its bytes: UTF-8, or UTF-16 with a byte order mark, as some editors and
/// shells write it (YAML 1.2.2, section 5.2).
///
/// # Errors
/// When it is in another encoding.
pub fn decode(bytes: Vec<u8>) -> Result<String, DocumentError> {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        String::from_utf16(&units.collect::<Vec<_>>()).ok()
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    };
    text.ok_or_else(|| DocumentError::Syntax("it is not UTF-8 text".to_owned()))
}

/// Whether a text may be a document at all, without reading it: it has the key that says its version, and
/// is no page.
pub fn may_be_document(text: &str) -> bool {
    let is_page = text.trim_start_matches('\u{feff}').trim_start().starts_with('<');
    !is_page && (text.contains("openapi") || text.contains("swagger"))
}

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<Value, DocumentError> {
    if text.len() > MAX_BYTES {
        return Err(DocumentError::TooLarge);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let begin = text.trim_start();
    if begin.starts_with('<') {
        return Err(DocumentError::Page);
    }
    let part = Part::of_document(text);
    if !begin.starts_with(['{', '[']) {
        return yaml::load(text, part).map_err(DocumentError::Syntax);
    }
    json::load(text, part).or_else(|error| {
        // What JavaScript writes of half a character, as in a pattern.
        if let Some(text) = surrogates::as_text(text)
            && let Ok(root) = json::load(&text, part)
        {
            return Ok(root);
        }
        // YAML may begin with a brace, too, and allows comments and a comma at the end.
        let root = yaml::load(text, part).ok().filter(Value::is_object);
        root.ok_or(DocumentError::Syntax(error))
    })
}
