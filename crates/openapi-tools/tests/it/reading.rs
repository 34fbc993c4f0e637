//! JSON and YAML as documents use them.

use openapi_tools::{Document, Operation, decode};
use serde_json::{Value, json};

use crate::all;

/// The only tool of a document in YAML.
fn tool(yaml: &str) -> Operation {
    let document = Document::parse(yaml, &[], "").unwrap();
    let import = all(&document);
    assert_eq!(import.problems, [], "{yaml}");
    import.operations.into_iter().next().unwrap()
}

/// The schema of the parameter `q`, as written in YAML.
fn parameter(schema: &str) -> Value {
    let yaml = format!(
        "openapi: 3.0.3\npaths:\n  /a:\n    get:\n      parameters:\n        - name: q\n          in: query\n          schema: {schema}\n      responses:\n        200: {{description: ok}}\n"
    );
    tool(&yaml).parameters()["properties"]["q"].clone()
}

#[test]
fn a_scalar_of_yaml_is_what_yaml_1_2_says() {
    for (schema, expected) in [
        ("{enum: [DK, NO, SE]}", json!({ "enum": ["DK", "NO", "SE"] })),
        (
            "{enum: [y, n, yes, no, on, off, Y, N]}",
            json!({ "enum": ["y", "n", "yes", "no", "on", "off", "Y", "N"] }),
        ),
        (
            "{enum: [010, 0o10, 0x10, 1_000, 1:30, 2026-11-29]}",
            json!({ "enum": [10, 8, 16, "1_000", "1:30", "2026-11-29"] }),
        ),
        (
            "{enum: [!!str 1, '1', \"true\", 1.5, ~, null]}",
            json!({ "enum": ["1", "1", "true", 1.5, null, null] }),
        ),
        (
            "{type: object, required: [x, y], properties: {x: {type: string}, y: {type: integer}}}",
            json!({ "type": "object", "required": ["x", "y"], "properties": { "x": { "type": "string" }, "y": { "type": "integer" } } }),
        ),
    ] {
        assert_eq!(parameter(schema), expected, "{schema}");
    }
    let named = "openapi: 3.0.3\npaths:\n  /a:\n    get:\n      operationId: no\n      parameters:\n        - {name: y, in: query, required: true, schema: {type: integer}}\n";
    let named = tool(named);
    assert_eq!((named.name(), &named.parameters()["required"]), ("no", &json!(["y"])));
}

#[test]
fn yaml_as_real_documents_write_it_is_read() {
    let path = "paths:\n  /a:\n    get:\n      operationId: a\n";
    for (what, yaml) in [
        ("a byte order mark", format!("\u{feff}openapi: 3.0.3\n{path}")),
        ("CRLF", format!("openapi: 3.0.3\n{path}").replace('\n', "\r\n")),
        ("tabs after colons and comments", format!("openapi:\t3.0.3\t# the version\n{path}")),
        ("a version without quotes", format!("openapi: 3.0\n{path}")),
        ("a document's beginning and end", format!("%YAML 1.2\n---\nopenapi: 3.0.3\n{path}...\n")),
        ("a comment, then a document", format!("# made by hand\n\n---\nopenapi: 3.0.3\n{path}")),
        (
            "another document beside it",
            format!("kind: ConfigMap\n---\nopenapi: 3.0.3\n{path}---\n"),
        ),
        (
            "braces",
            "{openapi: 3.0.3, paths: {/a: {get: {operationId: a,}}}} # and a comma".to_owned(),
        ),
        (
            "keys that are numbers and words",
            format!(
                "openapi: 3.0.3\n{path}      responses:\n        200: {{description: ok}}\n        default: {{description: no}}\nx-a: {{1.0: x, true: y, ~: z}}\n"
            ),
        ),
    ] {
        assert_eq!(tool(&yaml).name(), "a", "{what}");
    }
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let yaml = r"
openapi: 3.0.3
x-page: &page {name: page, in: query, schema: {type: integer}}
x-defaults: &defaults
  operationId: never
  summary: Lists.
paths:
  /a:
    get:
      <<: *defaults
      operationId: a
      parameters: [*page, {<<: [*page, {name: other, required: true}], name: size}]
      responses:
        '200':
          content:
            application/json:
              schema: &thing {type: object, properties: {deep: {type: string}}}
    post:
      operationId: b
      requestBody: {required: true, content: {application/json: {schema: *thing}}}
";
    let import = all(&Document::parse(yaml, &[], "").unwrap());
    assert_eq!(import.problems, []);
    let [a, b] = import.operations.as_slice() else { panic!("{import:?}") };
    assert_eq!((a.name(), a.description()), ("a", "Lists. (GET /a)"));
    assert_eq!(a.parameters()["properties"]["page"], json!({ "type": "integer" }));
    assert_eq!(a.parameters()["properties"]["size"], json!({ "type": "integer" }));
    assert_eq!(a.parameters()["required"], json!(["size"]));
    // What an alias stands for may itself be in an answer, which is not kept.
    assert_eq!(b.parameters()["properties"]["body"]["properties"]["deep"]["type"], "string");
}

