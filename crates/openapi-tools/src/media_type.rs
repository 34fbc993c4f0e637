//! Media types, such as `application/json; charset=utf-8`.

/// Whether a media type is JSON, parameters aside.
pub(crate) fn is_json(kind: &str) -> bool {
    let kind = essence(kind);
    kind == "application/json" || kind.ends_with("+json")
}

/// A media type without its parameters, in lower case.
pub(crate) fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
