//! Backends that keep the contract in their own ways: nothing of them fails.

use axum::response::{IntoResponse as _, Response};
use conformance::report::{Outcome, Report};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::conformance::failures;
use crate::faults::{AT_A_TIME, checked, checked_alone};
use crate::harness::Backend;

/// What is different, the chapters that meet it, and the checks that warn of it.
const VARIATIONS: &[(&str, &[&str], &[&str])] = &[
    ("people on its own pages", &["auth", "tenancy", "queue", "journal", "limits", "audit"], &[]),
    ("more fields in lists", &["objects", "tenancy", "queue", "events", "journal", "wake"], &[]),
    ("application/json; charset=utf-8", &["objects", "errors", "everywhere"], &[]),
    ("application/problem+json", &["objects", "errors", "everywhere"], &[]),
    ("application/vnd.api+json", &["capabilities", "objects", "idempotency", "everywhere"], &[]),
    ("text/json", &["capabilities", "objects", "queue", "everywhere"], &[]),
    ("text/plain", &["objects", "everywhere"], &["everywhere.json-type"]),
    ("no content type", &["objects", "everywhere"], &["everywhere.json-type"]),
    ("a lease again for its holder", &["limits", "roles"], &[]),
    ("knows no roles of messages", &["objects", "events"], &[]),
    ("says v1.2", &["capabilities"], &[]),
    ("422 for wrong requests", &["errors", "everywhere"], &["errors.wrong-type", "everywhere.error-status"]),
    ("404 for a wrong method", &["errors"], &["errors.wrong-method"]),
    ("pages for what it does not know", &["errors", "everywhere"], &["errors.unknown-path"]),
    ("ignores aud", &["auth"], &["auth.other-audience"]),
    ("ignores nbf", &["auth"], &["auth.not-yet-valid"]),
    ("takes any issuer", &["auth"], &["auth.other-issuer"]),
    ("ignores title", &["objects", "tenancy"], &[]),
    ("pages of 20", &["paging", "objects"], &[]),
    ("only GET for the queue", &["auth", "queue", "journal"], &[]),
    ("no words for done", &["queue", "journal"], &[]),
    ("a request id in each error", &["tenancy", "errors"], &[]),
    ("tasks without details", &["objects", "idempotency"], &["objects.task-details"]),
    ("claims only slots", &["wake"], &[]),
];

/// What a variation does to a request; its answer where it gives one itself.
pub(crate) fn before(
    variation: &str,
    parts: &mut http::request::Parts,
    query: &mut String,
) -> Option<Response> {
    let path = parts.uri.path().to_owned();
    let refused = |status: StatusCode| {
        Some((status, axum::Json(json!({ "error": "not here" }))).into_response())
    };
    let is_queue = path.ends_with("/dispatch/undelivered");
    match variation {
        "people on its own pages" if parts.headers.contains_key("x-on-behalf-of") => {
            return refused(StatusCode::UNAUTHORIZED);
        }
        "only GET for the queue" if is_queue && parts.method == Method::POST => {
            return refused(StatusCode::METHOD_NOT_ALLOWED);
        }
        "only GET for the queue" if is_queue => parts.method = Method::POST,
        "ignores title" => *query = query.replace("&title=", "&other="),
        "pages of 20" if path.ends_with("/tasks") && !query.contains("limit=3") => {
            let rest = query.split('&').filter(|part| !part.starts_with("limit="));
            *query = rest.chain(["limit=20"]).collect::<Vec<_>>().join("&");
        }
        _ => {}
    }
    None
}

