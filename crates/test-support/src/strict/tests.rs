use std::collections::HashSet;

use axum::http::HeaderValue;

use super::*;

/// The path and a good request of a profile, with a tool that was used.
fn good(profile: Profile) -> (&'static str, Value) {
    let object = json!({ "type": "object", "properties": { "place": { "type": "string" } } });
    match profile {
        Profile::Anthropic => (
            "/v1/messages",
            json!({ "model": "claude-sonnet-4-5", "max_tokens": 100, "stream": true,
                "system": [{ "type": "text", "text": "Be kind." }],
                "tools": [{ "name": "weather", "description": "It.", "input_schema": object }],
                "messages": [
                    { "role": "user", "content": [{ "type": "text", "text": "Rain?" }] },
                    { "role": "assistant", "content": [
                        { "type": "thinking", "thinking": "Hm", "signature": "s" },
                        { "type": "tool_use", "id": "t_1", "name": "weather", "input": {} }] },
                    { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t_1", "content": "no" }] },
                ] }),
        ),
        Profile::Gemini => (
            "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse",
            json!({
                "systemInstruction": { "parts": [{ "text": "Be kind." }] },
                "tools": [{ "functionDeclarations": [{ "name": "weather", "description": "It.", "parameters": object }] }],
                "contents": [
                    { "role": "user", "parts": [{ "text": "Rain?" }] },
                    { "role": "model", "parts": [{ "functionCall": { "name": "weather", "args": {} }, "thoughtSignature": "s" }] },
                    { "role": "user", "parts": [{ "functionResponse": { "name": "weather", "response": { "result": "no" } } }] },
                ],
            }),
        ),
        Profile::Responses => (
            "/v1/responses",
            json!({ "model": "gpt-5", "stream": true, "store": false, "include": ["reasoning.encrypted_content"],
                "tools": [{ "type": "function", "name": "weather", "description": "It.", "parameters": object, "strict": false }],
                "input": [
                    { "role": "user", "content": "Rain?" },
                    { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "s" },
                    { "type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}" },
                    { "type": "function_call_output", "call_id": "c1", "output": "no" },
                ] }),
        ),
        _ => (
            "/v1/chat/completions",
            json!({ "model": "some-model", "stream": true,
                "tools": [{ "type": "function", "function": { "name": "weather", "description": "It.", "parameters": object } }],
                "messages": [
                    { "role": "system", "content": "Be kind." },
                    { "role": "user", "content": "Rain?" },
                    { "role": "assistant", "content": null, "tool_calls": [
                        { "id": "abcDEF123", "type": "function", "function": { "name": "weather", "arguments": "{}" } }] },
                    { "role": "tool", "tool_call_id": "abcDEF123", "content": "no" },
                ] }),
        ),
    }
}

/// What the server sent before the good request.
fn sent(profile: Profile) -> Vec<Value> {
    let (_, body) = good(profile);
    match profile {
        Profile::Anthropic => vec![body["messages"][1].clone()],
        Profile::Gemini => vec![body["contents"][1].clone()],
        Profile::Responses => vec![json!({ "output": [body["input"][1], body["input"][2]] })],
        _ => vec![body["messages"][2].clone()],
    }
}

fn headers(profile: Profile) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let (key, value) = match profile {
        Profile::Anthropic => ("x-api-key", "k"),
        Profile::Gemini => ("x-goog-api-key", "k"),
        _ => ("authorization", "Bearer k"),
    };
    headers.insert(key, HeaderValue::from_static(value));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    headers
}

/// The rule that a changed request breaks.
fn broken(profile: Profile, change: impl Fn(&mut Value)) -> Option<&'static str> {
    let (path, mut body) = good(profile);
    change(&mut body);
    let (headers, sent) = (headers(profile), sent(profile));
    let call = Call { profile, path, headers: &headers, body: &body, needs_key: true, sent: &sent };
    check(&call).err().map(|refusal| refusal.rule)
}

/// Whether the change makes the server refuse the request by this rule.
#[track_caller]
fn refused(profile: Profile, rule: &str, change: impl Fn(&mut Value)) {
    assert_eq!(broken(profile, change), Some(rule), "{}", profile.name());
}

#[test]
fn a_good_request_is_taken_by_all() {
    for profile in Profile::ALL {
        assert_eq!(broken(profile, |_| ()), None, "{}", profile.name());
    }
}

#[test]
fn each_rule_has_a_name_of_its_own_and_a_published_source() {
    let mut names = HashSet::new();
    for rule in rules() {
        assert!(names.insert(rule.name), "twice: {}", rule.name);
        assert!(rule.source.starts_with("https://"), "{}: {}", rule.name, rule.source);
        assert!(!rule.profiles.is_empty(), "{}", rule.name);
    }
    assert!(names.len() > 150, "{} rules", names.len());
    for profile in Profile::ALL {
        let own = rules().filter(|rule| rule.profiles.contains(&profile)).count();
        assert!(own >= 15, "{}: {own}", profile.name());
    }
}

