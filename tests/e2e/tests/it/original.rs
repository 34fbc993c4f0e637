//! A team that comes from the TypeScript original keeps its `.env`, its workspace and its backend
//! (docs/MIGRATING.md).

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::original::{Build, Kind, Original};
use test_support::program::Program;

const SECRET: &str = "zenvy-agents-0123456789abcdef0123456789";
const INTERNAL: &str = "zenvy-internal";

/// What the offline model says.
const SCRIPT: &str = r#"
rules:
  - when: {tool: echo}
    say: "It says {result.message}."
  - when: {user: "echo (\\w+)"}
    call: [{name: echo, arguments: {message: "{1}"}}]
  - when: {user: "as JSON"}
    say: '{"intent": "meet", "days": ["Tue"]}'
  - say: "Done."
"#;

/// The folder of a project of the original: its `.env` with lines that are empty or of other programs, the
/// workspace, and the configuration of roles in the form of its example.
fn project(backend: &str, secret: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let env = format!(
        "# Server configuration\nWOMBAT_PORT=0\nBACKEND_URL={backend}\nAGENT_DAEMON_API_KEY=\n\
         WOMBAT_WORKSPACE=./agent-daemon/workspace\nWOMBAT_DEFAULT_TASK=Agent Thread\n\
         AGENT_JWT_SECRET={secret}\nAGENT_JWT_ALGORITHM=HS256\nOPS_OIDC_ISSUER=\n\
         OPS_RBAC_CLAIM=roles\nLLM_PROVIDER=offline\nLLM_OFFLINE_SCRIPT=script.yaml\n\
         LLM_MODEL_CHEAP=\nOPENAI_API_KEY=\nOPENAI_MODEL_DEFAULT=gpt-4o-mini\n\
         WOMBAT_RETRY_ATTEMPTS=3\nWOMBAT_RETRY_JITTER=0.1\nWOMBAT_DEFAULT_TIMEZONE=\n\
         WOMBAT_INCLUDE_TIME_CONTEXT=true\nINTERNAL_API_TOKEN={INTERNAL}\nSEARCH_API_KEY=of-others\n\
         USER_ID=u1\nAGENT_ROLE=jarvis\nSTANDUP_TIMEZONE=UTC\n"
    );
    write(".env", &env);
    write("script.yaml", SCRIPT);
    write("agent-daemon/workspace/AGENTS.md", "- Keep to one user.\n");
    write("agent-daemon/workspace/HEARTBEAT.md", "- Look after the tasks.\n");
    write("agent-daemon/workspace/souls/jarvis.md", "**Name:** Jarvis\n");
    write("agent-daemon/workspace/skills/.gitkeep", "");
    let bare = "# Tasks\n\nHow tasks are listed.\n\n```\nGET /api/mission-control/tasks\n\
                Headers: X-Agent-Token: <jwt>\n```\n";
    write("agent-daemon/workspace/skills/tasks/SKILL.md", bare);
    let gated = "---\nname: search\ndescription: Search.\nmetadata: {\"openclaw\": {\"requires\": {\"env\": [\"SEARCH_API_KEY\"]}}}\n---\nAsk.\n";
    write("agent-daemon/workspace/skills/search/SKILL.md", gated);
    let config = json!({
        "backend_base_url": "${BACKEND_URL}",
        "agent_auth": { "jwt_secret_env": "AGENT_JWT_SECRET", "jwt_algorithm": "HS256" },
        "model_tiers": { "cheap_env": "OPENAI_MODEL_CHEAP" },
        "agents": [{ "role": "jarvis", "session_key_template": "user:{userId}:jarvis",
            "heartbeat_cron": "0/15 * * * *", "default_model_tier": "default" }],
    });
    write("agent-daemon/config/agent-config.json", &config.to_string());
    dir
}

async fn backend(internal: bool, has_numbers: bool) -> Original {
    let internal = internal.then(|| INTERNAL.to_owned());
    Original::start(Build { secret: SECRET.to_owned(), internal, has_numbers }).await
}

/// A command that ends: whether it succeeded, and all that it printed.
async fn ended(
    name: &str,
    dir: &Path,
    more: &[(&str, &str)],
    arguments: &[&str],
) -> (bool, String) {
    let more: Vec<_> = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let mut program = Program::start(name, dir, &more, arguments).unwrap();
    let status = program.wait().await.unwrap();
    (status.success(), program.full_log().await)
}

