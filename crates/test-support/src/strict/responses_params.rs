//! OpenAI's Responses: limits, tools and the answer's format.

use serde_json::Value;

use super::limits::{output_limit, reasons};
use super::responses::{ALL, MIGRATE, SPEC};
use super::view::{is_made_of, is_name, list, text, unknown_field};
use super::{Rule, schema};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "the limit of an answer is at least 16 tokens",
        ALL,
        "https://github.com/vectorize-io/hindsight/issues/58",
        |call| {
            let given = call.body.get("max_output_tokens").filter(|given| !given.is_null())?;
            (given.as_u64().unwrap_or_default() < 16).then(|| format!("Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {given} instead."))
        },
    ),
    Rule::new(
        "responses: the limit is not above the model's own",
        ALL,
        "https://developers.openai.com/api/docs/models",
        |call| {
            let (most, asked) = (
                output_limit(call.profile, call.model())?,
                call.body["max_output_tokens"].as_u64()?,
            );
            (asked > most).then(|| format!("Invalid 'max_output_tokens': integer above maximum value. Expected a value <= {most}, but got {asked} instead."))
        },
    ),
    Rule::new("responses: the temperature is 0 to 2", ALL, SPEC, |call| {
        let given = call.body.get("temperature").filter(|given| !given.is_null())?;
        let fits = given.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t));
        (!fits).then(|| format!("Invalid 'temperature': {given}"))
    }),
    Rule::new(
        "responses: reasoning models take no temperature",
        ALL,
        "https://developers.openai.com/api/docs/guides/reasoning",
        |call| {
            let given = call.body.get("temperature").filter(|given| !given.is_null());
            (given.is_some() && reasons(call.model())).then(|| {
                "Unsupported parameter: 'temperature' is not supported with this model.".into()
            })
        },
    ),
    Rule::new("what is included is known", ALL, SPEC, |call| {
        list(call.body, "/include").iter().find_map(|given| {
            let known = [
                "reasoning.encrypted_content",
                "message.output_text.logprobs",
                "message.input_image.image_url",
            ];
            (!known.iter().any(|name| given == name))
                .then(|| format!("Invalid value: {given} in 'include'"))
        })
    }),
    Rule::new(
        "encrypted reasoning is for reasoning models",
        ALL,
        "https://github.com/OpenHands/software-agent-sdk/pull/1208",
        |call| {
            let asked = list(call.body, "/include")
                .iter()
                .any(|given| given == "reasoning.encrypted_content");
            (asked && !reasons(call.model()))
                .then(|| "Encrypted content is not supported with this model.".into())
        },
    ),
    Rule::new("responses: a tool lies flat", ALL, MIGRATE, |call| {
        list(call.body, "/tools").iter().enumerate().find_map(|(n, tool)| {
            let fields = ["type", "name", "description", "parameters", "strict"];
            let odd =
                unknown_field(tool, &fields).or((tool["type"] != "function").then_some("type"));
            odd.map(|field| format!("Unknown parameter: 'tools[{n}].{field}'."))
        })
    }),
    Rule::new(
        "responses: names of tools fit",
        ALL,
        "https://github.com/packit/ai-workflows/pull/619",
        |call| {
            call.each_tool(|n, tool| {
            (!is_name(tool.name)).then(|| format!("Invalid 'tools[{n}].name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."))
        })
        },
    ),
    Rule::new(
        "responses: at most 128 tools",
        ALL,
        "https://github.com/vishalmysore/Tools4AI/issues/16",
        |call| {
            let n = call.tools().len();
            (n > 128).then(|| format!("Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length {n} instead."))
        },
    ),
    Rule::new(
        "responses: a tool takes an object",
        ALL,
        "https://github.com/nspady/google-calendar-mcp/issues/39",
        |call| {
            call.each_tool(|_, tool| {
            let odd = ["oneOf", "anyOf", "allOf", "enum", "not"].iter().any(|word| tool.parameters.get(word).is_some());
            (odd || tool.parameters["type"] != "object").then(|| format!("Invalid schema for function '{}': schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.", tool.name))
        })
        },
    ),
    Rule::new(
        "responses: what tools take is a JSON Schema",
        ALL,
        "https://github.com/brainlid/langchain/issues/148",
        |call| {
            call.each_tool(|_, tool| {
                let bare = &mut |schema: &Value, _| {
                    (schema::allows(schema, "array") && schema.get("items").is_none())
                        .then(|| "array schema missing items".to_owned())
                };
                let why = schema::invalid(tool.parameters)
                    .or_else(|| schema::each(tool.parameters, bare))
                    .or_else(|| schema::dangling(tool.parameters))?;
                Some(format!("Invalid schema for function '{}': {why}.", tool.name))
            })
        },
    ),
    Rule::new(
        "a tool is strict unless it says that it is not",
        ALL,
        "https://github.com/kevinwatt/mysql-mcp/issues/5",
        |call| {
            list(call.body, "/tools").iter().find_map(|tool| {
                let strict = tool.get("strict").is_none_or(|strict| strict == true);
                let why = schema::not_strict(&tool["parameters"]).filter(|_| strict)?;
                Some(format!(
                    "Invalid schema for function '{}': In context=(), {why}",
                    text(tool, "/name")
                ))
            })
        },
    ),
    Rule::new("responses: a choice of tools needs tools", ALL, SPEC, |call| {
        let alone = call.body.get("tool_choice").is_some() && call.tools().is_empty();
        alone.then(|| "Tool choice 'none' must be specified with 'tools' parameter.".into())
    }),
    Rule::new(
        "responses: the answer's schema has a name and is strict where it says so",
        ALL,
        "https://developers.openai.com/api/docs/guides/structured-outputs",
        |call| {
            let format = call
                .body
                .pointer("/text/format")
                .filter(|format| format["type"] == "json_schema")?;
            let name = text(format, "/name");
            if !is_made_of(name, "_-", 64) {
                return Some(format!("Invalid 'text.format.name': '{name}'"));
            }
            if format["schema"]["type"] != "object" {
                return Some("Invalid schema for response_format: schema must be a JSON Schema of 'type: \"object\"'".into());
            }
            let why = schema::not_strict(&format["schema"]).filter(|_| format["strict"] == true)?;
            Some(format!("Invalid schema for response_format '{name}': {why}"))
        },
    ),
];
