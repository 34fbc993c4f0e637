//! The services of packaging/docker/compose.yaml, without containers: the backend on a real
//! PostgreSQL, two daemons that a DNS server knows, the real proxy with the shipped configuration,
//! the dispatcher.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::postgres::Postgres;
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use test_support::wait_for;
use tokio::net::UdpSocket;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::peers::{free_port, installed};
use crate::streams::{Model, PIECES, events};

const USER: &str = "ann";

/// The addresses of the two daemons; they share a port, as containers do.
const REPLICAS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 81, 1), Ipv4Addr::new(127, 0, 81, 2)];

/// How many requests must succeed before and after each restart of a daemon.
const SOME: usize = 15;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/docker/haproxy.cfg")
}

/// Stands in for Docker's DNS server: it knows the replicas that run now.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<Ipv4Addr>>>);

impl Names {
    async fn serve(&self) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let names = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0_u8; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = names.answer(&buffer[..length]);
                let _gone = socket.send_to(&answer, from).await;
            }
        });
        address
    }

    fn set(&self, replicas: &[Ipv4Addr]) {
        *self.0.lock().unwrap() = replicas.to_vec();
    }

    /// RFC 1035: header, the repeated question, and an address record for each replica.
    fn answer(&self, query: &[u8]) -> Vec<u8> {
        let name_length = query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let question = &query[12..12 + name_length + 4];
        let (name, kind) = (&question[..name_length], &question[name_length..name_length + 2]);
        assert_eq!(name, b"\x06daemon\0", "the proxy asks for the service's name");
        let replicas = if kind == [0, 1] { self.0.lock().unwrap().clone() } else { Vec::new() };
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(replicas.len()).unwrap(), 0, 0, 0, 0]);
        answer.extend(question);
        for replica in replicas {
            // The question's name, an address, of the Internet, for a second, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            answer.extend(replica.octets());
        }
        answer
    }
}

/// A port that is free on all replicas' addresses.
fn common_port() -> u16 {
    let free = |port: u16| {
        REPLICAS.iter().all(|replica| std::net::TcpListener::bind((*replica, port)).is_ok())
    };
    std::iter::repeat_with(free_port).find(|port| free(*port)).unwrap()
}

/// The shipped configuration with the addresses of this machine; each occurs once.
fn proxy_file(dir: &Path, listen: u16, names: &str, daemons: u16) -> PathBuf {
    let mut text = std::fs::read_to_string(shipped()).unwrap();
    for (shipped, here) in [
        ("bind :8081", format!("bind 127.0.0.1:{listen}")),
        ("nameserver docker 127.0.0.11:53", format!("nameserver docker {names}")),
        (" daemon:8081 ", format!(" daemon:{daemons} ")),
    ] {
        assert_eq!(text.matches(shipped).count(), 1, "{shipped}");
        text = text.replace(shipped, &here);
    }
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    file
}

struct World {
    stack: Stack,
    other: Program,
    options: StackOptions,
    model: Model,
    names: Names,
    proxy: String,
    _proxy: Child,
    _postgres: Postgres,
    _dir: TempDir,
}

