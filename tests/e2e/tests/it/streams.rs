//! Streams and webhooks as others see them: through proxies, with other people's parsers, under
//! faults, overload and restarts.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::peers::{free_port, installed, npm, pypi};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::gate::{Fault, Gate};
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use test_support::wait_for;
use tokio::process::{Child, Command};
use tokio::sync::watch;

const USER: &str = "ann";

/// What the model says: with all that could trouble a parser.
pub(crate) const PIECES: [&str; 4] =
    ["Hallo, ", "zwei\nZeilen\r\n\r\n", "data: kein Feld, 🦘 ", "Ende"];

/// A model that tells its pieces one by one: after the first it waits until it is let go on. It
/// calls a tool first where the message asks for one.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) go: watch::Sender<bool>,
    pub(crate) asked: watch::Sender<usize>,
}

impl Model {
    pub(crate) async fn start(go: bool) -> (Self, String) {
        let model = Self { go: watch::Sender::new(go), asked: watch::Sender::new(0) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app =
            Router::new().route("/v1/chat/completions", post(answer)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, url)
    }

    async fn let_go(&self) {
        self.go.send_replace(true);
    }
}

async fn answer(State(model): State<Model>, body: String) -> Response {
    model.asked.send_modify(|asked| *asked += 1);
    let body: Value = serde_json::from_str(&body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let streams = body["stream"] == true;
    let wants_tools = messages.iter().any(|m| m.to_string().contains("with tools"));
    let has_results = messages.iter().any(|m| m["role"] == "tool");
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    let calls = wants_tools && !has_results;
    let mut go = model.go.subscribe();
    if !streams {
        let _open = go.wait_for(|go| *go).await;
        let message = if calls {
            json!({ "role": "assistant", "content": "I look. ", "tool_calls": tool_calls() })
        } else {
            json!({ "role": "assistant", "content": PIECES.concat() })
        };
        let reason = if calls { "tool_calls" } else { "stop" };
        let body = json!({
            "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
            "usage": usage,
        });
        return Response::new(Body::from(body.to_string()));
    }
    let event = |delta: Value, reason: Value, usage: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        format!("data: {}\n\n", json!({ "choices": choices, "usage": usage }))
    };
    let mut events = Vec::new();
    if calls {
        events.push(event(json!({ "content": "I look. " }), Value::Null, Value::Null));
        events.push(event(json!({ "tool_calls": tool_calls() }), Value::Null, Value::Null));
        events.push(event(json!({}), json!("tool_calls"), usage));
    } else {
        for piece in PIECES {
            events.push(event(json!({ "content": piece }), Value::Null, Value::Null));
        }
        events.push(event(json!({}), json!("stop"), usage));
    }
    events.push("data: [DONE]\n\n".to_owned());
    let body = futures::stream::unfold((events.into_iter(), 0), move |(mut events, n)| {
        let mut go = go.clone();
        async move {
            let event = events.next()?;
            if n == 1 {
                let _open = go.wait_for(|go| *go).await;
            }
            Some((Ok::<_, std::io::Error>(event), (events, n + 1)))
        }
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(body))
        .unwrap()
}

fn tool_calls() -> Value {
    json!([
        { "index": 0, "id": "c1", "type": "function",
            "function": { "name": "create_task", "arguments": "{\"title\":\"One\"}" } },
        { "index": 1, "id": "c2", "type": "function",
            "function": { "name": "list_tasks", "arguments": "{}" } },
    ])
}

struct World {
    stack: Stack,
    model: Model,
    gate: Gate,
    options: StackOptions,
    dir: TempDir,
}

impl World {
    async fn new(go: bool, settings: &[(&'static str, &str)]) -> Self {
        let (model, url) = Model::start(go).await;
        let gate = Gate::new();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
        std::fs::write(dir.path().join("config/agent-config.json"), "{}").unwrap();
        let mut daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", format!("{url}/v1")),
            ("WOMBAT_RETRY_DELAY_MS", "1".to_owned()),
            ("WOMBAT_RETRY_MAX_DELAY_MS", "2".to_owned()),
        ];
        daemon.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let options =
            StackOptions { daemon, example: dir.path().to_owned(), ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        Self { stack, model, gate, options, dir }
    }

    fn call(&self, daemon: &str, way: &str, title: &str, message: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(format!("{daemon}/api/agents/{way}"))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .json(&json!({
                "user_id": USER, "session_key": format!("user:{USER}:scout"), "task_title": title,
                "message": message,
            }))
    }
}

/// The events of a stream's text, by the rules of the HTML standard, as simply as can be.
pub(crate) fn events(text: &str) -> Vec<(String, Value)> {
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let name = field("event: ")?.to_owned();
            Some((name, serde_json::from_str(field("data: ")?).unwrap()))
        })
        .collect()
}

/// A proxy in front of daemons.
struct Proxy {
    _child: Child,
    url: String,
}

async fn start(mut command: Command, port: u16) -> Proxy {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    wait_for("the proxy listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    Proxy { _child: child, url: format!("http://127.0.0.1:{port}") }
}

/// nginx with its defaults; one that is stopping, or gone, is passed over.
async fn nginx(dir: &Path, daemons: &[&str]) -> Option<Proxy> {
    let program = installed("nginx")?;
    let (port, dir) = (free_port(), dir.join(format!("nginx-{}", daemons.len())));
    std::fs::create_dir_all(&dir).unwrap();
    let servers: String = daemons
        .iter()
        .map(|url| format!("server {} max_fails=0;", url.trim_start_matches("http://")))
        .collect();
    let at = dir.display();
    let config = format!(
        "daemon off; master_process off; error_log {at}/error.log; pid {at}/pid;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p;
            fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
            upstream wombat {{ {servers} }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://wombat;
                    proxy_next_upstream error timeout http_503 non_idempotent;
                }}
            }}
        }}"
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).arg("-p").arg(&dir);
    Some(start(command, port).await)
}

