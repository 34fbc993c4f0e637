//! Faults that are planted before a real backend, each found by the check that is there for it.

use axum::body::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use conformance::check;
use conformance::report::Report;

use crate::auth::{claims, now, signed};
use crate::conformance::{failures, target};
use crate::harness::{Backend, INTERNAL, SECRET};
use crate::planted::alter;
use crate::variations;

/// Fault, and the check that must fail.
const FAULTS: [(&str, &str); 134] = [
    ("takes alg none", "auth.alg-none"),
    ("takes HS512", "auth.other-algorithm"),
    ("verifies no signature", "auth.tampered"),
    ("takes expired tokens", "auth.expired"),
    ("needs no jti", "auth.without-jti"),
    ("needs no sub", "auth.without-sub"),
    ("needs no exp", "auth.without-exp"),
    ("takes any type", "auth.other-type"),
    ("lets agents write as users", "auth.agent-as-user"),
    ("lets agents write as users", "objects.user-message"),
    ("lets agents write as users", "objects.user-message-by-an-agent"),
    ("needs no key", "objects.user-message-key"),
    ("says v2", "capabilities.version"),
    ("takes messages on any task", "tenancy.message-on-anothers-task"),
    ("takes documents on any task", "tenancy.document-on-anothers-task"),
    ("errors of another shape", "errors.missing-field"),
    ("creates without a title", "errors.missing-field"),
    ("lets nobody in", "auth.no-token"),
    ("lets nobody in", "auth.closed-to-nobody"),
    ("lets nobody in", "auth.closed-to-nobody-decisions"),
    ("lets nobody in", "auth.closed-to-nobody-approval-rules"),
    ("never says that it replays", "idempotency.replay-tasks"),
    ("a conflict without the original", "idempotency.conflict-tasks"),
    ("ignores keys", "idempotency.at-once-tasks"),
    ("pages of 20 that lead nowhere", "paging.sizes"),
    ("ignores cursors", "paging.bad-cursor"),
    ("lists without status", "objects.task-listed"),
    ("answers that are no JSON", "objects.message"),
    ("messages of another role", "objects.list-messages"),
    ("says yes with a 401", "tenancy.get-task"),
    ("tells persons whose it is", "tenancy.get-task"),
    ("tells persons whose it is", "tenancy.message-on-anothers-task"),
    ("a dead letter of another id", "queue.dead-letter"),
    ("titles that are no text", "wake.standup"),
    ("forgets updated_at", "objects.task"),
    ("forgets doc_type", "objects.document"),
    ("another hash", "files.file"),
    ("another size", "artifacts.artifact"),
    ("takes any artifact", "artifacts.artifact-hash"),
    ("artifacts for everybody", "artifacts.anothers-artifact"),
    ("a file each time", "files.equal-file"),
    ("believes what it is told", "files.media-type"),
    ("takes any name", "files.file-name"),
    ("shows files", "files.inert-file"),
    ("runs files", "files.inert-file"),
    ("files for everybody", "files.anothers-file"),
    ("lets agents delete", "files.deleted-file"),
    ("forgets attachments", "files.attached-file"),
    ("attaches nothing", "files.attached-nothing"),
    ("reads nothing", "queue.notification"),
    ("hears no mention", "queue.mention"),
    ("the newest first", "queue.undelivered"),
    ("leases nothing", "queue.lease-of-a-delivery"),
    ("knows all it is told", "queue.deliver-many"),
    ("keeps its dead", "queue.dead-letter"),
    ("events without id", "events.own-events"),
    ("begins with now", "events.resumed-events"),
    ("claims each slot", "wake.slot"),
    ("counts nothing that waits", "wake.heartbeat"),
    ("blocks nothing", "wake.standup"),
    ("any step again", "journal.steps"),
    ("cancels in secret", "journal.cancel"),
    ("any event again", "runs.deltas-refused"),
    ("lets anybody tell", "runs.deltas-refused"),
    ("events without a number", "runs.deltas"),
    ("cancels in secret", "runs.deltas-cancel"),
    ("takes whatever comes", "runs.deltas-pace"),
    ("tells nobody", "runs.deltas-heard"),
    ("counts no attempts", "orphans.orphans"),
    ("the request as it was", "journal.repeated-tool-request"),
    ("loses run_key", "journal.told-of-the-decision"),
    ("a question in secret", "decisions.question"),
    ("takes any answer", "decisions.answer"),
    ("decides again", "decisions.decided-once"),
    ("takes any answer", "decisions.edited"),
    ("stores what does not fit", "decisions.answered-by-message"),
    ("agents decide", "decisions.agents"),
    ("ends in secret", "decisions.expired"),
    ("rules without end", "decisions.rule"),
    ("any condition", "decisions.rule-form"),
    ("rules for any tool", "decisions.rule-of-a-decision"),
    ("busy without a time", "limits.turn"),
    ("a lease for everybody", "limits.turn"),
    ("spends without end", "limits.budget"),
    ("refuses without a name", "limits.budget-scopes"),
    ("spends another one's", "limits.budget-of-a-tenant"),
    ("warns of a limit twice", "limits.budget-warned"),
    ("budgets of anything", "limits.budget-form"),
    ("any tool", "limits.tools"),
    ("profiles without a tag", "profiles.read"),
    ("one profile for all roles", "profiles.of-a-role"),
    ("profiles for everybody", "profiles.access"),
    ("profiles without end", "profiles.bounds"),
    ("knows no children", "roles.child-of-a-role"),
    ("lets children work on", "roles.children-end"),
    ("lets children work on", "roles.children-hear"),
    ("cancels in secret", "roles.children-hear"),
    ("names nobody", "queue.agent-mention"),
    ("loses the chain", "queue.agent-mention"),
    ("slots without their time", "schedules.slot"),
    ("knows no summer", "schedules.clock-changes"),
    ("any line", "schedules.cron"),
    ("any zone", "schedules.timezone"),
    ("as often as it likes", "schedules.too-often"),
    ("schedules without end", "schedules.limit"),
    ("stops before its end", "schedules.until"),
    ("never pauses", "schedules.changed"),
    ("schedules for everybody", "schedules.whose"),
    ("the oldest first", "memories.memory"),
    ("remembers twice", "memories.memory-again"),
    ("ranks nothing", "memories.memory-search"),
    ("never forgets", "memories.memory-expired"),
    ("lets agents correct people", "memories.memory-of-a-person"),
    ("remembers for everybody", "memories.memory-bounds"),
    ("whole replies", "run-lists.listed"),
    ("counts no failures", "run-lists.totalled"),
    ("lets agents praise", "run-lists.feedback"),
    ("collapses nothing", "delivery-options.collapsed"),
    ("knows no hurry", "delivery-options.priority"),
    ("any priority", "delivery-options.bounds"),
    ("never quiet", "delivery-options.quiet-hours"),
    ("mentions can wait", "delivery-options.urgent-mention"),
    ("any hours", "delivery-options.quiet-hours-form"),
    ("hours for everybody", "delivery-options.quiet-hours-whose"),
    ("counts one", "delivery-options.dead-letters"),
    ("erases nothing", "owned-data.erased"),
    ("keeps nothing", "owned-data.kept"),
    ("erases by default", "owned-data.form"),
    ("erases for anybody", "owned-data.whose"),
    ("lets old tokens in", "owned-data.tokens"),
    ("forgets that it cancelled", "owned-data.runs"),
    ("exports half of it", "owned-data.exported"),
    ("remembers whom it erased", "owned-data.acts"),
    ("expires without a count", "owned-data.retention"),
];

