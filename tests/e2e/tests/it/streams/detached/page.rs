//! A product's page in a real Chromium, behind HAProxy with three daemons: it is reloaded in the middle of an
//! answer, and the daemon that gives the answer is killed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use test_support::browser::Browser;
use test_support::program::Program;
use test_support::wait_for;

use super::speaker::{Speaker, WORDS, answer};
use super::{SESSION, USER};
use crate::streams::proxy_servers::haproxy;
use crate::streams::stack_with;

/// The page: it shows what the run tells. It goes on after a reload from what it had (`keep`), or begins anew.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>A product</title>
<p id="state">waiting</p><p id="text"></p>
<script>
const keep = new URLSearchParams(location.search).has('keep')
const had = JSON.parse((keep && sessionStorage.getItem('had')) || '{"last":null,"turns":{},"seen":[]}')
const show = () => {
  document.getElementById('text').textContent = Object.values(had.turns).join('|')
  sessionStorage.setItem('had', JSON.stringify(had))
}
show()
const events = new EventSource('/told' + (had.last === null ? '' : '?after=' + had.last))
const on = (name, act) => events.addEventListener(name, (event) => {
  if (event.data === undefined) return
  act(JSON.parse(event.data))
  // An event without an id has that of the one before it.
  if (name === 'chunk' || name === 'restarted') { had.last = event.lastEventId; had.seen.push(event.lastEventId) }
  show()
})
on('chunk', ({ step, data }) => { had.turns[step] = (had.turns[step] ?? '') + data })
on('restarted', ({ step, from }) => { had.turns[step] = Array.from(had.turns[step] ?? '').slice(0, from).join('') })
on('done', () => { events.close(); document.getElementById('state').textContent = 'done' })
on('error', ({ code }) => { events.close(); document.getElementById('state').textContent = code })
</script>"#;

/// The product's own backend: only it has the daemon's key.
struct Product {
    proxy: String,
    key: String,
    stream: String,
}

async fn told(
    State(product): State<Arc<Product>>,
    Query(query): Query<Value>,
    headers: HeaderMap,
) -> Response {
    let after = query["after"].as_str().map(|after| format!("&after={after}"));
    let url = format!("{}{}{}", product.proxy, product.stream, after.unwrap_or_default());
    let mut request = reqwest::Client::new().get(url).header("x-agent-daemon-key", &product.key);
    if let Some(last) = headers.get("last-event-id") {
        request = request.header("last-event-id", last);
    }
    match request.send().await {
        Ok(answer) if answer.status() == 200 => Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(answer.bytes_stream()))
            .unwrap(),
        // A browser comes back after a stream that broke, and not after an error.
        Ok(_) | Err(_) => {
            ([("content-type", "text/event-stream")], "retry: 200\n\n").into_response()
        }
    }
}

async fn product(product: Product) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/health", get(async || Json(json!({}))))
        .route("/told", get(told))
        .with_state(Arc::new(product));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Which of the daemons has the run.
async fn who_runs(daemons: &[(Program, String)], key: &str) -> usize {
    wait_for("an instance that runs it", async || {
        for (n, (_, url)) in daemons.iter().enumerate() {
            let metrics = reqwest::Client::new().get(format!("{url}/metrics"));
            let metrics = metrics.header("x-agent-daemon-key", key).send().await.ok()?;
            if metrics.text().await.ok()?.contains("wombat_runs_in_flight 1\n") {
                return Some(n);
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_reloaded_while_its_daemon_is_killed_shows_every_word_once() {
    let (speaker, model) = Speaker::start(3, Duration::from_millis(2)).await;
    let (stack, options, dir) = stack_with(&model, &[]).await;
    let mut daemons = Vec::new();
    for _ in 0..3 {
        daemons.push(stack.another_daemon(&options).await.unwrap());
    }
    let urls: Vec<_> = daemons.iter().map(|(_, url)| url.as_str()).collect();
    let Some(proxy) = haproxy(dir.path(), &urls).await else { return };
    let Some(browser) = Browser::start().await else { return };
    let key = stack.daemon_key();
    for (round, drifts) in [("kept", false), ("anew", true)] {
        speaker.upto.send_replace(3);
        let how = if drifts { "drifting" } else { "steady" };
        let body = json!({ "user_id": USER, "session_key": format!("user:{USER}:scout"),
            "task_title": round, "message": format!("{how} run {round}"), "idempotency_key": round });
        let begun = reqwest::Client::new()
            .post(format!("{}/api/agents/runs", proxy.url))
            .header("x-agent-daemon-key", key)
            .json(&body);
        let run: Value = begun.send().await.unwrap().json().await.unwrap();
        assert_eq!(run["status"], "queued", "{run}");
        let page = product(Product {
            proxy: proxy.url.clone(),
            key: key.to_owned(),
            stream: run["stream"].as_str().unwrap().to_owned(),
        })
        .await;
        let query = if round == "kept" { "/?keep" } else { "/" };
        browser.open(&format!("{page}{query}")).await;
        let heard = async |n: usize| browser.sees(&format!("{round}\u{2013}{n}")).await;
        heard(2).await;
        browser.run("location.reload()").await;
        speaker.upto.send_replace(9);
        heard(8).await;
        let victim = who_runs(&daemons, key).await;
        daemons[victim].0.kill().await.unwrap();
        browser.run("location.reload()").await;
        speaker.upto.send_replace(16);
        heard(15).await;
        browser.run("location.reload()").await;
        speaker.upto.send_replace(WORDS);
        browser.sees("done").await;
        let text = "return document.getElementById('text').textContent";
        let shown = browser.run(text).await;
        assert_eq!(shown.as_str().unwrap(), answer(round, drifts), "{round}");
        let had = browser.run("return sessionStorage.getItem('had')").await;
        let had: Value = serde_json::from_str(had.as_str().unwrap()).unwrap();
        let ids = had["seen"].as_array().unwrap().iter();
        let ids: Vec<i64> = ids.map(|id| id.as_str().unwrap().parse().unwrap()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "no event came twice: {ids:?}");
        let path = format!("/api/agents/runs/{}?{SESSION}", run["run_key"].as_str().unwrap());
        let report = reqwest::Client::new()
            .get(format!("{}{path}", proxy.url))
            .header("x-agent-daemon-key", key);
        let report: Value = report.send().await.unwrap().json().await.unwrap();
        assert_eq!(report["answer"]["response"], answer(round, drifts), "{report}");
        assert_eq!(speaker.asked(round, 0), 2, "once by each instance");
        daemons[victim] = {
            // As a supervisor does, at the same address.
            let port = daemons[victim].1.rsplit_once(':').unwrap().1.to_owned();
            let mut options = options.clone();
            options.daemon.push(("WOMBAT_PORT", port));
            stack.another_daemon(&options).await.unwrap()
        };
    }
    browser.quit().await;
}
