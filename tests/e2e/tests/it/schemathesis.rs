//! The reference backend conforms to the contract's OpenAPI document: schemathesis generates requests
//! from the document, valid and invalid ones, in and out of order.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use test_support::lacks;
use test_support::postgres::Postgres;
use test_support::program::Program;
use tokio::process::Command;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const INTERNAL: &str = "the-internal-token-of-the-tests";

fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "type": "agent", "user_id": "ann", "agent_role": "scout", "sub": "wombat:scout",
        "iss": "wombat", "iat": now, "exp": now + 3600, "jti": "one"
    });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Runs it with these headers.
async fn check(database: Option<String>, headers: &[String]) {
    let program = std::env::var_os("WOMBAT_TEST_SCHEMATHESIS").map(PathBuf::from);
    let Some(program) = program.filter(|program| program.is_file()) else {
        return lacks("Schemathesis", "schemathesis");
    };
    let dir = tempfile::tempdir().unwrap();
    let mut settings = vec![
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("MC_PORT", "0".to_owned()),
        ("MC_DEMO", "true".to_owned()),
    ];
    settings.extend(database.map(|url| ("DATABASE_URL", url)));
    let mut backend = Program::start("wombat-mission-control", dir.path(), &settings, &[]).unwrap();
    let url = backend.url().await.unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let report = Command::new(program)
        .arg("run")
        .arg(root.join("docs/contract.openapi.json"))
        .args(["--url", &url])
        .args(headers.iter().flat_map(|header| ["-H", header]))
        // A stream has no end to wait for. A document cannot say which times, zones, cursors and
        // ids there are, so that what fits it is not always right.
        .args(["--exclude-path", "/api/mission-control/events"])
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--max-examples", "20", "--generation-deterministic"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&report.stdout);
    assert!(report.status.success(), "{said}{}", String::from_utf8_lossy(&report.stderr));
    let cases = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default();
    let mut numbers = cases.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    let (made, passed): (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(made > 1_000 && made == passed, "{cases}");
    let log = backend.log();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_a_service_for_a_person() {
    let headers = [format!("X-Internal-Token: {INTERNAL}"), "X-On-Behalf-Of: ann".to_owned()];
    check(None, &headers).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_an_agent() {
    check(None, &[format!("X-Agent-Token: {}", token())]).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_on_postgresql() {
    let Some(server) = Postgres::start(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let headers = [format!("X-Internal-Token: {INTERNAL}"), "X-On-Behalf-Of: ann".to_owned()];
    check(Some(server.url()), &headers).await;
}