async fn haproxy(dir: &Path, daemons: &[&str]) -> Option<Proxy> {
    let program = installed("haproxy")?;
    let port = free_port();
    let servers: String = daemons
        .iter()
        .enumerate()
        .map(|(n, url)| {
            let address = url.trim_start_matches("http://");
            format!("    server s{n} {address} check inter 100ms fall 1 rise 1\n")
        })
        .collect();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    \
         timeout server 60s\n    retries 4\n    option redispatch 1\n    \
         retry-on conn-failure empty-response 503\n\
         frontend f\n    bind 127.0.0.1:{port}\n    default_backend b\n\
         backend b\n    option http-buffer-request\n    option httpchk GET /readyz\n{servers}"
    );
    let file = dir.join(format!("haproxy-{port}.cfg"));
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-f").arg(&file).arg("-db");
    Some(start(command, port).await)
}

#[tokio::test]
async fn a_run_with_tools_is_told_in_order_and_its_last_turn_is_what_is_stored() {
    let world = World::new(true, &[]).await;
    let call = world.call(&world.stack.daemon_url, "stream", "Work", "Go, with tools.");
    let told = events(&call.send().await.unwrap().text().await.unwrap());
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["start", "chunk"]);
    let tools: Vec<_> = names[2..6].to_vec();
    assert_eq!(tools.iter().filter(|name| **name == "tool_call").count(), 2, "{names:?}");
    assert_eq!(tools.iter().filter(|name| **name == "tool_result").count(), 2, "{names:?}");
    assert_eq!(names[6..], ["chunk", "chunk", "chunk", "chunk", "done"]);
    for id in ["c1", "c2"] {
        let at = |wanted: &str| {
            told.iter().position(|(name, data)| name == wanted && data["id"] == id).unwrap()
        };
        assert!(at("tool_call") < at("tool_result"));
    }
    let last: String = told[6..10].iter().map(|(_, data)| data["data"].as_str().unwrap()).collect();
    let (_, done) = told.last().unwrap();
    assert_eq!(
        (done["response"].as_str(), last.as_str()),
        (Some(&*PIECES.concat()), &*PIECES.concat())
    );
    let task = told[0].1["task_id"].as_str().unwrap();
    let path = format!("/messages?task_id={task}");
    let thread = world.stack.person(USER).list(&path).await.unwrap();
    assert_eq!((thread.len(), thread[0]["content"].as_str()), (1, Some(&*PIECES.concat())));
    assert_eq!(thread[0]["id"], done["message_id"]);
}

