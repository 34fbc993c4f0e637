use openapi_tools::{Document, DocumentError, FieldPlace};
use serde_json::{Map, Value, json};

use crate::{all, document};

#[test]
fn five_hundred_operations_become_five_hundred_tools_and_bad_ones_are_told_one_by_one() {
    let mut paths = Map::new();
    for n in 0..500 {
        // Every tenth is broken, each tenth in one of five ways.
        let mut operation = json!({ "operationId": format!("op_{n}"), "responses": {} });
        match n {
            n if n % 50 == 0 => {
                operation["parameters"] = json!([{ "$ref": "#/components/nothing" }])
            }
            n if n % 50 == 10 => operation["parameters"] = json!("x"),
            n if n % 50 == 20 => {
                operation["parameters"] =
                    json!([{ "name": "X-Tenant", "in": "header", "required": true }]);
            }
            n if n % 50 == 30 => {
                operation["requestBody"] =
                    json!({ "required": true, "content": { "image/png": {} } });
            }
            n if n % 50 == 40 => {
                operation["parameters"] =
                    json!([{ "name": "q", "in": "query", "schema": { "properties": 7 } }]);
            }
            _ => {}
        }
        paths.insert(format!("/things/{n}"), json!({ "post": operation }));
    }
    let import = all(&document("3.1.0", Value::Object(paths), json!({})));
    assert_eq!(import.operations.len(), 450);
    assert_eq!(import.problems.len(), 50);
    let told: Vec<String> = import.problems.iter().take(5).map(ToString::to_string).collect();
    let words =
        ["points nowhere", "not a list", "X-Tenant", "image/png", "properties is not an object"];
    for (n, (told, word)) in told.iter().zip(words).enumerate() {
        let operation = format!("POST /things/{}", n * 10);
        assert!(told.starts_with(&operation) && told.contains(word), "{told}");
    }
}

#[test]
fn only_what_is_wanted_is_made_and_looked_at() {
    let paths = json!({
        "/a": { "get": { "operationId": "a" } },
        "/b": { "get": { "operationId": "b", "parameters": 7 } },
    });
    let document = document("3.0.3", paths, json!({}));
    let import = document.import(|candidate| (candidate.method, candidate.path) == ("GET", "/a"));
    assert_eq!((import.operations.len(), import.problems.len()), (1, 0));
    let import = document.import(|candidate| candidate.name == "b");
    assert_eq!((import.operations.len(), import.problems.len()), (0, 1));
}

#[test]
fn an_operation_keeps_its_own_name_beside_that_of_its_tool() {
    let paths = json!({
        "/a": { "get": { "operationId": "repos/get" }, "post": { "operationId": "plain" } },
        "/b": { "get": {} },
    });
    let document = document("3.1.0", paths, json!({}));
    let ids: Vec<_> = document.candidates().map(|known| (known.name, known.id)).collect();
    assert_eq!(ids, [("repos_get", Some("repos/get")), ("plain", None), ("get_b", None)]);
}

#[test]
fn what_an_operation_declares_is_found_wherever_it_stands() {
    let paths = json!({
        "/a": {
            "parameters": [{ "$ref": "#/components/parameters/Page" }],
            "post": {
                "operationId": "a",
                "parameters": [{ "name": "q", "in": "query" }, { "name": "h", "in": "header" }],
                "requestBody": { "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/Body" } },
                    "application/x-www-form-urlencoded": { "schema": { "properties": { "form": {} } } }
                } }
            },
            "get": { "operationId": "b" }
        },
    });
    let schemas = json!({
        "Body": { "allOf": [{ "$ref": "#/components/schemas/Body" }, { "oneOf": [{ "properties": { "deep": {} } }] }] },
    });
    let text = json!({
        "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": paths,
        "components": { "schemas": schemas, "parameters": { "Page": { "name": "page", "in": "query" } } }
    });
    let document = Document::parse(&text.to_string(), &[], "").unwrap();
    for (tool, place, field, is_declared) in [
        ("a", FieldPlace::Query, "page", true),
        ("a", FieldPlace::Query, "q", true),
        ("a", FieldPlace::Query, "Q", false),
        ("a", FieldPlace::Query, "h", false),
        ("a", FieldPlace::Query, "deep", false),
        ("a", FieldPlace::Body, "deep", true),
        ("a", FieldPlace::Body, "form", true),
        ("a", FieldPlace::Body, "q", false),
        ("b", FieldPlace::Query, "page", true),
        ("b", FieldPlace::Body, "deep", false),
        ("c", FieldPlace::Query, "page", false),
    ] {
        assert_eq!(document.declares(tool, place, field), is_declared, "{tool} {place:?} {field}");
    }
}

