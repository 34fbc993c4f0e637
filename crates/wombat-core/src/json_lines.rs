//! Where a value stands in the text of a JSON file.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

/// A step into a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A key of an object.
    Key(&'a str),
    /// An index of a list.
    Index(usize),
}

/// The line, from 1, on which the value at a path begins; of its nearest ancestor where there is no such
/// value. `None` when the text is not JSON.
pub(crate) fn line_at(text: &str, path: &[Step<'_>]) -> Option<usize> {
    let mut raw: &str = serde_json::from_str::<&RawValue>(text).ok()?.get();
    for step in path {
        let next = match step {
            Step::Key(key) => serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(raw)
                .ok()
                .and_then(|fields| fields.get(*key).copied()),
            Step::Index(at) => serde_json::from_str::<Vec<&RawValue>>(raw)
                .ok()
                .and_then(|items| items.get(*at).copied()),
        };
        let Some(next) = next else { break };
        raw = next.get();
    }
    // What serde_json lends is a part of the text, so its place is the difference of the addresses.
    let before = (raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    Some(text.as_bytes().get(..before)?.iter().filter(|byte| **byte == b'\n').count() + 1)
}

/// The path to where deserializing failed.
pub(crate) fn steps(path: &serde_path_to_error::Path) -> Vec<Step<'_>> {
    use serde_path_to_error::Segment;
    let step = |segment| match segment {
        &Segment::Seq { index } => Some(Step::Index(index)),
        Segment::Map { key } => Some(Step::Key(key.as_str())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().map_while(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_any_layout() {
        let text = "\n{\"a\": [\n 1,\n {\"b\\u0063\": \"{\\\"a\\\": \\n\",\n  \"d\":\n   []}],\n\"a2\": 0}";
        let (a, index) = (Step::Key("a"), Step::Index(1));
        for (path, line) in [
            (&[][..], 2),
            (&[a], 2),
            (&[a, Step::Index(0)], 3),
            (&[a, index], 4),
            (&[a, index, Step::Key("bc")], 4),
            (&[a, index, Step::Key("d")], 6),
            (&[a, index, Step::Key("none")], 4),
            (&[a, Step::Index(7)], 2),
            (&[Step::Key("a2")], 7),
        ] {
            assert_eq!(line_at(text, path), Some(line), "{path:?}");
        }
        assert_eq!(line_at("{", &[]), None);
    }
}