#[tokio::test]
async fn whatever_fails_a_stream_ends_once_and_send_says_the_same() {
    // A lease is given back after the answer, and would be counted as the next run's first request.
    let settings = [("WOMBAT_RETRY_ATTEMPTS", "2"), ("WOMBAT_SESSION_POLICY", "parallel")];
    let mut world = World::new(true, &settings).await;
    world.stack.dispatcher.kill().await.unwrap();
    let model = world.options.daemon.iter().find(|(name, _)| *name == "OPENAI_BASE_URL");
    let model = model.unwrap().1.trim_end_matches("/v1").to_owned();
    let ways = [
        ("OPENAI_BASE_URL", format!("{}/v1", world.gate.to(&model).await)),
        ("BACKEND_URL", world.gate.to(&world.stack.backend_url).await),
    ];
    world.options.daemon.extend(ways);
    let (_daemon, url) = world.stack.another_daemon(&world.options).await.unwrap();
    // What the daemon learns once, it learns here.
    let warm = world.call(&url, "send", "warm", "Go, with tools.").send().await.unwrap();
    assert_eq!(warm.status(), 200);
    world.gate.arm(None);
    let whole = world.call(&url, "send", "whole", "Go, with tools.").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let kinds: BTreeSet<String> = world.gate.passed().iter().map(|passed| passed.kind()).collect();
    assert!(kinds.len() >= 12, "{kinds:?}");
    let mut failed = 0;
    for kind in &kinds {
        for fault in [Fault::Status(500), Fault::Status(404), Fault::Garbage, Fault::Half] {
            let context = format!("{fault:?} to {kind}");
            let title = context.clone();
            world.gate.fail(kind, fault);
            let streamed = world.call(&url, "stream", &title, "Go, with tools.").send().await;
            let streamed = streamed.unwrap();
            let (status, text) = (streamed.status(), streamed.text().await.unwrap());
            let code = if status == 200 {
                let told = events(&text);
                let ends: Vec<_> =
                    told.iter().filter(|(name, _)| name == "done" || name == "error").collect();
                assert_eq!(ends.len(), 1, "{context}: {text}");
                assert_eq!(told.last(), ends.first().copied(), "{context}");
                assert_eq!(told[0].0, "start", "{context}");
                ends[0].1["code"].as_str().map(str::to_owned)
            } else {
                let error: Value = serde_json::from_str(&text).expect(&context);
                assert!(!text.contains("event:"), "{context}");
                Some(error["code"].as_str().expect(&context).to_owned())
            };
            world.gate.fail(kind, fault);
            let sent = world.call(&url, "send", &format!("{title} sent"), "Go, with tools.");
            let sent = sent.send().await.unwrap();
            let status = sent.status();
            let body: Value = sent.json().await.expect(&context);
            let same = body["code"].as_str().map(str::to_owned);
            assert_eq!(status == 200, same.is_none(), "{context}: {body}");
            // Text that is out cannot be taken back, and so is not asked for again.
            let is_out = fault == Fault::Half && code.as_deref() == Some("llm_bad_answer");
            assert!(code == same || is_out && same.is_some(), "{context}: {code:?} {body}");
            failed += usize::from(code.is_some());
        }
    }
    world.gate.arm(None);
    assert!(failed >= 10, "{failed}");
    eprintln!("{failed} of {} planted faults ended a run", kinds.len() * 4);
}

