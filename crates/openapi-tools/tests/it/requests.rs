use openapi_tools::Body;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{get, only, parameter, takes};

#[test]
fn parameters_of_the_path_hold_for_all_its_methods_and_may_be_overridden() {
    let item = json!({
        "parameters": [
            parameter("path", "id", json!({ "schema": { "type": "integer" } })),
            parameter("query", "lang", json!({ "required": true })),
        ],
        "get": { "parameters": [parameter("query", "lang", json!({ "schema": { "enum": ["de"] } }))] },
    });
    let tool = only("3.0.3", "/a/{id}/b/{name}.json", item, json!({}));
    assert!(takes(&tool, &json!({ "id": 7, "name": "x" })));
    assert!(!takes(&tool, &json!({ "id": 7, "name": "x", "lang": "fr" })));
    assert!(!takes(&tool, &json!({ "id": "7", "name": "x" })));
    assert!(!takes(&tool, &json!({ "id": 7 })));
    let request = tool.request(&json!({ "id": 7, "name": "größe 1", "lang": "de" })).unwrap();
    assert_eq!(request.path, "/a/7/b/gr%C3%B6%C3%9Fe%201.json");
    assert_eq!((request.query.as_str(), request.method.as_str()), ("lang=de", "GET"));
}

#[test]
fn an_operation_that_takes_an_idempotency_key_says_so() {
    let key = || parameter("header", "Idempotency-Key", json!({ "required": true }));
    let of_item = json!({ "parameters": [key()], "post": {} });
    let of_operation =
        json!({ "post": { "parameters": [parameter("header", "idempotency-key", json!({}))] } });
    for item in [of_item, of_operation] {
        assert!(only("3.1.0", "/pay", item.clone(), json!({})).takes_idempotency_key(), "{item}");
    }
    for other in
        [parameter("query", "Idempotency-Key", json!({})), parameter("header", "X-Key", json!({}))]
    {
        let item = json!({ "post": { "parameters": [other] } });
        assert!(!only("3.1.0", "/pay", item.clone(), json!({})).takes_idempotency_key(), "{item}");
    }
}

#[test]
fn the_form_of_requests_changes_with_their_meaning_only() {
    let body = |kind: &str| json!({ "content": { kind: { "schema": { "type": "object" } } } });
    let of = |verb: &str, parameters: Value, kind: &str| {
        let operation = json!({ "parameters": parameters, "requestBody": body(kind) });
        only("3.1.0", "/pay", json!({ verb: operation }), json!({})).form()
    };
    let (a, b) = (parameter("query", "a", json!({})), parameter("query", "b", json!({})));
    let json = "application/json";
    let first = of("post", json!([a, b]), json);
    assert_eq!(of("post", json!([b, a]), json), first);
    let exploded = parameter("query", "a", json!({ "explode": false }));
    for other in [
        of("put", json!([a, b]), json),
        of("post", json!([a]), json),
        of("post", json!([exploded, b]), json),
        of("post", json!([a, b]), "application/x-www-form-urlencoded"),
    ] {
        assert_ne!(other, first);
    }
}

#[test]
fn lists_and_objects_in_a_query_are_written_as_the_document_says() {
    let list = json!([1, "b c", true]);
    let object = json!({ "r": 1, "g": [2, 3], "n": null });
    for (more, value, query) in [
        (json!({}), &list, "q=1&q=b%20c&q=true"),
        (json!({ "explode": false }), &list, "q=1,b%20c,true"),
        (json!({ "style": "spaceDelimited" }), &list, "q=1%20b%20c%20true"),
        (json!({ "style": "pipeDelimited" }), &list, "q=1%7Cb%20c%7Ctrue"),
        (json!({ "style": "pipeDelimited", "explode": true }), &list, "q=1&q=b%20c&q=true"),
        (json!({}), &object, "r=1&g=2&g=3"),
        (json!({ "style": "deepObject" }), &object, "q%5Br%5D=1&q%5Bg%5D%5B%5D=2&q%5Bg%5D%5B%5D=3"),
        (json!({ "explode": false }), &json!({ "r": 1 }), "q=r,1"),
        (
            json!({ "content": { "application/json": {} } }),
            &json!({ "r": 1 }),
            "q=%7B%22r%22%3A1%7D",
        ),
        (json!({}), &json!("a&b=c#d?é\r\n"), "q=a%26b%3Dc%23d%3F%C3%A9%0D%0A"),
        (json!({}), &json!(null), ""),
        (json!({ "explode": false }), &json!([]), ""),
    ] {
        let tool = get("/x", json!([parameter("query", "q", more.clone())]));
        assert_eq!(tool.request(&json!({ "q": value })).unwrap().query, query, "{more}");
    }
    let tool = get("/x", json!([parameter("query", "q", json!({}))]));
    assert!(tool.request(&json!({ "q": [[1]] })).unwrap_err().contains("nested"));
    assert!(tool.request(&json!({ "q": "x".repeat(70_000) })).unwrap_err().contains("KiB"));
}

