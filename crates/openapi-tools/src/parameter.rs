//! Parameters of an operation: their location and style.

use serde_json::{Map, Value, json};

use crate::media_type::{essence, is_json};
use crate::pointer::resolve;
use crate::schema::Schemas;
use crate::template::{Template, plain_name};

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

/// The most parameters of an operation.
const MAX_PARAMETERS: usize = 500;

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
    /// `name[key]=value`, and `name[]=value` for each item of a list.
    Deep,
    /// The whole value as JSON text.
    Json,
    /// A part of a path: after a dot (`label`) or as it is (`simple`).
    Segment { label: bool, explode: bool },
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

/// Reads the parameters of an operation and its path item; those in its path get their declared names.
pub(crate) fn read(
    root: &Value,
    schemas: &mut Schemas<'_>,
    template: &mut Template,
    item: &Value,
    operation: &Value,
) -> Result<Vec<Parameter>, String> {
    let found = declared(root, item, operation)?;
    name_by_declaration(template, &found);
    let mut read = Vec::new();
    for parameter in found {
        read.extend(one(schemas, template, parameter)?);
    }
    for name in template.names() {
        let is_there = |p: &Parameter| p.place == Place::Path && p.name == name;
        if !read.iter().any(is_there) {
            // Many documents do not declare the parameters in their paths.
            read.push(Parameter {
                name: name.to_owned(),
                argument: name.to_owned(),
                place: Place::Path,
                style: Style::Segment { label: false, explode: false },
                required: true,
                schema: json!({ "type": "string" }),
            });
        }
    }
    Ok(read)
}

/// The declared parameters. The operation's own override those of the path item, by name and location.
fn declared<'a>(
    root: &'a Value,
    item: &'a Value,
    operation: &'a Value,
) -> Result<Vec<&'a Value>, String> {
    let mut found: Vec<&Value> = Vec::new();
    let lists = [item.get("parameters"), operation.get("parameters")].into_iter().flatten();
    for list in lists.filter(|list| !list.is_null()) {
        let list = list.as_array().ok_or("parameters is not a list")?;
        if list.len() > MAX_PARAMETERS {
            return Err(format!("it has more than {MAX_PARAMETERS} parameters"));
        }
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
    Ok(found)
}

/// Gives the parameters in a path the names under which they are declared: routers write more into the
/// braces, or another case.
fn name_by_declaration(template: &mut Template, declared: &[&Value]) {
    let in_path = declared.iter().filter(|parameter| {
        parameter["in"] == "path"
            || parameter["name"].as_str().is_some_and(|name| template.has_in_query(name))
    });
    let known: Vec<&str> = in_path.filter_map(|parameter| parameter["name"].as_str()).collect();
    let names: Vec<String> = template.names().into_iter().map(str::to_owned).collect();
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        let plain = plain_name(name);
        let is_free = |other: &&&str| !names.iter().any(|taken| taken == **other);
        let found = known.iter().find(|other| **other == plain).or_else(|| {
            known.iter().filter(is_free).find(|other| other.eq_ignore_ascii_case(plain))
        });
        template.rename(name, found.unwrap_or(&plain));
    }
}

fn one(
    schemas: &mut Schemas<'_>,
    template: &Template,
    parameter: &Value,
) -> Result<Option<Parameter>, String> {
    let name = parameter.get("name").and_then(Value::as_str).ok_or("a parameter has no name")?;
    let required = parameter.get("required") == Some(&Value::Bool(true));
    let place = match parameter.get("in").and_then(Value::as_str) {
        Some("path") if template.names().contains(&name) => Place::Path,
        Some("path") => return Ok(None),
        Some("query") if template.has_in_query(name) => Place::Path,
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
    let (schema, style) = match content(parameter, name)? {
        Some((media, true)) => (media.get("schema"), Style::Json),
        Some((media, false)) => (media.get("schema"), style(&Value::Null, place, name)?),
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

/// The content of a parameter that has one, and whether it is JSON; else it is text.
fn content<'a>(parameter: &'a Value, name: &str) -> Result<Option<(&'a Value, bool)>, String> {
    let Some(content) = parameter.get("content").and_then(Value::as_object) else {
        return Ok(None);
    };
    let find = |fits: &dyn Fn(&str) -> bool| content.iter().find(|(kind, _)| fits(kind));
    let json = find(&|kind| is_json(kind) || essence(kind) == "*/*");
    let text = || find(&|kind| essence(kind).starts_with("text/"));
    match (json, content.is_empty()) {
        (_, true) => Ok(None),
        (Some((_, media)), _) => Ok(Some((media, true))),
        (None, _) => text().map(|(_, media)| Some((media, false))).ok_or_else(|| {
            format!("parameter {name:?} has a content type other than JSON and text")
        }),
    }
}

fn style(parameter: &Value, place: Place, name: &str) -> Result<Style, String> {
    let style = parameter.get("style").and_then(Value::as_str);
    let explode = parameter.get("explode").and_then(Value::as_bool);
    match (place, style) {
        (Place::Path, None | Some("simple" | "label" | "form")) => {
            let (label, explode) = (style == Some("label"), explode == Some(true));
            Ok(Style::Segment { label, explode })
        }
        (Place::Path, Some("matrix")) => Err(format!(
            "parameter {name:?} has the style \"matrix\": its semicolon makes it another path for some servers"
        )),
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
