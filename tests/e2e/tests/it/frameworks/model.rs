//! What a model does with the tools: it reads their schemas, and fills in what it means.

use serde_json::{Map, Value, json};

/// The tools that a request shows to the model, without those of the daemon itself.
pub(crate) struct Offered {
    pub(crate) tools: Vec<Tool>,
}

/// A tool of the document.
#[derive(Debug)]
pub(crate) struct Tool {
    name: String,
    /// `METHOD /path`, the end of its description.
    operation: String,
    parameters: Value,
}

impl Offered {
    pub(crate) fn of(request: &Value) -> Self {
        let tools = request["tools"].as_array().unwrap().iter().filter_map(|tool| {
            let function = &tool["function"];
            let said = function["description"].as_str().unwrap();
            let end = said.rsplit_once(" (").map_or(said, |(_, end)| end.trim_end_matches(')'));
            let (method, path) = end.split_once(' ')?;
            let is_one = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method);
            (is_one && path.starts_with('/')).then(|| Tool {
                name: function["name"].as_str().unwrap().to_owned(),
                operation: end.to_owned(),
                parameters: function["parameters"].clone(),
            })
        });
        Self { tools: tools.collect() }
    }

    /// Whether a problem is one of an operation that is a tool all the same.
    pub(crate) fn has(&self, problem: &str) -> bool {
        self.tools.iter().any(|tool| problem.starts_with(&format!("OpenAPI: {}: ", tool.operation)))
    }

    /// The tool of a method, and of one item or of all.
    fn find(&self, method: &str, of_one: bool) -> Result<&Tool, String> {
        let fits = |tool: &&Tool| {
            let path = tool.operation.trim_end_matches('/');
            let fits = if of_one { path.ends_with('}') } else { path.ends_with("/items") };
            tool.operation.starts_with(method) && fits
        };
        let found = self.tools.iter().find(fits);
        found.ok_or_else(|| format!("no tool for {method} (one: {of_one}) in {:?}", self.tools))
    }
}

/// A call.
pub(crate) struct Step {
    /// What the application calls the operation.
    pub(crate) operation: &'static str,
    pub(crate) tool: String,
    pub(crate) arguments: Value,
    /// What the application must see.
    pub(crate) meant: Value,
    /// The application refuses it.
    pub(crate) is_refused: bool,
    /// What was meant and has no place in the schema.
    pub(crate) no_place: Vec<String>,
}

/// The calls of a run.
pub(crate) fn steps(offered: &Offered) -> Result<Vec<Step>, String> {
    // Some models write integers with a fraction of zero.
    let first = json!({
        "name": "Lamp, “small”", "quantity": 7.0, "price": 7, "due": ["2026-12-01", "2026-12-01T10:00:00Z"],
        "status": "", "link": "", "note": null, "owner": { "name": "Ann", "age": 30.0 }, "tags": ["a", "b c"],
    });
    let second = json!({
        "name": "Lamp", "quantity": 0, "price": 2.5, "due": ["2026-12-01T10:00:00Z", "2026-12-01"],
        "status": "draft", "link": "https://example.com/a?b=c", "note": "x", "owner": { "name": "Bob", "age": null },
        "tags": [],
    });
    let mut refused = first.clone();
    refused["name"] = json!("house");
    let of_one = |item: Value| json!({ "id": 7.0, "body": item });
    let many =
        json!({ "filtername": "a b&c=d", "name": "a b&c=d", "limit": 5.0, "tags": ["x", "y z"] });
    [
        ("list", "GET", false, many),
        ("get", "GET", true, of_one(Value::Null)),
        ("create", "POST", false, of_one(first)),
        ("update", "PUT", true, of_one(second)),
        ("create", "POST", false, of_one(refused)),
        ("delete", "DELETE", true, of_one(Value::Null)),
    ]
    .into_iter()
    .map(|(operation, method, of_one, wanted)| {
        Ok(step(operation, offered.find(method, of_one)?, &wanted))
    })
    .collect()
}

fn step(operation: &'static str, tool: &Tool, wanted: &Value) -> Step {
    let schema = &tool.parameters;
    let (mut arguments, mut meant) = (Map::new(), json!({ "operation": operation }));
    let mut no_place = Vec::new();
    for (argument, of_it) in schema["properties"].as_object().into_iter().flatten() {
        let plain: String = argument.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.strip_prefix("item").filter(|rest| *rest == "id").unwrap_or(&plain);
        let Some(value) = wanted.get(plain) else { continue };
        let Some(value) = fill(schema, of_it, value, &mut no_place) else { continue };
        let name = match plain {
            "body" => "item",
            "filtername" => "name",
            other => other,
        };
        meant[name] = value.clone();
        arguments.insert(argument.clone(), value);
    }
    for name in ["name", "limit", "tags"] {
        if operation == "list" && meant.get(name).is_none() {
            no_place.push(name.to_owned());
        }
    }
    let is_refused = wanted["body"]["name"] == "house";
    Step {
        operation,
        tool: tool.name.clone(),
        arguments: arguments.into(),
        meant,
        is_refused,
        no_place,
    }
}

