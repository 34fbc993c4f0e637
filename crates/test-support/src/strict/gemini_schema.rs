//! Gemini's `generateContent`: functions and schemas.

use serde_json::{Map, Value};

use super::gemini::{ALL, SPEC};
use super::view::{duplicate, is_made_of, list, text, unknown_field};
use super::{Call, Rule, schema};

const SCHEMA: &str = "https://ai.google.dev/api/caching#Schema";
const FORMATS: &str = "https://github.com/google-gemini/gemini-cli/issues/2237";

const FIELDS: &[&str] = &[
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
    "items",
    "minimum",
    "maximum",
];
const TYPES: &[&str] = &["string", "number", "integer", "boolean", "array", "object", "null"];

/// Whether a name is one of a function.
pub(super) fn is_function(name: &str) -> bool {
    is_made_of(name, "_.:-", 64) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Whether a schema names no property.
fn is_bare(schema: &Value) -> bool {
    schema.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty)
}

/// The schemas of the functions and of the answer, with the place of each.
fn schemas<'a>(call: &Call<'a>) -> Vec<(String, &'a Value)> {
    let functions = call.tools().into_iter().enumerate();
    let mut all: Vec<_> = functions
        .filter(|(_, tool)| !tool.parameters.is_null())
        .map(|(n, tool)| {
            (format!("tools[0].function_declarations[{n}].parameters"), tool.parameters)
        })
        .collect();
    let answer = call.body.pointer("/generationConfig/responseSchema");
    all.extend(answer.map(|schema| ("generation_config.response_schema".to_owned(), schema)));
    all
}

