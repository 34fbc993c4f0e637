//! Parameters of an operation: their location and style.

use serde_json::{Map, Value, json};

use crate::media_type::is_json;
use crate::pointer::resolve;
use crate::schema::Schemas;

/// Header parameters that the HTTP client sets, or that OpenAPI says to ignore (OpenAPI 3.1, Parameter
/// Object).
const SET_BY_US: [&str; 9] = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "x-agent-token",
    "x-session-fence",
    "x-trace-id",
];

/// Whether an operation or its path item declares the header `Idempotency-Key`.
pub(crate) fn takes_idempotency_key(root: &Value, item: &Value, operation: &Value) -> bool {
    let lists = [item, operation].into_iter().filter_map(|of| of.get("parameters")?.as_array());
    let mut all = lists.flatten().filter_map(|parameter| resolve(root, parameter).ok());
    let text = |parameter: &Value, field: &str| {
        parameter.get(field).and_then(Value::as_str).map(str::to_owned)
    };
    all.any(|parameter| {
        text(parameter, "in").as_deref() == Some("header")
            && text(parameter, "name")
                .is_some_and(|name| name.eq_ignore_ascii_case("idempotency-key"))
    })
}

/// The location of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
}

/// How lists and objects are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One pair per value (`a=1&a=2`).
    Each,
    /// One value, its items joined by this separator.
    Joined(&'static str),
    /// `name[key]=value`.
    Deep,
    /// The whole value as JSON text.
    Json,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// Its name in the request.
    pub(crate) name: String,
    /// Its name among the arguments.
    pub(crate) argument: String,
    pub(crate) place: Place,
    pub(crate) style: Style,
    pub(crate) required: bool,
    pub(crate) schema: Value,
}

/// Reads the parameters of an operation and its path item. `template` is its path.
pub(crate) fn read(
    root: &Value,
    schemas: &mut Schemas<'_>,
    template: &str,
    item: &Value,
    operation: &Value,
) -> Result<Vec<Parameter>, String> {
    // The operation's own parameters override those of the path item, by name and location.
    let mut found: Vec<&Value> = Vec::new();
    for list in [item.get("parameters"), operation.get("parameters")].into_iter().flatten() {
        let list = list.as_array().ok_or("parameters is not a list")?;
        for parameter in list {
            let parameter = resolve(root, parameter)?;
            let same = |other: &&Value| {
                other.get("name") == parameter.get("name") && other.get("in") == parameter.get("in")
            };
            match found.iter().position(same) {
                Some(at) => found[at] = parameter,
                None => found.push(parameter),
            }
        }
    }
    let mut read = Vec::new();
    for parameter in found {
        read.extend(one(schemas, template, parameter)?);
    }
    for name in in_template(template) {
        let is_there = |p: &Parameter| p.place == Place::Path && p.name == name;
        if !read.iter().any(is_there) {
            // Many documents do not declare the parameters in their paths.
            read.push(Parameter {
                name: name.to_owned(),
                argument: name.to_owned(),
                place: Place::Path,
                style: Style::Joined(","),
                required: true,
                schema: json!({ "type": "string" }),
            });
        }
    }
    Ok(read)
}

/// The names in braces.
pub(crate) fn in_template(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

fn one(
    schemas: &mut Schemas<'_>,
    template: &str,
    parameter: &Value,
) -> Result<Option<Parameter>, String> {
    let name = parameter.get("name").and_then(Value::as_str).ok_or("a parameter has no name")?;
    let required = parameter.get("required") == Some(&Value::Bool(true));
    let place = match parameter.get("in").and_then(Value::as_str) {
        Some("path") if in_template(template).any(|known| known == name) => Place::Path,
        Some("path") => return Ok(None),
        Some("query") => Place::Query,
        Some("header") => {
            let is_ours = SET_BY_US.iter().any(|ours| name.eq_ignore_ascii_case(ours));
            return if required && !is_ours {
                Err(format!("it needs the header {name:?}, which a tool cannot set"))
            } else {
                Ok(None)
            };
        }
        Some("cookie") if required => {
            return Err(format!("it needs the cookie {name:?}, which a tool cannot set"));
        }
        Some("cookie") => return Ok(None),
        Some(other) => return Err(format!("parameter {name:?} is in {other:?}")),
        None => return Err(format!("parameter {name:?} has no location (in)")),
    };
    let (schema, style) = match json_content(parameter) {
        Some(media) => (media.get("schema"), Style::Json),
        None if parameter.get("content").is_some() => {
            return Err(format!("parameter {name:?} has a content type other than JSON"));
        }
        None => (parameter.get("schema"), style(parameter, place, name)?),
    };
    let schema = schemas
        .convert(schema.unwrap_or(&Value::Bool(true)))
        .map_err(|why| format!("parameter {name:?}: {why}"))?;
    Ok(Some(Parameter {
        name: name.to_owned(),
        argument: name.to_owned(),
        place,
        style,
        required: required || place == Place::Path,
        schema: described(schema, parameter),
    }))
}

fn json_content(parameter: &Value) -> Option<&Value> {
    let content = parameter.get("content")?.as_object()?;
    content.iter().find(|(kind, _)| is_json(kind)).map(|(_, media)| media)
}

fn style(parameter: &Value, place: Place, name: &str) -> Result<Style, String> {
    let style = parameter.get("style").and_then(Value::as_str);
    let explode = parameter.get("explode").and_then(Value::as_bool);
    match (place, style) {
        (Place::Path, None | Some("simple")) => Ok(Style::Joined(",")),
        (Place::Query, None | Some("form")) => {
            Ok(if explode.unwrap_or(true) { Style::Each } else { Style::Joined(",") })
        }
        (Place::Query, Some("spaceDelimited" | "pipeDelimited")) if explode == Some(true) => {
            Ok(Style::Each)
        }
        (Place::Query, Some("spaceDelimited")) => Ok(Style::Joined("%20")),
        (Place::Query, Some("pipeDelimited")) => Ok(Style::Joined("%7C")),
        (Place::Query, Some("deepObject")) => Ok(Style::Deep),
        (Place::Path | Place::Query, Some(other)) => {
            Err(format!("parameter {name:?} has the unsupported style {other:?}"))
        }
    }
}

/// A schema with the parameter's own description, which is better than the schema's.
fn described(schema: Value, parameter: &Value) -> Value {
    let Some(text) = parameter.get("description").and_then(Value::as_str) else { return schema };
    let mut fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(true) => Map::new(),
        other => return other,
    };
    fields.insert("description".to_owned(), Value::String(text.to_owned()));
    Value::Object(fields)
}
