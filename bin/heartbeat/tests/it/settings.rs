//! What the heartbeat is told, and how it says what is wrong with it.

use super::*;

#[tokio::test]
async fn each_wrong_setting_is_one_line_and_nobody_is_asked() {
    let setup = Setup::new(pending(1, 1), did()).await;
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: &[(&[&str], Pairs, &str)] = &[
        (&["--user", "a:b"], &[], "--user: a user id must not be empty or contain ':'"),
        (&["--user", ""], &[], "--user: a user id"),
        (&[], &[("USER_ID", "a:b")], "USER_ID: a user id"),
        (&["--role", "../x"], &[], "--role: a role must"),
        (&[], &[("AGENT_ROLE", "a b")], "AGENT_ROLE: a role must"),
        (&[], &[("BACKEND_URL", "backend:8000")], "BACKEND_URL is"),
        (&[], &[("AGENT_DAEMON_URL", "ftp://daemon")], "AGENT_DAEMON_URL is"),
        (&[], &[("AGENT_DAEMON_API_KEY", "canary\n")], "AGENT_DAEMON_API_KEY: contains"),
        (&[], &[("AGENT_JWT_ALGORITHM", "none")], "AGENT_JWT_ALGORITHM is"),
        (&[], &[("AGENT_JWT_TTL_SECS", "0")], "AGENT_JWT_TTL_SECS is"),
        (&[], &[("WOMBAT_RUN_TIMEOUT_SECS", "long")], "WOMBAT_RUN_TIMEOUT_SECS is"),
        (&[], &[("WOMBAT_LOG_FORMAT", "xml")], "WOMBAT_LOG_FORMAT is"),
        (&[], &[("WOMBAT_AGENT_CONFIG", "nowhere.json")], "WOMBAT_AGENT_CONFIG: nowhere.json"),
        (&["--config", "nowhere.toml"], &[], "nowhere.toml: cannot be read"),
        (&["--all-roles"], &[], "--all-roles: there is no agent-config.json"),
    ];
    for (arguments, settings, told) in cases {
        let (code, out, err) =
            run(setup.program().args(*arguments).envs(settings.iter().copied())).await;
        assert_eq!((code, err.lines().count()), (78, 1), "{err}");
        assert!(err.starts_with(&format!("wombat-heartbeat: {told}")), "{err}");
        assert!(out.is_empty() && !err.contains("canary"), "{out}{err}");
    }
    assert!(setup.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let setup = Setup::new(pending(1, 1), did()).await;
    let mut program = setup.program();
    program.env_remove("USER_ID").env_remove("AGENT_JWT_SECRET").env("BACKEND_URL", "x");
    let (code, _, err) = run(&mut program).await;
    assert_eq!((code, err.lines().count()), (78, 3), "{err}");
    for name in ["USER_ID is not set", "AGENT_JWT_SECRET is not set", "BACKEND_URL is"] {
        assert!(err.contains(name), "{err}");
    }
}

#[tokio::test]
async fn a_flag_that_cannot_be_read_is_a_mistake_of_the_call() {
    let setup = Setup::new(pending(1, 1), did()).await;
    for arguments in [["--slot", "soon"], ["--wake", "maybe"], ["--everybody", "x"]] {
        let (code, _, err) = run(setup.program().args(arguments)).await;
        assert!(code == 2 && err.contains(arguments[0]), "{err}");
    }
    assert!(setup.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cron_line_that_cannot_be_read_is_named_with_its_role() {
    let setup = Setup::new(pending(1, 1), did()).await;
    setup.agents(json!([{"role": "scout", "heartbeat_cron": "99 * * * *"}, {"role": "idle"}]));
    let told = "agent-config.json: heartbeat_cron of scout: \"99 * * * *\": 99 is not a cron field";
    for arguments in [&["--slot", "auto"][..], &["crontab"]] {
        let (code, out, err) = run(setup.program().args(arguments)).await;
        assert_eq!((code, err), (78, format!("wombat-heartbeat: {told}\n")), "{out}");
    }
    // Another role's line is none of this one's concern.
    assert_eq!(run(setup.program().args(["--role", "idle"])).await.0, 0);
}

#[tokio::test]
async fn no_file_of_the_workspace_gets_the_programs_own_secrets() {
    let setup = Setup::new(pending(1, 1), did()).await;
    let dot_env = "ROLE=night\nOPENAI_API_KEY=canary\n";
    std::fs::write(setup.dir.path().join(".env"), dot_env).unwrap();
    for (role, told) in [
        ("${ROLE}", "heartbeat_cron of night"),
        ("${AGENT_JWT_SECRET}", "${AGENT_JWT_SECRET} is not set"),
        ("${OPENAI_API_KEY}", "${OPENAI_API_KEY} is not set"),
    ] {
        setup.agents(json!([{"role": role, "heartbeat_cron": "99 * * * *"}]));
        let mut program = setup.program();
        program.arg("crontab").env("AGENT_JWT_SECRET", "canary-canary-canary-canary-canary");
        let (code, out, err) = run(&mut program).await;
        assert!(!err.contains("canary") && !out.contains("canary"), "{out}{err}");
        assert!(code == 78 && err.contains(told) && out.is_empty(), "{out}{err}");
    }
}

#[tokio::test]
async fn a_crontab_of_nothing_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run(program(dir.path()).arg("crontab")).await;
    assert_eq!((code, out.as_str(), err.lines().count()), (78, "", 1), "{err}");
    assert!(err.contains("there is no agent-config.json"), "{err}");
}

#[tokio::test]
async fn settings_come_from_the_file_the_dotenv_and_the_environment() {
    let setup = Setup::new(pending(0, 0), did()).await;
    let dir = setup.dir.path();
    let file =
        "user_id = \"of-file\"\nagent_role = \"of-file\"\nbackend_url = \"http://127.0.0.1:1\"";
    std::fs::write(dir.join("mine.toml"), file).unwrap();
    let dotenv = "AGENT_ROLE=of-dotenv\nAGENT_JWT_SECRET=0123456789abcdef0123456789abcdef\n";
    std::fs::write(dir.join(".env"), dotenv).unwrap();
    let mut command = program(dir);
    command.args(["--config", "mine.toml"]).env("BACKEND_URL", setup.server.uri());
    let (code, _, err) = run(&mut command).await;
    assert_eq!(code, 0, "{err}");
    let asked = setup.bodies(HEARTBEAT).await;
    assert_eq!(asked, [json!({"user_id": "of-file", "role": "of-dotenv"})]);
}

#[tokio::test]
async fn the_task_and_the_key_are_settings() {
    let server = MockServer::start().await;
    Mock::given(path(HEARTBEAT)).respond_with(pending(1, 0)).mount(&server).await;
    Mock::given(path(SEND)).respond_with(did()).mount(&server).await;
    let setup = Setup { server, dir: tempfile::tempdir().unwrap() };
    let mut program = setup.program();
    program.env("HEARTBEAT_TASK", "Morning round").env_remove("AGENT_DAEMON_API_KEY");
    let (code, _, err) = run(&mut program).await;
    assert_eq!(code, 0, "{err}");
    let requests = setup.server.received_requests().await.unwrap();
    let sent = requests.iter().find(|request| request.url.path() == SEND).unwrap();
    assert!(!sent.headers.contains_key("x-agent-daemon-key"));
    assert!(!sent.headers.contains_key("x-agent-token"), "the token is for the backend alone");
    assert_eq!(
        sent.body_json::<Value>().unwrap(),
        json!({
            "user_id": "u", "session_key": "user:u:scout", "task_title": "Morning round",
            "message": "Heartbeat: look at what is pending, act on it, else answer HEARTBEAT_OK.\n\
                        Pending: 1 unread notifications, 0 open tasks.",
            "metadata": {"type": "heartbeat", "prompt_mode": "minimal", "model_tier": "cheap"},
        })
    );
}

#[tokio::test]
async fn the_backend_is_asked_as_the_user_and_the_role() {
    use base64::Engine as _;
    let setup = Setup::new(pending(0, 0), did()).await;
    assert_eq!(run(setup.program().args(["--user", "ann", "--role", "writer"])).await.0, 0);
    let requests = setup.server.received_requests().await.unwrap();
    let token = requests[0].headers["x-agent-token"].to_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let text = claims.to_string();
    assert!(text.contains(r#""ann""#) && text.contains(r#""writer""#), "{text}");
    assert!(!requests[0].headers.contains_key("x-agent-daemon-key"));
}

#[tokio::test]
async fn who_is_named_twice_wakes_once_and_a_comma_belongs_to_the_user() {
    let setup = Setup::new(pending(0, 0), did()).await;
    let users = ["--user", "cn=a,dc=b", "--user", "u2", "--user", "u2"];
    let (code, out, err) = run(setup.program().args(users).args(["--role", "x,y"])).await;
    assert_eq!(code, 0, "{err}");
    let mut woken: Vec<String> = setup
        .bodies(HEARTBEAT)
        .await
        .iter()
        .map(|body| format!("{} {}", body["user_id"], body["role"]).replace('"', ""))
        .collect();
    woken.sort();
    assert_eq!(woken, ["cn=a,dc=b x", "cn=a,dc=b y", "u2 x", "u2 y"]);
    let headings: Vec<&str> = out.lines().filter(|line| line.starts_with("user:")).collect();
    let expected = ["user:cn=a,dc=b:x:", "user:u2:x:", "user:cn=a,dc=b:y:", "user:u2:y:"];
    assert_eq!(headings, expected, "the order of the output is that of the flags");
}

#[tokio::test]
async fn a_reply_gives_the_terminal_no_orders() {
    let setup =
        Setup::new(pending(1, 0), reply(json!({"status": "ok", "response": "a\u{1b}[2Jb\nc\td"})))
            .await;
    let (_, out, _) = run(&mut setup.program()).await;
    assert!(out.ends_with("\na[2Jb\nc\td\nheartbeat_ok\n"), "{out:?}");
}
