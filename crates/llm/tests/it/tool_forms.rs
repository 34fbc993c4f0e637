//! Tools in the form that each provider takes: no tool of any source makes a request refused, and calls
//! come back with the tools' own names.

mod peer;
mod property;
mod refused;
mod rules;

use llm::request::{TOOL_ARGUMENTS, TOOL_NAME, ToolChange, ToolSpec};
use serde_json::{Value, json};

use self::peer::{ANTHROPIC, GOOGLE, OPENAI, PEERS, Stage};
use self::rules::{name_fits, refusals};

fn tool(name: &str, description: &str, parameters: Value) -> ToolSpec {
    ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters }
}

/// What sources of tools really write.
fn awkward() -> Vec<ToolSpec> {
    let object = |properties: Value| json!({ "type": "object", "properties": properties });
    vec![
        tool("3d_render", "Renders.", object(json!({ "kind": { "enum": ["a", ""] } }))),
        tool("list tasks", "", object(json!({ "const": { "const": "" } }))),
        tool("größe", "Size.", object(json!({ "größe": { "type": "string" } }))),
        tool(
            "search",
            "Searches.",
            json!({ "type": "object", "required": ["filter[name]", "$top", "gone"], "properties": {
                "filter[name]": { "type": "string" },
                "filter_name": { "type": "string" },
                "$top": { "type": "integer", "minimum": 0, "exclusiveMinimum": true },
                "$ref": { "type": "string", "description": "A property of this name." },
                "type": { "type": ["string", "null"], "enum": ["x", null, "x"] },
            } }),
        ),
        tool(&"long_name_".repeat(9), &"A long sentence. ".repeat(200), Value::Null),
        tool(
            "union",
            "Either.",
            json!({ "anyOf": [
            { "required": ["a"], "properties": { "a": true } },
            { "required": ["b"], "properties": { "b": { "type": "integer" } } },
        ] }),
        ),
        tool(
            "cycle",
            "Recursive.",
            json!({
                "type": "object",
                "properties": { "node": { "$ref": "#/$defs/node" }, "self": { "$ref": "#" } },
                "$defs": { "node": { "type": "object", "properties": {
                    "näxt": { "$ref": "#/$defs/node" }, "all": { "type": "array", "items": { "$ref": "#/$defs/node" } },
                } } },
            }),
        ),
        tool(
            "odd",
            "Odd keywords.",
            object(json!({
                "tuple": { "type": "array", "items": [{ "type": "string" }, { "type": "integer" }] },
                "prefix": { "prefixItems": [{ "type": "string" }], "items": false },
                "bare": { "type": "array" },
                "pattern": { "type": "string", "pattern": "^\\p{L}+(?!x)$" },
                "kind": { "type": "Any", "nullable": true },
                "upper": { "type": "STRING", "nullable": true, "format": "uuid", "example": 7 },
                "never": false,
                "empty": { "type": "string", "enum": [] },
                "mixed": { "enum": ["a", 1, null, { "b": [] }] },
                "numbers": { "type": "integer", "enum": [1, 2], "format": "int64" },
                "several": { "type": ["string", "object"], "minLength": 1, "properties": { "x y": {} } },
                "bad": { "type": "string", "minLength": -1, "maxLength": "9", "description": 7, "required": true },
                "only": { "required": ["x"] },
                "far": { "$ref": "https://example.com/schema.json" },
                "lost": { "$ref": "#/$defs/nowhere" },
            })),
        ),
    ]
}

#[tokio::test]
async fn no_tool_is_refused_anywhere() {
    let stage = Stage::start().await;
    for peer in PEERS {
        let (body, _) = stage.turn(peer, &awkward(), &[], &[]).await;
        let sent = peer.tools(&body);
        assert_eq!(sent.len(), awkward().len(), "{peer:?}");
        assert_eq!(refusals(peer, &sent), Vec::<String>::new(), "{peer:?}");
    }
}

