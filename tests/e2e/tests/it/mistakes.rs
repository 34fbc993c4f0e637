//! Invalid settings of all programs, and the one line that reports each (docs/CONFIGURATION.md).

use std::path::Path;

use test_support::program::Program;
use tokio::process::Command;

const DAEMON: &str = "wombat-daemon";
const DISPATCHER: &str = "wombat-dispatcher";
const HEARTBEAT: &str = "wombat-heartbeat";
const STANDUP: &str = "wombat-standup";
const BACKEND: &str = "wombat-mission-control";

/// Further settings of every program, unless a case overrides them. None may be printed.
const SECRETS: [(&str, &str); 3] = [
    ("AGENT_JWT_SECRET", "canary-0123456789abcdef0123456789abcdef"),
    ("INTERNAL_API_TOKEN", "canary-internal"),
    ("AGENT_DAEMON_API_KEY", "canary-daemon"),
];

/// Program, setting, value (`None`: not set), expected text.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    (
        DAEMON,
        "AGENT_JWT_SECRET",
        "",
        "is not set; the backend must hold the same secret or its public half",
    ),
    (
        DAEMON,
        "WOMBAT_PORT",
        "eighty",
        "is \"eighty\" (from environment); allowed: a number from 0 to 65535",
    ),
    (
        DAEMON,
        "WOMBAT_PORT",
        "70000",
        "is \"70000\" (from environment); allowed: a number from 0 to 65535",
    ),
    (
        DAEMON,
        "WOMBAT_HOST",
        "everywhere",
        "is \"everywhere\" (from environment); allowed: an IP address such as 127.0.0.1 or 0.0.0.0",
    ),
    (
        DAEMON,
        "BACKEND_URL",
        "ftp://x",
        "is \"ftp://x\" (from environment); allowed: a URL that begins with http:// or https:// and has no user name",
    ),
    (
        DAEMON,
        "LLM_PROVIDER",
        "opnai",
        "is \"opnai\" (from environment); allowed: openai, anthropic, google, xai, groq, mistral, openrouter, ollama or offline",
    ),
    (DAEMON, "OPENAI_API", "chats", "is \"chats\" (from environment); allowed: chat or responses"),
    (
        DAEMON,
        "OPENAI_BASE_URL",
        "here",
        "is \"here\" (from environment); allowed: a URL that begins with http:// or https:// and has no user name",
    ),
    (
        DAEMON,
        "WOMBAT_SESSION_POLICY",
        "wait",
        "is \"wait\" (from environment); allowed: queue, reject or parallel",
    ),
    (
        DAEMON,
        "WOMBAT_RUN_TIMEOUT_SECS",
        "0",
        "is \"0\" (from environment); allowed: a number from 1 to 86400",
    ),
    (
        DAEMON,
        "WOMBAT_MAX_STEPS",
        "-1",
        "is \"-1\" (from environment); allowed: a number from 0 to 1000",
    ),
    (
        DAEMON,
        "WOMBAT_MAX_BODY_BYTES",
        "0",
        "is \"0\" (from environment); allowed: a number from 1024 to 1073741824",
    ),
    (
        DAEMON,
        "WOMBAT_SKILLS_MODE",
        "all",
        "is \"all\" (from environment); allowed: auto, inline or on_demand",
    ),
    (
        DAEMON,
        "WOMBAT_DEFAULT_TIMEZONE",
        "Mars/Base",
        "unknown time zone \"Mars/Base\"; use an IANA name such as Europe/Berlin or UTC",
    ),
    (
        DAEMON,
        "WOMBAT_INCLUDE_TIME_CONTEXT",
        "maybe",
        "is \"maybe\" (from environment); allowed: true or false",
    ),
    (
        DAEMON,
        "WOMBAT_CONTEXT_WARNING_THRESHOLD",
        "200",
        "is \"200\" (from environment); allowed: a number from 1 to 100",
    ),
    (
        DAEMON,
        "WOMBAT_RETRY_JITTER",
        "2",
        "is \"2\" (from environment); allowed: a number from 0 to 1",
    ),
    (
        DAEMON,
        "WOMBAT_HISTORY_LIMIT",
        "500",
        "is \"500\" (from environment); allowed: a number from 0 to 200",
    ),
    (
        DAEMON,
        "AGENT_JWT_ALGORITHM",
        "none",
        "is \"none\" (from environment); allowed: HS256, HS384, HS512, RS256, ES256 or EdDSA",
    ),
    (DAEMON, "WOMBAT_LOG_FORMAT", "xml", "is \"xml\" (from environment); allowed: pretty or json"),
    (
        DAEMON,
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "pigeon",
        "is \"pigeon\" (from environment); allowed: http/protobuf or grpc",
    ),
    (DISPATCHER, "INTERNAL_API_TOKEN", "", "is not set; use the same value as the backend"),
    (
        DISPATCHER,
        "DISPATCH_CONCURRENCY",
        "0",
        "is \"0\" (from environment); allowed: a number from 1 to 1024",
    ),
    (
        DISPATCHER,
        "DISPATCH_HTTP_PORT",
        "99999",
        "is \"99999\" (from environment); allowed: a number from 0 to 65535",
    ),
    (
        DISPATCHER,
        "AGENT_DAEMON_URL",
        "nowhere",
        "is \"nowhere\" (from environment); allowed: a URL that begins with http:// or https:// and has no user name",
    ),
    (
        DISPATCHER,
        "DISPATCH_MIN_INTERVAL_SEC",
        "soon",
        "is \"soon\" (from environment); allowed: a number from 0.01 to 3600",
    ),
    (HEARTBEAT, "USER_ID", "", "is not set; name the user whose agent wakes, here or by --user"),
    (HEARTBEAT, "USER_ID", "a:b", "a user id must not be empty or contain ':'"),
    (
        STANDUP,
        "STANDUP_TIMEZONE",
        "Nowhere",
        "unknown time zone \"Nowhere\"; use an IANA name such as Europe/Berlin or UTC",
    ),
    (
        STANDUP,
        "INTERNAL_API_TOKEN",
        "",
        "is not set; the standup of all users needs it (or name one: --user)",
    ),
    (
        BACKEND,
        "AGENT_JWT_SECRET",
        "",
        "is not set; give the daemon and this backend the same secret (openssl rand -hex 32)",
    ),
    (
        BACKEND,
        "MC_HOST",
        "somewhere",
        "is \"somewhere\" (from environment); allowed: an IP address",
    ),
    (BACKEND, "MC_PORT", "x", "is \"x\" (from environment); allowed: a number from 0 to 65535"),
    (
        BACKEND,
        "MC_BUDGET_USD",
        "much",
        "is \"much\" (from environment); allowed: an amount in US dollars, such as 25 or 0.50",
    ),
    (
        BACKEND,
        "MC_STREAM_URL",
        "localhost:6379",
        "allowed: redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], or rediss:// for TLS; leave it unset to keep what runs tell in the database",
    ),
    (
        BACKEND,
        "MC_DELTAS_TTL_SECS",
        "0",
        "is \"0\" (from environment); allowed: a number from 1 to 31536000",
    ),
    (
        BACKEND,
        "MC_DB_CONNECTIONS",
        "2",
        "is \"2\" (from environment); allowed: a number from 3 to 500",
    ),
];

