//! Parameters of the protocol's methods.

use serde_json::{Map, Value, json};

use super::fault::{Fault, Kind};

/// The parameter `id`.
pub(super) fn id_of(params: &Map<String, Value>) -> Result<String, Fault> {
    let [id] = texts(params, ["id"])?;
    id.ok_or_else(|| Fault::new(Kind::Params, "id: is required"))
}

/// Text parameters; empty ones count as absent.
pub(super) fn texts<const N: usize>(
    params: &Map<String, Value>,
    names: [&str; N],
) -> Result<[Option<String>; N], Fault> {
    let mut found = names.map(|_| None);
    for (name, text) in names.iter().zip(&mut found) {
        *text = match params.get(*name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(_) => return Err(Fault::new(Kind::Params, format!("{name}: must be a string"))),
        };
    }
    Ok(found)
}

/// A number, or its digits as a string, as in a query.
pub(super) fn number(params: &Map<String, Value>, name: &str) -> Result<Option<u32>, Fault> {
    let number = match params.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let wrong = || Fault::new(Kind::Params, format!("{name}: must be a whole number"));
    number.map(Some).ok_or_else(wrong)
}

/// Whether a parameter is true.
pub(super) fn flag(params: &Map<String, Value>, name: &str) -> bool {
    params.get(name).is_some_and(|value| *value == json!(true) || *value == json!("true"))
}
