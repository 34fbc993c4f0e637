//! HTTPS servers with certificates as people have them, made by OpenSSL: what is said of each.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use test_support::program::Program;
use test_support::wait_for;
use tokio::process::{Child, Command};

use crate::peers::{free_port, installed};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
/// What `openssl s_server -www` answers is no backend; it comes over a connection that is trusted.
const TRUSTED: &str = "answered by something in between";

/// The certificates: one authority, one below it, and what they have signed.
const SCRIPT: &str = r#"
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new -keyout ca.key -out ca.pem -subj "/CN=Test authority" -days 30
openssl req -x509 $new -keyout self.key -out self.pem -subj "/CN=wombat.test" -addext "$NAMES" -days 30
openssl req -x509 $new -keyout own.key -out own.pem -subj "/CN=own.test" -addext "$NAMES" \
  -addext "basicConstraints=critical,CA:FALSE" -days 30
leaf() {
  openssl req $new -keyout "$1.key" -out "$1.csr" -subj "/CN=$1.test"
  printf '%s' "$3" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" -extfile "$1.ext" -days "$4"
}
leaf good ca "$NAMES" 10
leaf expired ca "$NAMES" -1
leaf other ca "subjectAltName=DNS:other.example" 10
leaf nameless ca "basicConstraints=CA:FALSE" 10
leaf between ca "basicConstraints=critical,CA:TRUE" 10
leaf below between "$NAMES" 10
openssl req $new -keyout future.key -out future.csr -subj "/CN=future.test"
mkdir -p db && : > db/index && echo 01 > db/serial
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=db/index\nserial=db/serial\nnew_certs_dir=db\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.cnf
openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in future.csr -out future.pem \
  -extfile good.ext -startdate 20990101000000Z -enddate 20991231000000Z
"#;

struct Server {
    _child: Child,
    port: u16,
}

impl Server {
    async fn start(dir: &Path, certificate: &str, more: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-quiet", "-accept", &port.to_string()]);
        command.args([
            "-cert",
            &format!("{certificate}.pem"),
            "-key",
            &format!("{certificate}.key"),
        ]);
        command.args(more).current_dir(dir).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait_for("the server listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { _child: child, port }
    }
}

/// What `wombat-daemon check` says of a backend at this address.
async fn check(dir: &Path, url: &str, roots: Option<&str>) -> String {
    let mut command = Command::new(Program::path("wombat-daemon").unwrap());
    command.arg("check").env_clear().current_dir(dir).kill_on_drop(true);
    command.envs([
        ("AGENT_JWT_SECRET", SECRET),
        ("LLM_PROVIDER", "offline"),
        ("WOMBAT_RETRY_DELAY_MS", "1"),
        ("BACKEND_URL", url),
    ]);
    if let Some(roots) = roots {
        command.env("SSL_CERT_FILE", dir.join(roots));
    }
    let said = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = said.lines().find(|line| line.contains("backend: "));
    line.unwrap_or(&said).to_owned()
}

async fn certificates() -> Option<tempfile::TempDir> {
    installed("openssl")?;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
    std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-ec", SCRIPT]).env("NAMES", NAMES).current_dir(dir.path());
    let made = shell.output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(dir)
}

#[tokio::test]
async fn each_certificate_that_is_not_trusted_is_told_with_its_remedy() {
    let Some(dir) = certificates().await else { return };
    let dir = dir.path();
    let ca = Some("ca.pem");
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    for (certificate, roots, more, expected) in [
        ("good", ca, &[][..], &[TRUSTED][..]),
        ("own", Some("own.pem"), &[], &[TRUSTED]),
        ("good", None, &[], &["not trusted", "private authority", "SSL_CERT_FILE"]),
        ("own", None, &[], &["not trusted", "self-signed", "SSL_CERT_FILE"]),
        ("self", None, &[], &["self-signed", "CA:TRUE", "basicConstraints=CA:FALSE"]),
        ("self", Some("self.pem"), &[], &["self-signed", "CA:TRUE", "basicConstraints=CA:FALSE"]),
        ("expired", ca, &[], &["has expired", "renew it"]),
        ("future", ca, &[], &["not valid yet", "clock"]),
        ("other", ca, &[], &["another host (other.example)"]),
        ("nameless", ca, &[], &["names no host", "subjectAltName"]),
        ("below", ca, &[], &["not trusted", "intermediate"]),
        ("below", ca, &["-cert_chain", "between.pem"], &[TRUSTED]),
        ("good", ca, &old, &["no TLS that is still safe", "1.2"]),
    ] {
        let server = Server::start(dir, certificate, more).await;
        let url = format!("https://localhost:{}", server.port);
        let said = check(dir, &url, roots).await;
        for words in expected {
            assert!(said.contains(words), "{certificate} {roots:?}: {words}: {said}");
        }
        assert!(said.contains("BACKEND_URL") && said.contains(&url), "{certificate}: {said}");
        assert!(!said.contains("start it"), "{certificate}: {said}");
    }
}

#[tokio::test]
async fn an_address_of_the_wrong_scheme_is_told() {
    let Some(dir) = certificates().await else { return };
    let (_model, url) = crate::streams::Model::start(true).await;
    let plain = url.replace("http://", "https://");
    let said = check(dir.path(), &plain, None).await;
    assert!(said.contains("does not speak TLS") && said.contains("http://"), "{said}");
}

/// The same words in the daemon's answers: of its model, and of its backend.
#[tokio::test]
async fn the_caller_of_the_daemon_is_told_as_well() {
    let Some(dir) = certificates().await else { return };
    let server = Server::start(dir.path(), "good", &[]).await;
    let url = format!("https://localhost:{}", server.port);
    let settings = [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("WOMBAT_PORT", "0".to_owned()),
        ("WOMBAT_RETRY_DELAY_MS", "1".to_owned()),
        ("BACKEND_URL", url.clone()),
        ("OPENAI_API_KEY", "k".to_owned()),
        ("OPENAI_BASE_URL", format!("{url}/v1")),
    ];
    let mut daemon = Program::start("wombat-daemon", dir.path(), &settings, &[]).unwrap();
    let at = daemon.url().await.unwrap();
    let http = reqwest::Client::new();
    for (path, body, code) in [
        ("llm-task", json!({ "prompt": "Hello" }), "llm_unavailable"),
        (
            "api/agents/send",
            json!({ "user_id": "ann", "session_key": "user:ann:agent", "task_title": "T", "message": "Hi" }),
            "backend_unavailable",
        ),
    ] {
        let answer = http.post(format!("{at}/{path}")).json(&body).send().await.unwrap();
        let said = answer.text().await.unwrap();
        assert!(said.contains("not trusted") && said.contains("SSL_CERT_FILE"), "{path}: {said}");
        assert!(said.contains(code), "{path}: {said}");
    }
    daemon.kill().await.unwrap();
}