struct Daemon {
    url: String,
    _program: Program,
}

impl Daemon {
    async fn start(dir: &Path) -> Self {
        let mut program = Program::start("wombat-daemon", dir, &[], &[]).unwrap();
        Self { url: program.url().await.unwrap(), _program: program }
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn say(&self, message: &str, metadata: Value) -> Value {
        let body = json!({ "user_id": "u1", "session_key": "user:u1:jarvis", "message": message,
            "metadata": metadata });
        let (status, answer) = self.post("/api/agents/send", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

#[tokio::test]
async fn its_example_backend_is_usable_with_warnings() {
    for has_numbers in [false, true] {
        let backend = backend(false, has_numbers).await;
        let dir = project(&backend.url, SECRET);
        let (good, checked) = ended("wombat-daemon", dir.path(), &[], &["check"]).await;
        assert!(good && checked.contains("Runs can work."), "{checked}");
        for word in ["counts the contract as 1.1.0", "it lacks messages_list", "no front matter"] {
            let warns = |line: &str| line.starts_with("warn") && line.contains(word);
            assert!(checked.lines().any(warns), "{word}: {checked}");
        }
        for word in ["2 of 2 skills enabled", "1 tool besides"] {
            assert!(checked.contains(word), "{word}: {checked}");
        }
        assert!(!checked.contains("OPS_") && !checked.contains("is not set"), "{checked}");
        // `check` looks for an OpenAPI document at the usual addresses.
        let looked_for = backend.unknown();

        let daemon = Daemon::start(dir.path()).await;
        let answer = daemon.say("echo hello", json!({})).await;
        assert_eq!(
            (&answer["response"], &answer["status"]),
            (&json!("It says hello."), &json!("ok"))
        );
        assert_eq!(answer["steps"][0]["ok"], true, "{answer}");
        daemon.say("Plan it.", json!({ "kickoff_plan": true, "plan_title": "Plan" })).await;
        let (tasks, messages) = (backend.stored(Kind::Task), backend.stored(Kind::Message));
        assert_eq!((tasks.len(), &tasks[0]["title"]), (1, &json!("Agent Thread")), "one for both");
        let said: Vec<_> =
            messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
        assert_eq!(said, ["It says hello.", "Done."]);
        assert_eq!(messages[0]["agent_role"], "jarvis");
        assert_eq!(backend.stored(Kind::Document)[0]["title"], "Plan");
        let (status, told) = daemon.get("/api/compatibility").await;
        assert_eq!((status, &told["compatible"]), (200, &json!(true)), "{told}");
        assert!(told["warnings"].to_string().contains("counts the contract as 1.1.0"), "{told}");
        let (_, task) = daemon.post("/llm-task", json!({ "prompt": "The intent, as JSON" })).await;
        assert_eq!(task["output"], json!({ "intent": "meet", "days": ["Tue"] }), "{task}");
        let (_, health) = daemon.get("/health?deep=true").await;
        assert_eq!(health["status"], "ok", "{health}");
        let mut asked = backend.unknown();
        asked.retain(|asked| !looked_for.contains(asked));
        assert_eq!(asked, [""; 0], "nothing was asked for that it does not offer");
    }
}

#[tokio::test]
async fn its_notifications_heartbeats_and_standups_go_on() {
    for has_numbers in [false, true] {
        let backend = backend(true, has_numbers).await;
        let dir = project(&backend.url, SECRET);
        let daemon = Daemon::start(dir.path()).await;
        let at = [("AGENT_DAEMON_URL", daemon.url.as_str())];
        let id = if has_numbers { json!(7) } else { json!("n-7") };
        let text = "echo notified";
        backend.notify(json!({ "notification_id": id, "user_id": "u1", "content": text,
            "session_key": "user:u1:jarvis" }));
        let settings = at.map(|(name, value)| (name, value.to_owned()));
        let mut dispatcher =
            Program::start("wombat-dispatcher", dir.path(), &settings, &[]).unwrap();
        let delivered = test_support::wait_for("a delivery", async || {
            Some(backend.delivered()).filter(|delivered| !delivered.is_empty())
        });
        assert_eq!(delivered.await, [if has_numbers { "7" } else { "n-7" }]);
        dispatcher.stop().await.unwrap();
        let tasks = backend.stored(Kind::Task);
        assert_eq!((tasks.len(), &tasks[0]["title"]), (1, &json!("Agent Thread")));
        assert_eq!(backend.stored(Kind::Message)[0]["content"], "It says notified.");

        let (good, said) = ended("wombat-heartbeat", dir.path(), &at, &[]).await;
        assert!(good && said.ends_with("heartbeat_ok\n"), "{said}");
        let (good, said) = ended("wombat-heartbeat", dir.path(), &at, &["--wake", "always"]).await;
        assert!(good && said.contains("Done."), "{said}");
        let (good, said) = ended("wombat-standup", dir.path(), &[], &[]).await;
        assert!(good && said.ends_with("standup_ok\n") && said.contains("- Call Bob"), "{said}");
        // Ours is asked for first, as newer backends have it.
        assert_eq!(backend.unknown(), ["POST /api/mission-control/dispatch/undelivered"]);
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_with_the_backends_own_words() {
    let backend = backend(false, false).await;
    let dir = project(&backend.url, &"another-".repeat(5));
    let (good, checked) = ended("wombat-daemon", dir.path(), &[], &["check"]).await;
    let refused = |text: &str| {
        assert!(text.contains("signature verification failed"), "{text}");
        assert!(text.contains("check AGENT_JWT_SECRET on both sides"), "{text}");
    };
    assert!(!good, "{checked}");
    refused(&checked);
    let daemon = Daemon::start(dir.path()).await;
    let body = json!({ "user_id": "u1", "session_key": "user:u1:jarvis", "message": "Hi" });
    let (status, answer) = daemon.post("/api/agents/send", body).await;
    assert_eq!((status, &answer["code"]), (502, &json!("backend_auth")), "{answer}");
    assert!(answer.to_string().contains("AGENT_JWT_SECRET"), "{answer}");
    assert!(backend.stored(Kind::Task).is_empty());
}

/// A token as the original signs it.
fn token_of_original(secret: &str, subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "type": "agent", "user_id": "u1", "agent_role": "jarvis",
        "sub": format!("{subject}:jarvis"), "iat": now, "exp": now + 7_200 });
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[tokio::test]
async fn its_programs_may_call_our_backend_meanwhile() {
    for legacy in ["false", "true"] {
        let dir = tempfile::tempdir().unwrap();
        let settings = [
            ("AGENT_JWT_SECRET", SECRET.to_owned()),
            ("AGENT_JWT_LEGACY", legacy.to_owned()),
            ("MC_PORT", "0".to_owned()),
        ];
        let mut program =
            Program::start("wombat-mission-control", dir.path(), &settings, &[]).unwrap();
        let url = format!("{}/api/mission-control/tasks", program.url().await.unwrap());
        let get = async |token: String| {
            let request = reqwest::Client::new().get(&url).header("x-agent-token", token);
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        for subject in ["wombat", "clasper"] {
            let (status, told) = get(token_of_original(SECRET, subject)).await;
            match legacy {
                "true" => assert_eq!(status, 200, "{told}"),
                _ => assert!(status == 401 && told.contains("AGENT_JWT_LEGACY=true"), "{told}"),
            }
            let (status, told) = get(token_of_original(&"another-".repeat(5), subject)).await;
            assert_eq!(status, 401, "{told}");
            assert!(told.contains("check AGENT_JWT_SECRET") && !told.contains("LEGACY"), "{told}");
        }
        program.stop().await.unwrap();
        let warned = program.full_log().await.contains("AGENT_JWT_LEGACY is true");
        assert_eq!(warned, legacy == "true");
    }
    let dir = tempfile::tempdir().unwrap();
    let settings =
        [("AGENT_JWT_SECRET", SECRET), ("AGENT_JWT_LEGACY", "perhaps"), ("MC_PORT", "0")];
    let (good, said) = ended("wombat-mission-control", dir.path(), &settings, &[]).await;
    assert!(!good && said.contains("AGENT_JWT_LEGACY is \"perhaps\""), "{said}");
}
