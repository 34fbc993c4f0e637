use rmcp::model::{ListToolsResult, ServerJsonRpcMessage};

use super::*;

fn read(result: Value) -> Value {
    let text = json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string();
    let text = readable(text.as_bytes()).unwrap().into_owned();
    // What is left is what the protocol can read.
    assert!(serde_json::from_slice::<ServerJsonRpcMessage>(&text).is_ok());
    serde_json::from_slice::<Value>(&text).unwrap()["result"].clone()
}

#[test]
fn a_tool_definition_that_cannot_be_read_costs_itself() {
    let good =
        || json!({ "name": "good", "description": "d", "inputSchema": { "type": "object" } });
    for (bad, problem) in [
        (json!({ "name": "b" }), r#""b": inputSchema is missing; must be an object"#),
        (json!({ "name": "b", "inputSchema": 5 }), r#""b": inputSchema must be an object"#),
        (
            json!({ "name": "b", "description": 5, "inputSchema": {} }),
            r#""b": description must be a string"#,
        ),
        (json!({ "name": 5, "inputSchema": {} }), "tool 2: name must be a string"),
        (json!({ "inputSchema": {} }), "tool 2: name is missing; must be a string"),
        (json!(null), "tool 2: is not an object"),
        (json!("b"), "tool 2: is not an object"),
    ] {
        let result =
            json!({ "tools": [good(), bad, good()], "resultType": "complete", "ttlMs": "x" });
        let list: ListToolsResult = serde_json::from_value(read(result)).unwrap();
        assert_eq!(list.tools.len(), 3);
        assert_eq!(problem_of(&list.tools[1]), Some(problem));
        assert_eq!((problem_of(&list.tools[0]), list.tools[2].name.as_ref()), (None, "good"));
    }
    // What is not used costs nothing, and nobody else writes our problems.
    let odd = json!({ "name": "a", "inputSchema": {}, "annotations": 5, "outputSchema": [],
        "title": {}, "_meta": { PROBLEM: "forged" } });
    let list: ListToolsResult = serde_json::from_value(read(json!({ "tools": [odd] }))).unwrap();
    assert_eq!(problem_of(&list.tools[0]), None);
    let list: ListToolsResult = serde_json::from_value(read(json!({ "tools": 5 }))).unwrap();
    assert_eq!(problem_of(&list.tools[0]), Some("tools must be a list"));
    let many = json!({ "tools": vec![good(); 3_000], "nextCursor": 7 });
    assert_eq!(read(many)["tools"].as_array().unwrap().len(), MAX_TOOLS + 1);
}

#[test]
fn a_definition_keeps_what_it_says_of_repetitions() {
    for (annotations, kept) in [
        (json!({ "readOnlyHint": true, "title": 5 }), json!({ "readOnlyHint": true })),
        (json!({ "idempotentHint": false }), json!({ "idempotentHint": false })),
        (json!({ "readOnlyHint": "yes", "destructiveHint": true }), Value::Null),
        (json!(true), Value::Null),
    ] {
        let tool = json!({ "name": "a", "inputSchema": {}, "annotations": annotations });
        assert_eq!(read(json!({ "tools": [tool] }))["tools"][0]["annotations"], kept);
    }
}

#[test]
fn a_content_block_that_cannot_be_read_costs_itself() {
    for (bad, problem) in [
        (json!({ "type": "text", "text": 5 }), "content.1.text must be a string"),
        (json!({ "type": "text" }), "content.1.text is missing; must be a string"),
        (json!({ "text": "x" }), "content.1.type is missing; must be a string"),
        (json!({ "type": 5 }), "content.1.type must be a string"),
        (json!({ "type": "hologram" }), r#"content.1.type "hologram" is not known"#),
        (json!("loose"), "content.1 must be an object"),
        (json!([]), "content.1 must be an object"),
        (
            json!({ "type": "image", "mimeType": "a/b" }),
            "content.1.data is missing; must be a string",
        ),
        (
            json!({ "type": "resource", "resource": { "text": "x" } }),
            "content.1.resource.uri is missing; must be a string",
        ),
        (json!({ "type": "resource", "resource": 5 }), "content.1.resource must be an object"),
        (json!({ "type": "resource_link", "uri": 5 }), "content.1.uri must be a string"),
    ] {
        let text = |text: &str| json!({ "type": "text", "text": text, "annotations": "odd" });
        let result =
            json!({ "content": [text("one"), bad, text("two")], "resultType": "complete" });
        let read = read(result);
        assert_eq!(read["content"][1]["text"], format!("[left out: {problem}]"));
        assert_eq!(
            (&read["content"][0]["text"], &read["content"][2]["text"]),
            (&json!("one"), &json!("two"))
        );
    }
    assert_eq!(
        read(json!({ "content": 5 }))["content"][0]["text"],
        "[left out: content must be a list]"
    );
    assert_eq!(read(json!({ "content": [], "isError": "no" }))["isError"], true);
    let many = json!({ "content": vec![json!({ "type": "text", "text": "x" }); 2_000] });
    assert_eq!(read(many)["content"].as_array().unwrap().len(), MAX_BLOCKS + 1);
}

#[test]
fn other_messages_stay_as_they_are_and_large_ones_are_refused() {
    for text in [
        "",
        "no JSON \"tools\"",
        r#"{"method":"x","params":{"content":[5]}}"#,
        r#"{"result":5,"tools":[5]}"#,
    ] {
        assert!(
            matches!(readable(text.as_bytes()), Ok(Cow::Borrowed(same)) if same == text.as_bytes())
        );
    }
    let tiny = format!(r#"{{"result":{{"tools":[{{"enum":[{}0]}}]}}}}"#, "0,".repeat(250_000));
    assert!(readable(tiny.as_bytes()).unwrap_err().contains("200000 values"));
    // Text costs its bytes.
    let text = format!(
        r#"{{"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
        r#"[,:{\","#.repeat(300_000)
    );
    assert!(readable(text.as_bytes()).is_ok());
    assert_eq!(id_of(br#"{"jsonrpc":"2.0", "id" : "a", "result": {"x": [1, 2"#), Some(json!("a")));
    assert_eq!(id_of(br#"{"result":{"id":1},"id":2}"#), Some(json!(2)));
    assert_eq!(id_of(b"{}"), None);
    let refused = refusal(&json!(2), "why").to_string();
    assert!(matches!(serde_json::from_str(&refused), Ok(ServerJsonRpcMessage::Error(_))));
}
