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
    let plan = Plan { wake: Wake::Pending, slot: Some(Slot::Auto), due_within: None };
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
    let plan = Plan { wake: Wake::Pending, slot: None, due_within: None };
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

#[tokio::test]
async fn the_program_claims_the_tick_at_which_debians_cron_fires() {
    if !schedules::is_installed("faketime", "faketime").await {
        return;
    }
    for (zone, cron, now, slot) in [
        // The first 02:30 of two. The C library's zone, not a zone of the test's.
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:05Z", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T01:30:05Z", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "*/15 * * * *", "2026-10-25T01:45:05Z", "2026-10-25T01:45:00Z"),
        // 02:30 is left out; cron runs it some minutes after the gap.
        ("Europe/Berlin", "30 2 * * *", "2026-03-29T01:05:05Z", "2026-03-29T01:00:00Z"),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T14:45:05Z", "2026-04-04T14:45:00Z"),
        ("America/Havana", "30 0 * * *", "2026-11-01T04:30:05Z", "2026-11-01T04:30:00Z"),
        (":Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:05Z", "2026-10-25T00:30:00Z"),
        (
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "30 2 * * *",
            "2026-10-25T00:30:05Z",
            "2026-10-25T00:30:00Z",
        ),
    ] {
        let setup = Setup::new(pending(1, 0), did()).await;
        setup.agents(json!([{"role": "scout", "heartbeat_cron": cron}]));
        let ahead = now.parse::<DateTime<Utc>>().unwrap() - Utc::now();
        let program = setup.program();
        let mut faked = Command::new("faketime");
        faked.args(["-m", "-f", &format!("{:+}", ahead.num_seconds())]);
        faked.arg(program.as_std().get_program()).args(["--slot", "auto"]);
        faked.current_dir(setup.dir.path()).env_clear().env("PATH", std::env::var("PATH").unwrap());
        faked.envs(program.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        faked.env("TZ", zone).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").kill_on_drop(true);
        let (mut code, mut out, mut err) = run(&mut faked).await;
        // faketime's semaphore is named by its process id, and one of an earlier process may be left.
        while err.contains("sem_open: File exists") {
            (code, out, err) = run(&mut faked).await;
        }
        assert_eq!(code, 0, "{zone} {now}: {err}");
        assert!(out.contains("Did it."), "{zone} {now}: {out}");
        assert_eq!(setup.bodies(HEARTBEAT).await[0]["slot"], slot, "{zone} {cron} {now}");
    }
}

#[tokio::test]
async fn a_zone_of_the_clock_that_does_not_exist_is_refused_where_it_counts() {
    let setup = Setup::new(pending(0, 0), did()).await;
    setup.agents(json!([{"role": "scout", "heartbeat_cron": "30 2 * * *"}]));
    let (code, out, err) =
        run(setup.program().env("TZ", "Europe/Berln").args(["--slot", "auto"])).await;
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(err.contains("TZ: unknown time zone") && err.contains("Europe/Berlin"), "{err}");
    let (code, _, err) = run(setup.program().env("TZ", "Europe/Berln")).await;
    assert_eq!(code, 0, "{err}");
}
