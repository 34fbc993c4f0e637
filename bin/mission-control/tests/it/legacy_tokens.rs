//! Tokens of the TypeScript original.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::auth::{claims, now, signed};
use crate::harness::{Backend, SECRET};

/// What the original signs: two hours, no `iss` and no `jti`.
fn original(name: &str) -> Value {
    json!({
        "type": "agent", "user_id": "ann", "agent_role": "scout", "sub": format!("{name}:scout"),
        "iat": now(), "exp": now() + 7_200
    })
}

#[tokio::test]
async fn they_are_taken_where_the_setting_says_so_and_serve_one_user_and_role() {
    let backend = Backend::with_legacy_tokens(true).await;
    for name in ["wombat", "clasper"] {
        let token = signed(Algorithm::HS256, SECRET, &original(name));
        let ann = backend.nobody().with("x-agent-token", &token);
        let made = ann.post("/tasks", json!({ "title": name })).await;
        assert_eq!(made.ok()["title"], name);
        assert_eq!(ann.get("/capabilities").await.ok()["contract_version"], "v1");
        // All else holds: another user's tasks do not exist, and what people do is refused.
        let mut other = original(name);
        other["user_id"] = json!("bob");
        let token = signed(Algorithm::HS256, SECRET, &other);
        let bob = backend.nobody().with("x-agent-token", &token);
        bob.get(&format!("/tasks/{}", made.ok()["id"].as_str().unwrap())).await.fails(404, "not_found");
        ann.post("/notifications", json!({})).await.fails(403, "forbidden");
    }
    // Ours are taken as ever.
    let ours = signed(Algorithm::HS256, SECRET, &claims());
    backend.nobody().with("x-agent-token", &ours).get("/tasks").await.ok();
}

#[tokio::test]
async fn each_refusal_says_whether_the_secret_is_wrong() {
    let wrong_secret = "x".repeat(32);
    for legacy in [false, true] {
        let backend = Backend::with_legacy_tokens(legacy).await;
        let refused = async |token: String| {
            let answer = backend.nobody().with("x-agent-token", &token).get("/tasks").await;
            answer.fails(401, "unauthorized");
            answer.body["error"].as_str().unwrap().to_owned()
        };
        // A wrong secret is a wrong secret, whatever the claims are.
        for claims in [claims(), original("wombat"), json!({}), json!({ "exp": 1 })] {
            let said = refused(signed(Algorithm::HS256, &wrong_secret, &claims)).await;
            assert!(said.contains("check AGENT_JWT_SECRET"), "{said}");
            assert!(!said.contains("LEGACY"), "{said}");
        }
        // With the right one it is never blamed.
        let mut expired = original("wombat");
        expired["exp"] = json!(now() - 90);
        let mut foreign = original("wombat");
        foreign["iss"] = json!("elsewhere");
        let mut endless = original("wombat");
        endless.as_object_mut().unwrap().remove("exp");
        for (algorithm, claims, words) in [
            (Algorithm::HS256, &expired, "clocks"),
            (Algorithm::HS256, &foreign, "iss is not wombat"),
            (Algorithm::HS256, &endless, "exp is missing"),
            (Algorithm::HS256, &original("zenvy"), "sub is not wombat:{agent_role}"),
            (Algorithm::HS512, &claims(), "signed with HS512"),
        ] {
            let said = refused(signed(algorithm, SECRET, claims)).await;
            assert!(said.contains(words) && !said.contains("SECRET"), "{said}");
        }
        if !legacy {
            let said = refused(signed(Algorithm::HS256, SECRET, &original("clasper"))).await;
            for word in ["AGENT_JWT_LEGACY=true", "iss is missing", "jti is missing", "right key"] {
                assert!(said.contains(word), "{word}: {said}");
            }
        }
    }
}
