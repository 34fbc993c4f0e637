//! Runs with each provider, whose server refuses what the real one refuses.

use std::path::Path;

use serde_json::{Value, json};
use test_support::strict::Profile;
use test_support::strict_llm::{Answer, StrictLlm};
use wombat_daemon::init::init;

use crate::harness::{World, message};

/// A daemon that calls the profile's server, with the starter's workspace.
async fn world(llm: &StrictLlm, profile: Profile, more: &[(&str, &str)]) -> World {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), false).unwrap();
    world_in(dir.path(), llm, profile, more).await
}

async fn world_in(dir: &Path, llm: &StrictLlm, profile: Profile, more: &[(&str, &str)]) -> World {
    let dir = dir.display().to_string();
    let provider = profile.provider();
    let variable = if profile == Profile::Gemini { "gemini" } else { provider }.to_uppercase();
    let (base, key) = (format!("{variable}_BASE_URL"), format!("{variable}_API_KEY"));
    let url = llm.base_url();
    // OpenRouter's own names begin with a provider's; elsewhere that would select the provider.
    let model = match profile {
        Profile::OpenRouter => profile.model().to_owned(),
        _ => format!("{provider}/{}", profile.model()),
    };
    let api = if profile == Profile::Responses { "responses" } else { "chat" };
    let mut settings = vec![
        ("LLM_PROVIDER", provider),
        ("LLM_MODEL_DEFAULT", model.as_str()),
        (base.as_str(), url.as_str()),
        ("OPENAI_API", api),
        ("WOMBAT_WORKSPACE", dir.as_str()),
    ];
    if profile != Profile::Ollama {
        settings.push((key.as_str(), "sk-canary"));
    }
    settings.extend(more);
    World::with(&settings, json!({ "tasks_update": true })).await
}

/// The reply to a message, and how many of the tools failed.
async fn reply(world: &World, llm: &StrictLlm, more: Value) -> (String, usize) {
    let (status, answer) = world.daemon.send(&message(more)).await;
    assert_eq!(status, 200, "{answer} {:#?}", llm.refusals());
    let steps = answer["steps"].as_array().unwrap();
    let failed = steps.iter().filter(|step| step["ok"] == false).count();
    (answer["response"].as_str().unwrap().to_owned(), failed)
}

#[tokio::test]
async fn the_starters_workspace_runs_with_every_provider() {
    for profile in Profile::ALL {
        let llm = StrictLlm::start(
            profile,
            [
                Answer::calls(&[("list_tasks", json!({})), ("list_tasks", json!({}))]),
                Answer::call("create_task", json!({ "title": "Milk" })),
                Answer::text("Two lists and a task."),
            ],
        )
        .await;
        let world = world(&llm, profile, &[]).await;
        let name = profile.name();
        assert_eq!(
            reply(&world, &llm, json!({})).await,
            ("Two lists and a task.".into(), 0),
            "{name}"
        );
        assert_eq!(world.backend_got("POST", "/tasks").await.len(), 1, "{name}");
        assert_eq!(llm.asked().len(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_thread_with_two_messages_in_a_row_is_taken_by_every_provider() {
    for profile in [Profile::OpenAi, Profile::Responses, Profile::Anthropic] {
        let llm = StrictLlm::start(profile, [Answer::text("Both.")]).await;
        let world = world(&llm, profile, &[]).await;
        let thread = json!({ "items": [
            { "id": "m1", "actor_type": "user", "content": "One." },
            { "id": "m2", "actor_type": "user", "content": "Two." },
        ] });
        world.backend_says("GET", "/messages", 200, thread).await;
        assert_eq!(reply(&world, &llm, json!({})).await.0, "Both.", "{}", profile.name());
    }
}
