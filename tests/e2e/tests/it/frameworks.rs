//! Applications of the usual web frameworks, each with the OpenAPI document that its framework writes: what
//! becomes a tool is called with what the model meant, and what does not is named with its reason.

mod apps;
mod model;

use std::fmt::Write as _;
use std::path::Path;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;

use crate::example::{INTERNAL, SECRET};
use apps::{App, FRAMEWORKS, Framework, Installed};
use model::{Offered, Step};

/// A part of every application's refusal of a name.
const REASON: &str = "is reserved: choose one that says what the thing is";

/// The frameworks that are tried at the same time.
const AT_ONCE: usize = 3;

/// What was found of one framework.
struct Row {
    framework: &'static Framework,
    version: String,
    document: String,
    operations: usize,
    tools: usize,
    problems: Vec<String>,
    calls: usize,
    refusals: usize,
    /// What the model meant and the document has no place for.
    no_place: Vec<String>,
}

#[tokio::test]
async fn what_each_framework_documents_is_called_as_the_model_meant_it() {
    let Some(installed) = apps::installed() else { return };
    // A build would stop the clock of everything that is waited for.
    Program::path("wombat-daemon").unwrap();
    let data = tempfile::tempdir().unwrap();
    let (_backend, control_plane) = control_plane(data.path()).await;
    let tried = FRAMEWORKS.iter().map(|framework| measure(framework, &installed, &control_plane));
    let rows: Vec<_> = futures::stream::iter(tried).buffered(AT_ONCE).collect().await;
    let (rows, wrong): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rows: Vec<_> = rows.into_iter().filter_map(Result::ok).collect();
    let table = table(&rows);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPENAPI.md");
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.contains(&table), "docs/OPENAPI.md: the table is now\n\n{table}");
}

/// The reference backend, and its address.
async fn control_plane(data: &Path) -> (Program, String) {
    let settings = [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("MC_DATA_DIR", data.display().to_string()),
        ("MC_PORT", "0".to_owned()),
    ];
    let mut backend = Program::start("wombat-mission-control", data, &settings, &[]).unwrap();
    let url = backend.url().await.unwrap();
    (backend, url)
}

async fn measure(
    framework: &'static Framework,
    with: &Installed,
    control_plane: &str,
) -> Result<Row, String> {
    let name = framework.name;
    let app = App::start(framework, with).await;
    let (document, operations) = app.document(framework.document).await;
    let llm = ScriptedLlm::start([Reply::text("I have read it.")]).await;
    let folder = workspace();
    let settings = settings(framework, &app.url, control_plane, &llm);
    let mut daemon = Program::start("wombat-daemon", folder.path(), &settings, &[]).unwrap();
    let url = daemon.url().await.unwrap();

    let answer = send(&url, name, "look").await;
    let offered =
        llm.asked().first().map(Offered::of).ok_or_else(|| format!("{name}: {answer}"))?;
    let steps = model::steps(&offered).map_err(|why| format!("{name}: {why}"))?;
    let calls = steps.iter().map(|step| Reply::call(&step.tool, &step.arguments));
    let seen_before = llm.asked().len();
    llm.say(calls.chain([Reply::text("Done.")]));
    let answer = send(&url, name, "use").await;
    assert_eq!(answer["response"], "Done.", "{name}: {answer}");
    let told = model::told(&llm.asked()[seen_before..]);
    let recorded = app.seen();
    let mut wrong = String::new();
    let (mut calls, mut refusals) = (0, 0);
    for (step, told) in steps.iter().zip(&told) {
        match judge(step, told, &recorded) {
            Ok(()) if step.is_refused => refusals += 1,
            Ok(()) => calls += 1,
            Err(why) => writeln!(wrong, "{} {}: {why}", step.operation, step.arguments).unwrap(),
        }
    }
    let unset = settings.clone().map(|(name, value)| match name {
        "WOMBAT_BACKEND_OPENAPI" => (name, String::new()),
        _ => (name, value),
    });
    let (told, found) = tokio::join!(check(folder.path(), &settings), check(folder.path(), &unset));
    let problems = told.lines().filter_map(|line| line.strip_prefix("warn  tools: "));
    let problems: Vec<_> = problems.map(str::to_owned).collect();
    if !found.contains(&format!("set WOMBAT_BACKEND_OPENAPI={}", framework.document)) {
        writeln!(wrong, "its document is not found: {found}").unwrap();
    }
    let no_tools = problems.iter().filter(|problem| !offered.has(problem)).count();
    if offered.tools.len() + no_tools != operations {
        writeln!(wrong, "of {operations} operations some are neither tool nor problem").unwrap();
    }
    // No call can carry a file yet: an upload is no tool, and this is said.
    let uploads = problems.iter().filter(|problem| problem.contains("photo")).count();
    if uploads != usize::from(framework.has_upload()) {
        writeln!(wrong, "the upload is no problem").unwrap();
    }
    if !wrong.is_empty() {
        let tools = &offered.tools;
        return Err(format!("{name}:\n{wrong}{problems:#?}\n{tools:?}\n{}", app.log()));
    }
    let mut no_place: Vec<_> = steps.into_iter().flat_map(|step| step.no_place).collect();
    no_place.sort();
    no_place.dedup();
    Ok(Row {
        framework,
        version: framework.version(),
        document,
        operations,
        tools: offered.tools.len(),
        problems,
        calls,
        refusals,
        no_place,
    })
}

