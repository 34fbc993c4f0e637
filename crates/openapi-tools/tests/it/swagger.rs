//! Swagger 2.0.

use openapi_tools::{Body, Document, Import, Operation};
use serde_json::{Value, json};

use crate::{all, takes};

/// A document of Swagger 2.0 with these paths, and more of its own.
fn swagger(paths: Value, more: Value) -> Import {
    let mut text =
        json!({ "swagger": "2.0", "info": { "title": "T", "version": "1" }, "paths": paths });
    text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all(&Document::parse(&text.to_string(), &[], "").unwrap())
}

fn only(item: Value, more: Value) -> Operation {
    let import = swagger(json!({ "/a": item }), more);
    assert_eq!(import.problems, []);
    import.operations.into_iter().next().unwrap()
}

fn query(parameters: Value, arguments: Value) -> String {
    let tool = only(json!({ "get": { "parameters": parameters } }), json!({}));
    assert!(takes(&tool, &arguments), "{arguments}");
    tool.request(&arguments).unwrap().query
}

#[test]
fn the_base_path_leads_and_host_and_schemes_do_not() {
    for (base, path) in
        [("/", "/a"), ("/v2", "/v2/a"), ("/v2/", "/v2/a"), ("v2", "/v2/a"), ("", "/a")]
    {
        let more = json!({ "basePath": base, "host": "evil.example", "schemes": ["https"] });
        let tool = only(json!({ "get": { "operationId": "a" } }), more);
        assert_eq!(tool.path(), path, "{base}");
    }
}

#[test]
fn a_parameters_type_and_bounds_stand_in_itself() {
    let item = json!({
        "parameters": [{ "name": "lang", "in": "query", "type": "string", "enum": ["de", "en"], "description": "Which." }],
        "get": { "parameters": [
            { "name": "n", "in": "query", "type": "integer", "required": true, "minimum": 1, "exclusiveMinimum": true },
            { "name": "due", "in": "query", "type": ["string", "null"], "format": "date" },
            { "$ref": "#/parameters/Page" },
            { "name": "X-A", "in": "header", "type": "string" },
        ] },
    });
    let page = json!({ "parameters": { "Page": { "name": "page", "in": "query", "type": "integer", "default": 1 } } });
    let tool = only(item, page);
    assert_eq!(
        tool.parameters()["properties"],
        json!({
            "lang": { "type": "string", "enum": ["de", "en"], "description": "Which." },
            "n": { "type": "integer", "exclusiveMinimum": 1 },
            "due": { "type": ["string", "null"], "format": "date" },
            "page": { "type": "integer", "default": 1 },
        })
    );
    assert_eq!(tool.parameters()["required"], json!(["n"]));
}

#[test]
fn lists_are_sent_in_their_collection_format() {
    for (format, sent) in [
        (json!({ "collectionFormat": "multi" }), "q=a&q=b"),
        (json!({ "collectionFormat": "csv" }), "q=a,b"),
        (json!({ "collectionFormat": "ssv" }), "q=a%20b"),
        (json!({ "collectionFormat": "pipes" }), "q=a%7Cb"),
        (json!({}), "q=a,b"),
    ] {
        let mut parameter =
            json!({ "name": "q", "in": "query", "type": "array", "items": { "type": "string" } });
        parameter.as_object_mut().unwrap().extend(format.as_object().unwrap().clone());
        assert_eq!(query(json!([parameter]), json!({ "q": ["a", "b"] })), sent, "{format}");
    }
}

