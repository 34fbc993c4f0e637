use axum::http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Map, Value};

pub fn agent(headers: &HeaderMap, key: &DecodingKey) -> Option<Map<String, Value>> {
    let token = headers.get("x-agent-token")?.to_str().ok()?;
    let mut rules = Validation::new(Algorithm::HS256);
    (rules.leeway, rules.validate_nbf) = (60, true);
    rules.set_issuer(&["wombat"]);
    rules.set_required_spec_claims(&["exp", "iss", "sub"]);
    let claims = decode::<Map<String, Value>>(token, key, &rules).ok()?.claims;
    let text = |name| claims.get(name)?.as_str().filter(|text| !text.is_empty());
    let role = text("agent_role")?;
    let fits = text("type")? == "agent" && text("sub")? == format!("wombat:{role}");
    let whole = text("user_id").is_some() && text("jti").is_some() && claims.contains_key("iat");
    (fits && whole).then_some(claims)
}
