//! What a call sends as its body, and which bodies no tool can send.

use openapi_tools::{Body, Field};
use serde_json::{Value, json};

use crate::{all, document, only, takes};

fn with_content(content: Value, more: Value) -> Value {
    let mut body = json!({ "content": content });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "post": { "requestBody": body } })
}

fn of(content: Value) -> openapi_tools::Operation {
    only("3.1.0", "/x", with_content(content, json!({})), json!({}))
}

fn sent(content: Value, body: Value) -> Body {
    of(content).request(&json!({ "body": body })).unwrap().body.unwrap()
}

fn problem(content: Value, required: bool) -> String {
    let item = with_content(content, json!({ "required": required }));
    let import = all(&document("3.0.3", json!({ "/x": item }), json!({})));
    assert!(import.operations.is_empty(), "{:?}", import.operations);
    import.problems[0].reason.clone()
}

fn media(schema: Value) -> Value {
    json!({ "schema": schema })
}

fn object(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

fn file() -> Value {
    json!({ "type": "string", "format": "binary" })
}

#[test]
fn a_body_with_a_file_is_no_tool_whether_or_not_it_is_required() {
    for schema in [
        object(json!({ "photo": file() })),
        object(
            json!({ "name": { "type": "string" }, "photos": { "type": "array", "items": file() } }),
        ),
        // FastAPI of pydantic 2, with an optional file.
        object(json!({ "photo": { "anyOf": [
            { "type": "string", "contentMediaType": "application/octet-stream" }, { "type": "null" }] } })),
        object(json!({ "photo": { "contentMediaType": "image/png", "type": "string" } })),
        json!({ "allOf": [object(json!({ "name": { "type": "string" } })), object(json!({ "photo": file() }))] }),
        // Django REST, which describes the file's later address.
        object(json!({ "photo": { "type": "string", "format": "uri" } })),
        // zod's `instanceof(File)` without a description.
        object(json!({ "photo": {} })),
        json!({}),
        json!({ "type": "object" }),
    ] {
        for required in [true, false] {
            let why = problem(json!({ "multipart/form-data": media(schema.clone()) }), required);
            assert!(
                why.contains("multipart/form-data") && why.contains("files"),
                "{schema}: {why}"
            );
        }
    }
    let typed = json!({ "schema": object(json!({ "photo": { "type": "string" } })),
        "encoding": { "photo": { "contentType": "image/png, image/jpeg" } } });
    assert!(problem(json!({ "multipart/form-data": typed }), false).contains("photo"));
    for kind in ["application/octet-stream", "image/png", "application/xml"] {
        for required in [true, false] {
            assert!(problem(json!({ kind: {} }), required).contains(kind));
        }
    }
}

#[test]
fn json_beside_multipart_is_sent_as_json_unless_it_needs_a_file() {
    let name = || json!({ "type": "string" });
    let both = |schema: Value| {
        json!({ "multipart/form-data": media(schema.clone()), "application/x-www-form-urlencoded": media(schema.clone()),
            "application/json": media(schema) })
    };
    let plain = both(object(json!({ "name": name() })));
    assert_eq!(sent(plain, json!({ "name": "a" })), Body::Json(json!({ "name": "a" })));
    // Elysia documents a file as JSON, too.
    let mut needed = object(json!({ "name": name(), "photo": file() }));
    needed["required"] = json!(["photo"]);
    let why = problem(both(needed), true);
    assert!(why.contains("\"photo\"") && why.contains("file"), "{why}");
    // Nothing would be left of it.
    assert!(problem(both(object(json!({ "photo": file() }))), false).contains("\"photo\""));
    let optional = of(both(object(json!({ "name": name(), "photo": file() }))));
    let properties = &optional.parameters()["properties"]["body"]["properties"];
    assert_eq!(*properties, json!({ "name": { "type": "string" } }));
    // The same where the schema is one of many, and stands among the definitions.
    let photo = object(json!({ "name": name(), "photo": file() }));
    let many: Vec<Value> = (0..500).map(|n| json!({ "title": format!("n{n}") })).collect();
    let item = json!({ "post": {
        "parameters": [{ "name": "q", "in": "query", "schema": { "anyOf": many } },
            { "name": "p", "in": "query", "schema": { "$ref": "#/components/schemas/Photo" } }],
        "requestBody": { "content": both(json!({ "allOf": [{ "$ref": "#/components/schemas/Photo" }] })) },
    } });
    let tool = crate::only("3.1.0", "/a", item, json!({ "Photo": photo }));
    let body = &tool.parameters()["properties"]["body"];
    assert_eq!(body["allOf"][0]["properties"], json!({ "name": { "type": "string" } }));
    assert_eq!(tool.parameters()["$defs"]["Photo"]["properties"].as_object().unwrap().len(), 2);
    // Alone it is text: pydantic's `bytes`, and base64 anyway.
    let alone = json!({ "application/json": media(object(json!({ "data": file() }))) });
    assert_eq!(sent(alone, json!({ "data": "x" })), Body::Json(json!({ "data": "x" })));
    let base64 = json!({ "type": "string", "format": "byte" });
    let encoded =
        json!({ "type": "string", "contentEncoding": "base64", "contentMediaType": "image/png" });
    let texts = object(json!({ "a": base64, "b": encoded }));
    let body = json!({ "a": "eA==", "b": "eA==" });
    assert_eq!(sent(both(texts), body.clone()), Body::Json(body));
}

#[test]
fn multipart_without_files_is_sent_as_multipart() {
    let schema = object(
        json!({ "name": { "type": "string" }, "n": { "type": "integer" }, "ok": { "type": "boolean" },
        "tags": { "type": "array", "items": { "type": "string" } }, "more": { "type": "object" }, "md": { "type": "string" },
        "raw": { "type": "array", "items": { "type": "integer" } }, "one": { "type": "array" }, "piped": { "type": "array" } }),
    );
    let content = json!({ "multipart/form-data": { "schema": schema, "encoding": {
        "one": { "explode": false }, "piped": { "style": "pipeDelimited" }, "tags": { "explode": true },
        "md": { "contentType": "text/markdown" }, "raw": { "contentType": "application/json" } } } });
    let body = json!({ "name": "ü", "n": 7.0, "ok": true, "tags": ["a", "b"], "more": { "x": 1 }, "md": "# x", "raw": [1], "one": ["a", 2], "piped": [1, 2] });
    let field = |name: &str, kind: Option<&str>, value: &str| Field {
        name: name.to_owned(),
        media_type: kind.map(str::to_owned),
        value: value.to_owned(),
    };
    let fields = vec![
        field("name", None, "ü"),
        field("n", None, "7"),
        field("ok", None, "true"),
        field("tags", None, "a"),
        field("tags", None, "b"),
        field("more", Some("application/json"), r#"{"x":1}"#),
        field("md", Some("text/markdown"), "# x"),
        field("raw", Some("application/json"), "[1]"),
        field("one", None, "a,2"),
        field("piped", None, "1|2"),
    ];
    assert_eq!(sent(content, body), Body::Multipart(fields));
}

#[test]
fn json_of_another_type_goes_out_under_its_own() {
    let any = || json!({ "schema": { "type": "object" } });
    let body = || json!({ "a": 1 });
    for (content, kind) in [
        (json!({ "application/json": any() }), None),
        (json!({ "application/json; charset=utf-8": any() }), None),
        (json!({ "*/*": any() }), None),
        (json!({ "application/vnd.api+json": any() }), Some("application/vnd.api+json")),
        (json!({ "application/vnd.api+json": any(), "application/json": any() }), None),
        // Kubernetes.
        (
            json!({ "application/json-patch+json": any(), "application/merge-patch+json": any(),
                "application/apply-patch+yaml": any() }),
            Some("application/merge-patch+json"),
        ),
        (
            json!({ "application/vnd.a.v2+json; profile=\"x\"": any() }),
            Some("application/vnd.a.v2+json; profile=\"x\""),
        ),
        (json!({ "application/ö+json\r\nX: y+json": any() }), Some("application/json")),
    ] {
        match (sent(content.clone(), body()), kind) {
            (Body::Json(value), None) => assert_eq!(value, body()),
            (Body::JsonAs(sent, value), Some(kind)) => {
                assert_eq!((sent.as_str(), value), (kind, body()))
            }
            (other, _) => panic!("{content}: {other:?}"),
        }
    }
}

#[test]
fn texts_are_sent_as_texts() {
    let text = json!({ "text/plain": media(json!({ "type": "string" })) });
    assert_eq!(sent(text, json!("a\nb")), Body::Text("text/plain".into(), "a\nb".into()));
    let other = json!({ "text/x-markdown": {} });
    assert_eq!(sent(other, json!("# x")), Body::Text("text/x-markdown".into(), "# x".into()));
    let object = json!({ "text/plain": media(json!({ "type": "object" })) });
    assert!(problem(object, false).contains("text/plain"));
}

#[test]
fn forms_say_what_their_encoding_says() {
    let form = |encoding: Value| {
        json!({ "application/x-www-form-urlencoded": { "schema": { "type": "object", "properties": {
            "n": { "type": "integer" } } }, "encoding": encoding } })
    };
    for (encoding, body, text) in [
        (json!({}), json!({ "a": "x y", "n": 7.0, "t": true, "z": null }), "a=x%20y&n=7&t=true"),
        (json!({}), json!({ "ids": [1, 2], "o": { "a": 1 } }), "ids=1&ids=2&o={\"a\":1}"),
        (json!({}), json!({ "o": [{ "a": 1 }, { "a": 2 }] }), "o={\"a\":1}&o={\"a\":2}"),
        (json!({ "ids": { "explode": false } }), json!({ "ids": [1, 2] }), "ids=1,2"),
        (
            json!({ "ids": { "contentType": "application/json" } }),
            json!({ "ids": [1, 2] }),
            "ids=[1,2]",
        ),
        // Stripe.
        (
            json!({ "items": { "style": "deepObject", "explode": true } }),
            json!({ "items": [{ "price": "p" }] }),
            "items[0][price]=p",
        ),
        (
            json!({ "m": { "style": "deepObject" } }),
            json!({ "m": { "a": { "b": 1 } } }),
            "m[a][b]=1",
        ),
        (json!({ "o": { "style": "form" } }), json!({ "o": { "a": 1 } }), "a=1"),
        (json!({ "a": { "headers": {} } }), json!({ "a": { "x": 1 } }), "a={\"x\":1}"),
    ] {
        let Body::Form(sent) = sent(form(encoding), body.clone()) else { panic!("no form") };
        let plain = [
            ("%5B", "["),
            ("%5D", "]"),
            ("%7B", "{"),
            ("%7D", "}"),
            ("%22", "\""),
            ("%3A", ":"),
            ("%2C", ","),
        ];
        let plain = plain.iter().fold(sent, |text, (from, to)| text.replace(from, to));
        assert_eq!(plain, text, "{body}");
    }
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data"] {
        let content = json!({ kind: { "schema": object(json!({ "n": { "type": "array" } })),
            "encoding": { "n": { "style": "tabDelimited", "explode": false } } } });
        assert!(problem(content, false).contains("\"tabDelimited\""), "{kind}");
    }
    let needs_file = json!({ "application/x-www-form-urlencoded": media(
        json!({ "required": ["f"], "properties": { "f": file() } })) });
    assert!(problem(needs_file, true).contains("file"));
}

#[test]
fn a_get_that_needs_a_body_is_told_and_one_that_does_not_is_a_tool() {
    let content = json!({ "application/json": {} });
    let item = |required: bool| json!({ "get": { "requestBody": { "required": required, "content": content } } });
    let import = all(&document("3.1.0", json!({ "/x": item(true) }), json!({})));
    assert!(import.problems[0].reason.contains("GET"), "{:?}", import.problems);
    let tool = only("3.1.0", "/x", item(false), json!({}));
    assert!(!takes(&tool, &json!({ "body": {} })));
}

#[test]
fn answers_of_another_type_than_json_are_asked_for() {
    let of = |responses: Value| {
        let tool = only("3.1.0", "/x", json!({ "get": { "responses": responses } }), json!({}));
        tool.accept().map(str::to_owned)
    };
    let content = |kinds: &[&str]| {
        let content: Value = kinds.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
        json!({ "200": { "content": content }, "400": { "content": { "application/problem+json": {} } } })
    };
    for kinds in
        [&["application/json"][..], &["text/csv", "application/json; charset=utf-8"], &["*/*"], &[]]
    {
        assert_eq!(of(content(kinds)), None, "{kinds:?}");
    }
    assert_eq!(of(json!({ "204": { "description": "done" } })), None);
    assert_eq!(of(json!({ "default": { "content": { "text/csv": {} } } })), None);
    assert_eq!(
        of(content(&["application/vnd.api+json"])).as_deref(),
        Some("application/vnd.api+json")
    );
    assert_eq!(
        of(content(&["text/plain; charset=utf-8", "text/csv"])).as_deref(),
        Some("text/plain, text/csv")
    );
    assert_eq!(of(content(&["text/ö", "a\r\nX: y"])), None);
}

#[test]
fn null_is_nobodys_list_body_or_schema() {
    let item = json!({ "parameters": null, "post": { "parameters": null, "requestBody": null, "responses": null } });
    assert_eq!(only("3.0.0", "/x", item, json!({})).parameters()["properties"], json!({}));
    let body = json!({ "application/json": { "schema": null } });
    assert_eq!(sent(body, json!([1])), Body::Json(json!([1])));
}