#[test]
fn a_missing_key_is_unauthorized() {
    for profile in [Profile::OpenAi, Profile::Anthropic, Profile::Gemini, Profile::Responses] {
        let (path, body) = good(profile);
        let mut headers = headers(profile);
        for name in ["authorization", "x-api-key", "x-goog-api-key"] {
            headers.remove(name);
        }
        let call = |needs_key| {
            Call { profile, path, headers: &headers, body: &body, needs_key, sent: &sent(profile) }
                .verdict()
        };
        assert!(matches!(call(true), Some(401 | 403)), "{}", profile.name());
        assert_eq!(call(false), None, "{}", profile.name());
    }
}

impl Call<'_> {
    /// The status of the refusal.
    fn verdict(&self) -> Option<u16> {
        check(self).err().map(|refusal| refusal.status)
    }
}

#[test]
fn chat_servers_differ() {
    let user = json!({ "role": "user", "content": "And?" });
    let behind = |body: &mut Value| body["messages"].as_array_mut().unwrap().push(user.clone());
    refused(Profile::Mistral, "no user or system behind a tool's result", behind);
    assert_eq!(broken(Profile::OpenAi, behind), None);
    let twice = |body: &mut Value| body["messages"].as_array_mut().unwrap().insert(2, user.clone());
    refused(Profile::Template, "users and assistants take turns", twice);
    assert_eq!(broken(Profile::Mistral, twice), None);
    let late = |body: &mut Value| {
        let system = json!({ "role": "system", "content": "Late." });
        body["messages"].as_array_mut().unwrap().insert(2, system);
    };
    refused(Profile::Ollama, "one system message, and it is the first", late);
    assert_eq!(broken(Profile::OpenAi, late), None);
    let id = |body: &mut Value| {
        body["messages"][2]["tool_calls"][0]["id"] = json!("call_1");
        body["messages"][3]["tool_call_id"] = json!("call_1");
    };
    refused(Profile::Mistral, "ids of calls are nine letters and digits", id);
    assert_eq!(broken(Profile::Groq, id), None);
    let options = |body: &mut Value| body["stream_options"] = json!({ "include_usage": true });
    refused(Profile::Mistral, "only parameters of Mistral's API", options);
    assert_eq!(broken(Profile::OpenAi, options), None);
    let empty = |body: &mut Value| body["messages"][1]["content"] = json!("");
    refused(Profile::Xai, "a content at xAI is never empty", empty);
    assert_eq!(broken(Profile::OpenAi, empty), None);
}

#[test]
fn chat_servers_agree() {
    for profile in [Profile::OpenAi, Profile::Groq, Profile::OpenRouter] {
        refused(profile, "each call is answered directly behind its turn", |body| {
            body["messages"].as_array_mut().unwrap().pop();
        });
        refused(profile, "a result comes behind its call", |body| {
            body["messages"].as_array_mut().unwrap().remove(2);
        });
        refused(profile, "tool names are letters, digits, _ and -, at most 64", |body| {
            body["tools"][0]["function"]["name"] = json!("a.b");
        });
        refused(profile, "names of calls are letters, digits, _ and -, at most 64", |body| {
            body["messages"][2]["tool_calls"][0]["function"]["name"] = json!("");
        });
        refused(profile, "at most 128 tools", |body| {
            // Behind OpenRouter, the limits are those of the model's provider.
            if profile == Profile::OpenRouter {
                body["model"] = json!("openai/gpt-4o-mini");
            }
            let tool = body["tools"][0].clone();
            body["tools"] = (0..129)
                .map(|n| {
                    let mut tool = tool.clone();
                    tool["function"]["name"] = json!(format!("t{n}"));
                    tool
                })
                .collect();
        });
        refused(profile, "the limit of the answer is at least one token", |body| {
            body["max_tokens"] = json!(0)
        });
        refused(profile, "a choice of tools needs tools", |body| {
            body.as_object_mut().unwrap().remove("tools");
            body["messages"].as_array_mut().unwrap().truncate(2);
            body["tool_choice"] = json!("none");
        });
    }
    refused(Profile::OpenAi, "the limit of the answer is not above the model's own", |body| {
        body["model"] = json!("gpt-4o-mini");
        body["max_tokens"] = json!(16_385);
    });
    refused(Profile::OpenAi, "a list says what it holds", |body| {
        body["tools"][0]["function"]["parameters"]["properties"]["place"] =
            json!({ "type": "array" });
    });
    refused(Profile::OpenAi, "descriptions of tools have at most 1024 characters", |body| {
        body["tools"][0]["function"]["description"] = json!("x".repeat(1_025));
    });
    refused(Profile::OpenAi, "messages hold known fields only", |body| {
        body["messages"][2]["reasoning_content"] = json!("Hm");
    });
    refused(Profile::OpenAi, "reasoning models take no temperature", |body| {
        (body["model"], body["temperature"]) = (json!("o3"), json!(0.2));
    });
}