#[tokio::test]
async fn nothing_is_held_back_behind_a_proxy() {
    let world = World::new(false, &[]).await;
    let daemon = world.stack.daemon_url.as_str();
    let proxies =
        [nginx(world.dir.path(), &[daemon]).await, haproxy(world.dir.path(), &[daemon]).await];
    let addresses = proxies.iter().flatten().map(|proxy| proxy.url.as_str());
    for (n, url) in std::iter::once(daemon).chain(addresses).enumerate() {
        world.model.go.send_replace(false);
        let call = world.call(url, "stream", &format!("Work {n}"), "Go.");
        let mut answer = call.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream", "{url}");
        let mut text = String::new();
        // The second piece is not told before the first has been read here.
        while !text.contains("Hallo") {
            let piece = answer.chunk().await.unwrap().expect(&text);
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert!(!text.contains("Zeilen"), "{text}");
        world.model.let_go().await;
        text.push_str(&answer.text().await.unwrap());
        assert_eq!(events(&text).last().unwrap().0, "done", "{text}");
    }
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive() {
    let world = World::new(false, &[]).await;
    let call = world.call(&world.stack.daemon_url, "stream", "Work", "Go.");
    let mut answer = call.send().await.unwrap();
    let mut text = String::new();
    while !text.lines().any(|line| line.starts_with(':')) {
        let piece = answer.chunk().await.unwrap().expect(&text);
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    world.model.let_go().await;
    text.push_str(&answer.text().await.unwrap());
    assert_eq!(events(&text).last().unwrap().0, "done", "{text}");
}

/// The answer of a program that gets a text and gives JSON.
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

#[tokio::test]
async fn three_times_more_runs_than_the_limit_are_refused_quickly_and_harm_nobody() {
    let world = World::new(
        false,
        &[("WOMBAT_MAX_CONCURRENT_RUNS", "10"), ("WOMBAT_SESSION_POLICY", "parallel")],
    )
    .await;
    let url = &world.stack.daemon_url;
    let accepted = (0..10).map(|n| world.call(url, "send", &format!("T{n}"), "Go.").send());
    let accepted = futures::future::join_all(accepted);
    let refused = async {
        let mut asked = world.model.asked.subscribe();
        asked.wait_for(|asked| *asked == 10).await.unwrap();
        let more = (10..30).map(|n| world.call(url, "send", &format!("T{n}"), "Go.").send());
        let more = futures::future::join_all(more).await;
        world.model.let_go().await;
        more
    };
    let (accepted, refused) = tokio::join!(accepted, refused);
    for answer in refused {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "overloaded");
    }
    for answer in accepted {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<Value>().await.unwrap()["response"], PIECES.concat());
    }
    assert_eq!(*world.model.asked.subscribe().borrow(), 10);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_hundred_runs_fails_none_without_a_word() {
    for finishes in [true, false] {
        let settings = [("WOMBAT_DRAIN_SECS", if finishes { "30" } else { "1" })];
        let mut world = World::new(false, &settings).await;
        let url = world.stack.daemon_url.clone();
        let calls: Vec<_> = (0..100)
            .map(|n| {
                let way = if n % 2 == 0 { "stream" } else { "send" };
                let call = world.call(&url, way, &format!("T{n}"), "Go.");
                tokio::spawn(async move {
                    let answer = call.send().await.unwrap();
                    let status = answer.status().as_u16();
                    (n, status, answer.text().await.unwrap())
                })
            })
            .collect();
        let mut asked = world.model.asked.subscribe();
        asked.wait_for(|asked| *asked == 100).await.unwrap();
        world.stack.daemon.signal(Signal::TERM);
        wait_for("not ready", async || {
            let ready = reqwest::get(format!("{url}/readyz")).await.ok()?;
            (ready.status() == 503).then_some(())
        })
        .await;
        if finishes {
            world.model.let_go().await;
        }
        for call in calls {
            let (n, status, text) = call.await.unwrap();
            let (done, draining) = if n % 2 == 0 {
                let (name, data) = events(&text).pop().expect("an end");
                (name == "done", data["code"] == "draining")
            } else {
                (status == 200, status == 503 && text.contains("draining"))
            };
            assert!(if finishes { done } else { draining }, "{n}: {status} {text}");
        }
        assert!(world.stack.daemon.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn a_rolling_restart_behind_a_proxy_fails_no_request() {
    let rounds = std::env::var("WOMBAT_TEST_ROUNDS").ok().and_then(|n| n.parse().ok());
    let rounds: usize = rounds.unwrap_or(3);
    let world = World::new(true, &[("WOMBAT_SESSION_POLICY", "parallel")]).await;
    for which in ["nginx", "haproxy"] {
        let ports = [free_port(), free_port()];
        let urls = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let begin = async |n: usize| -> Program {
            let mut options = world.options.clone();
            options.daemon.push(("WOMBAT_PORT", ports[n].to_string()));
            world.stack.another_daemon(&options).await.unwrap().0
        };
        let mut daemons = [begin(0).await, begin(1).await];
        let both = [urls[0].as_str(), urls[1].as_str()];
        let proxy = match which {
            "nginx" => nginx(world.dir.path(), &both).await,
            _ => haproxy(world.dir.path(), &both).await,
        };
        let Some(proxy) = proxy else { continue };
        let (stop, stopped) = watch::channel(false);
        let load: Vec<_> = (0..8)
            .map(|worker| {
                let stopped = stopped.clone();
                let key = world.stack.daemon_key().to_owned();
                let url = format!("{}/api/agents/send", proxy.url);
                tokio::spawn(async move {
                    let http = reqwest::Client::new();
                    let (mut done, mut failed) = (0, Vec::new());
                    while !*stopped.borrow() {
                        let body = json!({
                            "user_id": USER, "session_key": format!("user:{USER}:scout"),
                            "task_title": format!("{which} {worker}"), "message": "Go.",
                        });
                        let call = http.post(&url).header("x-agent-daemon-key", &key).json(&body);
                        match call.send().await {
                            Ok(answer) if answer.status() == 200 => done += 1,
                            Ok(answer) => failed.push(format!(
                                "{} {}",
                                answer.status(),
                                answer.text().await.unwrap_or_default()
                            )),
                            Err(error) => failed.push(format!("{error:?}")),
                        }
                    }
                    (done, failed)
                })
            })
            .collect();
        for round in 0..rounds * 2 {
            let n = round % 2;
            assert!(daemons[n].stop().await.unwrap().success());
            daemons[n] = begin(n).await;
            // As an orchestrator does: the next one goes when this one serves.
            wait_for("it serves again", async || {
                let ready = reqwest::get(format!("{}/readyz", urls[n])).await.ok()?;
                (ready.status() == 200).then_some(())
            })
            .await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        stop.send_replace(true);
        let (mut done, mut failed) = (0, Vec::new());
        for worker in load {
            let (its_done, its_failed) = worker.await.unwrap();
            done += its_done;
            failed.extend(its_failed);
        }
        eprintln!("{which}: {} restarts, {done} requests, {} failed", rounds * 2, failed.len());
        assert!(failed.is_empty(), "{which}: {failed:?}");
        assert!(done > 10, "{done}");
    }
}
