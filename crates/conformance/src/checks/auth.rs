//! Authentication: valid agent tokens, and tokens that must be refused (RFC 8725, RFC 7519).

use http::Method;
use serde_json::{Map, Value, json};

use crate::suite::Suite;
use crate::token::{ROLE, claims, forge, forge_512, now, part, unsigned};
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

const PINNED: &str = "Pin the algorithm.";
const REJECTED: &str =
    "Reject with 401 any token that is unsigned, wrongly signed, expired, or lacks a claim";
const SIGNED: &str = REJECTED;
const CLAIMS: &str = REJECTED;
const TIMES: &str = REJECTED;
const NOBODY: &str = "A call without a valid token is a 401.";
/// What a verifier does well to reject, and the contract leaves open.
const ADVISED: &str = "A verifier should reject it, too";

/// Calls with a token that must be refused.
async fn refused(w: &World, token: &str) -> Verdict {
    w.token(token).get("/tasks?limit=1").await?.fails(401)
}

/// Each of these tokens must be refused.
async fn all_refused(w: &World, tokens: Vec<(String, String)>) -> Verdict {
    let mut names = Vec::new();
    for (name, token) in tokens {
        let answer = w.token(&token).get("/tasks?limit=1").await?;
        if answer.status != 401 {
            return failed(format!("{name}: expected 401, got {}", answer.summary()));
        }
        answer.check_error_shape()?;
        names.push(name);
    }
    Ok(format!("401 to each: {}", names.join(", ")))
}

fn changed(w: &World, name: &str, value: Value) -> Result<String, NotPassed> {
    let mut claims = claims(&w.one, ROLE);
    claims.insert(name.to_owned(), value);
    sign(w, &claims)
}

fn sign(w: &World, claims: &Map<String, Value>) -> Result<String, NotPassed> {
    w.keys.sign(claims).map_err(|error| NotPassed::Failed(error.to_string()))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    good(suite).await;
    clocks(suite).await;
    algorithms(suite).await;
    signatures(suite).await;
    contents(suite).await;
    super::endpoint_access::run(suite).await;
}

async fn good(suite: &mut Suite<'_>) {
    suite
        .required("good-token", "Agents send X-Agent-Token, a JWT signed with AGENT_JWT_SECRET", async |w| {
            let answer = w.agent(&w.one).get("/tasks").await?;
            if answer.status == 401 {
                return failed(format!(
                    "expected 200 for a valid {} token, got {}; give the suite the backend's own key and algorithm",
                    w.keys.algorithm(),
                    answer.summary()
                ));
            }
            answer.items()?;
            Ok(format!("{} token: 200", w.keys.algorithm()))
        })
        .await;
    suite
        .required("agent-id", "A token may have further claims, such as agent_id.", async |w| {
            let answer = w.token(&changed(w, "agent_id", json!("a1"))?).get("/tasks").await?;
            answer.items()?;
            Ok("200 with agent_id".to_owned())
        })
        .await;
    suite
        .recommended(
            "unknown-claim",
            &[],
            "A verifier ignores claims it does not know",
            async |w| {
                let answer = w.token(&changed(w, "colour", json!("red"))?).get("/tasks").await?;
                answer.items()?;
                Ok("200 with a claim that nobody knows".to_owned())
            },
        )
        .await;
}

/// A token that was made by a clock that differs by half a minute.
async fn clocks(suite: &mut Suite<'_>) {
    const CLOCKS: &str = "Allow for clocks that differ by 60 s when you check exp, nbf and iat";
    for (check, ahead, ttl) in [("clock-ahead", 30_i64, 300), ("clock-behind", -30, 10)] {
        suite
            .recommended(check, &[], CLOCKS, async |w| {
                let made = now().saturating_add_signed(ahead);
                let mut claims = claims(&w.one, ROLE);
                for (name, time) in [("iat", made - 5), ("nbf", made - 5), ("exp", made + ttl)] {
                    claims.insert(name.to_owned(), json!(time));
                }
                let answer = w.token(&sign(w, &claims)?).get("/tasks").await?;
                if answer.status == 401 {
                    return failed(format!(
                        "expected 200 for a token of a clock that is {ahead:+} s from this one, got {}; set the \
                         leeway of your JWT library to 60 s",
                        answer.summary()
                    ));
                }
                answer.items()?;
                Ok(format!("200 to a token of a clock that is {ahead:+} s from this one"))
            })
            .await;
    }
}

