//! A backend that keeps journals and tool requests, so that runs can be resumed and approved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use mc_client::idempotency::{RunKey, canonical_json};
use mc_client::journal_mac::{JournalChain, JournalKeys, JournalOwner};
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, Request, ResponseTemplate};

use crate::harness::{MC, SECRET, World, message};

const RUN: &str = "^/api/mission-control/runs/[^/]+$";
const STEP: &str = "^/api/mission-control/runs/[^/]+/steps/[0-9]+$";
const REQUEST: &str = "^/api/mission-control/tool-requests/[^/]+$";
const USES: &str = "^/api/mission-control/approval-rules/[^/]+/uses$";
const DECISION: &str = "^/api/mission-control/tool-requests/[^/]+/decision$";

/// What the backend holds. All runs share one journal; a test has one run.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) steps: BTreeMap<u32, Value>,
    pub(crate) statuses: Vec<String>,
    /// The task of the run.
    pub(crate) task_id: Option<String>,
    /// By their keys.
    pub(crate) requests: Vec<(String, Value)>,
    /// What is recorded in the audit log.
    pub(crate) acts: Vec<Value>,
    /// The standing rules.
    pub(crate) rules: Vec<Value>,
    /// Each use that was asked for: the rule's id and the body; and the keys of those that were granted.
    pub(crate) uses: Vec<(String, Value)>,
    pub(crate) used: Vec<Value>,
    /// Why no further use is granted.
    pub(crate) void: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Held>>);

/// The key of the run of [`message`] with the idempotency key `k`.
pub(crate) fn run_key() -> RunKey {
    RunKey::derive("u1", "scout", "k")
}

/// The steps sealed as a daemon with this secret seals them, from step 0 on.
pub(crate) fn sealed(secret: &str, key: &RunKey, steps: &[(&str, Value)]) -> Vec<Value> {
    let keys = Arc::new(JournalKeys::new(&secret.into(), None));
    let owner =
        JournalOwner { run_key: key.as_str().into(), user_id: "u1".into(), role: "scout".into() };
    let mut chain = JournalChain::new(keys, owner);
    let sealed = (0..).zip(steps).map(|(index, (kind, payload))| {
        let put = chain.seal(index, kind, payload.clone());
        chain.written(index, &put);
        json!({ "index": index, "kind": put.kind, "payload": put.payload })
    });
    sealed.collect()
}

/// Step 0 of the run of [`message`].
pub(crate) fn request(history: Value) -> (&'static str, Value) {
    let fingerprint = json!({ "message": "hello", "task": { "id": "t1" }, "history": null });
    let step = json!({ "message": "hello", "history": history, "newest": "hello", "metadata": {},
        "limits": {}, "workspace_digest": "d", "fingerprint": canonical_json(&fingerprint),
        "task": { "id": "t1" }, "task_id": "t1" });
    ("request", step)
}

impl Journal {
    /// A world whose backend has a journal, with these steps, and takes tool requests.
    pub(crate) async fn world(settings: &[(&str, &str)], steps: Vec<Value>) -> (World, Self) {
        Self::world_that_has(&[], settings, steps).await
    }