/// Exit code and standard error of a program in a folder, with the secrets and these settings.
async fn fails(program: &str, dir: &Path, settings: &[(&str, &str)]) -> String {
    let mut command = Command::new(Program::path(program).unwrap());
    command.current_dir(dir).env_clear().envs(SECRETS).kill_on_drop(true);
    for (name, value) in settings {
        match *value {
            "" => command.env_remove(name),
            value => command.env(name, value),
        };
    }
    let ended = tokio::time::timeout(test_support::PATIENCE, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{program} runs with {settings:?}")).unwrap();
    let (said, printed) =
        (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(78), "{program} {settings:?}: {said}");
    assert!(printed.is_empty() && !said.contains("canary"), "{program}: {said}{printed}");
    said
}

#[tokio::test]
async fn each_mistake_is_told_of_in_one_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    for (program, name, value, what) in MISTAKES {
        let said = fails(program, dir.path(), &[(*name, *value)]).await;
        let colon = if what.starts_with("is ") { "" } else { ":" };
        let nowhere = match what.starts_with("is not set") {
            true => format!("; there is no .env in {}", folder.display()),
            false => String::new(),
        };
        assert_eq!(said, format!("{program}: {name}{colon} {what}{nowhere}\n"));
    }
}

#[tokio::test]
async fn a_broken_file_is_told_of_by_its_place_and_not_by_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("wombat.toml"),
        "user_id = \"x\"\ninternal_api_token = canary\n",
    )
    .unwrap();
    for program in [DAEMON, DISPATCHER, HEARTBEAT, STANDUP, BACKEND] {
        let settings = [("USER_ID", "ann")];
        let said = fails(program, dir.path(), &settings).await;
        let file = "is not valid TOML at line 2, column 22 (strings need quotes)";
        assert_eq!(said, format!("{program}: ./wombat.toml: {file}\n"));
    }
}

#[tokio::test]
async fn all_mistakes_are_told_of_at_once_whatever_layer_they_are_in() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("wombat.toml"), "wombat_port = 99999\nbackend_ulr = \"x\"\n")
        .unwrap();
    std::fs::write(dir.path().join(".env"), "WOMBAT_MAX_STEPS=many\nWOMBAT_HOST=from-dotenv\n")
        .unwrap();
    let settings = [("WOMBAT_HOST", "from-environment"), ("AGENT_JWT_PRIVATE_KEY", "/nowhere.pem")];
    let settings = [&settings[..], &[("AGENT_JWT_ALGORITHM", "ES256")]].concat();
    let said = fails(DAEMON, dir.path(), &settings).await;
    assert_eq!(said.lines().count(), 5, "{said}");
    for part in [
        "unknown key backend_ulr; did you mean backend_url?",
        "WOMBAT_PORT is \"99999\"",
        "WOMBAT_MAX_STEPS is \"many\"",
        // `.env` never overrides the environment.
        "WOMBAT_HOST is \"from-environment\" (from environment)",
        "AGENT_JWT_PRIVATE_KEY: /nowhere.pem cannot be read",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}