#[test]
fn one_name_in_two_places_becomes_two_arguments() {
    let item = json!({ "post": {
        "parameters": [parameter("path", "id", json!({})), parameter("query", "id", json!({})), parameter("query", "body", json!({}))],
        "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } } } });
    let tool = only("3.1.0", "/a/{id}", item, json!({}));
    let request = tool
        .request(&json!({ "id": 1, "id_query": 2, "body_query": 3, "body": { "x": 4 } }))
        .unwrap();
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/a/1", "id=2&body=3"));
    assert_eq!(request.body, Some(Body::Json(json!({ "x": 4 }))));
    assert_eq!(tool.request(&json!({ "id": 1 })).unwrap().body, None);
}

#[test]
fn forms_are_written_as_forms() {
    let content = json!({ "application/x-www-form-urlencoded": { "schema": { "type": "object" },
        "encoding": { "tags": { "style": "form", "explode": false } } } });
    let item = json!({ "post": { "requestBody": { "required": true, "content": content } } });
    let tool = only("3.0.3", "/login", item, json!({}));
    let body = json!({ "name": "A & B", "tags": [1, 2], "ids": [3, 4], "more": { "a": 1 } });
    let request = tool.request(&json!({ "body": body })).unwrap();
    let form = "name=A%20%26%20B&tags=1,2&ids=3&ids=4&more=%7B%22a%22%3A1%7D";
    assert_eq!(request.body, Some(Body::Form(form.to_owned())));
}

#[test]
fn headers_and_cookies_are_never_the_models() {
    let parameters = json!([
        parameter("header", "X-Agent-Token", json!({ "required": true })),
        parameter("header", "X-Other", json!({})),
        parameter("cookie", "session", json!({})),
    ]);
    let tool = get("/x", parameters);
    assert_eq!(tool.parameters()["properties"], json!({}));
    assert!(!takes(&tool, &json!({ "X-Agent-Token": "x" })));
}

/// What a server makes of a path: percent signs decoded, dots followed.
fn climbs(path: &str) -> bool {
    path.split('/').any(|segment| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    })
}

#[test]
fn a_value_cannot_leave_its_segment() {
    let tool = get("/a/{id}/b", json!([]));
    for bad in [
        json!(""),
        json!("."),
        json!(".."),
        json!("a/b"),
        json!("/"),
        json!("//evil.example"),
        json!("..\\x"),
        json!("a\0b"),
        json!("a\r\nHost: evil"),
        json!(null),
        json!({}),
        json!([]),
        json!([[1]]),
        json!("x".repeat(3000)),
    ] {
        assert!(tool.request(&json!({ "id": bad })).is_err(), "{bad}");
    }
    for (odd, path) in [
        ("a?b#c", "/a/a%3Fb%23c/b"),
        ("%2e%2e", "/a/%252e%252e/b"),
        ("@evil.example:80", "/a/%40evil.example%3A80/b"),
        ("{id}", "/a/%7Bid%7D/b"),
        ("‥", "/a/%E2%80%A5/b"),
    ] {
        assert_eq!(tool.request(&json!({ "id": odd })).unwrap().path, path);
    }
    let two = get("/a/{x}{y}/b", json!([]));
    assert!(two.request(&json!({ "x": ".", "y": "." })).is_err());
}

proptest! {
    #[test]
    fn no_value_adds_a_segment_a_query_or_a_host(id in ".{0,12}|[./%\\\\2eEfF;@:?#]{1,8}", q in ".{0,12}") {
        let tool = get("/a/{id}/b", json!([parameter("query", "q", json!({}))]));
        if let Ok(request) = tool.request(&json!({ "id": id, "q": q })) {
            prop_assert_eq!(request.path.matches('/').count(), 3);
            prop_assert!(request.path.starts_with("/a/") && request.path.ends_with("/b"));
            prop_assert!(!climbs(&request.path), "{}", request.path);
            prop_assert!(request.path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\@".contains(&b)));
            prop_assert!(request.query.starts_with("q=") && !request.query.contains(['#', '&']));
        }
    }
}
