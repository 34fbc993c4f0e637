//! Anything that a workspace, an OpenAPI document, an MCP server, a thread or a model may hold.

use std::sync::Arc;

use llm::Media;
use llm::model::Provider;
use llm::request::{AssistantMessage, Message, ResponseSchema, Thoughts, ToolCall, ToolSpec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names of tools and arguments as they are found: most are fine, some fit no provider.
pub(super) fn name() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "3d_render",
        "get.user",
        "list tasks",
        "größe",
        "filter[name]",
        "$top",
        "@type",
        "",
        "-x",
        "functions.list_tasks",
        "multi_tool_use.parallel",
        "名前",
        "a/b",
        "_ok",
        "x:y",
    ]);
    prop_oneof![
        4 => "[a-z][a-z_]{2,12}",
        3 => odd.prop_map(str::to_owned),
        1 => "[a-z]{60,90}",
    ]
}

/// A text: short, empty, blank, or long.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Z][a-z ]{1,20}\\.",
        1 => Just(String::new()),
        1 => Just(" \n".to_owned()),
        1 => "[a-z]{3,9}( [a-z]{3,9}){0,3} ",
        1 => (200_usize..400).prop_map(|n| "A sentence. ".repeat(n)),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    let fixed = [
        json!({ "type": "string" }),
        json!({ "type": "string", "enum": ["a", ""] }),
        json!({ "type": "string", "const": "" }),
        json!({ "type": "string", "format": "uri", "minLength": 1 }),
        json!({ "type": "string", "format": "date-time", "pattern": "^x" }),
        json!({ "enum": [1, 2, null] }),
        json!({ "enum": [] }),
        json!({ "type": ["string", "null"], "description": "Maybe." }),
        json!({ "type": ["integer", "string"] }),
        json!({ "type": "integer", "format": "int64", "minimum": 0, "exclusiveMaximum": 9 }),
        json!({ "type": "number", "format": "decimal", "multipleOf": 0.5 }),
        json!({ "type": "array" }),
        json!({ "type": "object" }),
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        json!({ "$ref": "#/$defs/node" }),
        json!({ "$ref": "#/$defs/gone" }),
        json!({ "not": { "type": "null" } }),
        json!({}),
        json!(true),
    ];
    prop::sample::select(fixed.to_vec())
}

/// A JSON Schema of one argument.
fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            object(inner),
            (some, prop::sample::select(vec!["anyOf", "oneOf", "allOf"]))
                .prop_map(|(parts, word)| json!({ word: parts })),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let properties = prop::collection::vec((name(), inner, any::<bool>()), 0..4);
    (properties, prop::option::of(any::<bool>())).prop_map(|(properties, additional)| {
        let required: Vec<_> = properties.iter().filter(|p| p.2).map(|p| p.0.clone()).collect();
        let properties: Map<_, _> = properties.into_iter().map(|p| (p.0, p.1)).collect();
        let required: Vec<_> = properties.keys().filter(|name| required.contains(name)).collect();
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required });
        if let Some(additional) = additional {
            schema["additionalProperties"] = json!(additional);
        }
        schema
    })
}

/// What a tool takes.
fn parameters() -> impl Strategy<Value = Value> {
    let defs = json!({ "node": { "type": "object", "properties": { "next": { "$ref": "#/$defs/node" } } } });
    prop_oneof![
        6 => object(schema()),
        1 => prop::collection::vec(object(schema()), 1..3).prop_map(|parts| json!({ "oneOf": parts })),
        1 => Just(json!({})),
        1 => Just(json!({ "type": "object" })),
    ]
    .prop_map(move |mut schema| {
        schema["$defs"] = defs.clone();
        schema
    })
}

/// Tools of any kind, now and then more than any provider takes.
pub(super) fn tools() -> impl Strategy<Value = Vec<ToolSpec>> {
    let tool = (name(), text(), parameters())
        .prop_map(|(name, description, parameters)| ToolSpec { name, description, parameters });
    let many = Just((0..140).map(plain_tool).collect());
    prop_oneof![9 => prop::collection::vec(tool, 1..5), 1 => many]
}