    /// The same with further features.
    pub(crate) async fn world_that_has(
        features: &[&str],
        settings: &[(&str, &str)],
        steps: Vec<Value>,
    ) -> (World, Self) {
        let own = ["run_journal", "tool_requests", "audit"];
        let features = own.iter().chain(features).map(|name| ((*name).to_owned(), json!(true)));
        let world = World::with(settings, Value::Object(features.collect())).await;
        let journal = Self::default();
        let by_index =
            |step: Value| (u32::try_from(step["index"].as_u64().unwrap()).unwrap(), step);
        journal.held().steps = steps.into_iter().map(by_index).collect();
        journal.mount(&world).await;
        (world, journal)
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// The kinds of the steps.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let held = self.held();
        held.steps.values().map(|step| step["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Decides all requests that wait; returns how many.
    pub(crate) fn decide(&self, status: &str) -> usize {
        let mut held = self.held();
        let waiting = held.requests.iter_mut().filter(|(_, r)| r["status"] == "pending");
        waiting.map(|(_, request)| request["status"] = json!(status)).count()
    }

    /// Decides the request with this id; `more` is what a person says besides.
    pub(crate) fn decide_one(&self, id: &str, status: &str, more: Value) {
        let mut held = self.held();
        let (_, request) = held.requests.iter_mut().find(|(_, r)| r["id"] == id).unwrap();
        let fields = request.as_object_mut().unwrap();
        fields.insert("status".to_owned(), json!(status));
        fields.insert("decided_by".to_owned(), json!({ "type": "person", "id": "u1" }));
        fields.extend(more.as_object().unwrap().clone());
    }

    async fn mount(&self, world: &World) {
        let held = self.0.clone();
        let on = async |verb: &str, at: &str, answer: fn(&mut Held, &Request) -> (u16, Value)| {
            let held = held.clone();
            let at = at.to_owned();
            let respond = move |request: &Request| {
                let (status, body) = answer(&mut held.lock().unwrap(), request);
                ResponseTemplate::new(status).set_body_json(body)
            };
            let mock = match at.strip_prefix('^') {
                Some(_) => Mock::given(method(verb)).and(path_regex(at)),
                None => Mock::given(method(verb)).and(path(format!("{MC}{at}"))),
            };
            mock.respond_with(respond).with_priority(20).mount(&world.backend).await;
        };
        on("GET", RUN, |held, _| {
            let status = held.statuses.last().cloned();
            if status.is_none() && held.steps.is_empty() {
                return (404, json!({ "error": "no run", "code": "not_found" }));
            }
            let mut run = note(held);
            run["session_key"] = json!("user:u1:scout");
            run["task_id"] = json!(held.task_id);
            run["steps"] = held.steps.values().cloned().collect();
            (200, run)
        })
        .await;
        on("PUT", RUN, |held, request| {
            if let Some(status) = body(request)["status"].as_str() {
                held.statuses.push(status.to_owned());
            }
            (200, note(held))
        })
        .await;
        on("PUT", STEP, put_step).await;
        on("POST", "/tool-requests", create_request).await;
        on("GET", "/tool-requests", |held, _| {
            let all: Vec<_> = held.requests.iter().map(|(_, request)| request.clone()).collect();
            (200, json!({ "items": all }))
        })
        .await;
        on("GET", "/approval-rules", |held, _| (200, json!({ "items": held.rules }))).await;
        on("POST", USES, |held, request| {
            let id = request.url.path().rsplit('/').nth(1).unwrap().to_owned();
            let given = body(request);
            held.uses.push((id.clone(), given.clone()));
            let key = given["idempotency_key"].clone();
            match held.void.clone() {
                Some(reason) if !held.used.contains(&key) => (
                    409,
                    json!({ "error": "void",
                    "code": "rule_void", "details": { "reason": reason } }),
                ),
                _ => {
                    held.used.push(key);
                    (200, json!({ "rule_id": id, "uses": held.used.len() }))
                }
            }
        })
        .await;
        on("GET", REQUEST, |held, request| {
            let id = request.url.path().rsplit('/').next().unwrap();
            let found = held.requests.iter().find(|(_, request)| request["id"] == id);
            found.map_or((404, json!({})), |(_, request)| (200, request.clone()))
        })
        .await;
        on("POST", DECISION, |held, request| {
            let id = request.url.path().rsplit('/').nth(1).unwrap();
            let key = request.headers.get("idempotency-key").unwrap().to_str().unwrap().to_owned();
            let given = body(request);
            let (_, asked) = held.requests.iter_mut().find(|(_, r)| r["id"] == id).unwrap();
            if asked["status"] == "pending" {
                asked["status"] = json!("answered");
                asked["answer"] = given["answer"].clone();
                asked["answer_key"] = json!(key);
            } else if asked["answer_key"] != json!(key) {
                let status = asked["status"].clone();
                return (
                    409,
                    json!({ "error": "decided", "code": "already_decided",
                    "details": { "status": status } }),
                );
            }
            (200, asked.clone())
        })
        .await;
        on("POST", "/audit", |held, request| {
            let act: Value = body(request);
            // The daemon's start has a test of its own.
            if act["act"] != "daemon.started" {
                held.acts.push(act);
            }
            let entry = json!({ "seq": 1, "at": "2026-11-29T08:00:00Z", "act": "a", "prev": "",
                "actor": { "type": "agent", "subject": "s" }, "hash": "" });
            (200, entry)
        })
        .await;
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn note(held: &Held) -> Value {
    let status = held.statuses.last().map_or("running", String::as_str);
    json!({ "run_key": "k", "status": status, "cancel_requested": false })
}

fn put_step(held: &mut Held, request: &Request) -> (u16, Value) {
    let index: u32 = request.url.path().rsplit('/').next().unwrap().parse().unwrap();
    let mut step = body(request);
    step["index"] = json!(index);
    let there = held.steps.entry(index).or_insert_with(|| step.clone()).clone();
    if there == step {
        return (200, note(held));
    }
    let error = json!({ "error": "there is a step", "code": "step_exists",
        "details": { "step": there } });
    (409, error)
}

fn create_request(held: &mut Held, request: &Request) -> (u16, Value) {
    let mut asked = body(request);
    let key = asked["idempotency_key"].as_str().unwrap().to_owned();
    if let Some((_, there)) = held.requests.iter().find(|(known, _)| *known == key) {
        return (200, there.clone());
    }
    asked["id"] = json!(format!("r{}", held.requests.len() + 1));
    asked["status"] = json!("pending");
    held.requests.push((key, asked.clone()));
    (200, asked)
}

impl World {
    /// The message of the run whose key is [`run_key`].
    pub(crate) async fn send_keyed(&self) -> (u16, Value) {
        self.daemon.send(&message(json!({ "idempotency_key": "k" }))).await
    }

    /// Resumes that run.
    pub(crate) async fn resume(&self) -> (u16, Value) {
        let body = json!({ "user_id": "u1", "session_key": "user:u1:scout",
            "resume_run_key": run_key().as_str() });
        self.daemon.send(&body).await
    }

    /// Resumes that run with answers to its questions.
    pub(crate) async fn resume_with(&self, answers: Value) -> (u16, Value) {
        let body = json!({ "user_id": "u1", "session_key": "user:u1:scout",
            "resume_run_key": run_key().as_str(), "answers": answers });
        self.daemon.send(&body).await
    }

    /// Another instance, which has read nothing yet.
    pub(crate) async fn restart(&mut self, settings: &[(&str, &str)]) {
        let (backend, llm) = (self.backend.uri(), self.llm.uri());
        let workspace = self.dir.path().into();
        self.daemon = crate::harness::Daemon::start(settings, &backend, &llm, workspace).await;
    }
}

/// A journal that the daemon of these tests wrote.
pub(crate) fn own(steps: &[(&str, Value)]) -> Vec<Value> {
    sealed(SECRET, &run_key(), steps)
}
