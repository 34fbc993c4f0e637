//! `wombat-daemon init` and `check`, the programs themselves.

mod acting;
mod documents;
mod rules;
mod tools;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{SECRET, answer};

async fn daemon(dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wombat-daemon"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        // The rules of time zones that the machine has may be old, which is told.
        .env("TZDIR", "/nowhere")
        .envs(settings.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

fn said(output: &Output) -> Vec<String> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// A backend with all features that runs use.
async fn backend() -> MockServer {
    let backend = MockServer::start().await;
    let features = json!({ "messages_list": true, "message_lookup": true, "tasks_get": true });
    let capabilities = json!({ "contract_version": "v1", "features": features });
    answer(&backend, "GET", "/capabilities", 200, capabilities).await;
    backend
}

#[tokio::test]
async fn a_starter_workspace_has_nothing_to_mend_and_is_never_overwritten() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let output = daemon(dir.path(), &["init"], &[]).await;
    assert!(output.status.success(), "{output:?}");
    let shared = "MEMORY.md and memory/ are every user's";
    assert!(String::from_utf8(output.stdout).unwrap().contains(shared));
    let agents = dir.path().join("workspace/AGENTS.md");
    fs::write(&agents, "mine").unwrap();
    let output = daemon(dir.path(), &["init"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("workspace/AGENTS.md") && told.contains("--force"), "{told}");
    assert_eq!(fs::read_to_string(&agents).unwrap(), "mine");
    assert!(daemon(dir.path(), &["init", "--force"], &[]).await.status.success());
    assert_ne!(fs::read_to_string(&agents).unwrap(), "mine");
    let url = backend.uri();
    let settings =
        [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", &url)];
    let output = daemon(dir.path(), &["check"], &settings).await;
    let lines = said(&output);
    assert_eq!(output.status.code(), Some(0), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(shared)), "{lines:?}");
    assert!(
        lines.iter().all(|line| {
            // No daemon runs, or that of another project.
            let is_note = ["daemon", "workspace", "policy"]
                .iter()
                .any(|what| line.starts_with(&format!("note  {what}: ")));
            let is_good = line.starts_with("ok  ") || is_note;
            is_good || line == "Runs can work."
        }),
        "{lines:?}"
    );
}

#[tokio::test]
async fn init_writes_where_the_settings_say() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(".env"), "WOMBAT_WORKSPACE=my agents # here\n").unwrap();
    let output = daemon(dir.path(), &["init"], &[]).await;
    assert!(dir.path().join("my agents/AGENTS.md").exists(), "{output:?}");
    let steps =
        "set the secrets in .env, start the backend and the daemon, then: wombat-daemon check";
    assert_eq!(said(&output).last().unwrap(), &format!("Next: {steps}"));
    let output = daemon(dir.path(), &["init", "other"], &[]).await;
    assert!(dir.path().join("other/AGENTS.md").exists(), "{output:?}");
    let next = format!("Next: set WOMBAT_WORKSPACE=other, {steps}");
    assert_eq!(said(&output).last().unwrap(), &next);
}

#[tokio::test]
async fn a_token_to_try_a_backend_with_is_printed_alone() {
    use mc_client::token::{Algorithm, Key, TokenVerifier};
    let dir = TempDir::new().unwrap();
    let token = ["token", "--user", "ann", "--role", "scout"];
    let output = daemon(dir.path(), &token, &[("AGENT_JWT_SECRET", SECRET)]).await;
    assert!(output.status.success(), "{output:?}");
    let lines = said(&output);
    let verifier = TokenVerifier::new(&Key::Secret(SECRET.to_owned().into()), Algorithm::Hs256);
    let claims = verifier.unwrap().verify(&lines[0]).unwrap();
    assert_eq!(
        (lines.len(), claims.user_id.as_str(), claims.agent_role.as_str()),
        (1, "ann", "scout")
    );
    let wrong = ["token", "--user", "a:b", "--role", "scout"];
    let output = daemon(dir.path(), &wrong, &[]).await;
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("AGENT_JWT_SECRET is not set") && told.contains("--user: "), "{told}");
}