#[tokio::test]
async fn arguments_have_the_providers_names_on_the_way_and_their_own_at_both_ends() {
    let stage = Stage::start().await;
    let own = json!({ "filter[name]": "x", "filter_name": "y", "$top": 3 });
    for peer in PEERS {
        let past = [("search".to_owned(), own.clone())];
        let (body, _) = stage.turn(peer, &awkward(), &past, &[]).await;
        let (_, wire) = peer.history(&body).remove(0);
        let properties = peer
            .tools(&body)
            .into_iter()
            .find(|tool| tool.name == "search")
            .unwrap()
            .schema
            .unwrap();
        for (name, value) in wire.as_object().unwrap() {
            assert!(properties["properties"].get(name).is_some(), "{peer:?}: {name} {value}");
        }
        // A model may use either name.
        for made in [&wire, &own] {
            let calls = [("search".to_owned(), made.clone())];
            let (_, made) = stage.turn(peer, &awkward(), &[], &calls).await;
            assert_eq!(made, [("search".to_owned(), own.clone())], "{peer:?}");
        }
    }
}

#[tokio::test]
async fn only_names_of_properties_are_mapped_never_data() {
    let stage = Stage::start().await;
    let schema = json!({
        "type": "object",
        "properties": {
            "x y": { "$ref": "#/$defs/part" },
            "any": { "type": "object" },
            "map": { "type": "object", "additionalProperties": { "$ref": "#/$defs/part" } },
        },
        "$defs": { "part": { "anyOf": [
            { "type": "array", "items": { "$ref": "#/$defs/part" } },
            { "type": "object", "properties": { "x y": { "type": "string" } } },
        ] } },
    });
    let tools = [tool("t", "T.", schema)];
    let wire = json!({
        "x_y": [[{ "x_y": "1" }], { "x_y": "2" }],
        "any": { "x_y": 1, "x y": 2 },
        "map": { "x_y": { "x_y": "3" } },
    });
    let own = json!({
        "x y": [[{ "x y": "1" }], { "x y": "2" }],
        "any": { "x_y": 1, "x y": 2 },
        "map": { "x_y": { "x y": "3" } },
    });
    let past = [("t".to_owned(), own.clone())];
    let (body, made) =
        stage.turn(ANTHROPIC, &tools, &past, &[("t".to_owned(), wire.clone())]).await;
    assert_eq!(made[0].1, own);
    assert_eq!(ANTHROPIC.history(&body)[0].1, wire);
}

#[tokio::test]
async fn names_go_back_as_the_provider_takes_them_whatever_the_model_wrote() {
    let stage = Stage::start().await;
    let long = "x".repeat(200);
    let written = [
        "functions.list_tasks",
        "multi_tool_use.parallel",
        "list tasks",
        "",
        "😀",
        &long,
        "3d_render",
    ];
    let past: Vec<_> = written.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    for peer in PEERS {
        for tools in [awkward(), Vec::new()] {
            let (body, _) = stage.turn(peer, &tools, &past, &[]).await;
            let names: Vec<_> = peer.history(&body).into_iter().map(|(name, _)| name).collect();
            // Without tools, some servers get the calls as plain text.
            assert!(
                names.len() == written.len() || tools.is_empty() && names.is_empty(),
                "{peer:?} {names:?}"
            );
            assert!(names.iter().all(|name| name_fits(peer, name)), "{peer:?} {names:?}");
            let results = body.to_string();
            assert!(!results.contains("functions.list_tasks"), "{peer:?}");
        }
    }
    // A tool's own name comes back for the one that it has at the provider.
    let calls =
        ["_3d_render", "list_tasks", "groesse", "unknown"].map(|n| (n.to_owned(), json!({})));
    let (_, made) = stage.turn(GOOGLE, &awkward(), &[], &calls).await;
    let names: Vec<_> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["3d_render", "list tasks", "größe", "unknown"]);
}

#[tokio::test]
async fn a_call_within_a_call_is_mapped_too() {
    let stage = Stage::start().await;
    let ask = json!({ "type": "object", "properties": {
        "tool": { "type": "string", TOOL_NAME: true },
        "arguments": { "type": "object", TOOL_ARGUMENTS: true },
    } });
    let mut tools = awkward();
    tools.push(tool("request_tool", "Asks.", ask));
    let wire = json!({ "tool": "groesse", "arguments": { "groesse": "L" } });
    let own = json!({ "tool": "größe", "arguments": { "größe": "L" } });
    let past = [("request_tool".to_owned(), own.clone())];
    let calls =
        [("request_tool".to_owned(), wire.clone()), ("request_tool".to_owned(), json!("?"))];
    let (body, made) = stage.turn(ANTHROPIC, &tools, &past, &calls).await;
    assert_eq!((&made[0].1, &made[1].1), (&own, &json!("?")));
    assert_eq!(ANTHROPIC.history(&body)[0].1, wire);
    assert!(!body.to_string().contains(TOOL_NAME), "the marks are not sent");
}