async fn algorithms(suite: &mut Suite<'_>) {
    suite
        .required("alg-none", PINNED, async |w| {
            let spelt = |alg: &str| {
                let header = json!({ "alg": alg, "typ": "JWT" });
                (format!("alg {alg}"), format!("{}.", unsigned(&header, &claims(&w.one, ROLE))))
            };
            all_refused(w, ["none", "None", "NONE", "nOnE"].map(spelt).into()).await
        })
        .await;
    suite
        .required("alg-none-with-signature", PINNED, async |w| {
            let good = sign(w, &claims(&w.one, ROLE))?;
            let (_, signature) = good.rsplit_once('.').unwrap_or_default();
            let head = json!({ "alg": "none" });
            refused(w, &format!("{}.{signature}", unsigned(&head, &claims(&w.one, ROLE)))).await
        })
        .await;
    suite
        .required("other-algorithm", PINNED, async |w| {
            let siblings = w.keys.siblings(&claims(&w.one, ROLE));
            if siblings.is_empty() {
                let forged = forge(&json!({ "alg": "HS256" }), &claims(&w.one, ROLE), b"secret");
                return refused(w, &forged).await;
            }
            all_refused(w, siblings).await
        })
        .await;
    suite
        .required("public-key-as-secret", PINNED, async |w| {
            let Some(key) = w.keys.public() else {
                let why = match w.keys.is_symmetric() {
                    true => "the backend has no public key",
                    false => "needs --public-key",
                };
                return Err(NotPassed::Skipped(why.to_owned()));
            };
            refused(w, &forge(&json!({ "alg": "HS256" }), &claims(&w.one, ROLE), key)).await
        })
        .await;
}

async fn signatures(suite: &mut Suite<'_>) {
    suite
        .required("wrong-secret", SIGNED, async |w| {
            let claims = claims(&w.one, ROLE);
            let wrong = uuid::Uuid::new_v4().to_string();
            let keys: [(&str, &[u8]); 3] = [
                ("a random secret", wrong.as_bytes()),
                ("an empty secret", b""),
                ("the word secret", b"secret"),
            ];
            let alg = w.keys.algorithm();
            let header = json!({ "alg": alg, "typ": "JWT" });
            let forge = if alg == "HS512" { forge_512 } else { forge };
            let forged =
                |(name, key): (&str, &[u8])| (name.to_owned(), forge(&header, &claims, key));
            all_refused(w, keys.map(forged).into()).await
        })
        .await;
    suite
        .required("key-in-header", SIGNED, async |w| {
            let (claims, key) = (claims(&w.one, ROLE), b"an-attackers-own-key-of-some-length");
            let alg = w.keys.algorithm();
            let jwk = json!({ "alg": alg, "jwk": { "kty": "oct", "k": part(key) } });
            let kid = json!({ "alg": alg, "kid": "../../../../dev/null" });
            let tokens = vec![
                ("a key in jwk".to_owned(), forge(&jwk, &claims, key)),
                ("a kid that names an empty file".to_owned(), forge(&kid, &claims, b"")),
            ];
            all_refused(w, tokens).await
        })
        .await;
    suite
        .required("no-signature", SIGNED, async |w| {
            let good = sign(w, &claims(&w.one, ROLE))?;
            let (rest, signature) = good.rsplit_once('.').unwrap_or_default();
            let half = &signature[..signature.len() / 2];
            let tokens = vec![
                ("an empty signature".to_owned(), format!("{rest}.")),
                ("two parts".to_owned(), rest.to_owned()),
                ("half a signature".to_owned(), format!("{rest}.{half}")),
            ];
            all_refused(w, tokens).await
        })
        .await;
    suite
        .required("tampered", SIGNED, async |w| {
            let good = sign(w, &claims(&w.one, ROLE))?;
            let mut parts = good.split('.');
            let (head, signature) = (parts.next().unwrap_or_default(), good.rsplit('.').next());
            let other = Value::Object(claims(&w.two, ROLE)).to_string();
            let forged = format!("{head}.{}.{}", part(other), signature.unwrap_or_default());
            refused(w, &forged).await
        })
        .await;
    suite
        .required("no-token", NOBODY, async |w| w.anonymous().get("/tasks").await?.fails(401))
        .await;
    suite
        .required("nonsense", SIGNED, async |w| {
            let tokens = ["", "nonsense", "a.b.c", "...", "e30.e30.", "null"];
            all_refused(w, tokens.map(|token| (format!("\"{token}\""), token.to_owned())).into())
                .await
        })
        .await;
    suite
        .required("wrong-internal-token", NOBODY, async |w| {
            let caller = w.anonymous().with("x-internal-token", uuid::Uuid::new_v4().to_string());
            caller.with("x-on-behalf-of", w.one.clone()).get("/tasks").await?.fails(401)
        })
        .await;
}