#[test]
fn fastify_takes_lists_repeated_and_never_says_so() {
    // As @fastify/swagger 9.9 writes it where nothing is configured.
    let paths = json!({
        "/items": {
            "get": {
                "parameters": [
                    { "type": "array", "items": { "type": "integer" }, "required": false, "in": "query", "name": "ids" },
                ],
                "responses": { "200": { "description": "Default Response" } },
            },
            "post": {
                "parameters": [{ "name": "body", "in": "body", "schema": {
                    "type": "object",
                    "properties": {
                        "title": { "type": "string", "minLength": 1 },
                        "price": { "type": "number", "exclusiveMinimum": 0 },
                        "owner": { "$ref": "#/definitions/def-0" },
                    },
                    "required": ["title"],
                } }],
                "responses": { "200": { "description": "Default Response" } },
            },
        },
    });
    // Only in a whole document's way to describe answers, and where lists are not told at all.
    let list = json!({ "name": "q", "in": "query", "type": "array" });
    let joined = json!({ "name": "p", "in": "query", "type": "array", "collectionFormat": "csv" });
    for (parameters, responses, sent) in [
        (json!([list]), json!({ "200": { "description": "Default Response" } }), "q=a&q=b"),
        (json!([list]), json!({ "default": { "description": "Default Response" } }), "q=a&q=b"),
        (json!([list]), json!({ "200": { "description": "Default Response Time" } }), "q=a,b"),
        (json!([list, joined]), json!({ "200": { "description": "Default Response" } }), "q=a,b"),
        (json!([list]), json!({ "200": { "schema": { "title": "Default Response" } } }), "q=a,b"),
    ] {
        let operation = json!({ "get": { "parameters": parameters, "responses": responses } });
        let tool = only(operation, json!({}));
        assert_eq!(tool.request(&json!({ "q": ["a", "b"] })).unwrap().query, sent, "{responses}");
    }
    let definitions = json!({ "definitions": { "def-0": { "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] } } });
    let import = swagger(paths, definitions);
    assert_eq!(import.problems, []);
    let [get, post] = import.operations.as_slice() else { panic!("{import:?}") };
    assert_eq!(get.request(&json!({ "ids": [1, 2] })).unwrap().query, "ids=1&ids=2");
    assert!(takes(post, &json!({ "body": { "title": "x", "owner": { "name": "y" } } })));
    for wrong in [
        json!({}),
        json!({ "body": { "title": "x", "price": 0 } }),
        json!({ "body": { "title": "x", "owner": {} } }),
    ] {
        assert!(!takes(post, &wrong), "{wrong}");
    }
    let body = json!({ "title": "x", "price": 7 });
    let request = post.request(&json!({ "body": body })).unwrap();
    assert_eq!(request.body, Some(Body::Json(body)));
}

#[test]
fn a_body_is_sent_as_what_the_operation_consumes() {
    let body = |schema: Value| json!([{ "name": "item", "in": "body", "required": true, "schema": schema }]);
    let reference = || body(json!({ "$ref": "#/definitions/Item" }));
    let definitions = json!({ "consumes": ["application/xml", "application/json; charset=utf-8"], "definitions": { "Item": {
        "type": "object", "required": ["title", "note"],
        "properties": { "title": { "type": "string" }, "note": { "type": "string", "x-nullable": true },
            "parent": { "$ref": "#/definitions/Item" }, "id": { "type": "integer", "readOnly": true } } } } });
    let paths = json!({
        "/a": { "parameters": reference(), "post": {}, "put": { "parameters": body(json!({ "type": "integer" })) } },
        "/b": { "post": { "consumes": ["application/xml"], "parameters": reference() } },
    });
    let import = swagger(paths, definitions);
    let problems: Vec<String> = import.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["POST /b: its body can only be application/xml, which a tool cannot send"]
    );
    let [post, put] = import.operations.as_slice() else { panic!("{import:?}") };
    let item = json!({ "title": "x", "note": null, "parent": { "title": "y", "note": "z" } });
    assert!(takes(post, &json!({ "body": item })) && !takes(post, &json!({})));
    assert_eq!(post.request(&json!({ "body": item })).unwrap().body, Some(Body::Json(item)));
    assert!(takes(put, &json!({ "body": 7 })) && !takes(put, &json!({ "body": "x" })));
}

#[test]
fn an_answer_is_asked_for_as_what_the_operation_produces() {
    for (produces, more, accept) in [
        (json!(["application/json"]), json!({}), None),
        (json!(["text/csv"]), json!({ "produces": ["application/json"] }), Some("text/csv")),
        (json!(["application/xml", "application/json"]), json!({}), None),
    ] {
        let tool = only(json!({ "get": { "produces": produces } }), more);
        assert_eq!(tool.accept(), accept, "{produces}");
    }
    let of_all = json!({ "produces": ["application/vnd.api+json"] });
    assert_eq!(only(json!({ "get": {} }), of_all).accept(), Some("application/vnd.api+json"));
}

#[test]
fn the_fields_of_a_form_are_a_body_and_files_are_told() {
    let field = |name: &str, more: Value| {
        let mut field = json!({ "name": name, "in": "formData", "type": "string" });
        field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        field
    };
    let fields = || {
        json!([
            field("title", json!({ "required": true, "description": "Its title." })),
            field(
                "tags",
                json!({ "type": "array", "items": { "type": "string" }, "collectionFormat": "multi" })
            ),
            field("ids", json!({ "type": "array", "items": { "type": "integer" } })),
        ])
    };
    for consumes in [
        json!(["application/x-www-form-urlencoded"]),
        json!(["multipart/form-data", "application/x-www-form-urlencoded"]),
        json!(["application/json"]),
        json!([]),
    ] {
        let tool =
            only(json!({ "post": { "consumes": consumes, "parameters": fields() } }), json!({}));
        let body = json!({ "body": { "title": "a b", "tags": ["x", "y"], "ids": [1, 2] } });
        assert!(
            takes(&tool, &body)
                && !takes(&tool, &json!({ "body": {} }))
                && !takes(&tool, &json!({}))
        );
        let sent = tool.request(&body).unwrap().body;
        assert_eq!(
            sent,
            Some(Body::Form("title=a%20b&tags=x&tags=y&ids=1,2".to_owned())),
            "{consumes}"
        );
    }
    let file = |required: bool| field("file", json!({ "type": "file", "required": required }));
    let with = |file: Value, consumes: Value| {
        let mut parameters = fields();
        parameters.as_array_mut().unwrap().push(file);
        swagger(
            json!({ "/a": { "post": { "consumes": consumes, "parameters": parameters } } }),
            json!({}),
        )
    };
    for consumes in [json!([]), json!(["multipart/form-data", "application/x-www-form-urlencoded"])]
    {
        let import = with(file(true), consumes);
        assert_eq!((import.operations.len(), import.problems.len()), (0, 1));
        assert!(import.problems[0].reason.contains("multipart/form-data"), "{import:?}");
    }
    // A form that may have a file is sent without one.
    let import =
        with(file(false), json!(["multipart/form-data", "application/x-www-form-urlencoded"]));
    let properties = &import.operations[0].parameters()["properties"]["body"]["properties"];
    assert!(properties["title"].is_object() && properties["file"].is_null(), "{properties}");
}

#[test]
fn what_is_broken_costs_its_own_operation_only() {
    let import = swagger(
        json!({
            "/a": { "get": { "parameters": 7 }, "post": { "parameters": [{ "$ref": "#/parameters/nobody" }] } },
            "/b": { "get": { "parameters": [{ "name": "q", "in": "query", "type": "array", "collectionFormat": "tsv" }] } },
            "/c": { "get": { "operationId": "c" } },
        }),
        json!({}),
    );
    let problems: Vec<String> = import.problems.iter().map(ToString::to_string).collect();
    assert_eq!(import.operations.len(), 1, "{problems:?}");
    for (problem, word) in problems.iter().zip(["not a list", "points nowhere", "tabDelimited"]) {
        assert!(problem.contains(word), "{problem}");
    }
}

#[test]
fn what_is_shared_is_not_copied_without_end() {
    let shared =
        json!({ "name": "q", "in": "query", "type": "string", "description": "x".repeat(500_000) });
    let paths: serde_json::Map<String, Value> = (0..200)
        .map(|n| {
            let get = json!({ "parameters": [{ "$ref": "#/parameters/Q" }] });
            (format!("/{n}"), json!({ "get": get }))
        })
        .collect();
    let text = json!({ "swagger": "2.0", "paths": paths, "parameters": { "Q": shared } });
    let refused = Document::parse(&text.to_string(), &[], "").unwrap_err();
    assert_eq!(refused, openapi_tools::DocumentError::TooLarge);
}

#[test]
fn an_operation_of_thousands_of_parameters_is_told() {
    let many: Vec<Value> = (0..5_000)
        .map(|n| json!({ "name": format!("p{n}"), "in": "query", "type": "string" }))
        .collect();
    let paths =
        json!({ "/a": { "parameters": many, "get": { "parameters": many } }, "/b": { "get": {} } });
    let import = swagger(paths, json!({}));
    assert_eq!(import.operations.len(), 1);
    assert!(import.problems[0].reason.contains("more than 500 parameters"), "{import:?}");
}
