//! The page in a real Chromium, with the real programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::StreamExt as _;
use serde_json::{Value, json};
use test_support::browser::{Browser, View};
use test_support::lacks;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Stack, StackOptions, example};

const LIGHT: View = View { width: 1280, height: 900, dark: false };
const DARK: View = View { width: 1280, height: 900, dark: true };
const PHONE: View = View { width: 360, height: 740, dark: true };

/// Sets a marker that a test finds, wherever it is executed.
const HOSTILE: &str = "<script>window.pwned=1</script><img src=https://evil.example/x onerror=window.pwned=1>\n\n\
    [click](javascript:window.pwned=1) ![p](https://evil.example/pixel) <svg/onload=window.pwned=1>\n\n\
    <iframe src=https://evil.example/></iframe> [fine](https://example.org/) \"onmouseover=\"window.pwned=1";

/// The example, in which each document needs approval.
fn guarded(dir: &Path) -> PathBuf {
    let copy = dir.join("example");
    let copied = Command::new("cp").arg("-r").arg(example()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let agents =
        json!({ "agents": [{ "role": "scout", "tools": { "approval": ["create_document"] } }] });
    std::fs::write(copy.join("config/agent-config.json"), agents.to_string()).unwrap();
    copy
}

/// Nothing was logged as an error, and nothing but the backend was requested.
async fn clean(browser: &Browser, backend: &str) {
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    let foreign: Vec<_> = browser
        .requests()
        .await
        .into_iter()
        .filter(|url| url.starts_with("http") && !url.starts_with(backend))
        .collect();
    assert_eq!(foreign, Vec::<String>::new());
    assert_eq!(browser.run("return window.pwned ?? null").await, Value::Null);
}

#[tokio::test]
async fn a_person_writes_sees_the_agent_at_work_approves_and_reads_the_document() {
    let Some(browser) = Browser::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = StackOptions { example: guarded(dir.path()), ..StackOptions::default() };
    let mut stack = Stack::start(&options).await.unwrap();
    let url = stack.backend_url.clone();
    browser.view(LIGHT).await;
    browser.open(&format!("{url}/?user=ann")).await;
    browser.sees("None yet: write to an agent.").await;

    // The beginning of a name and Tab; then the rest.
    browser.keys("#text", "@sc").await;
    browser.sees("@scout").await;
    browser.keys("#text", "\u{e004}find two primary schools near the beach").await;
    let written = browser.run("return document.getElementById('text').value").await;
    assert_eq!(written, "@scout find two primary schools near the beach");
    browser.click("#write form button").await;

    // The thread's page shows by itself how the agent gets on, until it needs the person.
    browser.sees("awaiting_approval").await;
    browser.click("#runs a").await;
    browser.sees("Tool call_backend POST /api/schools/search").await;
    browser.open(&format!("{url}/?user=ann")).await;
    browser.sees("create_document").await;
    browser.click("button[value=approved]").await;
    browser.click("#documents a").await;
    let heading =
        browser.run("return document.querySelector('.text h1, .text h2')?.innerText").await;
    assert!(heading.is_string(), "the document is no Markdown: {}", browser.text().await);

    // The reply is in the thread, and the run is told step by step with what it took.
    browser.open(&format!("{url}/?user=ann")).await;
    browser.sees("Completed").await;
    browser.click("#runs a").await;
    browser.sees("completed").await;
    browser.click("#timeline details summary").await;
    let figures = browser.run("return document.querySelector('.figures').innerText").await;
    for name in ["Model turns", "Tool calls", "Tokens in", "Cost"] {
        assert!(figures.as_str().unwrap().contains(name), "{figures}");
    }
    clean(&browser, &url).await;
    browser.quit().await;
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn the_page_of_a_run_shows_what_a_model_with_a_price_cost() {
    let Some(browser) = Browser::start().await else { return };
    let create = ("create_task", json!({ "title": "Visit a school" }));
    let model = ScriptedLlm::start([Reply::sse_calls(&[create]), Reply::text("It is done.")]).await;
    let settings = [
        ("LLM_PROVIDER", "openai".to_owned()),
        ("OPENAI_API_KEY", "sk-test".to_owned()),
        ("OPENAI_BASE_URL", model.base_url()),
        ("LLM_MODEL_DEFAULT", "gpt-4o-mini".to_owned()),
    ];
    let daemon = settings.into_iter().collect();
    let options = StackOptions { example: example(), daemon, ..StackOptions::default() };
    let mut stack = Stack::start(&options).await.unwrap();
    let url = stack.backend_url.clone();
    browser.open(&format!("{url}/?user=ann")).await;
    browser.keys("#text", "@scout \u{e004}put a visit on my list").await;
    browser.click("#write form button").await;
    browser.sees("It is done.").await;
    browser.sees("completed").await;
    browser.click("#runs a").await;
    browser.sees("Tool create_task").await;

    // What the journal says that each answer cost, in the words of the wire.
    let path = browser.run("return location.pathname").await;
    let run = stack.person("ann").get(path.as_str().unwrap()).await.unwrap();
    let steps = run["steps"].as_array().unwrap().iter();
    let costs: Vec<_> =
        steps.filter_map(|step| step["payload"]["cost"]["totalCost"].as_f64()).collect();
    assert!(costs.len() == 2 && costs.iter().all(|cost| *cost > 0.0), "{run}");
    let figures = browser.run("return document.querySelector('.figures').innerText").await;
    let sum = format!("${:.6}", costs.iter().sum::<f64>());
    assert!(figures.as_str().unwrap().contains(&sum), "{sum}: {figures}");
    assert!(!figures.as_str().unwrap().contains("without a known price"), "{figures}");
    let timeline = browser.run("return document.getElementById('timeline').innerText").await;
    for cost in costs {
        assert!(timeline.as_str().unwrap().contains(&format!("${cost:.6}")), "{cost}: {timeline}");
    }
    // What was booked for the day is the same sum.
    browser.open(&format!("{url}/?user=ann")).await;
    let spent = browser.run("return document.getElementById('spending').innerText").await;
    let sum = run["cost"]["totalCost"].as_f64().unwrap();
    assert!(spent.as_str().unwrap().contains(&format!("${sum:.4} in this period")), "{spent}");
    clean(&browser, &url).await;
    browser.quit().await;
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_hostile_does_nothing_wherever_it_stands() {
    let Some(browser) = Browser::start().await else { return };
    let options = StackOptions { example: example(), ..StackOptions::default() };
    let mut stack = Stack::start(&options).await.unwrap();
    let (url, person) = (stack.backend_url.clone(), stack.person("ann"));
    let new = json!({ "title": HOSTILE, "description": HOSTILE, "status": "blocked" });
    let task = person.post("/tasks", &new).await.unwrap()["id"].as_str().unwrap().to_owned();
    person.post("/messages", &json!({ "task_id": task, "content": HOSTILE })).await.unwrap();
    let document =
        json!({ "title": HOSTILE, "content": HOSTILE, "doc_type": HOSTILE, "task_id": task });
    let document = person.post("/documents", &document).await.unwrap();
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "failed", "error": HOSTILE });
    person.put("/runs/hostile", &run).await.unwrap();
    let steps = [
        json!({ "kind": "request", "payload": { "message": HOSTILE, "newest": HOSTILE } }),
        json!({ "kind": "tool", "payload": { "name": HOSTILE, "ok": true, "content": HOSTILE, "arguments": { HOSTILE: HOSTILE } } }),
        json!({ "kind": HOSTILE, "payload": { HOSTILE: [HOSTILE] } }),
    ];
    for (place, step) in steps.iter().enumerate() {
        person.put(&format!("/runs/hostile/steps/{place}"), step).await.unwrap();
    }
    let wish = json!({
        "task_id": task, "run_key": "hostile", "session_key": "user:ann:scout", "tool": HOSTILE,
        "arguments": { HOSTILE: HOSTILE }, "reason": HOSTILE, "idempotency_key": "k"
    });
    person.post("/tool-requests", &wish).await.unwrap();
    let document = document["id"].as_str().unwrap();
    for path in ["/", &format!("/tasks/{task}"), &format!("/documents/{document}"), "/runs/hostile"]
    {
        browser.open(&format!("{url}{path}?user=ann")).await;
        browser.sees("window.pwned=1").await;
        browser.run("for (const d of document.querySelectorAll('details')) d.open = true").await;
        let links = "return [...document.querySelectorAll('.text a')].map((a) => a.href)";
        for link in browser.run(links).await.as_array().unwrap() {
            assert_eq!(link, "https://example.org/");
        }
        clean(&browser, &url).await;
    }
    browser.quit().await;
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn ten_thousand_tasks_make_no_larger_page() {
    const MANY: usize = 10_000;
    let Some(browser) = Browser::start().await else { return };
    let options = StackOptions { example: example(), ..StackOptions::default() };
    let mut stack = Stack::start(&options).await.unwrap();
    let (url, person) = (stack.backend_url.clone(), stack.person("ann"));
    let made = futures::stream::iter(0..MANY).map(|n| {
        let status = ["pending", "in_progress", "blocked", "completed"][n % 4];
        let person = person.clone();
        async move {
            person.post("/tasks", &json!({ "title": format!("Task {n}"), "status": status })).await
        }
    });
    let made = made.buffer_unordered(32).filter(|made| std::future::ready(made.is_ok())).count();
    assert_eq!(made.await, MANY);
    browser.view(LIGHT).await;
    browser.open(&format!("{url}/?user=ann")).await;
    browser.sees("and 2480 older").await;
    let elements = browser.run("return document.querySelectorAll('*').length").await;
    assert!(elements.as_u64().unwrap() < 1_000, "{elements} elements");
    clean(&browser, &url).await;
    browser.quit().await;
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn axe_finds_nothing_serious_and_a_phone_needs_no_sideways_scrolling() {
    let axe = std::env::var_os("WOMBAT_TEST_NODE")
        .map(|root| PathBuf::from(root).join("node_modules/axe-core/axe.min.js"))
        .and_then(|file| std::fs::read_to_string(file).ok());
    let Some(axe) = axe else {
        return lacks("axe-core", "node");
    };
    let Some(browser) = Browser::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = StackOptions { example: guarded(dir.path()), ..StackOptions::default() };
    let mut stack = Stack::start(&options).await.unwrap();
    let (url, person) = (stack.backend_url.clone(), stack.person("ann"));
    let task = person.post("/tasks", &json!({ "title": "A".repeat(300) })).await.unwrap();
    let task = task["id"].as_str().unwrap().to_owned();
    let said =
        json!({ "task_id": task, "content": "@scout find two primary schools near the beach" });
    person.post("/messages", &said).await.unwrap();
    let content = format!(
        "# Plan\n\n| a | b |\n| - | - |\n| {} | 2 |\n\n`{}`\n\n> quoted",
        "x".repeat(80),
        "y".repeat(200)
    );
    let document = json!({ "title": "Plan", "content": content, "task_id": task });
    let document = person.post("/documents", &document).await.unwrap();
    browser.open(&format!("{url}/?user=ann")).await;
    browser.sees("create_document").await;
    let pages = [
        "/".to_owned(),
        format!("/tasks/{task}"),
        format!("/documents/{}", document["id"].as_str().unwrap()),
    ];
    for view in [LIGHT, DARK, PHONE] {
        browser.view(view).await;
        for page in &pages {
            browser.open(&format!("{url}{page}?user=ann")).await;
            let wide =
                browser.run("return document.documentElement.scrollWidth - innerWidth").await;
            assert!(wide.as_i64().unwrap() <= 0, "{page} is {wide} pixels too wide at {view:?}");
            browser
                .run(&format!("{axe}; axe.run().then((r) => {{ window.found = r.violations }});"))
                .await;
            let found = test_support::wait_for("axe is done", async || {
                let found = browser.run("return window.found ?? null").await;
                found.is_array().then_some(found)
            });
            let found = found.await;
            let serious = found
                .as_array()
                .unwrap()
                .iter()
                .filter(|found| found["impact"] == "serious" || found["impact"] == "critical");
            let told: Vec<_> = serious
                .map(|found| format!("{}: {}", found["id"], found["nodes"][0]["html"]))
                .collect();
            assert_eq!(told, Vec::<String>::new(), "{page} at {view:?}");
        }
    }
    browser.quit().await;
    stack.stop().await.unwrap();
}
