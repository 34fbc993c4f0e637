//! What a call writes into path and query, byte for byte.

use openapi_tools::Operation;
use serde_json::{Value, json};

use crate::{all, document, get, only, parameter};

/// The path and query of a call of this path.
fn sent(template: &str, parameters: Value, arguments: Value) -> String {
    let request = get(template, parameters).request(&arguments).unwrap();
    if request.query.is_empty() {
        request.path
    } else {
        format!("{}?{}", request.path, request.query)
    }
}

fn problem(template: &str, parameters: Value) -> String {
    let paths = json!({ template: { "get": { "parameters": parameters } } });
    let import = all(&document("3.1.0", paths, json!({})));
    assert!(import.operations.is_empty(), "{:?}", import.operations);
    import.problems[0].reason.clone()
}

#[test]
fn a_path_is_written_in_the_style_of_each_parameter() {
    let (list, object) = (json!(["a", "b,c"]), json!({ "r": 1, "g": "x y" }));
    for (more, value, path) in [
        (json!({}), &json!("x"), "/a/x"),
        (json!({}), &list, "/a/a,b%2Cc"),
        (json!({}), &object, "/a/r,1,g,x%20y"),
        (json!({ "style": "simple", "explode": true }), &list, "/a/a,b%2Cc"),
        (json!({ "style": "simple", "explode": true }), &object, "/a/r=1,g=x%20y"),
        (json!({ "style": "label" }), &json!(5), "/a/.5"),
        (json!({ "style": "label" }), &list, "/a/.a,b%2Cc"),
        (json!({ "style": "label", "explode": true }), &list, "/a/.a.b%2Cc"),
        (json!({ "style": "label" }), &object, "/a/.r,1,g,x%20y"),
        (json!({ "style": "label", "explode": true }), &object, "/a/.r=1.g=x%20y"),
        (
            json!({ "content": { "application/json": {} } }),
            &json!({ "r": 1 }),
            "/a/%7B%22r%22%3A1%7D",
        ),
        (json!({ "content": { "text/plain": {} } }), &json!("x;y"), "/a/x%3By"),
    ] {
        let parameters = json!([parameter("path", "id", more.clone())]);
        assert_eq!(sent("/a/{id}", parameters, json!({ "id": value })), path, "{more}");
    }
    let why = problem("/a/{id}", json!([parameter("path", "id", json!({ "style": "matrix" }))]));
    assert!(why.contains("matrix") && why.contains("semicolon"), "{why}");
    let dot = get("/a/{id}", json!([parameter("path", "id", json!({ "style": "label" }))]));
    assert!(dot.request(&json!({ "id": "." })).is_err());
}

#[test]
fn text_around_a_parameter_stays_where_it_is() {
    for (template, path) in [
        ("/posts/{id}.json", "/posts/7.json"),
        ("/v1/things/{id}:archive", "/v1/things/7:archive"),
        ("/Products({id})", "/Products(7)"),
        ("/Products(ID={id},Is={id})/Rating", "/Products(ID=7,Is=7)/Rating"),
        ("/@{id}", "/@7"),
        ("/a/{id:[0-9]{1,4}}", "/a/7"),
        ("/a/{id:path}", "/a/7"),
        ("/a/{id+}", "/a/7"),
        ("/a/{*id}", "/a/7"),
        ("/a/{id?}", "/a/7"),
        ("/a/{ID}", "/a/7"),
        ("/größe/{id}/x y", "/gr%C3%B6%C3%9Fe/7/x%20y"),
        ("/a%20b/{id}/100%", "/a%20b/7/100%25"),
        ("/a;v=1/{id}", "/a;v=1/7"),
        ("/a/{id}/", "/a/7/"),
        ("/a/{id}...{id}", "/a/7...7"),
    ] {
        let declared = parameter("path", "id", json!({ "required": true }));
        assert_eq!(sent(template, json!([declared]), json!({ "id": 7 })), path, "{template}");
    }
    // What nobody declares has the name in the braces.
    assert_eq!(sent("/a/{proxy+}", json!([]), json!({ "proxy": "x" })), "/a/x");
    for bad in ["/a/{id", "/a/id}", "/a/{}", "/a/{{id}", "/a/{b/c}"] {
        assert!(problem(bad, json!([])).contains("braces"), "{bad}");
    }
    assert!(problem("/a{?page}", json!([])).contains("RFC 6570"));
}

