//! `make screenshots`: the README's pictures of the real page after a real round trip.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::browser::{Browser, View};
use test_support::program::ProgramError;
use test_support::stack::{Stack, StackOptions, example};

/// The folder of the pictures.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/images");

/// Timeout for the agents.
const PATIENCE: Duration = Duration::from_secs(60);

const USER: &str = "local";

fn failed(error: impl std::fmt::Display) -> ProgramError {
    ProgramError(error.to_string())
}

pub(crate) async fn run() -> Result<(), ProgramError> {
    let Some(browser) = Browser::start().await else {
        return Err(failed("apt-get install chromium chromium-driver"));
    };
    let options = StackOptions { example: example(), ..StackOptions::default() };
    let mut stack = Stack::start(&options).await?;
    let (url, person) = (stack.backend_url.clone(), stack.person(USER));
    for (title, status) in [
        ("Collect the fees of all schools", "in_progress"),
        ("Ask Hillside about lunch", "blocked"),
        ("Visit two schools", "pending"),
        ("Draw up the list of wishes", "completed"),
    ] {
        person.post("/tasks", &json!({ "title": title, "status": status })).await?;
    }
    let task = person
        .post("/tasks", &json!({ "title": "A school near the beach", "status": "in_progress" }))
        .await?;
    let task = task["id"].as_str().unwrap_or_default().to_owned();
    let said = "@scout find two primary schools near the beach";
    person.post("/messages", &json!({ "task_id": task, "content": said })).await?;
    let wish = json!({
        "task_id": task, "run_key": "picture", "session_key": format!("user:{USER}:scout"),
        "tool": "shortlist_school", "arguments": { "school_id": "hillside", "note": "small classes" },
        "reason": "A change of your list needs your word.", "idempotency_key": "picture"
    });
    person.post("/tool-requests", &wish).await?;
    let deadline = Instant::now() + PATIENCE;
    while person.list(&format!("/messages?task_id={task}")).await?.len() < 2 {
        if Instant::now() > deadline {
            return Err(failed("the agent did not reply"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    std::fs::create_dir_all(FOLDER).map_err(failed)?;
    let wide = |dark| View { width: 1200, height: 900, dark };
    let phone = View { width: 390, height: 844, dark: false };
    let overview = format!("{url}/?user={USER}");
    let pictures = [
        ("board-light.png", wide(false), overview.clone()),
        ("board-dark.png", wide(true), overview),
        ("board-phone.png", phone, format!("{url}/tasks/{task}?user={USER}")),
    ];
    for (name, view, page) in pictures {
        browser.view(view).await;
        browser.open(&page).await;
        std::fs::write(Path::new(FOLDER).join(name), browser.picture().await).map_err(failed)?;
    }
    // The run is what a person wants to see most.
    browser.view(wide(false)).await;
    browser.open(&format!("{url}/tasks/{task}?user={USER}")).await;
    browser.click("#runs a").await;
    browser.sees("Timeline").await;
    browser.run("document.querySelectorAll('#timeline > ol > li:nth-child(3) > details').forEach((d) => d.open = true)").await;
    std::fs::write(Path::new(FOLDER).join("run.png"), browser.picture().await).map_err(failed)?;
    browser.quit().await;
    stack.stop().await
}