#[tokio::test]
async fn what_cannot_be_sent_is_left_out_and_named() {
    let stage = Stage::start().await;
    let plain = |n: usize| tool(&format!("tool_{n}"), "Does it.", json!({ "type": "object" }));
    let mut tools: Vec<_> = (0..600).map(plain).collect();
    tools[1] = tool("list", "A list.", json!({ "type": "array", "items": {} }));
    tools[2] = tool("text", "A text.", json!("text"));
    tools[3] = plain(0);
    for (peer, most) in [(OPENAI, 128), (ANTHROPIC, 597), (GOOGLE, 512)] {
        let (body, _) = stage.turn(peer, &tools, &[], &[]).await;
        let sent = peer.tools(&body);
        assert_eq!((sent.len(), sent[1].name.as_str()), (most, "tool_4"));
        assert_eq!(refusals(peer, &sent), Vec::<String>::new());
        let client = stage.client(peer);
        let model = client.model(llm::Tier::Default);
        let problems = client.tool_problems(model, &tools.clone().into());
        assert_eq!(problems.len(), 600 - most, "{peer:?}");
        assert!(problems.iter().all(|problem| problem.change == ToolChange::LeftOut));
        let told: Vec<_> = problems.iter().take(3).map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "\"list\": left out: its schema is of type \"array\", not object",
                "\"text\": left out: its schema is not an object",
                "\"tool_0\": left out: another tool has the same name",
            ]
        );
    }
}

#[tokio::test]
async fn a_list_of_which_nothing_can_be_sent_is_not_sent() {
    let stage = Stage::start().await;
    let tools = [tool("list", "A list.", json!(7))];
    for peer in PEERS {
        let past = [("list".to_owned(), json!({}))];
        let (body, _) = stage.turn(peer, &tools, &past, &[]).await;
        assert!(
            body.get("tools").is_none() && body.get("tool_choice").is_none(),
            "{peer:?} {body}"
        );
    }
}

#[tokio::test]
async fn long_descriptions_end_with_a_sentence() {
    let stage = Stage::start().await;
    let (body, _) = stage.turn(OPENAI, &awkward(), &[], &[]).await;
    let sent = OPENAI.tools(&body);
    let cut = sent.iter().find(|tool| tool.description.starts_with("A long")).unwrap();
    let length = cut.description.chars().count();
    assert!(
        cut.description.ends_with("sentence.") && (1_000..=1_024).contains(&length),
        "{length}"
    );
    let client = stage.client(OPENAI);
    let problems = client.tool_problems(client.model(llm::Tier::Default), &awkward().into());
    let cut = problems.iter().find(|problem| problem.change == ToolChange::Cut).unwrap();
    assert!(cut.to_string().contains("3399 characters"), "{cut}");
    let mapped = problems.iter().filter(|problem| problem.change == ToolChange::Mapped);
    let told: Vec<_> = mapped.map(ToString::to_string).collect();
    assert!(told.iter().any(|told| told.contains("\"filter[name]\"; there it is")), "{told:?}");
}

#[tokio::test]
async fn empty_values_of_an_enum_are_told_in_words_at_gemini() {
    let stage = Stage::start().await;
    let (body, _) = stage.turn(GOOGLE, &awkward(), &[], &[]).await;
    let sent = GOOGLE.tools(&body);
    let schema = sent[0].schema.as_ref().unwrap();
    assert_eq!(
        schema["properties"]["kind"],
        json!({ "type": "string", "enum": ["a"], "description": "(or an empty text)" })
    );
    let told = sent[1].schema.as_ref().unwrap()["properties"]["const"]["description"].clone();
    assert_eq!(told, "(always \"\")");
}