#[test]
fn names_are_made_where_there_are_none_and_told_apart_where_they_are_the_same() {
    let paths = json!({
        "/a/{id}": { "get": {}, "put": { "operationId": "same" }, "trace": {}, "summary": "x" },
        "/b": { "get": { "operationId": "same" }, "post": { "operationId": "create_task" } },
    });
    let text = json!({ "openapi": "3.0.0", "paths": paths }).to_string();
    let document = Document::parse(&text, &["create_task"], "").unwrap();
    let names: Vec<&str> = document.candidates().map(|candidate| candidate.name).collect();
    assert_eq!(names, ["get_a_id", "same", "same_2", "create_task_2"]);
}

#[test]
fn a_whole_name_that_another_operation_has_is_not_the_id_of_a_short_one() {
    let paths = json!({
        "/api/schools": { "get": {} },
        "/find": { "get": { "operationId": "get_api_schools" } },
        "/api/tasks": { "get": {} },
    });
    let text = json!({ "openapi": "3.0.0", "paths": paths }).to_string();
    let document = Document::parse(&text, &[], "").unwrap();
    let names: Vec<_> =
        document.candidates().map(|candidate| (candidate.name, candidate.id)).collect();
    let expected =
        [("get_schools", None), ("get_api_schools", None), ("get_tasks", Some("get_api_tasks"))];
    assert_eq!(names, expected);
}

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = "openapi: 3.0.3\npaths:\n  /a/{id}:\n    parameters:\n      - {name: id, in: path, required: true, schema: {type: integer}}\n    get:\n      summary: Reads one.\n      responses:\n        200: {description: ok}\n";
    let from_yaml = all(&Document::parse(yaml, &[], "").unwrap());
    let json = json!({ "openapi": "3.0.3", "paths": { "/a/{id}": {
        "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } }],
        "get": { "summary": "Reads one.", "responses": { "200": { "description": "ok" } } } } } });
    let from_json = all(&Document::parse(&json.to_string(), &[], "").unwrap());
    assert_eq!(from_yaml, from_json);
    let tool = &from_yaml.operations[0];
    assert_eq!(tool.description(), "Reads one. (GET /a/{id})");
    assert_eq!(tool.parameters()["required"], json!(["id"]));
}

#[test]
fn what_is_no_openapi_3_is_refused_with_the_reason() {
    let deep = format!("{{\"openapi\": {}", "[".repeat(100_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    for (text, word) in [
        ("{\"swagger\": \"1.2\"}", "swagger: \"1.2\""),
        ("{\"swaggerVersion\": \"1.2\"}", "swagger: \"1.2\""),
        ("{\"openapi\": \"4.0.0\"}", "4.0.0"),
        ("{}", "openapi: 3"),
        ("<html>", "an HTML page"),
        (bomb, "stand for too much"),
        ("{\"openapi\": ", "EOF"),
        ("{\"openapi\": \"3.0.0\", \"paths\": []}", "paths"),
        (deep.as_str(), "recursion"),
    ] {
        let error = Document::parse(text, &[], "").unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let large = format!("{{\"openapi\": \"3.0.0\", \"x\": \"{}\"}}", "x".repeat(17 * 1024 * 1024));
    assert_eq!(Document::parse(&large, &[], ""), Err(DocumentError::TooLarge));
}

#[test]
fn the_servers_path_leads_and_its_host_does_not() {
    let path = |servers: Value, mounted: &str| {
        let text =
            json!({ "openapi": "3.1.0", "servers": servers, "paths": { "/a": { "get": {} } } });
        let document = Document::parse(&text.to_string(), &[], mounted).unwrap();
        all(&document).operations[0].request(&json!({})).unwrap().path
    };
    assert_eq!(path(json!([]), ""), "/a");
    assert_eq!(path(json!([{ "url": "/" }]), ""), "/a");
    assert_eq!(path(json!([{ "url": "/v1/" }]), ""), "/v1/a");
    assert_eq!(path(json!([{ "url": "/v1" }]), "/v1/"), "/a");
    assert_eq!(path(json!([{ "url": "https://evil.example:8443/v1?x" }]), ""), "/v1/a");
    assert_eq!(path(json!([{ "url": "https://evil.example" }]), ""), "/a");
    assert_eq!(path(json!([{ "url": "//evil.example/v2" }]), ""), "/v2/a");
    let variables = json!([{ "url": "/{v}", "variables": { "v": { "default": "v3" } } }]);
    assert_eq!(path(variables, ""), "/v3/a");
}

#[test]
fn a_long_description_ends_with_a_sentence_and_its_place() {
    let described = |description: String| {
        let document = json!({ "openapi": "3.1.0", "paths": {
            "/a": { "get": { "description": description } } } });
        let document = Document::parse(&document.to_string(), &[], "").unwrap();
        document.import(|_| true).operations[0].description().to_owned()
    };
    for (text, end) in [("A sentence, v1.2. ", ", v1.2. (GET /a)"), ("ü", "ü… (GET /a)")] {
        let told = described(text.repeat(2_000));
        assert!((1_000..=1_024).contains(&told.chars().count()), "{told}");
        assert!(told.ends_with(end), "{told}");
    }
}