#[test]
fn a_value_reaches_its_segment_as_it_was_meant() {
    for (value, path) in [
        ("a;b=1", "/a/a%3Bb%3D1"),
        ("a:b@c", "/a/a%3Ab%40c"),
        ("100%", "/a/100%25"),
        ("a+b", "/a/a%2Bb"),
        ("größe", "/a/gr%C3%B6%C3%9Fe"),
        ("(x)", "/a/%28x%29"),
        ("名前", "/a/%E5%90%8D%E5%89%8D"),
    ] {
        assert_eq!(sent("/a/{id}", json!([]), json!({ "id": value })), path);
    }
}

#[test]
fn names_go_out_as_the_document_writes_them() {
    let names =
        ["page[size]", "filter.name", "ids[]", "$top", "a:b", "x y", "größe", "a/b", "名前"];
    let parameters: Vec<_> = names.iter().map(|n| parameter("query", n, json!({}))).collect();
    let arguments: Value = names.iter().map(|n| ((*n).to_owned(), json!(1))).collect();
    assert_eq!(
        sent("/a", json!(parameters), arguments),
        "/a?page%5Bsize%5D=1&filter.name=1&ids%5B%5D=1&%24top=1&a%3Ab=1&x%20y=1\
         &gr%C3%B6%C3%9Fe=1&a%2Fb=1&%E5%90%8D%E5%89%8D=1"
    );
    let list = json!([parameter("query", "ids[]", json!({}))]);
    assert_eq!(sent("/a", list, json!({ "ids[]": [1, 2] })), "/a?ids%5B%5D=1&ids%5B%5D=2");
}

#[test]
fn objects_in_brackets_go_as_deep_as_they_are() {
    let deep = |name: &str| json!([parameter("query", name, json!({ "style": "deepObject" }))]);
    for (name, value, query) in [
        ("q", json!({ "gte": 1 }), "q[gte]=1"),
        ("q", json!({ "price": { "gte": 1, "lt": 2 } }), "q[price][gte]=1&q[price][lt]=2"),
        ("q", json!({ "g": [2, 3], "n": null }), "q[g][]=2&q[g][]=3"),
        ("q", json!({ "g": ["one"] }), "q[g][]=one"),
        ("expand", json!(["a", "b"]), "expand[]=a&expand[]=b"),
        ("ids[]", json!([1]), "ids[]=1"),
        (
            "items",
            json!([{ "price": "p" }, { "price": "q" }]),
            "items[0][price]=p&items[1][price]=q",
        ),
        ("q", json!("plain"), "q=plain"),
        ("q", json!({}), ""),
    ] {
        let request = get("/a", deep(name)).request(&json!({ name: value })).unwrap();
        let plain = request.query.replace("%5B", "[").replace("%5D", "]");
        assert_eq!(plain, query, "{name} {value}");
    }
}

#[test]
fn text_in_the_content_of_a_parameter_is_text() {
    let text = json!([parameter("query", "q", json!({ "content": { "text/plain": {} } }))]);
    assert_eq!(sent("/a", text, json!({ "q": "a b" })), "/a?q=a%20b");
    let xml = json!([parameter("query", "q", json!({ "content": { "application/xml": {} } }))]);
    assert!(problem("/a", xml).contains("content type"));
}

#[test]
fn a_query_or_a_fragment_in_a_path_tells_operations_apart() {
    for (template, arguments, path) in [
        ("/threads?beta=true", json!({}), "/threads?beta=true"),
        ("/threads?beta=true", json!({ "q": "x" }), "/threads?beta=true&q=x"),
        ("/threads?beta", json!({ "q": "x" }), "/threads?beta&q=x"),
        ("/a/{id}?v={v}", json!({ "id": 1, "v": "ü&" }), "/a/1?v=%C3%BC%26"),
        ("/files/{id}#metadata", json!({ "id": 1 }), "/files/1"),
        ("/files/{id}?x=1#metadata", json!({ "id": 1 }), "/files/1?x=1"),
        ("/a?b=c d", json!({}), "/a?b=c%20d"),
    ] {
        let parameters = json!([parameter("query", "q", json!({}))]);
        assert_eq!(sent(template, parameters, arguments), path, "{template}");
    }
    let paths = json!({
        "/files/{id}": { "get": { "operationId": "file" } },
        "/files/{id}#metadata": { "get": { "operationId": "metadata" } },
        "/x?y=1": { "get": { "operationId": "x" } },
    });
    let document = document("3.0.3", paths, json!({}));
    let known: Vec<_> =
        document.candidates().map(|c| (c.name, c.endpoint(), c.is_whole())).collect();
    let expected =
        [("file", "/files/{id}", true), ("metadata", "/files/{id}", false), ("x", "/x", false)];
    assert_eq!(known, expected);
}