#[test]
fn what_yaml_does_not_allow_is_told_with_its_line() {
    let many = "a".repeat(70).replace('a', "---\nopenapi: 3.0.3\n");
    let deep = format!("openapi: 3.0.3\nx: {}{}\n", "[".repeat(200), "]".repeat(200));
    let chain: String = (0..40)
        .map(|n| {
            format!(
                "x{n}: &a{n} [[[[[{}]]]]]\n",
                if n == 0 { "1".into() } else { format!("*a{}", n - 1) }
            )
        })
        .collect();
    for (yaml, word) in [
        ("openapi: 3.0.3\npaths:\n  /a: {}\n  /a: {}\n", "line 4: the key \"/a\" stands twice"),
        ("openapi: 3.0.3\npaths:\n\t/a: {}\n", "line 3"),
        ("openapi: 3.0.3\nx: *nobody\n", "line 2"),
        ("openapi: 3.0.3\nx: &x [*x]\n", "line 2: an alias stands inside"),
        ("openapi: 3.0.3\nx: {<<: 7}\n", "line 2: the merge key"),
        ("openapi: 3.0.3\n? [a]\n: b\n", "line 2: a key is a list"),
        ("openapi: 3.0.3\n---\nopenapi: 3.1.0\n", "several documents"),
        (many.as_str(), "too many documents"),
        (deep.as_str(), "nested too deeply"),
        (chain.as_str(), "nested too deeply"),
        ("<!DOCTYPE html><title>Swagger UI</title>", "an HTML page"),
        ("just a text", "openapi: 3"),
        ("", "openapi: 3"),
    ] {
        let error = Document::parse(yaml, &[], "").unwrap_err().to_string();
        assert!(error.contains(word), "{yaml:.60}: {error}");
    }
}

#[test]
fn what_references_lead_into_is_kept() {
    let answer = json!({ "content": { "application/json": { "schema": { "type": "integer" } } } });
    for reference in [
        "#/paths/~1a/get/responses/200/content/application~1json/schema",
        "#/components/responses/Ok/content/application~1json/schema",
    ] {
        let text = json!({
            "openapi": "3.1.0",
            "paths": {
                "/a": { "get": { "responses": { "200": answer } } },
                "/b": { "post": { "requestBody": { "required": true, "content": {
                    "application/json": { "schema": { "$ref": reference } } } } } },
            },
            "components": { "responses": { "Ok": answer } },
        });
        // As most write it, and as PHP does.
        for text in [text.to_string(), text.to_string().replace('/', "\\/")] {
            let import = all(&Document::parse(&text, &[], "").unwrap());
            assert_eq!(import.problems, [], "{reference}");
            assert_eq!(import.operations[1].parameters()["properties"]["body"]["type"], "integer");
        }
    }
}

#[test]
fn a_document_may_be_in_utf_16() {
    let text = "{\"openapi\": \"3.0.3\", \"x\": \"ü\"}";
    let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
    let little = units().flat_map(u16::to_le_bytes).collect();
    let big = units().flat_map(u16::to_be_bytes).collect();
    for bytes in [text.as_bytes().to_vec(), little, big] {
        assert_eq!(decode(bytes).unwrap(), text);
    }
    assert!(decode(vec![0xff]).is_err() && decode(vec![b'a', 0xfc]).is_err());
}
