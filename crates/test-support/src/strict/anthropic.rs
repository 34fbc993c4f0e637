//! Anthropic's Messages: parameters and tools.

use serde_json::Value;

use super::limits::{output_limit, samples_itself};
use super::view::{duplicate, is_made_of, is_name, list, text, unknown_field};
use super::{Call, Profile, Rule, schema};

pub(super) const ALL: &[Profile] = &[Profile::Anthropic];
pub(super) const SPEC: &str = "https://platform.claude.com/docs/en/api/messages/create";
const TOOLS: &str =
    "https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use";
const CACHE: &str = "https://platform.claude.com/docs/en/build-with-claude/prompt-caching";
const OUTPUTS: &str = "https://platform.claude.com/docs/en/build-with-claude/structured-outputs";

const FIELDS: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// Words of a schema that structured output does not know.
const UNSUPPORTED: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "not",
    "if",
    "patternProperties",
    "minProperties",
    "maxProperties",
    "propertyNames",
];

/// All objects of the body that may hold a cache breakpoint.
fn cached<'a>(call: &Call<'a>) -> Vec<&'a Value> {
    let blocks = call.messages().iter().flat_map(|message| list(message, "/content"));
    let all = list(call.body, "/system").iter().chain(list(call.body, "/tools")).chain(blocks);
    all.filter(|block| block.get("cache_control").is_some_and(|value| !value.is_null())).collect()
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("the path is that of messages", ALL, SPEC, |call| {
        (!call.path.ends_with("/v1/messages")).then(|| "Not Found".into())
    })
    .status(404),
    Rule::new(
        "anthropic: there is a key",
        ALL,
        "https://platform.claude.com/docs/en/api/overview",
        |call| {
            let none =
                call.header("x-api-key").is_empty() && call.header("authorization").is_empty();
            (call.needs_key && none).then(|| "x-api-key header is required".into())
        },
    )
    .status(401),
    Rule::new(
        "the version of the API is given",
        ALL,
        "https://platform.claude.com/docs/en/api/versioning",
        |call| {
            call.header("anthropic-version")
                .is_empty()
                .then(|| "anthropic-version: header is required".into())
        },
    ),
    Rule::new("anthropic: the body is JSON", ALL, SPEC, |call| {
        let json =
            call.header("content-type").starts_with("application/json") && call.body.is_object();
        (!json).then(|| "The request body is not valid JSON".into())
    }),
    Rule::new(
        "anthropic: only parameters of the API",
        ALL,
        "https://github.com/amrit110/oli/issues/7",
        |call| {
            unknown_field(call.body, FIELDS)
                .map(|name| format!("{name}: Extra inputs are not permitted"))
        },
    ),
    Rule::new("anthropic: a model is named", ALL, SPEC, |call| {
        call.model().is_empty().then(|| "model: Field required".into())
    }),
    Rule::new("there is a limit of at least one token", ALL, SPEC, |call| {
        let limit = call.body["max_tokens"].as_u64().unwrap_or_default();
        (limit == 0).then(|| "max_tokens: Field required".into())
    }),
    Rule::new(
        "anthropic: the limit is not above the model's own",
        ALL,
        "https://platform.claude.com/docs/en/about-claude/models/overview",
        |call| {
            let (most, asked) =
                (output_limit(call.profile, call.model())?, call.body["max_tokens"].as_u64()?);
            (asked > most).then(|| format!("max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens for {}", call.model()))
        },
    ),
    Rule::new("the temperature is 0 to 1", ALL, SPEC, |call| {
        let given = call.body.get("temperature")?;
        let fits = given.as_f64().is_some_and(|t| (0.0..=1.0).contains(&t));
        (!fits).then(|| "temperature: range: 0..1".into())
    }),
    Rule::new(
        "newer models take no sampling parameters",
        ALL,
        "https://github.com/sipeed/picoclaw/issues/2939",
        |call| {
            let given = ["temperature", "top_p", "top_k"]
                .into_iter()
                .find(|name| call.body.get(name).is_some())?;
            samples_itself(call.model()).then(|| format!("`{given}` is deprecated for this model."))
        },
    ),
    Rule::new(
        "no temperature beside thinking",
        ALL,
        "https://platform.claude.com/docs/en/build-with-claude/extended-thinking",
        |call| {
            let thinks = call.body.pointer("/thinking/type").is_some_and(|kind| kind == "enabled");
            let other = call.body.get("temperature").is_some_and(|t| t.as_f64() != Some(1.0));
            (thinks && other)
                .then(|| "`temperature` may only be set to 1 when thinking is enabled.".into())
        },
    ),
    Rule::new(
        "thinking leaves room for the answer",
        ALL,
        "https://platform.claude.com/docs/en/build-with-claude/extended-thinking",
        |call| {
            let budget = call.body.pointer("/thinking/budget_tokens")?.as_u64()?;
            let limit = call.body["max_tokens"].as_u64().unwrap_or_default();
            (budget >= limit)
                .then(|| "`max_tokens` must be greater than `thinking.budget_tokens`.".into())
        },
    ),
    Rule::new("the system prompt is a text or texts", ALL, SPEC, |call| {
        let given = call.body.get("system")?;
        let texts = given.as_array().is_some_and(|all| {
            all.iter().all(|block| block["type"] == "text" && block["text"].is_string())
        });
        (!given.is_string() && !texts).then(|| "system: Input should be a valid list".into())
    }),
    Rule::new(
        "texts of the system prompt are not empty",
        ALL,
        "https://github.com/BiFangKNT/mtga/pull/68",
        |call| {
            let empty =
                list(call.body, "/system").iter().any(|block| text(block, "/text").is_empty());
            empty.then(|| "system: text content blocks must be non-empty".into())
        },
    ),
    Rule::new(
        "at most four cache breakpoints",
        ALL,
        "https://github.com/tghamm/Anthropic.SDK/issues/50",
        |call| {
            let n = cached(call).len();
            (n > 4).then(|| {
                format!("A maximum of 4 blocks with cache_control may be provided. Found {n}.")
            })
        },
    ),
    Rule::new(
        "no cache breakpoint at an empty text",
        ALL,
        "https://github.com/askalf/dario/issues/1066",
        |call| {
            let empty = cached(call)
                .into_iter()
                .any(|block| block["type"] == "text" && text(block, "/text").is_empty());
            empty.then(|| "cache_control cannot be set for empty text blocks".into())
        },
    ),
    Rule::new(
        "no cache breakpoint at a thought",
        ALL,
        "https://github.com/router-for-me/CLIProxyAPI/issues/512",
        |call| {
            let thought =
                cached(call).into_iter().any(|block| text(block, "/type").ends_with("thinking"));
            thought.then(|| "thinking.cache_control: Extra inputs are not permitted".into())
        },
    ),
    Rule::new("cache breakpoints have a known kind", ALL, CACHE, |call| {
        let odd =
            cached(call).into_iter().any(|block| block["cache_control"]["type"] != "ephemeral");
        odd.then(|| "cache_control.type: Input should be 'ephemeral'".into())
    }),
    Rule::new("anthropic: names of tools fit", ALL, TOOLS, |call| {
        call.each_tool(|n, tool| {
            (!is_name(tool.name)).then(|| {
                format!(
                    "tools.{n}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
                )
            })
        })
    }),
    Rule::new(
        "anthropic: no two tools of one name",
        ALL,
        "https://github.com/danny-avila/LibreChat/issues/13162",
        |call| {
            duplicate(call.tools().iter().map(|tool| tool.name))
                .map(|_| "tools: Tool names must be unique.".into())
        },
    ),
    Rule::new("a tool has known fields only", ALL, SPEC, |call| {
        let known = [
            "name",
            "description",
            "input_schema",
            "cache_control",
            "type",
            "strict",
            "eager_input_streaming",
            "defer_loading",
            "allowed_callers",
            "input_examples",
        ];
        let mut tools = list(call.body, "/tools").iter().enumerate();
        tools.find_map(|(n, tool)| {
            unknown_field(tool, &known)
                .map(|name| format!("tools.{n}.custom.{name}: Extra inputs are not permitted"))
        })
    }),
    Rule::new("anthropic: a tool takes an object", ALL, TOOLS, |call| {
        call.each_tool(|n, tool| {
            (tool.parameters["type"] != "object")
                .then(|| format!("tools.{n}.custom.input_schema.type: Input should be 'object'"))
        })
    }),
    Rule::new(
        "no alternatives at the root of what a tool takes",
        ALL,
        "https://github.com/anthropics/claude-code/issues/40075",
        |call| {
            call.each_tool(|n, tool| {
            let odd = ["oneOf", "anyOf", "allOf"].iter().any(|word| tool.parameters.get(word).is_some());
            odd.then(|| format!("tools.{n}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"))
        })
        },
    ),
    Rule::new(
        "names of arguments fit",
        ALL,
        "https://github.com/ComposioHQ/composio/issues/3500",
        |call| {
            call.each_tool(|n, tool| {
            schema::each_property(tool.parameters, &|name| {
                (!is_made_of(name, "_.-", 64)).then(|| format!("tools.{n}.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'"))
            })
        })
        },
    ),
    Rule::new(
        "anthropic: what tools take is a JSON Schema",
        ALL,
        "https://github.com/anthropics/claude-code/issues/63673",
        |call| {
            call.each_tool(|n, tool| {
            let wrong = schema::invalid(tool.parameters).or_else(|| {
                // In draft 2020-12, a list of items is called prefixItems.
                schema::each(tool.parameters, &mut |schema, _| schema.get("items").filter(|items| items.is_array()).map(|_| String::new()))
            });
            wrong.map(|_| format!("tools.{n}.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"))
        })
        },
    ),
    Rule::new("a choice of tools is a known kind", ALL, SPEC, |call| {
        let kind = text(call.body.get("tool_choice")?, "/type");
        (!["auto", "any", "tool", "none"].contains(&kind)).then(|| "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'".into())
    }),
    Rule::new("anthropic: a choice of tools needs tools", ALL, SPEC, |call| {
        let alone = call.body.get("tool_choice").is_some() && call.tools().is_empty();
        alone.then(|| "tool_choice: may only be specified while providing tools".into())
    }),
    Rule::new("a structured answer leaves nothing open", ALL, OUTPUTS, |call| {
        let schema = call.body.pointer("/output_config/format/schema")?;
        schema::each(schema, &mut |schema, _| {
            let open = schema::allows(schema, "object")
                && schema.get("additionalProperties") != Some(&Value::Bool(false));
            open.then(|| "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false".into())
        })
    }),
    Rule::new("a structured answer's schema has supported words only", ALL, OUTPUTS, |call| {
        let schema = call.body.pointer("/output_config/format/schema")?;
        schema::each(schema, &mut |schema, _| {
            let word = UNSUPPORTED.iter().find(|word| schema.get(word).is_some())?;
            Some(format!(
                "output_config.format.schema: For '{}' type, property '{word}' is not supported",
                text(schema, "/type")
            ))
        })
    }),
];
