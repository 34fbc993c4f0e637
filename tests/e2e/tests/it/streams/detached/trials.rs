//! Runs that are joined and cancelled at random moments, at random instances, while instances are killed at
//! random moments. What became of each is read from the backend's records.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use super::speaker::{Speaker, answer};
use super::{SESSION, USER};
use crate::peers::free_port;
use crate::streams::stack_with;

/// How many runs go at a time.
const AT_A_TIME: u64 = 12;
/// Within which time all that is random happens.
const CHAOS: Duration = Duration::from_millis(700);
/// By when a run is over, whatever happens: a dead instance's lease alone takes ten seconds.
const OVER: Duration = Duration::from_secs(120);

/// A random sequence (xorshift).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn of(seed: u64, trial: u64) -> Self {
        let mut dice = Self((seed ^ trial.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        for _ in 0..8 {
            dice.throw(2);
        }
        dice
    }

    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn moment(&mut self) -> Duration {
        Duration::from_micros(self.throw(u64::try_from(CHAOS.as_micros()).unwrap()))
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.throw(all.len() as u64)).unwrap()]
    }
}

struct Lab {
    stack: Stack,
    options: StackOptions,
    speaker: Speaker,
    urls: Vec<String>,
    ports: Vec<u16>,
    daemons: Mutex<Vec<Program>>,
    http: reqwest::Client,
    _dir: TempDir,
}

/// What a reader has been told.
#[derive(Debug, Default)]
struct Heard {
    last: Option<i64>,
    turns: BTreeMap<u64, String>,
    ids: Vec<i64>,
    end: Option<(String, Value)>,
}

impl Heard {
    fn take(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let (Some(name), Some(data)) = (field("event: "), field("data: ")) else { return };
        let data: Value = serde_json::from_str(data).unwrap();
        if let Some(id) = field("id: ") {
            let id = id.parse().unwrap();
            self.last = Some(id);
            self.ids.push(id);
        }
        let turn = data["step"].as_u64().unwrap_or_default();
        match name {
            "chunk" => {
                self.turns.entry(turn).or_default().push_str(data["data"].as_str().unwrap());
            }
            "restarted" => {
                let from = usize::try_from(data["from"].as_u64().unwrap()).unwrap();
                let text = self.turns.entry(turn).or_default();
                *text = text.chars().take(from).collect();
            }
            "done" | "error" => self.end = Some((name.to_owned(), data)),
            _ => {}
        }
    }
}

impl Lab {
    async fn new() -> Self {
        let (speaker, model) = Speaker::start(usize::MAX, Duration::from_millis(12)).await;
        let (stack, options, dir) = stack_with(&model, &[]).await;
        let ports: Vec<_> = (0..3).map(|_| free_port()).collect();
        let urls = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let daemons = Mutex::default();
        let lab = Self { stack, options, speaker, urls, ports, daemons, http, _dir: dir };
        for n in 0..3 {
            let daemon = lab.start(n).await;
            lab.daemons.lock().await.push(daemon);
        }
        lab
    }

    async fn start(&self, n: usize) -> Program {
        let mut options = self.options.clone();
        options.daemon.push(("WOMBAT_PORT", self.ports[n].to_string()));
        self.stack.another_daemon(&options).await.unwrap().0
    }

    /// Kills an instance, and starts it anew, as a supervisor does.
    async fn kill(&self, n: usize) {
        let mut daemons = self.daemons.lock().await;
        daemons[n].kill().await.unwrap();
        daemons[n] = self.start(n).await;
    }

    fn ask(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        self.http.request(method, url).header("x-agent-daemon-key", self.stack.daemon_key())
    }