/// What a variation does to an answer. `asked` is the body of the request.
pub(crate) fn after(
    variation: &str,
    (method, path, asked): (&Method, &str, &Value),
    status: &mut StatusCode,
    headers: &mut HeaderMap,
    body: &mut Value,
) {
    let is_error = status.as_u16() >= 400;
    match variation {
        "more fields in lists" => {
            for list in ["items", "deliveries", "steps", "tools"] {
                let items = body.get_mut(list).and_then(Value::as_array_mut);
                for item in items.into_iter().flatten() {
                    if let Some(fields) = item.as_object_mut() {
                        fields.insert("colour".to_owned(), json!({ "red": [1] }));
                    }
                }
            }
            let pending = body.get_mut("pending").and_then(Value::as_object_mut);
            if let Some(pending) = pending {
                pending.insert("mails".to_owned(), json!(7));
            }
        }
        "application/problem+json" if !is_error => {}
        "no content type" => drop(headers.remove("content-type")),
        kind if kind.contains('/') => {
            headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
        }
        "a lease again for its holder" if body["code"] == "session_busy" && asked["holder"] == "one" => {
            (*status, *body) = (StatusCode::OK, json!({ "lease_id": "l", "fence": 1 }));
        }
        "knows no roles of messages" if path.ends_with("/messages") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["agent_role"] = Value::Null);
        }
        "says v1.2" if path.ends_with("/capabilities") => body["contract_version"] = json!("v1.2"),
        "422 for wrong requests" if matches!(status.as_u16(), 400 | 415) => {
            *status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        "404 for a wrong method" if *status == 405 => *status = StatusCode::NOT_FOUND,
        "pages for what it does not know" if path.ends_with("/no-such-endpoint") => {
            *body = json!("<html>nothing here</html>");
        }
        "no words for done"
            if path.ends_with("/read")
                || path.ends_with("/deliver") && body.get("not_found").is_none() =>
        {
            let is_done = *status == 200;
            *status = if is_done { StatusCode::NO_CONTENT } else { *status };
            *body = if is_done { Value::Null } else { std::mem::take(body) };
        }
        "a request id in each error" if is_error => {
            body["details"] = json!({ "request_id": uuid::Uuid::new_v4() });
        }
        "tasks without details" if path.contains("/tasks") && *method != Method::DELETE => {
            let mut strip = |task: &mut Value| {
                if let Some(fields) = task.as_object_mut() {
                    fields.retain(|name, _| name != "description" && name != "metadata");
                }
            };
            strip(body);
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(&mut strip);
            let original = body.get_mut("details").and_then(|details| details.get_mut("original"));
            original.into_iter().for_each(strip);
        }
        "claims only slots" if path.ends_with("/heartbeat") && asked.get("slot").is_none() => {
            body.as_object_mut().map(|fields| fields.remove("claimed"));
        }
        _ => {}
    }
}

/// The checks that warn.
pub(crate) fn warnings(report: &Report) -> Vec<String> {
    let warned = report.checks.iter().filter(|check| check.outcome == Outcome::Warning);
    let warned = warned.map(conformance::report::Finished::id);
    // The proxy of these tests takes bodies of any size.
    warned.filter(|id| id != "errors.too-large").collect()
}

#[tokio::test]
async fn a_backend_that_keeps_the_contract_in_its_own_way_passes() {
    let tried = futures::stream::iter(VARIATIONS).map(async |(variation, chapters, warned)| {
        let report = checked_alone(variation, chapters).await;
        let (failed, warnings) = (failures(&report), warnings(&report));
        assert!(report.summary.passed > 0, "{variation}");
        let right = failed.is_empty() && warnings == **warned;
        (!right).then(|| format!("{variation} fails {failed:?}, warns {warnings:?}, not {warned:?}"))
    });
    let wrong: Vec<_> = tried.buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await;
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn a_check_without_people_is_skipped_with_the_reason() {
    let backend = Backend::start().await;
    let report = checked(&backend.url, "people on its own pages", &["auth", "tenancy"]).await;
    let writes = report.checks.iter().find(|check| check.id() == "auth.person-writes").unwrap();
    assert_eq!(writes.outcome, Outcome::Skipped, "{}", writes.seen);
    assert!(writes.seen.contains("own pages"), "{}", writes.seen);
    // What its agents may do is checked all the same.
    let tenancy = report.checks.iter().filter(|check| check.chapter == "tenancy");
    assert!(tenancy.clone().all(|check| check.outcome == Outcome::Pass), "{}", report.table(None));
    backend.stop().await;
}

#[tokio::test]
async fn each_failure_of_the_required_part_quotes_the_contract() {
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONTROL_PLANE_CONTRACT.md");
    let contract = plain(&std::fs::read_to_string(contract).unwrap());
    let backend = Backend::start().await;
    let report = checked(&backend.url, "nothing", &[]).await;
    // Only recommendations may say what the contract does not.
    let advice: Vec<_> = report.checks.iter().filter(|check| check.is_advice).collect();
    assert!(advice.len() > 10, "{}", advice.len());
    let required = report.checks.iter().filter(|check| check.is_required() && !check.is_advice);
    let missing: Vec<_> = required
        .filter(|check| !contract.contains(&plain(&check.sentence)))
        .map(|check| format!("{}: {}", check.id(), check.sentence))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    backend.stop().await;
}

/// A text without Markdown's marks and line breaks.
fn plain(text: &str) -> String {
    let text = text.replace(['`', '*'], "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The body of a request, as far as it is JSON.
pub(crate) fn asked(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}