#[tokio::test]
async fn check_and_config_tell_names_that_are_nearly_settings_and_where_a_value_came_from() {
    let dir = TempDir::new().unwrap();
    let file = "SMTP_FROM=My App <a@b.c>\nit's\nAGENT_JWT_SECRET=0123456789$abcdef#0123456789abcdef0123\n\
                WOMBAT_DEFAULT_TASK=Agent Thread\n";
    fs::write(dir.path().join(".env"), file).unwrap();
    let settings = [("WOMBAT_RETRY_ATEMPTS", "5"), ("LLM_PROVIDER", "offline")];
    let output = daemon(dir.path(), &["config"], &settings).await;
    assert!(output.status.success(), "{output:?}");
    let lines = said(&output);
    let is_told = |line: &String| {
        line.starts_with("WOMBAT_DEFAULT_TASK") && line.ends_with("= Agent Thread   [.env:4]")
    };
    assert!(lines.iter().any(is_told), "{lines:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    let near = "WOMBAT_RETRY_ATEMPTS is no setting; did you mean WOMBAT_RETRY_ATTEMPTS?";
    assert!(errors.contains(&format!("warning: {near}\n")), "{errors}");
    let lines = said(&daemon(dir.path(), &["check"], &settings).await);
    assert!(lines.contains(&format!("warn  settings: {near}")), "{lines:?}");
    let is_told = |line: &&String| {
        line.starts_with("warn  settings: .env:3: AGENT_JWT_SECRET: python-dotenv")
    };
    assert_eq!(lines.iter().filter(is_told).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn gates_and_names_in_the_configuration_find_the_variables_of_dot_env() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let gated =
        "---\nname: crm\ndescription: d\nmetadata: {openclaw: {requires: {env: [CRM_KEY]}}}\n---\n";
    write("workspace/skills/crm/SKILL.md", gated);
    let config = r#"{"backend_base_url": "${BACKEND_URL}", "team": "${TEAM}", "agents": [{"role": "scout"}]}"#;
    write("workspace/agent-config.json", config);
    write(
        ".env",
        &format!("BACKEND_URL={}\nCRM_KEY=k\nTEAM='a b'\nSECRET_OF_OTHERS=s\n", backend.uri()),
    );
    let settings = [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline")];
    let output = daemon(dir.path(), &["check"], &settings).await;
    let lines = said(&output);
    assert!(output.status.success(), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("1 of 1 skill enabled")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("is not set")), "{lines:#?}");
}

#[tokio::test]
async fn every_planted_mistake_is_found_in_a_line_of_its_own_with_its_remedy() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let root = dir.path().join("workspace");
    let write = |name: &str, text: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let skill = |name: &str, text: &str| write(&format!("skills/{name}/SKILL.md"), text.as_bytes());
    write("AGENTS.md", b"fine until \xff here");
    write("TOOL.md", b"a slip of a name");
    write("USER.md", "x".repeat(30_000).as_bytes());
    write("IDENTITY.md", b"");
    write("souls/two words.md", b"no role");
    write("memory/yesterday.md", b"no date");
    fs::write(dir.path().join("secret.md"), "outside").unwrap();
    std::os::unix::fs::symlink("../secret.md", root.join("MEMORY.md")).unwrap();
    skill("yaml", "---\nname: yaml\ndescription: a: b: c\n  - [\n---\n");
    skill("bare", "no front matter at all");
    skill(
        "gated",
        "---\nname: gated\ndescription: d\nmetadata: {\"openclaw\": {\"requires\": {\"env\": [\"CRM_KEY\"]}}}\n---\n",
    );
    skill("Loud_Name", "---\nname: Loud_Name\ndescription: d\n---\n");
    skill("open", "---\nname: open\ndescription: d\n---\n```\nGET /api/x\nPOST /api/{id\n");
    fs::create_dir(root.join("skills/empty")).unwrap();
    let config = json!({ "agents": [
        { "role": "scout", "heartbeat_cron": "61 * * * *", "default_model_tier": "cheapest",
          "tool": {}, "tools": { "allow": ["create_taks", "GET /api/none"] } },
        { "role": "a b" },
    ] });
    write("agent-config.json", serde_json::to_string_pretty(&config).unwrap().as_bytes());
    let url = backend.uri();
    let settings =
        [("AGENT_JWT_SECRET", "short"), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", &url)];
    let output = daemon(dir.path(), &["check"], &settings).await;
    let lines = said(&output);
    assert_eq!(output.status.code(), Some(1), "rules that cannot be read stop runs: {lines:#?}");
    for (place, what, remedy) in [
        ("settings", "shorter than 32 bytes", "openssl rand"),
        ("AGENTS.md", "UTF-8", "save it as UTF-8"),
        ("TOOL.md", "is not read", "rename it to TOOLS.md"),
        ("USER.md", "has 30000 characters", "shorten it"),
        ("IDENTITY.md", "is empty", "write something"),
        ("souls/two words.md", "its name is not a role", "rename it"),
        ("memory/yesterday.md", "is not read", "YYYY-MM-DD"),
        ("MEMORY.md", "leads out of the workspace", "put the file itself"),
        ("skills/yaml/SKILL.md", "", "correct the YAML"),
        ("skills/bare/SKILL.md", "no front matter", "begin the file with ---"),
        ("skills/gated/SKILL.md", "CRM_KEY", "set it"),
        ("skills/Loud_Name/SKILL.md", "Loud_Name", "correct its front matter"),
        ("skills/open/SKILL.md:5", "never closed", "close it"),
        ("skills/open/SKILL.md:7", "no endpoint: the braces", "Patterns"),
        ("skills/empty", "has no SKILL.md", "write one"),
        ("agent-config.json:4", "heartbeat_cron of scout", "minute, hour"),
        ("agent-config.json", "cheapest", "docs/WORKSPACE.md"),
        ("agent-config.json", "unknown key \"tool\"", "did you mean \"tools\"?"),
        ("agent-config.json", "create_taks", "create_task"),
        ("agent-config.json", "GET /api/none", "declare the endpoint"),
        ("agent-config.json", "no HEARTBEAT.md", "write the checklist"),
        ("agent-config.json", "agent \"a b\"", "docs/WORKSPACE.md"),
    ] {
        let fatal = ["cheapest", "agent \"a b\"", "correct the YAML"];
        let is_fatal = fatal.contains(&what) || fatal.contains(&remedy);
        let mark = if is_fatal { "FAIL  " } else { "warn  " };
        let found = lines.iter().any(|line| {
            line.starts_with(mark)
                && line.contains(place)
                && line.contains(what)
                && line.contains(remedy)
        });
        assert!(found, "{place}: {what}: {remedy}\n{lines:#?}");
    }
}

#[tokio::test]
async fn nothing_that_a_skill_seems_to_declare_is_dropped_in_silence() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    let document = json!({ "openapi": "3.1.0", "paths": { "/visits/{id}": { "get": {} } } });
    let document = ResponseTemplate::new(200).set_body_json(document);
    Mock::given(path("/openapi.json")).respond_with(document).mount(&backend).await;
    let root = dir.path().join("workspace");
    fs::create_dir_all(root.join("skills/visits")).unwrap();
    let skill = "---\nname: visits\ndescription: d\n---\n```\nGET /visits/{id}\nGET /visit/{id}\npost /visits\n\
                 PUT https://h/visits/7\ncurl -X DELETE h://x\n```\nSee `PATCH /visits/{id}`.\n";
    fs::write(root.join("skills/visits/SKILL.md"), skill).unwrap();
    let config = "{\"agents\": [\n{\"role\": \"scout\",\n\"tools\": {\"allow\": []}}]}";
    fs::write(root.join("agent-config.json"), config).unwrap();
    let url = backend.uri();
    let settings = [
        ("AGENT_JWT_SECRET", SECRET),
        ("LLM_PROVIDER", "offline"),
        ("BACKEND_URL", url.as_str()),
        ("WOMBAT_BACKEND_OPENAPI", "/openapi.json"),
    ];
    let output = daemon(dir.path(), &["check"], &settings).await;
    let lines = said(&output);
    let warnings: Vec<_> =
        lines.iter().filter_map(|line| line.strip_prefix("warn  workspace: ")).collect();
    let told = [
        "skills/visits/SKILL.md:8: a method that is not in capital letters declares nothing; write POST /visits on a line",
        "skills/visits/SKILL.md:9: a whole address instead of a path declares nothing; write PUT /visits/7 on a line",
        "skills/visits/SKILL.md:10: a curl command declares nothing; write METHOD /path",
        "skills/visits/SKILL.md:12: an endpoint outside of a code block declares nothing; write PATCH /visits/{id} on",
        "skills/visits/SKILL.md:7: the backend's OpenAPI document has no GET /visit/{id}; did you mean GET /visits/{id}?",
        "agent-config.json:3: \"allow\" of scout is empty: the role may call no tool at all; name its tools, or remove",
    ];
    assert_eq!(warnings.len(), told.len(), "{warnings:#?}");
    for (warning, told) in warnings.iter().zip(told) {
        assert!(warning.starts_with(told), "{warnings:#?}");
    }
    assert_eq!(output.status.code(), Some(0));
    let output = daemon(dir.path(), &["check", "--strict"], &settings).await;
    assert_eq!(output.status.code(), Some(1));
    let last = "Runs can work, but --strict allows no warnings: 6 warnings.";
    assert_eq!(said(&output).last().unwrap(), last);
}

#[tokio::test]
async fn what_stops_runs_is_marked_and_gives_exit_code_one() {
    let (dir, good) = (TempDir::new().unwrap(), backend().await);
    fs::create_dir(dir.path().join("workspace")).unwrap();
    let refusing = MockServer::start().await;
    answer(&refusing, "GET", "/capabilities", 401, json!({ "error": "no" })).await;
    let newer = MockServer::start().await;
    answer(
        &newer,
        "GET",
        "/capabilities",
        200,
        json!({ "contract_version": "v2", "features": {} }),
    )
    .await;
    let other = MockServer::start().await;
    let (good, refusing, newer, other) = (good.uri(), refusing.uri(), newer.uri(), other.uri());
    let secret = ("AGENT_JWT_SECRET", SECRET);
    let offline = ("LLM_PROVIDER", "offline");
    for (settings, told) in [
        (vec![offline, ("BACKEND_URL", &good)], "settings: AGENT_JWT_SECRET is not set"),
        (
            vec![secret, offline, ("BACKEND_URL", &good), ("WOMBAT_WORKSPACE", "nowhere")],
            "wombat-daemon init",
        ),
        (
            vec![secret, ("BACKEND_URL", &good)],
            "model: openai/gpt-4o-mini needs OPENAI_API_KEY; runs fail until it is set",
        ),
        (
            vec![secret, offline, ("BACKEND_URL", &refusing)],
            "rejects the agent token of user \"wombat\", role \"system\": 401, ",
        ),
        (vec![secret, offline, ("BACKEND_URL", &newer)], "update the older one"),
        (
            vec![secret, offline, ("BACKEND_URL", "http://127.0.0.1:9")],
            "start it, or correct BACKEND_URL",
        ),
        (
            vec![
                secret,
                offline,
                ("BACKEND_URL", &good),
                ("WOMBAT_CONTROL_PLANE_URL", "http://127.0.0.1:9"),
            ],
            "start it, or correct WOMBAT_CONTROL_PLANE_URL (and MC_PORT of wombat-mission-control",
        ),
        // Another one's control plane, and an application's own address in its place.
        (
            vec![secret, offline, ("BACKEND_URL", &good), ("WOMBAT_CONTROL_PLANE_URL", &refusing)],
            "answers there (WOMBAT_CONTROL_PLANE_URL)",
        ),
        (
            vec![secret, offline, ("BACKEND_URL", &other)],
            "wombat-mission-control beside it, set WOMBAT_CONTROL_PLANE_URL to",
        ),
        (
            vec![
                secret,
                offline,
                ("BACKEND_URL", "http://127.0.0.1:9"),
                ("WOMBAT_CONTROL_PLANE_URL", &good),
            ],
            "application: http://127.0.0.1:9: ",
        ),
    ] {
        let output = daemon(dir.path(), &["check"], &settings).await;
        let lines = said(&output);
        assert_eq!(output.status.code(), Some(1), "{lines:?}");
        let failures: Vec<_> = lines.iter().filter(|line| line.starts_with("FAIL")).collect();
        assert!(failures.len() == 1 && failures[0].contains(told), "{told}: {lines:#?}");
    }
}

#[tokio::test]
async fn rules_that_cannot_be_read_are_failures_with_their_place() {
    let (dir, backend) = (TempDir::new().unwrap(), backend().await);
    assert!(daemon(dir.path(), &["init"], &[]).await.status.success());
    let url = backend.uri();
    let settings =
        [("AGENT_JWT_SECRET", SECRET), ("LLM_PROVIDER", "offline"), ("BACKEND_URL", &url)];
    let tools =
        |tools: &str| format!("{{\"agents\": [{{\"role\": \"agent\",\n\"tools\": {tools}}}]}}");
    for (file, text, told) in [
        (
            "agent-config.json",
            tools(r#"{"deny": ["create_*", "no way"]}"#),
            "agent-config.json:2: agent \"agent\": tool pattern \"no way\"",
        ),
        ("agent-config.json", tools(r#"{"denied": ["create_*"]}"#), "did you mean \"deny\"?"),
        ("agent-config.json", tools(r#"{"deny": ["x_${NOT_SET}"]}"#), "${NOT_SET} is not set"),
        ("mcp.json", "{\n oops".to_owned(), "mcp.json:2: "),
        (
            "skills/x/SKILL.md",
            "---\nname: x\ndescription: d\nmetadata: {wombat: {endpoints: [nope]}}\n---\n"
                .to_owned(),
            "skills/x/SKILL.md:4: endpoint \"nope\"",
        ),
    ] {
        let path = dir.path().join("workspace").join(file);
        let before = fs::read(&path).ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
        let output = daemon(dir.path(), &["check"], &settings).await;
        let lines = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}: {lines:#?}");
        let failures: Vec<_> = lines.iter().filter(|line| line.starts_with("FAIL")).collect();
        assert!(failures.len() == 1 && failures[0].contains(told), "{text}: {lines:#?}");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
}
