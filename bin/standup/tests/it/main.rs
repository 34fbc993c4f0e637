//! The program against a backend of wiremock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use service::settings::Layers;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};
use wombat_standup::{Query, Settings, StandupError};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn backend(status: u16, body: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/mission-control/standup"))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&server)
        .await;
    server
}

fn day(user: &str) -> Value {
    json!({ "date": "2026-11-23", "timezone": "UTC", "user_id": user, "summary": "1 done.",
        "done": [{ "id": "t", "title": "Call Bob" }], "in_progress": [], "blocked": [] })
}

async fn standup(
    arguments: &[&str],
    settings: &[(&str, &str)],
    server: &MockServer,
) -> (Output, Vec<Request>) {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wombat-standup"))
        .args(arguments)
        .current_dir(dir.path())
        .env_clear()
        .env("BACKEND_URL", server.uri())
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    (output, server.received_requests().await.unwrap())
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8(output.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn one_users_day_is_asked_with_an_agent_token() {
    let server = backend(200, day("ann")).await;
    let settings = [("AGENT_JWT_SECRET", SECRET), ("USER_ID", "ann")];
    let (output, asked) =
        standup(&["--tz", "Europe/Berlin", "--date", "2026-11-23"], &settings, &server).await;
    let said = lines(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.last().unwrap(), "standup_ok");
    assert!(said.contains(&"- Call Bob".to_owned()), "{said:?}");
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(
        body,
        json!({ "user_id": "ann", "timezone": "Europe/Berlin", "date": "2026-11-23" })
    );
    assert!(asked[0].headers.contains_key("x-agent-token"));
    assert!(!asked[0].headers.contains_key("x-internal-token"));
}

#[tokio::test]
async fn without_a_user_all_are_asked_with_the_internal_token() {
    let all = json!({ "date": "2026-11-23", "timezone": "Asia/Tokyo", "items": [day("ann"), day("bob")] });
    let server = backend(200, all.clone()).await;
    let settings = [("INTERNAL_API_TOKEN", "it"), ("STANDUP_TIMEZONE", "Asia/Tokyo")];
    let (output, asked) = standup(&["--format", "json"], &settings, &server).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let printed: Value = serde_json::from_str(text.strip_suffix("standup_ok\n").unwrap()).unwrap();
    assert_eq!(printed["items"][1]["user_id"], "bob");
    assert_eq!(asked[0].headers["x-internal-token"], "it");
    assert_eq!(
        serde_json::from_slice::<Value>(&asked[0].body).unwrap(),
        json!({ "timezone": "Asia/Tokyo" })
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_in_a_line_before_anybody_is_asked() {
    let server = backend(200, day("ann")).await;
    let secret = ("AGENT_JWT_SECRET", SECRET);
    for (arguments, settings, told) in [
        (
            &["--tz", "Europe/Berln"][..],
            vec![secret, ("USER_ID", "a")],
            "--tz: unknown time zone \"Europe/Berln\"; did you mean Europe/Berlin",
        ),
        (&[], vec![secret, ("USER_ID", "a"), ("STANDUP_TIMEZONE", "Mars")], "STANDUP_TIMEZONE"),
        (&["--date", "23.11.2026"], vec![secret, ("USER_ID", "a")], "--date: must be a date"),
        (&["--date", "2026-2-1"], vec![secret, ("USER_ID", "a")], "--date: must be a date"),
        (&["--date", "2026-02-29"], vec![secret, ("USER_ID", "a")], "--date: must be a date"),
        (&["--user", "a:b"], vec![secret], "--user"),
        (&["--user", ""], vec![secret, ("INTERNAL_API_TOKEN", "it")], "--user: a user id"),
        (&["--tz", "GMT+5"], vec![secret, ("USER_ID", "a")], "did you mean Etc/GMT-5? (the sign"),
        (&["--tz", "UTC+05:30"], vec![secret, ("USER_ID", "a")], "did you mean Asia/Kolkata"),
        (&["--tz", "CEST"], vec![secret, ("USER_ID", "a")], "did you mean Europe/Berlin"),
        (&["--tz", ""], vec![secret, ("USER_ID", "a")], "use an IANA name"),
        (&[], vec![secret, ("USER_ID", "a"), ("AGENT_ROLE", "../x")], "AGENT_ROLE: a role must"),
        (&[], vec![secret, ("USER_ID", "a"), ("BACKEND_URL", "backend")], "BACKEND_URL is"),
        (&[], vec![secret, ("USER_ID", "a"), ("WOMBAT_LOG_FORMAT", "x")], "WOMBAT_LOG_FORMAT is"),
        (&[], vec![("INTERNAL_API_TOKEN", "a\nb")], "INTERNAL_API_TOKEN: contains"),
        (&["--config", "nowhere.toml"], vec![secret, ("USER_ID", "a")], "nowhere.toml"),
        (&["--user", "a"], vec![], "AGENT_JWT_SECRET is not set"),
        (&["--user", "a"], vec![("AGENT_JWT_ALGORITHM", "EdDSA")], "AGENT_JWT_PRIVATE_KEY is not"),
        (&["--user", "a"], vec![("AGENT_JWT_ALGORITHM", "x")], "AGENT_JWT_ALGORITHM is"),
        (&[], vec![secret], "INTERNAL_API_TOKEN is not set"),
    ] {
        let (output, asked) = standup(arguments, &settings, &server).await;
        let said = lines(&output.stderr);
        assert_eq!((output.status.code(), asked.len()), (Some(78), 0), "{said:?}");
        assert!(said.len() == 1 && said[0].contains(told), "{said:?}");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_and_no_secret_with_it() {
    let server = backend(200, day("ann")).await;
    let settings =
        [("AGENT_JWT_SECRET", "canary"), ("AGENT_JWT_ALGORITHM", "none"), ("USER_ID", "a:b")];
    let (output, asked) = standup(&["--tz", "Mars/Base"], &settings, &server).await;
    let said = lines(&output.stderr);
    assert_eq!((output.status.code(), asked.len(), said.len()), (Some(78), 0, 3), "{said:?}");
    assert!(said.iter().all(|line| line.starts_with("wombat-standup: ")), "{said:?}");
    assert!(!said.concat().contains("canary"), "{said:?}");
    let (output, asked) = standup(&["--format", "html"], &[], &server).await;
    assert_eq!((output.status.code(), asked.len()), (Some(2), 0), "a mistake of the call");
}

#[tokio::test]
async fn the_flag_wins_over_the_setting_and_the_setting_over_its_default() {
    let server = backend(200, day("ann")).await;
    let base = [("AGENT_JWT_SECRET", SECRET), ("USER_ID", "bob")];
    let set = [base[0], base[1], ("STANDUP_TIMEZONE", "America/St_Johns")];
    standup(&["--user", "ann", "--tz", "Asia/Kathmandu"], &set, &server).await;
    standup(&["--user", "ann"], &set, &server).await;
    let (_, asked) = standup(&["--user", "ann"], &base, &server).await;
    let bodies: Vec<Value> = asked.iter().map(|request| request.body_json().unwrap()).collect();
    let body = |zone: &str| json!({ "user_id": "ann", "timezone": zone });
    assert_eq!(bodies, [body("Asia/Kathmandu"), body("America/St_Johns"), body("UTC")]);
}

#[tokio::test]
async fn a_day_on_which_clocks_change_is_asked_for_by_its_name() {
    let server = backend(200, day("ann")).await;
    let settings = [("AGENT_JWT_SECRET", SECRET), ("USER_ID", "ann")];
    for (zone, date) in [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-10-04"),
        // Midnight does not exist here.
        ("Africa/Cairo", "2026-04-24"),
    ] {
        let (output, asked) = standup(&["--tz", zone, "--date", date], &settings, &server).await;
        assert!(output.status.success(), "{output:?}");
        let body: Value = asked.last().unwrap().body_json().unwrap();
        assert_eq!(body, json!({ "user_id": "ann", "timezone": zone, "date": date }));
    }
}

#[tokio::test]
async fn the_agent_speaks_for_its_user_and_its_role() {
    use base64::Engine as _;
    let server = backend(200, day("ann")).await;
    let settings = [("AGENT_JWT_SECRET", SECRET), ("AGENT_ROLE", "scout")];
    let (_, asked) = standup(&["--user", "ann"], &settings, &server).await;
    let token = asked[0].headers["x-agent-token"].to_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert!(claims.to_string().contains(r#""ann""#), "{claims}");
    assert!(claims.to_string().contains(r#""scout""#), "{claims}");
    assert!(asked[0].headers["traceparent"].to_str().unwrap().starts_with("00-"));
}

#[tokio::test]
async fn a_backend_that_stumbles_is_asked_again() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "0");
    Mock::given(method("POST")).respond_with(busy).up_to_n_times(2).mount(&server).await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(day("ann")))
        .mount(&server)
        .await;
    let settings = [("AGENT_JWT_SECRET", SECRET), ("RUST_LOG", "warn")];
    let (output, asked) = standup(&["--user", "ann"], &settings, &server).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output.stdout).last().unwrap(), "standup_ok");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(asked.len() == 3 && asked.iter().all(|one| one.body == asked[0].body));
}

#[tokio::test]
async fn a_backend_that_stays_away_ends_it_with_one_line() {
    let server = backend(500, json!({ "error": "the disk\nis full" })).await;
    let settings = [("AGENT_JWT_SECRET", SECRET), ("RUST_LOG", "warn")];
    let (output, asked) = standup(&["--user", "ann"], &settings, &server).await;
    assert_eq!((output.status.code(), asked.len()), (Some(1), 3), "{output:?}");
    let told = "wombat-standup: the backend answered 500: the disk is full";
    assert_eq!(lines(&output.stderr), [told]);
    // A socket that is bound and does not listen keeps the port from all others.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = format!("http://{}", socket.local_addr().unwrap());
    let settings = [settings[0], settings[1], ("BACKEND_URL", gone.as_str())];
    let (output, _) = standup(&["--user", "ann"], &settings, &server).await;
    let said = lines(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.len() == 1 && said[0].ends_with("(check BACKEND_URL)"), "{said:?}");
    let settings = [settings[0], settings[1], ("WOMBAT_CONTROL_PLANE_URL", gone.as_str())];
    let (output, _) = standup(&["--user", "ann"], &settings, &server).await;
    let said = lines(&output.stderr);
    assert!(said.len() == 1 && said[0].ends_with("(check WOMBAT_CONTROL_PLANE_URL)"), "{said:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_standup_or_another_users_is_not_printed() {
    for (answer, user, told) in [
        (json!({ "ok": true }), Some("ann"), "it has no date"),
        (json!({ "status": "ok", "user_id": "ann" }), Some("ann"), "nothing else of a standup"),
        (json!({ "summary": " ", "done": [] }), Some("ann"), "nothing else of a standup"),
        (json!({ "items": [] }), None, "nothing else of a standup"),
        (json!({ "items": [], "timezone": "UTC" }), None, "nothing else of a standup"),
        (json!({ "items": [], "timezone": "UTC" }), Some("ann"), "nothing else of a standup"),
        (
            json!({ "items": [{ "id": "t1", "title": "a task" }] }),
            None,
            "nothing else of a standup",
        ),
        (json!({ "summary": "1 done.", "user_id": "bob" }), Some("ann"), "it is of another user"),
        (json!({ "items": [{ "summary": "1 done." }] }), None, "it names no user"),
        (json!([1]), Some("ann"), "could not be understood"),
        (day("bob"), Some("ann"), "it is of another user"),
        (day(""), None, "it names no user"),
    ] {
        let server = backend(200, answer).await;
        let mut settings = vec![("AGENT_JWT_SECRET", SECRET), ("INTERNAL_API_TOKEN", "it")];
        settings.extend(user.map(|user| ("USER_ID", user)));
        let (output, _) = standup(&[], &settings, &server).await;
        let said = lines(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.len() == 1 && said[0].contains(told), "{said:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn a_standup_without_a_date_is_the_one_of_today() {
    let today = || chrono::Utc::now().with_timezone(&chrono_zone()).date_naive().to_string();
    for answer in [
        json!({ "summary": "2 done." }),
        json!({ "user_id": "ann", "done": ["Call Bob"] }),
        json!({ "document_id": "d1", "date": null }),
        json!({ "in_progress": [{ "id": 7, "title": "Call Bob" }], "timezone": "Asia/Tokyo" }),
        json!({ "items": [{ "user_id": "ann", "blocked": ["Call Bob"] }] }),
    ] {
        let server = backend(200, answer.clone()).await;
        let settings = [("AGENT_JWT_SECRET", SECRET), ("USER_ID", "ann")];
        let before = today();
        let (output, _) = standup(&["--tz", "Asia/Tokyo"], &settings, &server).await;
        assert!(output.status.success(), "{answer}: {output:?}");
        let first = lines(&output.stdout)[0].clone();
        let expected = [before, today()].map(|day| format!("Standup {day} (Asia/Tokyo)"));
        assert!(expected.contains(&first), "{answer}: {first}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let (output, _) =
            standup(&["--tz", "Asia/Tokyo", "--format", "json"], &settings, &server).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let json: Value = serde_json::from_str(text.strip_suffix("standup_ok\n").unwrap()).unwrap();
        assert!(expected.concat().contains(json["date"].as_str().unwrap()), "{json}");
        // Nobody knows whether it is the day that was asked for.
        let (output, _) = standup(&["--date", "2026-11-23"], &settings, &server).await;
        assert!(output.status.success(), "{answer}: {output:?}");
        assert!(!lines(&output.stdout)[0].contains("2026"), "{output:?}");
        let said = lines(&output.stderr);
        assert!(said.len() == 1 && said[0].contains("has no date"), "{said:?}");
    }
}

fn chrono_zone() -> zones::Zone {
    zones::parse_zone("Asia/Tokyo").unwrap()
}

#[tokio::test]
async fn a_service_asks_for_one_user_where_there_is_no_agent_key() {
    let server = backend(200, day("ann")).await;
    let settings = [("INTERNAL_API_TOKEN", "it"), ("USER_ID", "ann")];
    let (output, asked) = standup(&["--format", "markdown"], &settings, &server).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output.stdout)[0], "# Standup 2026-11-23 (UTC)");
    assert_eq!(asked[0].headers["x-internal-token"], "it");
    assert_eq!(asked[0].body_json::<Value>().unwrap()["user_id"], "ann");
}

#[tokio::test]
async fn a_signal_ends_the_wait() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(day("ann")).set_delay(Duration::from_secs(60)),
        )
        .mount(&server)
        .await;
    let pairs = [("AGENT_JWT_SECRET", SECRET), ("USER_ID", "ann"), ("BACKEND_URL", &server.uri())];
    let settings = Settings::read(&Layers::from_pairs(pairs), &Query::default()).unwrap();
    let stop = CancellationToken::new();
    let (result, ()) = tokio::join!(wombat_standup::run(&settings, &stop), async {
        while server.received_requests().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
    });
    assert!(matches!(result, Err(StandupError::Stopped)), "{result:?}");
}

#[tokio::test]
async fn a_backend_that_says_no_fails_with_one_clear_line() {
    for (status, told) in [(401, "check AGENT_JWT_SECRET"), (404, "no standup endpoint")] {
        let server = backend(status, json!({ "error": "no" })).await;
        let (output, _) = standup(&["--user", "a"], &[("AGENT_JWT_SECRET", SECRET)], &server).await;
        let said = lines(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.len() == 1 && said[0].contains(told), "{said:?}");
        assert!(output.stdout.is_empty());
    }
    let server = backend(403, json!({ "error": "no" })).await;
    let (output, asked) = standup(&[], &[("INTERNAL_API_TOKEN", "it")], &server).await;
    let said = lines(&output.stderr);
    assert!(said[0].ends_with("(check INTERNAL_API_TOKEN on both sides)"), "{said:?}");
    assert_eq!((output.status.code(), asked.len()), (Some(1), 1));
}
