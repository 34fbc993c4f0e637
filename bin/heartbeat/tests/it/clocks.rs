//! The library with a clock of the test's own: slots where clocks change, and the signal to stop.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use service::settings::Layers;
use tokio_util::sync::CancellationToken;
use wombat_heartbeat::{Clock, HeartbeatError, Plan, Selection, Settings, Slot, Wake};

use super::*;

fn settings(setup: &Setup) -> Settings {
    let config = setup.dir.path().join("workspace/agent-config.json");
    let layers = Layers::from_pairs([
        ("USER_ID", "u"),
        ("AGENT_ROLE", "scout"),
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("AGENT_DAEMON_API_KEY", "k"),
        ("BACKEND_URL", &setup.server.uri()),
        ("AGENT_DAEMON_URL", &setup.server.uri()),
        ("WOMBAT_AGENT_CONFIG", config.to_str().unwrap()),
    ]);
    Settings::read(&layers, &Selection::default()).unwrap()
}

#[tokio::test]
async fn where_clocks_change_each_tick_has_one_slot_and_one_key() {
    let setup = Setup::new(pending(1, 0), did()).await;
    setup.agents(json!([{"role": "scout", "heartbeat_cron": "30 2 * * *"}]));
    let settings = settings(&setup);
    let plan = Plan { wake: Wake::Pending, slot: Some(Slot::Auto) };
    let berlin = zones::parse_zone("Europe/Berlin").unwrap();
    for (now, slot) in [
        // 02:30 is left out on 29 March, and comes twice on 25 October.
        ("2026-03-28T12:00:00Z", "2026-03-28T01:30:00Z"),
        ("2026-03-29T01:00:10Z", "2026-03-29T01:00:00Z"),
        ("2026-10-25T00:30:10Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:30:10Z", "2026-10-25T00:30:00Z"),
        ("2026-10-26T01:30:10Z", "2026-10-26T01:30:00Z"),
    ] {
        let now = now.parse::<DateTime<Utc>>().unwrap().with_timezone(&berlin);
        let clock = Clock { now, machine: berlin };
        let said = Mutex::new(Vec::new());
        let say = |line: &str| said.lock().unwrap().push(line.to_owned());
        let stop = CancellationToken::new();
        wombat_heartbeat::run(&settings, &plan, &clock, &say, &stop).await.unwrap();
        assert_eq!(said.lock().unwrap()[1..], ["Did it."]);
        assert_eq!(setup.bodies(HEARTBEAT).await.last().unwrap()["slot"], slot);
        let key = setup.bodies(SEND).await.last().unwrap()["idempotency_key"].clone();
        assert_eq!(key, format!("heartbeat:{slot}"));
    }
}

#[tokio::test]
async fn a_signal_ends_the_wait_for_a_run() {
    let setup = Setup::new(pending(1, 0), did().set_delay(Duration::from_secs(60))).await;
    setup.agents(json!([]));
    let settings = settings(&setup);
    let plan = Plan { wake: Wake::Pending, slot: None };
    let (stop, clock) = (CancellationToken::new(), Clock::in_utc());
    let work = wombat_heartbeat::run(&settings, &plan, &clock, &|_| {}, &stop);
    let (result, ()) = tokio::join!(work, async {
        while setup.bodies(SEND).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
    });
    assert!(matches!(result, Err(HeartbeatError::Stopped)), "{result:?}");
}

#[tokio::test]
async fn sigterm_ends_the_program_with_one_line() {
    let setup = Setup::new(pending(1, 0), did().set_delay(Duration::from_secs(60))).await;
    let mut program = setup.program();
    program.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = program.spawn().unwrap();
    while setup.bodies(SEND).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await;
    let output = ended.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "wombat-heartbeat: stopped by a signal before all agents woke\n");
}