struct Proxy {
    fault: &'static str,
    url: String,
    http: reqwest::Client,
}

/// A token that the backend takes in place of one that it would not.
fn let_in(fault: &str, token: &str) -> Option<String> {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let (head, said) = (parts.next()??, parts.next()??);
    let fits = match fault {
        "takes alg none" => head["alg"].as_str()?.eq_ignore_ascii_case("none"),
        "takes HS512" => head["alg"] == "HS512",
        "verifies no signature" => true,
        "takes expired tokens" => said["exp"].as_u64().is_some_and(|exp| exp < now()),
        "ignores aud" => said.get("aud").is_some(),
        "ignores nbf" => said["nbf"].as_u64().is_some_and(|nbf| nbf > now()),
        "needs no jti" => said.get("jti").is_none(),
        "needs no sub" => said.get("sub").is_none(),
        "needs no exp" => said.get("exp").is_none(),
        "takes any type" => said["type"] == "user",
        "takes any issuer" => said["iss"] == "somebody-else",
        // Each call with a token that was issued later than any erasure.
        "lets old tokens in" => true,
        _ => false,
    };
    let mut good = claims();
    good["user_id"] = said["user_id"].clone();
    if fault == "lets old tokens in" {
        for name in ["agent_role", "sub"] {
            good[name] = said[name].clone();
        }
        good["iat"] = json!(now() + 2);
    }
    fits.then(|| signed(Algorithm::HS256, SECRET, &good))
}