#[test]
fn thoughts_must_come_back() {
    let mut sent = sent(Profile::Kimi);
    sent[0]["reasoning_content"] = json!("Hm");
    let (path, mut body) = good(Profile::Kimi);
    let headers = headers(Profile::Kimi);
    let rule = |body: &Value| {
        let call = Call {
            profile: Profile::Kimi,
            path,
            headers: &headers,
            body,
            needs_key: true,
            sent: &sent,
        };
        check(&call).err().map(|refusal| refusal.rule)
    };
    assert_eq!(rule(&body), Some("thoughts of turns with calls come back"));
    body["messages"][2]["reasoning_content"] = json!("Hm");
    assert_eq!(rule(&body), None);
    let name = "thoughts of the current turn come back before its tool uses";
    refused(Profile::Anthropic, name, |body| {
        body["messages"][1]["content"].as_array_mut().unwrap().remove(0);
    });
    refused(Profile::Anthropic, "thoughts come back as they were sent", |body| {
        body["messages"][1]["content"][0]["signature"] = json!("forged");
    });
    refused(Profile::Gemini, "calls of the current turn have their signature", |body| {
        body["contents"][1]["parts"][0].as_object_mut().unwrap().remove("thoughtSignature");
    });
    refused(Profile::Gemini, "signatures come back as they were sent", |body| {
        body["contents"][1]["parts"][0]["thoughtSignature"] = json!("forged");
    });
    refused(Profile::Responses, "a call comes back with the reasoning that led to it", |body| {
        body["input"].as_array_mut().unwrap().remove(1);
    });
}

#[test]
fn anthropic_is_strict() {
    let refused =
        |rule: &str, change: &dyn Fn(&mut Value)| refused(Profile::Anthropic, rule, change);
    refused("the temperature is 0 to 1", &|body| body["temperature"] = json!(1.5));
    refused("anthropic: the limit is not above the model's own", &|body| {
        body["max_tokens"] = json!(64_001)
    });
    refused("names of arguments fit", &|body| {
        body["tools"][0]["input_schema"]["properties"]["filter[name]"] = json!({});
    });
    refused("the last message is the user's", &|body| {
        body["messages"].as_array_mut().unwrap().truncate(2);
    });
    refused("texts are more than white space", &|body| {
        body["messages"][0]["content"][0]["text"] = json!(" \n")
    });
    refused("ids of tool uses fit", &|body| {
        body["messages"][1]["content"][1]["id"] = json!("functions.x:0")
    });
    refused("tool use needs tools", &|body| {
        body.as_object_mut().unwrap().remove("tools");
    });
    refused("anthropic: only parameters of the API", &|body| body["response_format"] = json!({}));
    refused("results come before other blocks", &|body| {
        body["messages"][2]["content"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({ "type": "text", "text": "x" }));
    });
}

#[test]
fn gemini_is_strict() {
    let refused = |rule: &str, change: &dyn Fn(&mut Value)| refused(Profile::Gemini, rule, change);
    let place = |schema: Value| {
        move |body: &mut Value| {
            body["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]["place"] =
                schema.clone();
        }
    };
    refused(
        "values of an enum are not empty",
        &place(json!({ "type": "string", "enum": ["a", ""] })),
    );
    refused("values of an enum are texts", &place(json!({ "type": "string", "enum": [1] })));
    refused("schemas hold known words only", &place(json!({ "type": "string", "const": "a" })));
    refused(
        "formats of texts are enum and date-time",
        &place(json!({ "type": "string", "format": "uri" })),
    );
    refused("gemini: a list says what it holds", &place(json!({ "type": "array" })));
    refused("what a function takes has properties", &|body| {
        body["tools"][0]["functionDeclarations"][0]["parameters"] = json!({ "type": "object" });
    });
    refused("names of functions begin with a letter or _", &|body| {
        body["tools"][0]["functionDeclarations"][0]["name"] = json!("3d_render");
    });
    refused("as many responses as calls", &|body| {
        let part = body["contents"][2]["parts"][0].clone();
        body["contents"][2]["parts"].as_array_mut().unwrap().push(part);
    });
    refused("a part holds something", &|body| body["contents"][0]["parts"][0]["text"] = json!(""));
    refused("gemini: the limit is within the model's own", &|body| {
        body["generationConfig"] = json!({ "maxOutputTokens": 65_537 });
    });
}

#[test]
fn responses_is_strict() {
    let refused =
        |rule: &str, change: &dyn Fn(&mut Value)| refused(Profile::Responses, rule, change);
    refused("each call has its output", &|body| {
        body["input"].as_array_mut().unwrap().pop();
    });
    refused("each output has its call", &|body| {
        body["input"].as_array_mut().unwrap().drain(1..3);
    });
    refused("the limit of an answer is at least 16 tokens", &|body| {
        body["max_output_tokens"] = json!(15)
    });
    refused("a tool is strict unless it says that it is not", &|body| {
        body["tools"][0].as_object_mut().unwrap().remove("strict");
    });
    refused("responses: reasoning models take no temperature", &|body| {
        body["temperature"] = json!(0.2)
    });
    refused("reasoning without a store is encrypted", &|body| {
        body["input"][1].as_object_mut().unwrap().remove("encrypted_content");
    });
}

mod media;