/// A tool that fits everywhere.
pub(super) fn plain_tool(n: usize) -> ToolSpec {
    ToolSpec {
        name: format!("tool_{n}"),
        description: "A tool.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
    }
}

/// Arguments as models write them.
pub(super) fn arguments() -> impl Strategy<Value = Value> {
    let some = [
        json!({}),
        json!({ "a": "b" }),
        json!("{oops"),
        json!([1]),
        json!(7),
        json!(null),
        json!(""),
    ];
    prop::sample::select(some.to_vec())
}

fn id() -> impl Strategy<Value = String> {
    let some = ["call_1", "call_2", "functions.list:0", "toolu_01A", "", "a b", "abcDEF123"];
    prop_oneof![
        6 => prop::sample::select(some.to_vec()).prop_map(str::to_owned),
        1 => "[a-z]{41,90}",
    ]
}

fn call() -> impl Strategy<Value = ToolCall> {
    let name = prop_oneof![3 => (0_usize..3).prop_map(|n| format!("tool_{n}")), 1 => name()];
    (id(), name, arguments()).prop_map(|(id, name, arguments)| ToolCall {
        id,
        name,
        arguments,
        provider_state: None,
    })
}

/// Thoughts of a provider that is not called here.
fn thoughts() -> impl Strategy<Value = Option<Thoughts>> {
    let some =
        Thoughts { provider: Provider::Offline, content: json!({ "reasoning_content": "Hm" }) };
    prop::sample::select(vec![None, Some(some)])
}

/// A conversation in no particular order: unpaired calls and results, several of one role, system
/// messages anywhere.
pub(super) fn messages() -> impl Strategy<Value = Vec<Message>> {
    let assistant = (text(), prop::collection::vec(call(), 0..3), thoughts()).prop_map(
        |(text, tool_calls, thoughts)| {
            Message::Assistant(AssistantMessage { text, tool_calls, thoughts })
        },
    );
    let tool = (id(), name(), text(), media()).prop_map(|(call_id, name, content, media)| {
        Message::tool_with(call_id, name, content, media)
    });
    let message = prop_oneof![
        1 => text().prop_map(|content| Message::System { content }),
        3 => (text(), media()).prop_map(|(text, media)| Message::user_with(text, media)),
        3 => assistant,
        2 => tool,
    ];
    prop::collection::vec(message, 1..7)
}

/// Files as people attach them: mostly none, good ones, and such that some provider or all refuse.
fn media() -> impl Strategy<Value = Vec<Media>> {
    let png = |name: &str, edge: u32| {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend([edge.to_be_bytes(), edge.to_be_bytes()].concat());
        Media::new(name, "image/png", [&bytes, name.as_bytes()].concat())
    };
    let file =
        |name: &str, media_type: &str, bytes: &[u8]| Media::new(name, media_type, bytes.to_vec());
    const FRAME: &[u8] = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\0";
    let gif = [b"GIF89a\x01\0\x01\0\0\0\0", FRAME, FRAME, b";"].concat();
    let all = vec![
        png("a.png", 9),
        png("b.png", 2_500),
        png("poster.png", 9_000),
        png("", 1),
        file("c.jpg", "image/jpeg", b"\xff\xd8\xff\xd9"),
        file("d.webp", "image/webp", b"RIFF\0\0\0\0WEBPVP8 "),
        file("e.gif", "image/gif", &gif),
        file("f.heic", "image/heic", b"\0\0\0\x18ftypheic"),
        file("g.pdf", "application/pdf", b"%PDF-1.4 <</Type /Page>>"),
        file("h", "application/pdf", b"%PDF-1.4 <</Encrypt 5 0 R>>"),
        file("i.png", "image/png", b"no image at all"),
        file("j.svg", "image/svg+xml", b"<svg/>"),
        file("k]\n.csv", "text/csv", b"a,b").with_text("a,b"),
        Media::gone("l.png", "image/png", 9, "0".repeat(64)),
    ];
    prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(prop::sample::select(all), 1..12),
    ]
}

/// A schema of the answer.
pub(super) fn response_schema() -> impl Strategy<Value = Option<Arc<ResponseSchema>>> {
    prop::option::of(object(leaf()).prop_map(|schema| ResponseSchema::new("answer", schema).into()))
}