/// Whether a call came to what the model meant.
fn judge(step: &Step, told: &str, recorded: &[Value]) -> Result<(), String> {
    if step.is_refused {
        return if told.contains(REASON) { Ok(()) } else { Err(format!("the model saw {told}")) };
    }
    let mut of_it = recorded.iter().filter(|seen| seen["operation"] == step.operation);
    let Some(seen) = of_it.next() else {
        return Err(format!("did not arrive; the model saw {told}"));
    };
    if of_it.next().is_some() {
        return Err("arrived twice".to_owned());
    }
    model::same(seen, &step.meant).map_err(|why| format!("{why}; it saw {seen}"))
}

fn settings(
    framework: &Framework,
    app: &str,
    control_plane: &str,
    llm: &ScriptedLlm,
) -> [(&'static str, String); 9] {
    [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("BACKEND_URL", app.to_owned()),
        ("WOMBAT_CONTROL_PLANE_URL", control_plane.to_owned()),
        ("WOMBAT_BACKEND_OPENAPI", framework.document.to_owned()),
        ("WOMBAT_WORKSPACE", "workspace".to_owned()),
        ("WOMBAT_PORT", "0".to_owned()),
        ("LLM_PROVIDER", "openai".to_owned()),
        ("OPENAI_API_KEY", "sk-test".to_owned()),
        ("OPENAI_BASE_URL", llm.base_url()),
    ]
}

/// A workspace of which the only skill declares everything.
fn workspace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let skill = dir.path().join("workspace/skills/shop");
    std::fs::create_dir_all(&skill).unwrap();
    std::fs::write(dir.path().join("workspace/SOUL.md"), "You keep a shop.\n").unwrap();
    let endpoints = ["GET", "POST", "PUT", "PATCH", "DELETE"].map(|method| format!("{method} /**"));
    let text = format!(
        "---\nname: shop\ndescription: The items of the shop.\n---\n```http\n{}\n```\n",
        endpoints.join("\n")
    );
    std::fs::write(skill.join("SKILL.md"), text).unwrap();
    dir
}

async fn send(daemon: &str, name: &str, key: &str) -> Value {
    let body = json!({
        "user_id": "ann", "session_key": "user:ann:agent", "task_title": name,
        "message": "Tidy up the shop.", "idempotency_key": format!("{name} {key}"),
    });
    let answer = reqwest::Client::new().post(format!("{daemon}/api/agents/send")).json(&body);
    answer.send().await.unwrap().json().await.unwrap()
}

/// What `wombat-daemon check` says.
async fn check(folder: &Path, settings: &[(&str, String)]) -> String {
    let mut check = Program::start("wombat-daemon", folder, settings, &["check"]).unwrap();
    check.wait().await.unwrap();
    check.full_log().await
}

fn table(rows: &[Row]) -> String {
    let mut table =
        "| framework | document | form | operations | tools | problems | calls | refusals | no place for |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for row in rows {
        let Row {
            framework,
            version,
            document,
            operations,
            tools,
            problems,
            calls,
            refusals,
            no_place,
        } = row;
        let no_place: Vec<_> = no_place.iter().map(|what| format!("`{what}`")).collect();
        let no_place = no_place.join(", ");
        let (name, place) = (framework.name, framework.document);
        let problems = problems.len();
        writeln!(
            table,
            "| {name} {version} | `{place}` | {document} | {operations} | {tools} | {problems} | {calls} | {refusals} | {no_place} |"
        )
        .unwrap();
    }
    table
}