impl World {
    async fn new() -> Option<Self> {
        let haproxy = installed("haproxy")?;
        let postgres = Postgres::start(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let (model, model_url) = Model::start(true).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
        let config = r#"{"agents": [{"role": "scout"}]}"#;
        std::fs::write(dir.path().join("config/agent-config.json"), config).unwrap();
        let (daemons, listen) = (common_port(), free_port());
        let proxy = format!("http://127.0.0.1:{listen}");
        let options = StackOptions {
            example: dir.path().to_owned(),
            daemon_port: Some(daemons),
            daemon: vec![
                ("LLM_PROVIDER", "openai".to_owned()),
                ("OPENAI_BASE_URL", format!("{model_url}/v1")),
                ("WOMBAT_SESSION_POLICY", "parallel".to_owned()),
                ("WOMBAT_HOST", REPLICAS[0].to_string()),
            ],
            everywhere: vec![("DATABASE_URL", postgres.url()), ("AGENT_DAEMON_URL", proxy.clone())],
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        let other = replica(&stack, &options, 1).await;
        let names = Names::default();
        names.set(&REPLICAS);
        let file = proxy_file(dir.path(), listen, &names.serve().await, daemons);
        let child = Command::new(haproxy)
            .arg("-db")
            .arg("-f")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let world = Self {
            stack,
            other,
            options,
            model,
            names,
            proxy,
            _proxy: child,
            _postgres: postgres,
            _dir: dir,
        };
        wait_for("the proxy has found a daemon", async || {
            let ready = reqwest::get(format!("{}/readyz", world.proxy)).await.ok()?;
            (ready.status() == 200).then_some(())
        })
        .await;
        Some(world)
    }

    fn call(&self, way: &str, title: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(format!("{}/api/agents/{way}", self.proxy))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .json(&json!({
                "user_id": USER, "session_key": format!("user:{USER}:scout"),
                "task_title": title, "message": "Go.",
            }))
    }

    /// What agents have replied in a task.
    async fn replies(&self, task: &str) -> Vec<Value> {
        let path = format!("/messages?task_id={task}&limit=200");
        let thread = self.stack.person(USER).list(&path).await.unwrap();
        thread.into_iter().filter(|message| message["actor_type"] == "agent").collect()
    }
}

/// Restarts the daemon of one address.
async fn replica(stack: &Stack, options: &StackOptions, n: usize) -> Program {
    let mut options = options.clone();
    options.daemon.push(("WOMBAT_HOST", REPLICAS[n].to_string()));
    options.daemon.push(("WOMBAT_PORT", options.daemon_port.unwrap().to_string()));
    stack.another_daemon(&options).await.unwrap().0
}

#[tokio::test]
async fn haproxy_finds_no_fault_in_the_shipped_file() {
    let Some(haproxy) = installed("haproxy") else { return };
    let check = async |file: &Path| {
        Command::new(&haproxy).arg("-c").arg("-f").arg(file).output().await.unwrap()
    };
    let output = check(&shipped()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("WARNING"), "{said}");
    // And it is a check that can fail.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("haproxy.cfg");
    let text = std::fs::read_to_string(shipped()).unwrap();
    std::fs::write(&file, text.replace("balance leastconn", "balance at-will")).unwrap();
    assert!(!check(&file).await.status.success());
}

#[tokio::test]
async fn messages_streams_and_mentions_pass_the_proxy() {
    let Some(mut world) = World::new().await else { return };
    let answer = world.call("send", "Plain").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["response"], PIECES.concat());
    let replies = world.replies(answer["task_id"].as_str().unwrap()).await;
    assert_eq!((replies.len(), &replies[0]["id"]), (1, &answer["message_id"]));

    // The second piece is not told before the first has been read here.
    world.model.go.send_replace(false);
    let mut answer = world.call("stream", "Streamed").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("Hallo") {
        let piece = answer.chunk().await.unwrap().expect(&text);
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(!text.contains("Zeilen"), "{text}");
    world.model.go.send_replace(true);
    text.push_str(&answer.text().await.unwrap());
    assert_eq!(events(&text).last().unwrap().0, "done", "{text}");

    // The dispatcher knows the proxy and no daemon.
    let person = world.stack.person(USER);
    let task = person.post("/tasks", &json!({ "title": "Mentioned" })).await.unwrap();
    let task = task["id"].as_str().unwrap();
    let message = json!({ "task_id": task, "content": "@scout hello" });
    person.post("/messages", &message).await.unwrap();
    wait_for("the mention is answered", async || {
        (world.replies(task).await.len() == 1).then_some(())
    })
    .await;
    world.other.stop().await.unwrap();
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn each_daemon_is_replaced_while_requests_go_on_and_none_fails_or_is_done_twice() {
    let Some(mut world) = World::new().await else { return };
    let (stop, stopped) = watch::channel(false);
    let done = watch::Sender::new(0_usize);
    let load: Vec<_> = (0..6)
        .map(|worker| {
            let (stopped, done) = (stopped.clone(), done.clone());
            let way = if worker % 2 == 0 { "send" } else { "stream" };
            let call = world.call(way, &format!("T{worker}"));
            tokio::spawn(async move {
                let (mut tasks, mut failed) = (Vec::new(), Vec::new());
                while !*stopped.borrow() {
                    let key = format!("{worker}-{}", tasks.len());
                    let call = call.try_clone().unwrap().header("idempotency-key", key);
                    let answer = match call.send().await {
                        Ok(answer) => answer,
                        Err(error) => {
                            failed.push(format!("{error:?}"));
                            continue;
                        }
                    };
                    let (status, text) = (answer.status(), answer.text().await);
                    let text = text.unwrap_or_else(|error| format!("{error:?}"));
                    let last = match way {
                        "send" => serde_json::from_str(&text).unwrap_or_default(),
                        _ => events(&text).pop().map_or(Value::Null, |(_, data)| data),
                    };
                    if status == 200 && last["response"] == PIECES.concat() {
                        tasks.push(last["task_id"].as_str().unwrap().to_owned());
                        done.send_modify(|done| *done += 1);
                    } else {
                        failed.push(format!("{way} {status} {text}"));
                    }
                }
                (tasks, failed)
            })
        })
        .collect();
    let more = async || {
        let goal = *done.borrow() + SOME;
        let mut done = done.subscribe();
        let waited = done.wait_for(|done| *done >= goal);
        tokio::time::timeout(test_support::PATIENCE, waited)
            .await
            .expect("requests go on")
            .unwrap();
    };
    for n in [0, 1] {
        more().await;
        let daemon = if n == 0 { &mut world.stack.daemon } else { &mut world.other };
        assert!(daemon.stop().await.unwrap().success());
        world.names.set(&[REPLICAS[1 - n]]);
        more().await;
        let daemon = replica(&world.stack, &world.options, n).await;
        if n == 0 {
            world.stack.daemon = daemon;
        } else {
            world.other = daemon;
        }
        world.names.set(&REPLICAS);
        // As compose and Kubernetes do: the next one goes when this one gets requests.
        let url = format!("http://{}:{}", REPLICAS[n], world.options.daemon_port.unwrap());
        wait_for("the new one gets requests", async || {
            let call = reqwest::Client::new().get(format!("{url}/metrics"));
            let call = call.header("x-agent-daemon-key", world.stack.daemon_key());
            let text = call.send().await.ok()?.text().await.ok()?;
            text.contains("wombat_runs_total{").then_some(())
        })
        .await;
    }
    stop.send_replace(true);
    let (mut tasks, mut failed) = (Vec::new(), Vec::new());
    for worker in load {
        let (its_tasks, its_failed) = worker.await.unwrap();
        tasks.push(its_tasks);
        failed.extend(its_failed);
    }
    let count: usize = tasks.iter().map(Vec::len).sum();
    eprintln!("{count} requests, {} failed", failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    for of_worker in tasks {
        // One task each, and in it as many replies as requests, up to the page's bound.
        let replies = world.replies(&of_worker[0]).await;
        assert!(of_worker.iter().all(|task| *task == of_worker[0]));
        assert_eq!(replies.len(), of_worker.len().min(200));
    }
    world.other.stop().await.unwrap();
    world.stack.stop().await.unwrap();
}