    /// Begins a run, wherever an instance takes it.
    async fn begin(&self, body: &Value, dice: &mut Dice) -> Value {
        loop {
            let url = format!("{}/api/agents/runs", dice.one_of(&self.urls));
            if let Ok(answer) = self.ask(reqwest::Method::POST, &url).json(body).send().await
                && answer.status() == 202
                && let Ok(run) = answer.json().await
            {
                return run;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads a run from a random moment on, at random instances, to its end.
    async fn read(&self, path: &str, mut dice: Dice) -> Heard {
        let mut heard = Heard::default();
        sleep(dice.moment()).await;
        while heard.end.is_none() {
            let url = format!("{}{path}", dice.one_of(&self.urls));
            let mut request = self.ask(reqwest::Method::GET, &url);
            if let Some(last) = heard.last {
                request = request.header("last-event-id", last.to_string());
            }
            // Some leave in the middle, and come back.
            let leaves = (dice.throw(3) == 0).then(|| dice.moment());
            let reading = self.read_once(request, &mut heard);
            match leaves {
                Some(leaves) => drop(tokio::time::timeout(leaves, reading).await),
                None => reading.await,
            }
            sleep(Duration::from_millis(20)).await;
        }
        heard
    }

    async fn read_once(&self, request: reqwest::RequestBuilder, heard: &mut Heard) {
        let Ok(mut answer) = request.send().await else { return };
        if answer.status() != 200 {
            return;
        }
        let mut buffer = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            buffer.extend_from_slice(&piece);
            while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = buffer.drain(..end + 2).collect();
                heard.take(std::str::from_utf8(&block).unwrap());
            }
        }
    }

    /// Cancels a run at a random moment; every answer that is one.
    async fn cancel(&self, key: &str, mut dice: Dice) -> Vec<(u16, Value)> {
        sleep(dice.moment()).await;
        let mut told = Vec::new();
        let until = Instant::now() + OVER;
        while Instant::now() < until {
            let url = format!("{}/api/agents/runs/{key}?{SESSION}", dice.one_of(&self.urls));
            if let Ok(answer) = self.ask(reqwest::Method::DELETE, &url).send().await {
                let status = answer.status().as_u16();
                if let Ok(body) = answer.json().await {
                    told.push((status, body));
                }
                if matches!(status, 200 | 409) {
                    break;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        told
    }

    /// One run with everything that happens to it; what it came to.
    async fn trial(&self, seed: u64, trial: u64) -> &'static str {
        let mut dice = Dice::of(seed, trial);
        let name = format!("t{trial}");
        let how = format!(
            "{} {}",
            dice.one_of(&["steady", "drifting"]),
            dice.one_of(&["with a tool", "without one"])
        );
        let body = json!({ "user_id": USER, "session_key": format!("user:{USER}:scout"),
            "task_title": name, "message": format!("{how}, run {name}"), "idempotency_key": name });
        let run = self.begin(&body, &mut dice).await;
        let (path, key) = (run["stream"].as_str().unwrap(), run["run_key"].as_str().unwrap());
        let is_cancelled = dice.throw(3) == 0;
        let readers = 1 + dice.throw(2);
        let readers: Vec<_> =
            (0..readers).map(|n| self.read(path, Dice::of(seed, trial * 1_000 + n + 1))).collect();
        let cancel = async {
            if is_cancelled {
                self.cancel(key, Dice::of(seed, trial * 1_000 + 999)).await
            } else {
                Vec::new()
            }
        };
        let all = async { tokio::join!(join_all(readers), cancel) };
        let all = tokio::time::timeout(OVER, all).await;
        let (heard, told) = all.unwrap_or_else(|_| panic!("{name} ({how}) never ended"));
        self.check(&name, &how, &run, &heard, &told).await
    }

    /// What must hold, whatever happened.
    async fn check(
        &self,
        name: &str,
        how: &str,
        run: &Value,
        heard: &[Heard],
        told: &[(u16, Value)],
    ) -> &'static str {
        let person = self.stack.person(USER);
        let key = run["run_key"].as_str().unwrap();
        let record = person.get(&format!("/runs/{key}")).await.unwrap();
        let thread = format!("/messages?task_id={}", run["task_id"].as_str().unwrap());
        let thread = person.list(&thread).await.unwrap();
        let replies: Vec<_> = thread.iter().filter(|one| one["actor_type"] == "agent").collect();
        let status = record["status"].as_str().unwrap();
        let context = format!("{name} ({how}): {status}, told {told:?}, heard {heard:?}, {record}");
        let steps = record["steps"].as_array().unwrap();
        let places: Vec<_> = steps.iter().map(|step| step["index"].as_u64().unwrap()).collect();
        assert!(places.iter().copied().eq(0..places.len() as u64), "{context}");
        let is_other = |turn: &Value| turn.as_str().is_some_and(|text| text.contains('*'));
        let said: BTreeMap<u64, String> = steps
            .iter()
            .filter(|step| step["kind"] == "llm")
            .map(|step| {
                let text = step["payload"]["completion"]["message"]["text"].as_str().unwrap();
                (step["index"].as_u64().unwrap(), text.to_owned())
            })
            .collect();
        for (status, _) in told {
            assert!([200, 202, 404, 409, 502, 503].contains(status), "{context}");
        }
        let last = told.last().map(|(status, _)| *status);
        for reader in heard {
            assert!(reader.ids.is_sorted_by(|one, next| one < next), "{context}");
            let (end, data) = reader.end.as_ref().unwrap();
            match status {
                "completed" => assert_eq!(end, "done", "{context}"),
                _ => assert_eq!(data["code"], "run_cancelled", "{context}"),
            }
        }
        match status {
            "completed" => {
                assert_eq!(replies.len(), 1, "{context}");
                let text = &replies[0]["content"];
                assert_eq!(*text, answer(name, is_other(text)), "{context}");
                assert!(last.is_none_or(|last| last == 409), "{context}");
                for reader in heard {
                    assert_eq!(reader.turns, said, "{context}");
                }
                // Once, and once more by each instance that took it up: at most two are killed at a time.
                let asked = self.speaker.asked(name, 0);
                assert!((1..=6).contains(&asked), "asked {asked} times; {context}");
                let kept = self.kept(key).await;
                assert_eq!(kept.turns, said, "{context}");
                "completed"
            }
            "cancelled" => {
                assert!(replies.is_empty(), "{context}");
                assert_eq!(last, Some(200), "{context}");
                "cancelled"
            }
            _ => panic!("{context}"),
        }
    }

    /// What the backend keeps of what a run told.
    async fn kept(&self, key: &str) -> Heard {
        let mut heard = Heard::default();
        loop {
            let after = heard.last.unwrap_or_default();
            let path = format!("/runs/{key}/deltas?after={after}&limit=1000");
            let page = self.stack.person(USER).get(&path).await.unwrap();
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                return heard;
            }
            for event in events {
                let (id, name) = (event["id"].as_i64().unwrap(), event["type"].as_str().unwrap());
                heard.take(&format!("id: {id}\nevent: {name}\ndata: {event}\n"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_killed_joined_and_cancelled_at_any_moment_end_as_everybody_was_told() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let (trials, seed) = (number("WOMBAT_TEST_TRIALS", 24), number("WOMBAT_TEST_SEED", 20_261_130));
    eprintln!("WOMBAT_TEST_SEED={seed} WOMBAT_TEST_TRIALS={trials}");
    let lab = Lab::new().await;
    let mut ends = BTreeMap::<&str, u64>::new();
    let mut killed = 0;
    for batch in 0..trials.div_ceil(AT_A_TIME) {
        let first = batch * AT_A_TIME;
        let mut dice = Dice::of(seed, u64::MAX - batch);
        let (over, mut is_over) = watch::channel(false);
        let chaos = async {
            let mut kills = 0_u64;
            for _ in 0..1 + dice.throw(2) {
                let (moment, n) = (dice.moment(), usize::try_from(dice.throw(3)).unwrap());
                tokio::select! {
                    () = sleep(moment) => {}
                    _ = is_over.wait_for(|over| *over) => break,
                }
                lab.kill(n).await;
                kills += 1;
            }
            kills
        };
        let all = (first..trials.min(first + AT_A_TIME)).map(|trial| lab.trial(seed, trial));
        let runs = async {
            let ends = join_all(all).await;
            over.send_replace(true);
            ends
        };
        let (kills, outcomes) = tokio::join!(chaos, runs);
        killed += kills;
        for end in outcomes {
            *ends.entry(end).or_default() += 1;
        }
    }
    eprintln!("{killed} instances killed; runs by their ends: {ends:?}");
    let titles = lab.stack.person(USER);
    let mut made = BTreeMap::<String, usize>::new();
    let mut cursor = String::new();
    loop {
        let page = titles.get(&format!("/tasks?limit=200{cursor}")).await.unwrap();
        for task in page["items"].as_array().unwrap() {
            *made.entry(task["title"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let twice: Vec<_> = made.iter().filter(|(_, many)| **many > 1).collect();
    assert!(twice.is_empty(), "no tool took effect twice: {twice:?}");
    assert!(ends["completed"] > 0 && ends.contains_key("cancelled"), "{ends:?}");
}
