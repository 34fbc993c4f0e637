//! Random tools: every form obeys the provider's rules, and arguments come back as they went.

use std::sync::LazyLock;

use llm::request::{ToolChange, ToolSpec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::peer::{PEERS, Stage};
use super::rules::refusals;

/// Names that sources of tools use, and any others.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "a", "filter[name]", "filter_name", "filter.name", "filter-name", "$top", "top", "größe",
            "groesse", "3d", "_3d", "", " ", "x y", "x_y", "名前", "$ref", "type", "items", "properties",
            "required", "enum", "__proto__", "@odata.type", "-", ".", "a/b", "a~b",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => "[a-z]{60,80}",
    ]
}

/// A schema of a single value, right or wrong.
fn leaf() -> impl Strategy<Value = (Value, Value)> {
    prop::sample::select(vec![
        (json!({ "type": "string" }), json!("text")),
        (json!({ "type": ["integer", "null"], "enum": [1, null, 1] }), json!(1)),
        (json!({ "enum": ["a", "", "a"] }), json!("")),
        (json!({ "enum": [] }), json!(null)),
        (json!({ "const": "" }), json!("")),
        (json!({ "type": "string", "format": "uuid", "pattern": "^\\p{L}$" }), json!("u")),
        (json!({ "type": "number", "minimum": 1, "exclusiveMinimum": true }), json!(1.5)),
        (json!({ "type": "any", "nullable": true, "required": true }), json!([{ "k": 1 }])),
        (json!({ "type": "array" }), json!([1, [2]])),
        (json!({ "type": "object" }), json!({ "zz": { "zz": 1 } })),
        (json!({ "$ref": "#" }), json!("ref")),
        (json!({ "$ref": "#/properties" }), json!(1)),
        (json!({ "$ref": "#/nowhere" }), json!(true)),
        (json!({ "not": { "type": "null" } }), json!(0)),
        (json!({ "required": ["zz"] }), json!({ "zz": 1 })),
        (json!({ "type": 7, "properties": [], "anyOf": [], "items": null }), json!(-1)),
        (json!(true), json!("true")),
        (json!({}), json!({})),
    ])
}

/// A schema and a value, whose objects have the properties that the schema names.
fn any_schema() -> impl Strategy<Value = (Value, Value)> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let fields = prop::collection::vec((any_name(), inner.clone()), 0..4);
        prop_oneof![
            2 => fields.prop_map(object),
            1 => (inner.clone(), prop::sample::select(vec!["anyOf", "oneOf", "allOf"])).prop_map(
                |((schema, value), word)| (json!({ word: [schema, { "type": "null" }] }), value)
            ),
            1 => inner.clone().prop_map(|(schema, value)| {
                (json!({ "type": "array", "items": schema, "minItems": 1 }), json!([value]))
            }),
            1 => (inner.clone(), prop::sample::select(vec!["items", "prefixItems"])).prop_map(
                |((schema, value), word)| (json!({ word: [schema, true] }), json!([value, 1]))
            ),
            1 => inner.prop_map(|(schema, value)| (
                json!({ "type": "object", "additionalProperties": schema }),
                json!({ "zz1": value })
            )),
        ]
    })
}

fn object(fields: Vec<(String, (Value, Value))>) -> (Value, Value) {
    let (mut properties, mut values) = (Map::new(), Map::new());
    for (name, (schema, value)) in fields {
        properties.insert(name.clone(), schema);
        values.insert(name, value);
    }
    let required: Vec<&String> = values.keys().collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    (schema, Value::Object(values))
}

fn any_tool() -> impl Strategy<Value = (ToolSpec, Value)> {
    let fields = prop::collection::vec((any_name(), any_schema()), 0..5);
    let parameters = prop_oneof![9 => fields.prop_map(object), 1 => any_schema()];
    (any_name(), "\\PC{0,30}", 1..80_usize, parameters).prop_map(
        |(name, description, times, (parameters, value))| {
            let description = description.repeat(times);
            (ToolSpec { name, description, parameters }, value)
        },
    )
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
static STAGE: LazyLock<Stage> = LazyLock::new(|| RUNTIME.block_on(Stage::start()));

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_list_of_tools_is_refused_and_arguments_come_back(
        tools in prop::collection::vec(any_tool(), 1..5)
    ) {
        let specs: Vec<_> = tools.iter().map(|(spec, _)| spec.clone()).collect();
        for peer in PEERS {
            let client = STAGE.client(peer);
            let model = client.model(llm::Tier::Default);
            let problems = client.tool_problems(model, &specs.clone().into());
            let left_out = problems.iter().filter(|p| p.change == ToolChange::LeftOut);
            let left_out: Vec<_> = left_out.map(|problem| problem.tool.as_str()).collect();
            // Two of one name, and one without an object: the others are called.
            let own: Vec<_> = tools
                .iter()
                .filter(|(spec, value)| value.is_object() && !left_out.contains(&spec.name.as_str()))
                .map(|(spec, value)| (spec.name.clone(), value.clone()))
                .collect();
            let turn = RUNTIME.block_on(STAGE.turn(peer, &specs, &own, &[]));
            let sent = peer.tools(&turn.0);
            prop_assert_eq!(refusals(peer, &sent), Vec::<String>::new(), "{:?}", peer);
            prop_assert_eq!(sent.len(), specs.len() - left_out.len());
            let wire = peer.history(&turn.0);
            for (name, _) in &wire {
                prop_assert!(sent.iter().any(|tool| tool.name == *name), "{:?}: {}", peer, name);
            }
            let (_, made) = RUNTIME.block_on(STAGE.turn(peer, &specs, &[], &wire));
            prop_assert_eq!(made, own, "{:?}", peer);
        }
    }
}