/// The first complaint about any schema, or a schema within it.
fn each(
    call: &Call<'_>,
    complaint: impl Fn(&str, &Value, usize) -> Option<String>,
) -> Option<String> {
    schemas(call).into_iter().find_map(|(at, root)| {
        schema::each(root, &mut |schema, depth| complaint(&at, schema, depth))
    })
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("functions lie in declarations", ALL, SPEC, |call| {
        let known = [
            "functionDeclarations",
            "googleSearchRetrieval",
            "codeExecution",
            "googleSearch",
            "computerUse",
            "urlContext",
            "fileSearch",
            "googleMaps",
        ];
        let name =
            list(call.body, "/tools").iter().find_map(|group| unknown_field(group, &known))?;
        Some(format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at 'tools[0]': Cannot find field."
        ))
    }),
    Rule::new(
        "a function has known fields only",
        ALL,
        "https://ai.google.dev/api/caching#FunctionDeclaration",
        |call| {
            let known = [
                "name",
                "description",
                "behavior",
                "parameters",
                "parametersJsonSchema",
                "response",
                "responseJsonSchema",
            ];
            let mut all = list(call.body, "/tools")
                .iter()
                .flat_map(|group| list(group, "/functionDeclarations"));
            let name = all.find_map(|function| unknown_field(function, &known))?;
            Some(format!(
                "Invalid JSON payload received. Unknown name \"{name}\" at 'tools[0].function_declarations[0]': Cannot find field."
            ))
        },
    ),
    Rule::new(
        "names of functions begin with a letter or _",
        ALL,
        "https://github.com/kaitranntt/ccs/issues/25",
        |call| {
            call.each_tool(|n, tool| {
            (!is_function(tool.name)).then(|| format!("* GenerateContentRequest.tools[0].function_declarations[{n}].name: Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."))
        })
        },
    ),
    Rule::new(
        "gemini: no two functions of one name",
        ALL,
        "https://ai.google.dev/api/caching#FunctionDeclaration",
        |call| {
            duplicate(call.tools().iter().map(|tool| tool.name))
                .map(|name| format!("Duplicate function declaration found: {name}"))
        },
    ),
    Rule::new(
        "at most 512 functions",
        ALL,
        "https://github.com/google-gemini/gemini-cli/issues/19083",
        |call| {
            let n = call.tools().len();
            (n > 512).then(|| {
                format!("The number of function declarations {n} exceeds the limit of 512.")
            })
        },
    ),
    Rule::new("what a function takes is an object", ALL, SCHEMA, |call| {
        call.each_tool(|n, tool| {
            let odd = !tool.parameters.is_null() && !schema::allows(tool.parameters, "object");
            odd.then(|| format!("* GenerateContentRequest.tools[0].function_declarations[{n}].parameters: parameters schema should be of type OBJECT"))
        })
    }),
    Rule::new(
        "what a function takes has properties",
        ALL,
        "https://github.com/pipecat-ai/pipecat-flows/issues/110",
        |call| {
            call.each_tool(|n, tool| {
                let empty = !tool.parameters.is_null() && is_bare(tool.parameters);
                empty.then(|| format!("* GenerateContentRequest.tools[0].function_declarations[{n}].parameters.properties: should be non-empty for OBJECT type"))
            })
        },
    ),
    Rule::new(
        "objects of the answer have properties",
        ALL,
        "https://github.com/browser-use/browser-use/issues/3786",
        |call| {
            let answer = call.body.pointer("/generationConfig/responseSchema")?;
            schema::each(answer, &mut |schema, _| {
                let empty = schema::allows(schema, "object") && is_bare(schema);
                empty.then(|| "* GenerateContentRequest.generation_config.response_schema.properties: should be non-empty for OBJECT type".into())
            })
        },
    ),
    Rule::new(
        "schemas hold known words only",
        ALL,
        "https://github.com/tailcallhq/forgecode/pull/3426",
        |call| {
            each(call, |at, schema, _| {
                let name = unknown_field(schema, FIELDS)?;
                Some(format!(
                    "Invalid JSON payload received. Unknown name \"{name}\" at '{at}': Cannot find field."
                ))
            })
        },
    ),
    Rule::new("a schema is an object", ALL, SCHEMA, |call| {
        each(call, |at, schema, _| {
            (!schema.is_object()).then(|| format!("Invalid value at '{at}' (type.googleapis.com/google.ai.generativelanguage.v1beta.Schema), {schema}"))
        })
    }),
    Rule::new(
        "a schema's type is one known word",
        ALL,
        "https://github.com/google-gemini/deprecated-generative-ai-js/issues/320",
        |call| {
            each(call, |at, schema, _| {
                let given = schema.get("type")?;
                let known = given
                    .as_str()
                    .is_some_and(|kind| TYPES.contains(&kind.to_lowercase().as_str()));
                (!known).then(|| format!("Invalid value at '{at}.type' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type), {given}"))
            })
        },
    ),
    Rule::new(
        "a schema has a type",
        ALL,
        "https://github.com/acryldata/mcp-server-datahub/issues/97",
        |call| {
            each(call, |at, schema, _| {
                let none = schema.get("type").is_none() && schema.get("anyOf").is_none();
                none.then(|| format!("* GenerateContentRequest.{at}.type: must be specified"))
            })
        },
    ),
    Rule::new(
        "values of an enum are texts",
        ALL,
        "https://github.com/microsoft/azure-devops-mcp/issues/139",
        |call| {
            each(call, |at, schema, _| {
                let odd = list(schema, "/enum").iter().find(|value| !value.is_string())?;
                Some(format!("Invalid value at '{at}.enum[0]' (TYPE_STRING), {odd}"))
            })
        },
    ),
    Rule::new(
        "values of an enum are not empty",
        ALL,
        "https://github.com/sbroenne/mcp-server-excel/issues/607",
        |call| {
            each(call, |at, schema, _| {
                let empty = list(schema, "/enum").iter().position(|value| value == "")?;
                Some(format!("* GenerateContentRequest.{at}.enum[{empty}]: cannot be empty"))
            })
        },
    ),
    Rule::new(
        "an enum is one of texts",
        ALL,
        "https://github.com/decolua/9router/pull/380",
        |call| {
            each(call, |at, schema, _| {
                let odd = schema.get("enum").is_some() && !schema::allows(schema, "string");
                odd.then(|| {
                    format!("* GenerateContentRequest.{at}.enum: only allowed for STRING type")
                })
            })
        },
    ),
    Rule::new(
        "gemini: a list says what it holds",
        ALL,
        "https://github.com/cline/cline/issues/7339",
        |call| {
            each(call, |at, schema, _| {
                let bare = schema::allows(schema, "array") && schema.get("items").is_none();
                bare.then(|| format!("* GenerateContentRequest.{at}.items: missing field."))
            })
        },
    ),
    Rule::new(
        "what is required is defined",
        ALL,
        "https://github.com/Kilo-Org/kilocode/pull/11955",
        |call| {
            each(call, |at, schema, _| {
                let known = schema.get("properties").and_then(Value::as_object);
                let missing = list(schema, "/required").iter().position(|name| {
                    !known
                        .is_some_and(|all| name.as_str().is_some_and(|name| all.contains_key(name)))
                })?;
                Some(format!(
                    "* GenerateContentRequest.{at}.required[{missing}]: property is not defined"
                ))
            })
        },
    ),
    Rule::new("formats of texts are enum and date-time", ALL, FORMATS, |call| {
        each(call, |at, schema, _| {
            let format = text(schema, "/format");
            let odd =
                schema::allows(schema, "string") && !["", "enum", "date-time"].contains(&format);
            odd.then(|| format!("* GenerateContentRequest.{at}.format: only 'enum' and 'date-time' are supported for STRING type"))
        })
    }),
    Rule::new("formats of numbers are those of the protocol", ALL, SCHEMA, |call| {
        each(call, |at, schema, _| {
            let format = text(schema, "/format");
            let fits = match text(schema, "/type").to_lowercase().as_str() {
                "integer" => ["", "int32", "int64"].contains(&format),
                "number" => ["", "float", "double"].contains(&format),
                _ => true,
            };
            (!fits).then(|| format!("* GenerateContentRequest.{at}.format: '{format}' is not supported for this type"))
        })
    }),
    Rule::new("a pattern is for texts, a count for lists", ALL, SCHEMA, |call| {
        each(call, |at, schema, _| {
            let texts =
                ["pattern", "minLength", "maxLength"].iter().any(|word| schema.get(word).is_some());
            let lists =
                ["items", "minItems", "maxItems"].iter().any(|word| schema.get(word).is_some());
            let odd = (texts && !schema::allows(schema, "string"))
                || (lists && !schema::allows(schema, "array"));
            odd.then(|| {
                format!("* GenerateContentRequest.{at}: a field is only allowed for another type")
            })
        })
    }),
    Rule::new(
        "properties are for objects",
        ALL,
        "https://github.com/anomalyco/opencode/pull/11888",
        |call| {
            each(call, |at, schema, _| {
                let odd = schema.get("properties").is_some() && !schema::allows(schema, "object");
                odd.then(|| {
                    format!(
                        "* GenerateContentRequest.{at}.properties: only allowed for OBJECT type"
                    )
                })
            })
        },
    ),
    Rule::new(
        "schemas are not nested too deeply",
        ALL,
        "https://github.com/google-gemini/gemini-cli/issues/6031",
        |call| {
            each(call, |at, _, depth| {
                (depth > 32)
                    .then(|| format!("{at}: the schema exceeds the maximum allowed nesting depth"))
            })
        },
    ),
    Rule::new("a schema of the answer is one of JSON", ALL, SPEC, |call| {
        let config = call.body.get("generationConfig")?;
        let odd = config.get("responseSchema").is_some()
            && config["responseMimeType"] != "application/json";
        odd.then(|| "* GenerateContentRequest.generation_config.response_schema: only allowed when response_mime_type is application/json".into())
    }),
    Rule::new(
        "no JSON answers beside functions",
        ALL,
        "https://github.com/googleapis/python-genai/issues/867",
        |call| {
            let json = call
                .body
                .pointer("/generationConfig/responseMimeType")
                .is_some_and(|kind| kind == "application/json");
            let older = ["gemini-1", "gemini-2"].iter().any(|old| call.model().starts_with(old));
            (json && older && !call.tools().is_empty()).then(|| {
                "Function calling with a response mime type: 'application/json' is unsupported"
                    .into()
            })
        },
    ),
];
