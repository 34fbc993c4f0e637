//! What was acknowledged is kept, and what was repeated is there once, whatever dies meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::postgres::Postgres;
use test_support::program::Program;
use test_support::{PATIENCE, wait_for, wait_within};
use tokio::task::JoinSet;

use crate::harness::{Caller, Home, INTERNAL, MC, SECRET, kept, on_postgres, send};

/// How many write at the same time, where nothing else is said.
const WRITERS: usize = 4;

/// How many writes are acknowledged before the next blow.
const BETWEEN: usize = 25;

pub(crate) fn start(url: &str, dir: &Path, port: &str) -> Program {
    let settings = [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("DATABASE_URL", url.to_owned()),
        ("MC_PORT", port.to_owned()),
    ];
    Program::start("wombat-mission-control", dir, &settings, &[]).unwrap()
}

/// The ids of what was acknowledged, by key.
type Acknowledged = Arc<Mutex<HashMap<String, String>>>;

/// Those who write, each the same again until it is acknowledged.
pub(crate) struct Load {
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    writers: JoinSet<()>,
    many: usize,
}

impl Load {
    pub(crate) fn on(url: &str) -> Self {
        Self::by(WRITERS, url)
    }

    pub(crate) fn by(many: usize, url: &str) -> Self {
        let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
        let mut writers = JoinSet::new();
        for writer in 0..many {
            let agent = Caller::of(url).by_agent(&format!("u{writer}"), "scout");
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            writers.spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let key = format!("u{writer} {n}");
                    let id = write(&agent, &key).await;
                    acknowledged.lock().unwrap().insert(key, id);
                }
            });
        }
        Self { acknowledged, stop, writers, many }
    }

    /// Waits until so many more were acknowledged.
    pub(crate) async fn go_on(&self) {
        self.go_on_within(PATIENCE).await;
    }

    /// The same with another timeout.
    pub(crate) async fn go_on_within(&self, timeout: Duration) {
        let goal = self.acknowledged.lock().unwrap().len() + BETWEEN;
        let reached = async || (self.acknowledged.lock().unwrap().len() >= goal).then_some(());
        wait_within(timeout, "writes go on", reached).await;
    }

    /// Ends it, and compares what is there with what was acknowledged.
    pub(crate) async fn check(self, url: &str) {
        self.stop.store(true, Ordering::SeqCst);
        let many = self.many;
        self.writers.join_all().await;
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let mut found = HashMap::new();
        for writer in 0..many {
            let agent = Caller::of(url).by_agent(&format!("u{writer}"), "scout");
            let mut cursor = String::new();
            loop {
                let page = agent.get(&format!("/tasks?limit=200{cursor}")).await;
                for task in page.items() {
                    let title = task["title"].as_str().unwrap().to_owned();
                    let id = task["id"].as_str().unwrap().to_owned();
                    assert!(found.insert(title.clone(), id).is_none(), "{title} is there twice");
                }
                match page.body["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
        }
        assert_eq!(found, acknowledged);
    }
}

/// Writes a task, as often as it takes. Every answer is a success or says when to come back.
async fn write(agent: &Caller, key: &str) -> String {
    let new = json!({ "title": key, "idempotency_key": key });
    loop {
        let request = agent.raw(Method::POST, &format!("{MC}/tasks")).json(&new);
        if let Ok(answer) = request.send().await {
            let (status, retry) = (answer.status(), answer.headers().contains_key("retry-after"));
            if status == StatusCode::SERVICE_UNAVAILABLE {
                assert!(retry, "503 without Retry-After");
            } else if let Ok(task) = answer.json::<Value>().await {
                assert_eq!(status, StatusCode::OK, "{task}");
                return task["id"].as_str().unwrap().to_owned();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn port(url: &str) -> String {
    url.rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_backend_that_is_killed_under_load_loses_nothing_and_does_nothing_twice() {
    let (home, dir) = (Home::new(), tempfile::tempdir().unwrap());
    let mut backend = start(&home.url(), dir.path(), "0");
    let url = backend.url().await.unwrap();
    let load = Load::on(&url);
    for _ in 0..5 {
        load.go_on().await;
        backend.signal(Signal::KILL);
        backend.wait().await.unwrap();
        backend = start(&home.url(), dir.path(), &port(&url));
        backend.url().await.unwrap();
    }
    load.go_on().await;
    load.check(&url).await;
}

#[tokio::test]
async fn a_server_that_is_killed_or_restarted_under_load_loses_nothing_and_the_backend_stays() {
    if !on_postgres() {
        return;
    }
    let Some(mut server) = Postgres::start_durable(kept()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut backend = start(&server.url(), dir.path(), "0");
    let url = backend.url().await.unwrap();
    let load = Load::on(&url);
    for blow in 0..6 {
        load.go_on().await;
        if blow % 2 == 0 { server.kill() } else { server.stop() }
        server.up();
    }
    load.go_on().await;
    load.check(&url).await;
}

#[tokio::test]
async fn an_instance_that_stands_still_holds_up_the_others_for_a_moment_only() {
    if !on_postgres() {
        return;
    }
    let (home, dir) = (Home::new(), tempfile::tempdir().unwrap());
    let mut backends = [start(&home.url(), dir.path(), "0"), start(&home.url(), dir.path(), "0")];
    let still = backends[0].url().await.unwrap();
    let url = backends[1].url().await.unwrap();
    let load = Load::on(&url);
    for _ in 0..3 {
        let agent = Caller::of(&still).by_agent("still", "scout");
        let writes = tokio::spawn(async move {
            for n in 0.. {
                let new = json!({ "title": n.to_string() });
                let request = agent.raw(Method::POST, &format!("{MC}/tasks")).json(&new);
                let _answer = request.send().await;
            }
        });
        load.go_on().await;
        backends[0].signal(Signal::STOP);
        load.go_on().await;
        backends[0].signal(Signal::CONT);
        writes.abort();
    }
    // It is well again.
    let agent = Caller::of(&still).by_agent("u0", "scout");
    let back = async || {
        let request = agent.raw(Method::GET, &format!("{MC}/tasks?limit=1"));
        (send(request).await.status == StatusCode::OK).then_some(())
    };
    wait_for("the one that stood still answers", back).await;
    load.check(&url).await;
}

/// A disk of a few megabytes.
pub(crate) struct SmallDisk(pub(crate) TempDir);

impl SmallDisk {
    /// `None` where nobody may mount one, which is said.
    pub(crate) fn new(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        test_support::skip("a small disk cannot be mounted: only root may");
        None
    }

    pub(crate) fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Takes what room is left.
    pub(crate) fn fill(&self) {
        let mut size = 1 << 20;
        let mut filler = Vec::new();
        // The last bytes too.
        while size > 0 {
            filler.resize(filler.len() + size, b'x');
            if std::fs::write(self.filler(), &filler).is_err() {
                filler.truncate(filler.len() - size);
                size /= 2;
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _done = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_is_503_until_there_is_room_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(if on_postgres() { 24 } else { 6 }) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut server = None;
    let database = if on_postgres() {
        let Some(started) = Postgres::start(kept()) else { return };
        // Its log of writes is elsewhere, as it should be: a server without room for that stops.
        let url = started.with_tables_in(disk.0.path());
        server = Some(started);
        url
    } else {
        format!("sqlite:{}", disk.0.path().join("mc.db").display())
    };
    let mut backend = start(&database, dir.path(), "0");
    let url = backend.url().await.unwrap();
    let agent = Caller::of(&url).by_agent("ann", "scout");
    let before = agent.task("before").await;
    disk.fill();
    let long = "x".repeat(100_000);
    let mut refused = 0;
    let mut kept = vec![before];
    for n in 0..60 {
        let new = json!({ "title": format!("{n}"), "description": long, "idempotency_key": format!("{n}") });
        let answer = agent.post("/tasks", new).await;
        if answer.status == StatusCode::OK {
            kept.push(answer.body["id"].as_str().unwrap().to_owned());
            continue;
        }
        answer.fails(503, "unavailable");
        assert!(answer.headers.contains_key("retry-after"));
        refused += 1;
    }
    assert!(refused > 0, "the disk was never full");
    for id in &kept {
        agent.get(&format!("/tasks/{id}")).await.ok();
    }
    std::fs::remove_file(disk.filler()).unwrap();
    let after = async || {
        let new = json!({ "title": "after", "idempotency_key": "after" });
        (agent.post("/tasks", new).await.status == StatusCode::OK).then_some(())
    };
    wait_for("there is room again", after).await;
    let titles = agent.get("/tasks?limit=200").await;
    assert_eq!(titles.items().len(), kept.len() + 1);
    drop(backend);
    drop(server);
}