async fn contents(suite: &mut Suite<'_>) {
    suite
        .required("expired", TIMES, async |w| {
            let mut claims = claims(&w.one, ROLE);
            claims.insert("iat".to_owned(), json!(now() - 1_000));
            claims.insert("exp".to_owned(), json!(now() - 600));
            refused(w, &sign(w, &claims)?).await
        })
        .await;
    let sentence = "A token is not accepted before its nbf (RFC 7519, section 4.1.5)";
    suite
        .recommended("not-yet-valid", &[], sentence, async |w| {
            refused(w, &changed(w, "nbf", json!(now() + 3_600))?).await
        })
        .await;
    let sentence = "A token for another audience is refused (RFC 7519, section 4.1.3)";
    suite
        .recommended("other-audience", &[], sentence, async |w| {
            refused(w, &changed(w, "aud", json!("elsewhere"))?).await
        })
        .await;
    for name in ["type", "user_id", "agent_role", "sub", "iss", "iat", "exp", "jti"] {
        suite
            .required(&format!("without-{}", name.replace('_', "-")), CLAIMS, async |w| {
                let mut claims = claims(&w.one, ROLE);
                claims.remove(name);
                refused(w, &sign(w, &claims)?).await
            })
            .await;
    }
    for (check, sentence, name, value) in [
        ("other-type", "a token of another type is none of these", "type", json!("user")),
        ("exp-of-another-kind", CLAIMS, "exp", json!("tomorrow")),
    ] {
        suite
            .required(check, sentence, async |w| refused(w, &changed(w, name, value)?).await)
            .await;
    }
    for (check, name, value) in [
        ("other-issuer", "iss", json!("somebody-else")),
        ("other-subject", "sub", json!("wombat:another")),
        ("empty-user", "user_id", json!("")),
        ("user-of-another-kind", "user_id", json!(7)),
        ("empty-role", "agent_role", json!("")),
    ] {
        let check_it = async |w: &World| refused(w, &changed(w, name, value)?).await;
        suite.recommended(check, &[], ADVISED, check_it).await;
    }
    let sentence = "A token belongs into the header X-Agent-Token and nowhere else";
    suite
        .recommended("token-in-the-query", &[], sentence, async |w| {
            let token = sign(w, &claims(&w.one, ROLE))?;
            let path = format!("/tasks?token={token}&access_token={token}&X-Agent-Token={token}");
            let request = w.anonymous().request(Method::GET, &path)?;
            let answer = request.send().await;
            let answer =
                answer.map_err(|_| NotPassed::Failed("GET /tasks: no response".to_owned()))?;
            ensure(answer.status() == 401, || format!("expected 401, got {}", answer.status()))?;
            Ok("401".to_owned())
        })
        .await;
}