async fn pass(State(proxy): State<std::sync::Arc<Proxy>>, request: Request) -> Response {
    let fault = proxy.fault;
    let (mut parts, body) = request.into_parts();
    let token = parts.headers.get("x-agent-token").and_then(|token| token.to_str().ok());
    if let Some(token) = token.and_then(|token| let_in(fault, token)) {
        parts.headers.insert("x-agent-token", token.parse().unwrap());
    }
    if fault == "lets nobody in" && !parts.headers.contains_key("x-agent-token") {
        let token = signed(Algorithm::HS256, SECRET, &claims());
        parts.headers.insert("x-agent-token", token.parse().unwrap());
    }
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default());
    let mut query = query.to_owned();
    if let Some(answer) = variations::before(fault, &mut parts, &mut query) {
        return answer;
    }
    if fault == "pages of 20 that lead nowhere" && path.ends_with("/tasks") && !query.contains("limit") {
        query = "limit=20".to_owned();
    }
    if fault == "leases nothing" {
        query = query.replace("lease_seconds", "nothing");
    }
    if fault == "reads nothing" && path.ends_with("/read") {
        return axum::Json(json!({ "id": "x" })).into_response();
    }
    if fault == "begins with now" {
        parts.headers.remove("last-event-id");
    }
    if fault == "one profile for all roles" && path.ends_with("/profile") {
        query = query.split("&role=").next().unwrap_or_default().to_owned();
    }
    if fault == "never quiet" && path.ends_with("/quiet-hours") {
        parts.method = http::Method::DELETE;
    }
    if path.ends_with("/agent-data") && parts.method == http::Method::DELETE {
        match fault {
            "erases nothing" if !query.contains("dry_run") => query.push_str("&dry_run"),
            "keeps nothing" => query = query.replace("keep", "delete"),
            "erases by default" if !query.contains("=keep") => query = "messages=delete&dry_run".to_owned(),
            _ => {}
        }
    }
    if fault == "ignores cursors" && query.starts_with("cursor=") {
        query.clear();
    }
    let mut bytes = axum::body::to_bytes(body, 8 << 20).await.unwrap_or_else(|_| Bytes::new());
    if let Ok(mut json) = serde_json::from_slice::<Value>(&bytes)
        && let Some(fields) = json.as_object_mut()
    {
        let dropped = match fault {
            "lets agents write as users" => "actor_type",
            "ignores keys" => "idempotency_key",
            "claims each slot" => "slot",
            "collapses nothing" => "collapse_key",
            "knows no hurry" => "priority",
            "names nobody" => "mentions",
            "loses the chain" => "chain",
            "knows no children" => "parent_run_key",
            _ => "",
        };
        let is_keyless = fault == "needs no key" && !fields.contains_key("idempotency_key");
        if is_keyless {
            fields.insert("idempotency_key".to_owned(), json!(format!("made:{}", uuid::Uuid::new_v4())));
        }
        if fields.remove(dropped).is_some() || is_keyless {
            bytes = json.to_string().into();
        }
    }
    let is_person = parts.headers.contains_key("x-on-behalf-of");
    let (method, asked) = (parts.method.clone(), variations::asked(&bytes));
    for name in ["host", "content-length", "transfer-encoding"] {
        parts.headers.remove(name);
    }
    let url = format!("{}{path}?{query}", proxy.url);
    let call = proxy.http.request(parts.method, url).headers(parts.headers).body(bytes);
    let answer = call.send().await.unwrap();
    let (mut status, mut headers) = (answer.status(), answer.headers().clone());
    if path.ends_with("/events") {
        headers.remove("transfer-encoding");
        let events = answer.bytes_stream().map_ok(move |bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Bytes::from(match fault {
                "events without id" => text.replace("id: ", "no: "),
                "warns of a limit twice" => text.replace("\"limit_usd\":2.0", "\"limit_usd\":1.0"),
                "tells nobody" => text.replace("run.delta", "run.other"),
                _ => text,
            })
        });
        return (status, headers, axum::body::Body::from_stream(events)).into_response();
    }
    let mut text = answer.bytes().await.unwrap();
    if fault == "exports half of it" && path.ends_with("/agent-data") && method == http::Method::GET {
        let first = text.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        text.truncate(first + 1);
    }
    let mut body: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
    alter(fault, &path, &mut status, &mut headers, &mut body);
    if fault == "tells persons whose it is" && is_person && status == StatusCode::NOT_FOUND {
        status = StatusCode::FORBIDDEN;
    }
    let request = (&method, path.as_str(), &asked);
    variations::after(fault, request, &mut status, &mut headers, &mut body);
    headers.remove("content-length");
    headers.remove("transfer-encoding");
    let bytes = match &body {
        Value::Null if status == StatusCode::NO_CONTENT => Bytes::new(),
        Value::Null => text,
        Value::String(page) => page.clone().into(),
        body => body.to_string().into(),
    };
    (status, headers, bytes).into_response()
}

