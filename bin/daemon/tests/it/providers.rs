//! Runs with each provider, whose server refuses what the real one refuses.

use std::path::Path;

use serde_json::{Value, json};
use test_support::strict::Profile;
use test_support::strict_llm::{Answer, StrictLlm};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, ResponseTemplate};
use wombat_daemon::init::init;

use crate::harness::{World, message};

/// A daemon that calls the profile's server, with the starter's workspace.
async fn world(llm: &StrictLlm, profile: Profile, more: &[(&str, &str)]) -> World {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), false).unwrap();
    let mut world = world_in(dir.path(), llm, profile, more).await;
    world.dir = dir;
    world
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
    let mut body = message(json!({ "session_key": "user:u1:agent" }));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = world.daemon.send(&body).await;
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

#[tokio::test]
async fn the_last_step_is_summed_up_with_every_provider() {
    for profile in Profile::ALL {
        let again = Answer::call("create_task", json!({ "title": "Milk" })).or_else("A task.");
        let llm = StrictLlm::start(profile, [again]).await;
        let world = world(&llm, profile, &[]).await;
        for steps in [1, 2] {
            let limits = json!({ "limits": { "max_steps": steps } });
            let name = profile.name();
            assert_eq!(
                reply(&world, &llm, limits).await,
                ("A task.".into(), 0),
                "{name}, {steps} steps"
            );
        }
        assert_eq!(world.backend_got("POST", "/tasks").await.len(), 3, "{}", profile.name());
    }
}

#[tokio::test]
async fn thoughts_go_back_to_every_provider_that_wants_them() {
    for profile in Profile::ALL {
        let call = || Answer::call("list_tasks", json!({})).thinking("First the list.");
        let llm = StrictLlm::start(profile, [call(), call(), Answer::text("None.")]).await;
        let world = world(&llm, profile, &[]).await;
        assert_eq!(reply(&world, &llm, json!({})).await, ("None.".into(), 0), "{}", profile.name());
    }
}

#[tokio::test]
async fn a_name_that_no_tool_has_is_told_and_the_run_goes_on() {
    for profile in Profile::ALL {
        for called in ["multi_tool_use.parallel", "list tasks", "", "größe"] {
            let answers = [Answer::call(called, json!({})), Answer::text("Then not.")];
            let llm = StrictLlm::start(profile, answers).await;
            let world = world(&llm, profile, &[]).await;
            let name = profile.name();
            assert_eq!(reply(&world, &llm, json!({})).await.0, "Then not.", "{name}: '{called}'");
        }
    }
}

/// An API whose names and schemas no provider takes as they stand.
fn awkward() -> Value {
    let query =
        |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Things", "version": "1" },
        "paths": {
            "/api/things": { "get": {
                "operationId": "things.list",
                "description": "Lists things. ".repeat(200),
                "parameters": [
                    query("filter[name]", text()),
                    query("$top", json!({ "type": "integer" })),
                    query("größe", json!({ "type": "string", "enum": ["s", ""] })),
                    query("kind", json!({ "enum": [1, 2] })),
                ],
            } },
            "/api/render": { "post": { "operationId": "3d_render", "requestBody": { "content": {
                "application/json": { "schema": { "type": "object", "properties": {
                    "mode": { "type": "string", "const": "" }, "points": { "type": "array" },
                } } } } } } },
        }
    })
}

#[tokio::test]
async fn operations_with_awkward_names_are_called_through_every_provider() {
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("openapi.json");
    std::fs::write(&document, awkward().to_string()).unwrap();
    let place = format!("file://{}", document.display());
    let workspace = dir.path().join("workspace");
    init(&workspace, false).unwrap();
    let allow = json!(["*", "GET /api/things", "POST /api/render"]);
    let config = json!({ "agents": [{ "role": "agent", "tools": { "allow": allow } }] });
    std::fs::write(workspace.join("agent-config.json"), config.to_string()).unwrap();
    for profile in Profile::ALL {
        let name = profile.name();
        let llm = StrictLlm::start(profile, [Answer::text("Hello.")]).await;
        let world =
            world_in(&workspace, &llm, profile, &[("WOMBAT_BACKEND_OPENAPI", &place)]).await;
        world.daemon.until("/health", |health| health["tools"]["openapi"]["status"] == "ok").await;
        assert_eq!(reply(&world, &llm, json!({})).await, ("Hello.".into(), 0), "{name}");
        let shown = llm.shown();
        let tool = shown.iter().find(|tool| tool.description.starts_with("Lists things."));
        let tool = tool.unwrap_or_else(|| panic!("{name}: {shown:?}"));
        let [filter, top, size, _] = &tool.arguments[..] else { panic!("{name}: {tool:?}") };
        let call = json!({ filter.as_str(): "a", top.as_str(): 3, size.as_str(): "s" });
        llm.next([Answer::call(&tool.name, call), Answer::text("Done.")]);
        Mock::given(method("GET"))
            .and(path("/api/things"))
            .and(query_param("filter[name]", "a"))
            .and(query_param("$top", "3"))
            .and(query_param("größe", "s"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!([])))
            .mount(&world.backend)
            .await;
        assert_eq!(reply(&world, &llm, json!({})).await, ("Done.".into(), 0), "{name}");
    }
}