#[test]
fn a_query_parameter_in_the_path_is_written_once() {
    let v = parameter("query", "v", json!({ "required": true, "schema": { "type": "integer" } }));
    assert_eq!(sent("/a?v={v}", json!([v]), json!({ "v": 3.0 })), "/a?v=3");
}

#[test]
fn paths_without_a_slash_have_one() {
    let paths = json!({ "a/{id}": { "get": {} }, "x-hidden": { "get": {} } });
    let tools = all(&document("3.0.0", paths, json!({}))).operations;
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0].request(&json!({ "id": 1 })).unwrap().path, "/a/1");
}

fn whole(tool: &Operation, arguments: Value) -> String {
    let request = tool.request(&arguments).unwrap();
    let body = match request.body {
        Some(openapi_tools::Body::Json(body)) => body.to_string(),
        Some(openapi_tools::Body::Form(form)) => form,
        other => format!("{other:?}"),
    };
    format!("{}?{} {body}", request.path, request.query)
}

#[test]
fn a_whole_number_is_written_as_one_where_an_integer_is_wanted() {
    let integer = || json!({ "type": "integer" });
    let with = |place: &str, name: &str, schema: Value| {
        parameter(place, name, json!({ "schema": schema }))
    };
    let item = json!({
        "parameters": [
            with("path", "id", integer()),
            with("query", "page", json!({ "type": ["integer", "null"] })),
            with("query", "ids", json!({ "type": "array", "items": { "type": "integer" } })),
            with("query", "ratio", json!({ "type": "number" })),
            with("query", "either", json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] })),
            parameter("query", "f", json!({ "content": { "application/json": { "schema": {
                "properties": { "n": { "type": "integer" } } } } } })),
            parameter("query", "d", json!({ "style": "deepObject", "schema": {
                "properties": { "n": { "$ref": "#/components/schemas/Count" } } } })),
        ],
        "post": { "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Tree" } } } } },
    });
    let schemas = json!({
        "Count": { "type": "integer", "minimum": 0 },
        "Tree": { "type": "object", "properties": {
            "n": { "$ref": "#/components/schemas/Count" },
            "x": { "type": "number" },
            "one": { "enum": [1, 2] },
            "lucky": { "const": 7 },
            "text": { "anyOf": [{ "type": "string" }, { "type": "integer" }] },
            "part": { "allOf": [{ "type": "number" }, { "$ref": "#/components/schemas/Count" }] },
            "pair": { "type": "array", "prefixItems": [{ "type": "integer" }, { "type": "number" }] },
            "by_name": { "type": "object", "additionalProperties": { "type": "integer" } },
            "free": {},
            "children": { "type": "array", "items": { "$ref": "#/components/schemas/Tree" } },
        } },
    });
    let tool = only("3.1.0", "/a/{id}", item, schemas);
    // Text has no fractions where there is none, whatever the schema says.
    let query = json!({ "id": 7.0, "page": 2.0, "ids": [1.0, 2.5, 3], "ratio": 1.0, "either": 1.0,
        "f": { "n": 4.0 }, "d": { "n": 5.0 } });
    assert_eq!(
        whole(&tool, query),
        "/a/7?page=2&ids=1&ids=2.5&ids=3&ratio=1&either=1&f=%7B%22n%22%3A4%7D&d%5Bn%5D=5 None"
    );
    let body = json!({ "n": 1.0, "x": 1.0, "one": 2.0, "lucky": 7.0, "text": 3.0, "part": 4.0, "pair": [1.0, 1.0],
        "by_name": { "a": 1.0 }, "free": 1.0, "children": [{ "n": -0.0, "children": [{ "n": -3.0 }] }] });
    assert_eq!(
        whole(&tool, json!({ "id": 1e3, "body": body })),
        r#"/a/1000? {"n":1,"x":1.0,"one":2,"lucky":7,"text":3,"part":4,"pair":[1,1.0],"by_name":{"a":1},"free":1.0,"children":[{"n":0,"children":[{"n":-3}]}]}"#
    );
    // Nothing that is larger than an integer becomes another number.
    assert!(
        whole(&tool, json!({ "id": 18446744073709551615_u64 }))
            .starts_with("/a/18446744073709551615?")
    );
    assert!(whole(&tool, json!({ "id": 1e20 })).starts_with("/a/100000000000000000000?"));
}
