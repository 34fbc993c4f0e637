//! Tokens that an application must take, and those that it must refuse.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use test_support::program::Program;
use tokio::process::Command;

use super::app::App;
use crate::example::SECRET;
use crate::peers;

/// `{"alg":"none","typ":"JWT"}` and the same with `RS256`.
const NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// The claims of a token that the daemon makes, with a clock that is so many seconds ahead of ours.
fn claims(ahead: i64) -> Value {
    let made = now() + ahead;
    json!({
        "type": "agent", "user_id": "7", "agent_role": "scout", "sub": "wombat:scout", "iss": "wombat",
        "iat": made - 5, "nbf": made - 5, "exp": made + 900, "jti": "0199-1",
    })
}

/// Claims with some changed; `null` takes one away.
fn changed(change: &Value) -> Value {
    let mut claims = claims(0);
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn signed(claims: &Value) -> String {
    sign(&Header::default(), claims, SECRET)
}

/// Tokens that are fine, with what is special about each.
fn good() -> Vec<(String, String)> {
    let all = [
        ("as it is", json!({})),
        ("without nbf", json!({ "nbf": null })),
        ("with a claim of the backend's", json!({ "agent_id": "a1" })),
        ("with a claim that nobody knows", json!({ "colour": "red" })),
        ("from 30 seconds ahead", claims(30)),
        ("from 30 seconds behind", claims(-30)),
        ("from 50 seconds ahead, with an id of its own", claims(55)),
        ("over for 30 seconds", json!({ "exp": now() - 30 })),
    ];
    let with_key_id = Header { kid: Some("k1".to_owned()), ..Header::default() };
    all.map(|(what, change)| (what.to_owned(), signed(&changed(&change))))
        .into_iter()
        .chain([("with a kid".to_owned(), sign(&with_key_id, &claims(0), SECRET))])
        .collect()
}

/// Tokens that must be refused, with what is wrong.
fn bad() -> Vec<(String, String)> {
    let token = signed(&claims(0));
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let other = signed(&changed(&json!({ "user_id": "8" })));
    let other_payload = other.split('.').nth(1).unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let message = format!("{RS256}.{payload}");
    let confused = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    let other_secret = "another-secret-of-thirty-two-chars";
    let mut all = vec![
        ("alg none".to_owned(), format!("{NONE}.{payload}.")),
        ("alg none with a signature".to_owned(), format!("{NONE}.{payload}.{signature}")),
        ("RS256 with the secret".to_owned(), format!("{message}.{confused}")),
        ("HS384".to_owned(), sign(&Header::new(Algorithm::HS384), &claims(0), SECRET)),
        ("HS512".to_owned(), sign(&Header::new(Algorithm::HS512), &claims(0), SECRET)),
        ("another secret".to_owned(), sign(&Header::default(), &claims(0), other_secret)),
        ("another payload".to_owned(), format!("{head}.{other_payload}.{signature}")),
        ("no signature".to_owned(), format!("{head}.{payload}.")),
        ("two parts".to_owned(), format!("{head}.{payload}")),
        ("nonsense".to_owned(), "x".to_owned()),
    ];
    let changes = [
        ("expired for 61 seconds", json!({ "exp": now() - 61 })),
        ("from 80 seconds ahead", json!({ "iat": now() + 75, "nbf": now() + 75 })),
        ("of another type", json!({ "type": "user" })),
        ("of another issuer", json!({ "iss": "else" })),
        ("of another subject", json!({ "sub": "wombat:other" })),
        ("with the user as subject", json!({ "sub": "7" })),
        ("for an audience", json!({ "aud": "elsewhere" })),
        ("for audiences", json!({ "aud": ["elsewhere"] })),
        ("of no user", json!({ "user_id": "" })),
        ("of no role", json!({ "agent_role": "", "sub": "wombat:" })),
    ];
    all.extend(changes.map(|(what, change)| (what.to_owned(), signed(&changed(&change)))));
    for name in ["type", "user_id", "agent_role", "sub", "iss", "iat", "exp", "jti"] {
        all.push((format!("without {name}"), signed(&changed(&json!({ name: null })))));
    }
    all
}

/// The tokens of the page's table of defaults.
pub(super) fn of_the_table() -> Vec<String> {
    let late = json!({ "exp": now() - 30 });
    let changes =
        [json!({}), claims(30), late, json!({ "exp": null }), json!({ "aud": "elsewhere" })];
    changes.map(|change| signed(&changed(&change))).into()
}

/// A token of the real program, whose clock is so many seconds ahead, if faketime is installed.
async fn real(user: &str, role: &str, ahead: i64, lifetime: u64) -> Option<String> {
    peers::installed("faketime")?;
    let dir = tempfile::tempdir().unwrap();
    loop {
        let mut faked = Command::new("faketime");
        faked.args(["-m", "-f", &format!("{ahead:+}")]);
        faked.arg(Program::path("wombat-daemon").unwrap());
        faked.args(["token", "--user", user, "--role", role]).current_dir(dir.path()).env_clear();
        faked.env("PATH", std::env::var("PATH").unwrap());
        faked.env("AGENT_JWT_SECRET", SECRET).env("AGENT_JWT_TTL_SECS", lifetime.to_string());
        let made = faked.kill_on_drop(true).output().await.unwrap();
        let said = String::from_utf8(made.stderr).unwrap();
        // faketime's semaphore is named by its process id, and one of an earlier process may be left.
        if !said.contains("sem_open: File exists") {
            assert!(made.status.success(), "{said}");
            return Some(String::from_utf8(made.stdout).unwrap().trim().to_owned());
        }
    }
}

/// Checks all of it. `has_table`: the application looks users up, and knows 7 and 8.
pub(super) async fn check(app: &App, has_table: bool) {
    let expected = json!({ "user_id": "7", "role": "scout" });
    for (what, token) in good() {
        let (status, said) = app.get("/me", Some(&token)).await;
        assert_eq!(status, 200, "a token {what}: {said}");
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected, "a token {what}");
    }
    for (what, token) in bad() {
        let (status, said) = app.get("/me", Some(&token)).await;
        assert_eq!(status, 401, "a token {what}: {said}");
        // A page would be taken for that of a proxy. The text is that of Hono's own middleware.
        let is_object = serde_json::from_str::<Value>(&said).is_ok_and(|said| said.is_object());
        assert!(is_object || said == "Unauthorized", "a token {what}: {said}");
    }
    assert_eq!(app.get("/me", None).await.0, 401);
    assert_eq!(app.get("/me", Some("")).await.0, 401);
    let token = signed(&claims(0));
    assert_eq!(app.get("/users/7", Some(&token)).await.0, 200);
    assert_eq!(app.get("/users/8", Some(&token)).await.0, 404);

    // Who is in no table of users: what fetches the OpenAPI document, and the chat's own user.
    for (user, role) in [("wombat", "system"), ("local", "scout"), ("9", "scout")] {
        let change =
            json!({ "user_id": user, "agent_role": role, "sub": format!("wombat:{role}") });
        let (status, said) = app.get("/me", Some(&signed(&changed(&change)))).await;
        assert_eq!(status, if has_table { 401 } else { 200 }, "{user}: {said}");
    }

    // The real program, with its clock put forward and back, and a token near its end.
    for (ahead, lifetime, expected) in
        [(1, 900, 200), (30, 900, 200), (-30, 10, 200), (120, 900, 401)]
    {
        let Some(token) = real("7", "scout", ahead, lifetime).await else { return };
        let (status, said) = app.get("/me", Some(&token)).await;
        assert_eq!(status, expected, "{ahead} seconds ahead, for {lifetime} seconds: {said}");
    }
}
