//! Third-party parsers of event streams and verifiers of webhooks, from npm and PyPI.

use std::process::Stdio;

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{PIECES, USER, World};
use crate::peers::{npm, pypi};

/// The JSON output of a program for this input.
async fn ask(mut command: Command, input: &str) -> Value {
    use tokio::io::AsyncWriteExt as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect(&said)
}

fn node(script: &str) -> Option<Command> {
    let folder = npm("standardwebhooks")?;
    let mut command = Command::new("node");
    command.current_dir(folder).args(["--input-type=module", "-e", script]);
    Some(command)
}

fn python(script: &str) -> Option<Command> {
    let mut command = Command::new(pypi("httpx_sse, standardwebhooks")?);
    command.args(["-c", script]);
    Some(command)
}

#[tokio::test]
async fn other_peoples_parsers_read_the_same_events() {
    let world = World::new(true, &[]).await;
    let key = world.stack.daemon_key().to_owned();
    let body = |title: &str| {
        json!({
            "user_id": USER, "session_key": format!("user:{USER}:scout"), "task_title": title,
            "message": "Go, with tools.",
        })
    };
    let order = |title: &str| {
        json!({ "url": format!("{}/api/agents/stream", world.stack.daemon_url), "key": key,
            "body": body(title) })
        .to_string()
    };
    let js = r#"
        import { createParser } from 'eventsource-parser';
        let text = ''; for await (const piece of process.stdin) text += piece;
        const order = JSON.parse(text), events = [];
        const parser = createParser({ onEvent: (e) => events.push([e.event, JSON.parse(e.data)]) });
        const answer = await fetch(order.url, { method: 'POST', body: JSON.stringify(order.body),
            headers: { 'content-type': 'application/json', 'x-agent-daemon-key': order.key } });
        const decoder = new TextDecoder();
        for await (const piece of answer.body) parser.feed(decoder.decode(piece, { stream: true }));
        console.log(JSON.stringify(events));
    "#;
    let py = r#"
import json, sys, httpx, httpx_sse
order = json.load(sys.stdin)
events = []
with httpx.Client(timeout=60) as client:
    headers = {'x-agent-daemon-key': order['key']}
    with httpx_sse.connect_sse(client, 'POST', order['url'], json=order['body'], headers=headers) as s:
        for e in s.iter_sse():
            events.append([e.event, json.loads(e.data)])
print(json.dumps(events))
"#;
    let commands = [("node", node(js)), ("python", python(py))];
    for (name, command) in commands {
        let Some(command) = command else { continue };
        let told = ask(command, &order(name)).await;
        let told = told.as_array().unwrap();
        let names: Vec<_> = told.iter().map(|event| event[0].as_str().unwrap()).collect();
        assert_eq!((names[0], *names.last().unwrap()), ("start", "done"), "{name}: {names:?}");
        for event in told {
            assert_eq!(event[0], event[1]["type"], "{name}");
        }
        let chunks = told.iter().filter(|event| event[0] == "chunk");
        let text: String = chunks.map(|event| event[1]["data"].as_str().unwrap()).collect();
        assert_eq!(text, format!("I look. {}", PIECES.concat()), "{name}");
        assert_eq!(told.last().unwrap()[1]["response"], PIECES.concat(), "{name}");
    }
}

#[tokio::test]
async fn other_peoples_packages_verify_our_webhooks() {
    let world = World::new(true, &[("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true")]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, mut got) = tokio::sync::mpsc::channel::<Value>(8);
    let app = Router::new().route(
        "/hook",
        post(move |headers: axum::http::HeaderMap, body: String| {
            let sender = sender.clone();
            async move {
                let headers: serde_json::Map<_, _> = headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
                    .collect();
                sender.send(json!({ "headers": headers, "body": body })).await.unwrap();
            }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    let js = r#"
        import { Webhook } from 'standardwebhooks';
        let text = ''; for await (const piece of process.stdin) text += piece;
        const { secret, headers, body } = JSON.parse(text);
        const hook = new Webhook(secret);
        const good = hook.verify(body, headers);
        let bad = 'accepted';
        try { hook.verify(body + ' ', headers) } catch (e) { bad = 'refused' }
        console.log(JSON.stringify({ event: good.event, bad }));
    "#;
    let py = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
order = json.load(sys.stdin)
hook = Webhook(order['secret'])
good = hook.verify(order['body'], order['headers'])
try:
    hook.verify(order['body'] + ' ', order['headers']); bad = 'accepted'
except WebhookVerificationError:
    bad = 'refused'
print(json.dumps({'event': good['event'], 'bad': bad}))
"#;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = json!({
        "user_id": USER, "session_key": format!("user:{USER}:scout"), "task_title": "Work",
        "message": "Go.", "webhook": { "url": url, "secret": secret },
    });
    let send = reqwest::Client::new()
        .post(format!("{}/api/agents/send", world.stack.daemon_url))
        .header("x-agent-daemon-key", world.stack.daemon_key())
        .json(&body);
    assert_eq!(send.send().await.unwrap().status(), 200);
    let mut told = got.recv().await.unwrap();
    told["secret"] = json!(secret);
    for command in [node(js), python(py)].into_iter().flatten() {
        let verdict = ask(command, &told.to_string()).await;
        assert_eq!(verdict, json!({ "event": "agent.completed", "bad": "refused" }));
    }
}
