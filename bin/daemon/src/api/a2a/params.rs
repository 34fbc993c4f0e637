//! Parameters of the protocol's methods.

use serde_json::{Map, Value, json};

use super::fault::{Fault, Kind};

/// Names of fields as the protocol has them in JSON. ProtoJSON takes the names of the definition, too, with
/// underscores. What is the client's own data stays as it is.
pub(super) fn named(params: Map<String, Value>) -> Map<String, Value> {
    let field = |(name, value): (String, Value)| {
        let value = if OWN_DATA.contains(&name.as_str()) { value } else { named_in(value) };
        let name = if name.contains('_') { camel(&name) } else { name };
        (name, value)
    };
    params.into_iter().map(field).collect()
}

/// Fields whose value is the client's own.
const OWN_DATA: [&str; 3] = ["metadata", "data", "header"];

fn named_in(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(named(object)),
        Value::Array(all) => all.into_iter().map(named_in).collect(),
        other => other,
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_definition_are_those_of_json() {
        let given = json!({ "task_id": "t", "message": { "message_id": "m",
            "parts": [{ "raw": "", "media_type": "a/b" }, { "data": { "a_b": 1 } }],
            "metadata": { "run_key": "k" } } });
        let expected = json!({ "taskId": "t", "message": { "messageId": "m",
            "parts": [{ "raw": "", "mediaType": "a/b" }, { "data": { "a_b": 1 } }],
            "metadata": { "run_key": "k" } } });
        let Value::Object(given) = given else { panic!() };
        assert_eq!(Value::Object(named(given)), expected);
    }
}
