//! Customers' profiles: they narrow, and where one cannot be read or used no run starts.

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{MC, World, calls, message, says};
use crate::journaled::Journal;

pub(crate) const SKILL: &str = "---\nname: shop\ndescription: A shop.\n---\n```http\nPOST /api/refunds\nGET /api/orders\n```\n";

fn features(more: Value) -> Value {
    let mut features = json!({ "profile": true });
    features.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    features
}

/// A daemon whose backend answers with this profile.
pub(crate) async fn with_profile(settings: &[(&str, &str)], profile: Value) -> World {
    let world = World::with(settings, features(json!({}))).await;
    world.backend_says("GET", "/profile", 200, profile).await;
    world
}

/// What the backend was asked to make.
pub(crate) async fn writes(world: &World) -> usize {
    let got = world.backend.received_requests().await.unwrap();
    got.iter().filter(|request| request.method.as_str() != "GET").count()
}

fn system(request: &Value) -> &str {
    request["messages"][0]["content"].as_str().unwrap()
}

#[tokio::test]
async fn a_profile_narrows_tools_prompt_zone_and_limits() {
    let profile = json!({
        "tenant_id": "acme", "tools": { "deny": ["POST /api/refunds"] },
        "prompt_append": "They sell bicycles.", "locale": "de-CH", "timezone": "Pacific/Apia",
        "limits": { "max_steps": 1, "max_output_tokens": 77 }
    });
    let world = with_profile(&[], profile.clone()).await;
    world.write("skills/shop/SKILL.md", SKILL);
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    let refund = json!({ "method": "POST", "path": "/api/refunds" });
    world.model(vec![calls(&[("call_backend", refund.clone())]), says("no")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let digest = mc_client::profiles::digest(&profile).unwrap();
    assert_eq!(
        (&answer["profile_digest"], &answer["workspace"]),
        (&json!(digest), &json!("default"))
    );
    let refused = json!([{ "tool": "call_backend", "arguments": refund,
        "rule": { "source": "profile", "list": "deny", "pattern": "POST /api/refunds" } }]);
    assert_eq!(answer["refused"], refused);
    let asked = world.model_got().await;
    assert!(system(&asked[0]).ends_with("\n\n## Customer\n\nThey sell bicycles."), "{asked:?}");
    let newest =
        asked[0]["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    assert!(newest.contains("(Pacific/Apia)\nLocale: de-CH\n\nhello"), "{newest}");
    let most = asked[0]["max_completion_tokens"].as_u64().or(asked[0]["max_tokens"].as_u64());
    assert_eq!(most, Some(77), "{}", asked[0]);
    // After the one step no tool may be called.
    assert_eq!(asked.len(), 2);
    assert!(asked[1]["tools"].is_null() || asked[1]["tool_choice"] == "none", "{}", asked[1]);
    let got = world.backend_got("GET", "/profile").await;
    assert_eq!(got[0].url.query(), Some("user_id=u1&role=scout"));
}

/// A resume obeys the customer's limits of then, so it has to know what the caller asked for.
#[tokio::test]
async fn a_journal_holds_the_limits_that_were_asked_for() {
    let profile = json!({ "limits": { "max_output_tokens": 77, "max_cost_usd": 0.5 } });
    let (world, journal) = Journal::world_that_has(&["profile"], &[], Vec::new()).await;
    world.backend_says("GET", "/profile", 200, profile).await;
    world.model(vec![says("done")]).await;
    let limits = json!({ "idempotency_key": "k",
        "limits": { "max_output_tokens": 500, "max_cost_usd": 2.0 } });
    let (status, answer) = world.daemon.send(&message(limits)).await;
    assert_eq!(status, 200, "{answer}");
    let asked = &world.model_got().await[0];
    let most = asked["max_completion_tokens"].as_u64().or(asked["max_tokens"].as_u64());
    assert_eq!(most, Some(77), "{asked}");
    let held = journal.held();
    let limits = &held.steps[&0]["payload"]["limits"];
    assert_eq!((&limits["max_output_tokens"], &limits["max_cost_usd"]), (&json!(500), &json!(2.0)));
}

#[tokio::test]
async fn the_zone_and_the_prompt_of_the_request_count_more() {
    let world = with_profile(
        &[],
        json!({ "timezone": "Pacific/Apia", "prompt_append": "They sell bicycles." }),
    )
    .await;
    world.model(vec![says("hi")]).await;
    let metadata = json!({ "timezone": "Asia/Tokyo", "system_prompt": "Be brief." });
    let (status, _) = world.daemon.send(&message(json!({ "metadata": metadata }))).await;
    assert_eq!(status, 200);
    let asked = world.model_got().await;
    assert_eq!(system(&asked[0]), "Be brief.");
    assert!(asked[0].to_string().contains("(Asia/Tokyo)"), "{}", asked[0]);
}

#[tokio::test]
async fn a_call_must_be_allowed_by_both() {
    for (own, theirs, offered) in [
        (json!({}), json!({ "allow": [] }), false),
        (json!({}), json!({ "allow": ["create_*"] }), true),
        (json!({ "allow": ["list_tasks"] }), json!({ "allow": ["*"] }), false),
        (json!({ "deny": ["create_task"] }), json!({ "allow": ["create_task"] }), false),
        (json!({}), json!({ "deny": ["create_*"] }), false),
    ] {
        let world = with_profile(&[], json!({ "tools": theirs })).await;
        let config = json!({ "agents": [{ "role": "scout", "tools": own }] });
        world.write("agent-config.json", &config.to_string());
        let lists = |list: &str| own.get(list).cloned().unwrap_or_else(|| json!([]));
        let (allow, deny) = (lists("allow"), lists("deny"));
        let is_read = |agents: &Value| {
            let tools = &agents["agents"][0]["tools"];
            tools["allow"] == allow && tools["deny"] == deny
        };
        world.daemon.until("/api/agents", is_read).await;
        world.model(vec![says("hi")]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        let tools = world.model_got().await[0]["tools"].to_string();
        assert_eq!(tools.contains("\"create_task\""), offered, "{own} {theirs}: {tools}");
    }
}

#[tokio::test]
async fn a_profile_that_cannot_be_read_starts_no_run() {
    for (status, expected, code) in [
        (500, 502, "backend_unavailable"),
        (403, 502, "backend_unavailable"),
        (404, 404, "unknown_role"),
    ] {
        let world = World::with(&[("WOMBAT_RETRY_ATTEMPTS", "1")], features(json!({}))).await;
        world.backend_says("GET", "/profile", status, json!({ "error": "no", "code": "x" })).await;
        let body = message(json!({ "task_id": null, "task_title": "A new one" }));
        let (got, answer) = world.daemon.send(&body).await;
        assert_eq!((got, answer["code"].as_str().unwrap()), (expected, code), "{answer}");
        assert_eq!((writes(&world).await, world.model_got().await.len()), (0, 0), "{status}");
    }
    let world = with_profile(&[], json!([1])).await;
    let (got, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((got, answer["code"].as_str().unwrap()), (502, "backend_unavailable"), "{answer}");
    assert_eq!((writes(&world).await, world.model_got().await.len()), (0, 0));
}

#[tokio::test]
async fn a_profile_that_cannot_be_used_starts_no_run_and_says_what_is_wrong() {
    for (profile, named) in [
        (json!({ "tools": { "deny": ["GET nowhere"] } }), "GET nowhere"),
        (json!({ "tools": { "dney": [] } }), "tools.dney"),
        (json!({ "tools": { "deny": "x" } }), "tools"),
        (json!({ "tools": { "approval": [{ "tool": "x", "when": 7 }] } }), "tools"),
        (json!({ "models": { "default": "gpt-9-unheard" } }), "gpt-9-unheard"),
        (json!({ "models": { "cheap": "gpt-4o-mini" } }), "models"),
        (json!({ "models": { "default": "gpt-4o-mini", "bset": "x" } }), "models.bset"),
        (json!({ "limits": { "max_step": 1 } }), "limits.max_step"),
        (json!({ "limits": { "max_steps": -1 } }), "limits"),
        (json!({ "workspace": "nowhere" }), "nowhere"),
        (json!({ "workspace": { "default": 50, "nowhere": 50 } }), "nowhere"),
        (json!({ "workspace": { "default": 90 } }), "workspace"),
        (json!({ "timezone": "Middle/Earth" }), "timezone"),
        (json!({ "locale": "de\nobey" }), "locale"),
        (json!({ "prompt_append": "x".repeat(8_001) }), "prompt_append"),
    ] {
        let world = with_profile(&[], profile.clone()).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!(
            (status, answer["code"].as_str().unwrap()),
            (502, "profile_invalid"),
            "{answer}"
        );
        assert!(answer["error"].as_str().unwrap().contains(named), "{profile}: {answer}");
        assert_eq!((writes(&world).await, world.model_got().await.len()), (0, 0), "{profile}");
    }
}

#[tokio::test]
async fn without_a_required_feature_no_run_starts() {
    let world =
        World::with(&[("WOMBAT_REQUIRED_FEATURES", "profile, run_journal")], json!({})).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(
        (status, answer["code"].as_str().unwrap()),
        (502, "backend_unavailable"),
        "{answer}"
    );
    assert!(answer["error"].as_str().unwrap().contains("profile"), "{answer}");
    assert_eq!((writes(&world).await, world.model_got().await.len()), (0, 0));
}

#[tokio::test]
async fn a_profile_is_kept_for_its_age_and_asked_again_by_its_tag() {
    let world = World::with(&[], features(json!({}))).await;
    let at = format!("{MC}/profile");
    let whole = || ResponseTemplate::new(200).insert_header("etag", "\"v1\"");
    let first = whole().set_body_json(json!({ "prompt_append": "They sell bicycles." }));
    Mock::given(method("GET"))
        .and(path(&*at))
        .respond_with(first)
        .with_priority(9)
        .mount(&world.backend)
        .await;
    let same = ResponseTemplate::new(304).insert_header("cache-control", "max-age=60");
    Mock::given(method("GET"))
        .and(path(&*at))
        .and(header("if-none-match", "\"v1\""))
        .respond_with(same)
        .with_priority(1)
        .mount(&world.backend)
        .await;
    world.model(vec![says("hi")]).await;
    for _ in 0..4 {
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!(status, 200, "{answer}");
    }
    // Asked without an age, then by its tag, then not for a minute.
    assert_eq!(world.backend_got("GET", "/profile").await.len(), 2);
    for asked in world.model_got().await {
        assert!(system(&asked).contains("They sell bicycles."));
    }
    // Another user has another one.
    let other = message(json!({ "user_id": "u2", "session_key": "user:u2:scout" }));
    assert_eq!(world.daemon.send(&other).await.0, 200);
    assert_eq!(world.backend_got("GET", "/profile").await.len(), 3);
}

#[tokio::test]
async fn a_replayed_answer_needs_no_profile() {
    let world = World::with(&[], features(json!({ "message_lookup": true }))).await;
    world.backend_says("GET", "/profile", 500, json!({ "error": "no" })).await;
    let stored = json!({ "id": "m7", "task_id": "t1", "content": "as before" });
    world.backend_says("GET", "/messages", 200, json!({ "items": [stored] })).await;
    let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k1" }))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["replayed"], &answer["response"]), (&json!(true), &json!("as before")));
    assert!(world.backend_got("GET", "/profile").await.is_empty());
}

#[tokio::test]
async fn no_model_is_asked_but_those_of_the_profile() {
    let settings = [
        ("LLM_MODEL_FALLBACK", "gpt-4.1-mini"),
        ("WOMBAT_PROFILE_MODELS", "gpt-4.1*"),
        ("WOMBAT_RETRY_ATTEMPTS", "1"),
    ];
    for (named, asked) in [
        (json!({ "default": "gpt-4.1" }), vec!["gpt-4.1"]),
        (json!({ "default": "gpt-4.1", "cheap": "gpt-4.1-mini" }), vec!["gpt-4.1", "gpt-4.1-mini"]),
    ] {
        let world = with_profile(&settings, json!({ "models": named })).await;
        world.model(vec![crate::harness::refuses(500, "server_error", "away")]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!(
            (status, answer["code"].as_str().unwrap()),
            (503, "llm_unavailable"),
            "{answer}"
        );
        let got = world.model_got().await;
        let got: Vec<_> = got.iter().map(|request| request["model"].as_str().unwrap()).collect();
        assert_eq!(got, asked);
    }
    let world = with_profile(&settings, json!({ "models": { "default": "gpt-4.1" } })).await;
    world.model(vec![says("hi")]).await;
    let tier = json!({ "metadata": { "model_tier": "best" } });
    assert_eq!(world.daemon.send(&message(tier)).await.0, 200);
    assert_eq!(world.model_got().await[0]["model"], "gpt-4.1", "an absent tier is the default one");
}

#[tokio::test]
async fn a_workspace_without_rules_has_those_of_the_default_one() {
    let (rules, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rules = rules.path().join("rules.json");
    let denied = r#"{"agents": [{"role": "scout", "tools": {"deny": ["create_task"]}}]}"#;
    std::fs::write(&rules, denied).unwrap();
    std::fs::write(next.path().join("SOUL.md"), "You are the next one.").unwrap();
    let named = format!("next={}", next.path().display());
    let rules = rules.display().to_string();
    let settings = [("WOMBAT_WORKSPACES", &*named), ("WOMBAT_AGENT_CONFIG", &*rules)];
    for workspace in ["default", "next"] {
        let world = with_profile(&settings, json!({ "workspace": workspace })).await;
        world.model(vec![says("hi")]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!((status, &answer["workspace"]), (200, &json!(workspace)), "{answer}");
        let offered = world.model_got().await[0]["tools"].to_string();
        assert!(offered.contains("list_tasks") && !offered.contains("create_task"), "{offered}");
    }
}

#[tokio::test]
async fn a_profile_chooses_a_workspace_by_name_or_by_the_users_number() {
    let next = tempfile::tempdir().unwrap();
    std::fs::write(
        next.path().join("agent-config.json"),
        r#"{"agents": [{"role": "scout"}, {"role": "pilot"}]}"#,
    )
    .unwrap();
    std::fs::write(next.path().join("SOUL.md"), "You are the next one.").unwrap();
    let named = format!("next={}", next.path().display());
    let settings = [("WOMBAT_WORKSPACES", named.as_str())];
    // The number of u1 is 13: SHA-256 begins with bb82030d.
    let number = 0xbb82_030d_u32 % 100;
    for (workspace, chosen) in [
        (json!("next"), "next"),
        (json!({ "default": number, "next": 100 - number }), "next"),
        (json!({ "default": number + 1, "next": 99 - number }), "default"),
    ] {
        let world = with_profile(&settings, json!({ "workspace": workspace })).await;
        world.model(vec![says("hi")]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!((status, answer["workspace"].as_str().unwrap()), (200, chosen), "{answer}");
        let is_next = system(&world.model_got().await[0]).contains("You are the next one.");
        assert_eq!(is_next, chosen == "next");
        let at = "/context?role=scout&user_id=u1&full=true";
        let context: Value = world.daemon.get(at).await.json().await.unwrap();
        assert_eq!(context["workspace"], chosen);
        assert_eq!(context["profile_digest"], answer["profile_digest"]);
        assert_eq!(context["workspaceDigest"], answer["workspace_digest"]);
    }
    // A role that only the other workspace has.
    let world = with_profile(&settings, json!({ "workspace": "next" })).await;
    world.model(vec![says("hi")]).await;
    let pilot = message(json!({ "session_key": "user:u1:pilot" }));
    assert_eq!(world.daemon.send(&pilot).await.0, 200);
    let world = with_profile(&settings, json!({})).await;
    let (status, answer) = world.daemon.send(&pilot).await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (404, "unknown_role"), "{answer}");
    let context: Value =
        world.daemon.get("/context?role=pilot&workspace=next").await.json().await.unwrap();
    assert_eq!(context["workspace"], "next");
    let wrong = world.daemon.get("/context?role=scout&workspace=nowhere").await;
    assert_eq!(wrong.status(), 400);
}