/// The value as far as the schema has a place for it.
fn fill(root: &Value, schema: &Value, value: &Value, no_place: &mut Vec<String>) -> Option<Value> {
    let forms = forms(root, schema);
    match value {
        Value::Null => takes(&forms, "null").then_some(Value::Null),
        Value::Number(number) => {
            let fits = takes(&forms, "integer") || takes(&forms, "number");
            let as_text = || json!(number.as_f64().unwrap().to_string());
            Some(if fits { value.clone() } else { as_text() })
        }
        Value::Array(list) if list.iter().all(is_day) && !list.is_empty() => day(&forms, list),
        Value::Object(_) if forms.iter().all(|form| form.get("properties").is_none()) => {
            Some(value.clone())
        }
        Value::Object(fields) => {
            let mut filled = Map::new();
            for (name, value) in fields {
                let of_it = forms.iter().find_map(|form| form["properties"].get(name));
                match of_it.and_then(|schema| fill(root, schema, value, no_place)) {
                    Some(value) => {
                        filled.insert(name.clone(), value);
                    }
                    // A field that only some of the applications have.
                    None if name == "link" => {}
                    None => no_place.push(format!("{name}: {value}")),
                }
            }
            Some(filled.into())
        }
        Value::String(text) => {
            let lists: Vec<_> = forms.iter().filter_map(|form| form["enum"].as_array()).collect();
            let known = lists.iter().flat_map(|all| all.iter()).any(|one| one == text);
            let is_free = |form: &&Value| form["type"] == "string" && form.get("enum").is_none();
            let free = forms.iter().any(is_free);
            (lists.is_empty() || known || free).then(|| value.clone())
        }
        Value::Array(_) | Value::Bool(_) => Some(value.clone()),
    }
}

/// Whether one of these schemas takes values of this kind.
fn takes(forms: &[&Value], kind: &str) -> bool {
    forms.iter().any(|form| match (&form["type"], &form["enum"]) {
        (Value::Null, Value::Array(all)) => all.iter().any(|one| kind_of(one) == kind),
        (Value::Array(kinds), _) => kinds.contains(&json!(kind)),
        (of, _) => of == kind || (kind == "null" && form["nullable"] == true),
    })
}

fn is_day(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("2026-"))
}

/// Of a date and a time, the first that these schemas name; a date where they name neither.
fn day(forms: &[&Value], list: &[Value]) -> Option<Value> {
    let format =
        |day: &Value| if day.as_str().unwrap().contains('T') { "date-time" } else { "date" };
    let known: Vec<_> = forms.iter().filter_map(|form| form["format"].as_str()).collect();
    let fits = |day: &&Value| match known.is_empty() {
        true => format(day) == "date",
        false => known.contains(&format(day)),
    };
    list.iter().find(fits).cloned()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A schema and those that it is made of.
fn forms<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![schema];
    let mut at = 0;
    while at < found.len() && at < 100 {
        let form = found[at];
        if let Some(pointer) = form["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            found.extend(root.pointer(pointer));
        }
        for of in ["allOf", "anyOf", "oneOf"] {
            found.extend(form[of].as_array().into_iter().flatten());
        }
        at += 1;
    }
    found
}

/// What the model was told of each call: the results that the requests after the first one end with.
pub(crate) fn told(requests: &[Value]) -> Vec<String> {
    let last =
        |request: &Value| request["messages"].as_array().unwrap().last().unwrap().to_string();
    requests.iter().skip(1).map(last).collect()
}

/// Whether the application saw what was meant; fields that were not sent are its own defaults.
pub(crate) fn same(seen: &Value, meant: &Value) -> Result<(), String> {
    match (seen, meant) {
        (Value::Object(seen), Value::Object(meant)) => {
            let mut fields = meant.iter().map(|(name, meant)| (name, seen.get(name), meant));
            fields.try_for_each(|(name, seen, meant)| match seen {
                Some(seen) => same(seen, meant).map_err(|why| format!("{name}: {why}")),
                None if meant.is_null() => Ok(()),
                None => Err(format!("{name} is missing")),
            })
        }
        (Value::Array(seen), Value::Array(meant)) if seen.len() == meant.len() => {
            seen.iter().zip(meant).try_for_each(|(seen, meant)| same(seen, meant))
        }
        (Value::Number(seen), Value::Number(meant)) if seen.as_f64() == meant.as_f64() => Ok(()),
        // A path's number that the document calls a text.
        (Value::Number(seen), Value::String(meant)) if seen.to_string() == *meant => Ok(()),
        (seen, meant) if seen == meant => Ok(()),
        (seen, meant) => Err(format!("{seen} instead of {meant}")),
    }
}
