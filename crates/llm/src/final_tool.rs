//! The tool that takes a model's answer where its provider has no better form for a schema.

use serde_json::{Map, Value, json};

use crate::request::{ResponseSchema, ToolList, ToolSpec};

/// The name of the tool that takes the answer, where no other tool has it.
pub(crate) const NAME: &str = "final_answer";

/// The argument that holds an answer that is no object.
pub(crate) const RESULT: &str = "result";

/// What the model is told of the tool.
const DESCRIPTION: &str = "Gives the final answer. Call it once, alone, when everything else is done; \
                           its arguments are the whole answer.";

/// The tool that takes the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FinalTool {
    /// Its name.
    pub(crate) name: String,
    /// Whether the answer is one argument, because it need not be an object.
    pub(crate) is_wrapped: bool,
}

/// The tools with the one that takes an answer of this schema. It is the first, so that no provider's
/// limit leaves it out.
pub(crate) fn with_final_tool(
    wanted: &ResponseSchema,
    tools: &[ToolSpec],
) -> (ToolList, FinalTool) {
    let mut name = NAME.to_owned();
    while tools.iter().any(|tool| tool.name == name) {
        name.push('_');
    }
    let is_wrapped = !is_object(&wanted.schema);
    let parameters = if is_wrapped { wrapped(&wanted.schema) } else { wanted.schema.clone() };
    let spec = ToolSpec { name: name.clone(), description: DESCRIPTION.to_owned(), parameters };
    let all: Vec<ToolSpec> = std::iter::once(spec).chain(tools.iter().cloned()).collect();
    (all.into(), FinalTool { name, is_wrapped })
}

/// Whether a schema takes objects only.
pub(crate) fn is_object(schema: &Value) -> bool {
    schema["type"] == "object"
}

/// The schema of an object with the value as its only property. Definitions stay at the root, where
/// references look for them.
fn wrapped(schema: &Value) -> Value {
    let mut inner = schema.clone();
    let mut root = Map::new();
    for name in ["$schema", "$defs", "definitions"] {
        if let Some(there) = inner.as_object_mut().and_then(|words| words.remove(name)) {
            root.insert(name.to_owned(), there);
        }
    }
    root.insert("type".to_owned(), json!("object"));
    root.insert("properties".to_owned(), json!({ (RESULT): inner }));
    root.insert("required".to_owned(), json!([RESULT]));
    root.insert("additionalProperties".to_owned(), json!(false));
    Value::Object(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_has_a_name_of_its_own_and_keeps_definitions_where_they_are_found() {
        let schema = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "integer" } } });
        let other = ToolSpec {
            name: NAME.to_owned(),
            description: String::new(),
            parameters: json!({ "type": "object" }),
        };
        let wanted = ResponseSchema::new("result", schema);
        let (tools, tool) = with_final_tool(&wanted, &[other]);
        assert_eq!((tool.name.as_str(), tools.len()), ("final_answer_", 2));
        let parameters = &tools[0].parameters;
        assert_eq!(parameters["properties"]["result"], json!({ "$ref": "#/$defs/a" }));
        assert_eq!(parameters["$defs"]["a"]["type"], "integer");
    }
}