/// The report on a backend with a fault.
pub(crate) async fn checked(backend: &str, fault: &'static str, chapters: &[&str]) -> Report {
    // A backend may close an idle connection in the moment in which the next request is sent.
    let http = service::http::client_builder().no_proxy().pool_max_idle_per_host(0);
    let http = http.build().unwrap();
    let proxy = std::sync::Arc::new(Proxy { fault, url: backend.to_owned(), http });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(pass).with_state(proxy);
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let mut target = target(&url, SECRET, Some(INTERNAL));
    target.chapters = chapters.iter().map(|chapter| (*chapter).to_owned()).collect();
    let report = check(target, |_| {}).await.unwrap();
    server.abort();
    report
}

/// As [`checked`], on a backend and a thread of its own, so that several use all processors.
pub(crate) async fn checked_alone(fault: &'static str, chapters: &[&'static str]) -> Report {
    let chapters = chapters.to_vec();
    let check = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let backend = Backend::start().await;
            let report = checked(&backend.url, fault, &chapters).await;
            backend.stop().await;
            report
        })
    };
    tokio::task::spawn_blocking(check).await.unwrap()
}

/// How many are checked at a time: a check waits for most of its time.
pub(crate) const AT_A_TIME: usize = 6;

/// What the suite says of a fault whose check finds it not.
async fn missed(fault: &'static str, expected: &'static str) -> Option<String> {
    let chapter = expected.split('.').next().unwrap();
    let failed = failures(&checked_alone(fault, &[chapter]).await);
    let found = failed.iter().any(|line| line.starts_with(&format!("{expected}:")));
    (!found).then(|| format!("{fault}: {expected} must fail; failed: {failed:?}"))
}

#[tokio::test]
async fn each_planted_fault_is_found_by_its_check() {
    let tried = futures::stream::iter(FAULTS)
        .map(async |(fault, expected)| missed(fault, expected).await.map(|_| (fault, expected)));
    let again: Vec<_> = tried.buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await;
    // A check of how fast a backend takes calls says nothing of one that is slow, as beside the others.
    let mut still = Vec::new();
    for (fault, expected) in again {
        still.extend(missed(fault, expected).await);
    }
    assert_eq!(still, Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_is_found_in_any_answer() {
    let backend = Backend::start().await;
    let fault = "a secret on its page for the lost";
    let failed = failures(&checked(&backend.url, fault, &["errors", "everywhere"]).await);
    assert!(failed.iter().any(|line| line.starts_with("everywhere.no-secret:")), "{failed:?}");
    backend.stop().await;
}
