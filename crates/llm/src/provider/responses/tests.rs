//! What the model says goes back with the next request.

use serde_json::json;

use super::parse;
use super::request::input;
use crate::model::Provider;
use crate::request::Message;

#[test]
fn sealed_thoughts_go_back_before_the_call_that_they_led_to() {
    let body = json!({ "status": "completed", "output": [
        { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed" },
        { "type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}" },
    ]});
    let answer = parse(Provider::OpenAi, &body).unwrap();
    let sent = input(&[Message::Assistant(answer.message)]);
    assert_eq!(
        sent,
        json!([
            { "type": "reasoning", "summary": [], "encrypted_content": "sealed" },
            { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
        ])
    );
}
