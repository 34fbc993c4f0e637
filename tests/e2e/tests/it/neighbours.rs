//! The programs below a path of another host: behind nginx, HAProxy, Caddy and Envoy, set up as
//! docs/DEPLOY.md shows.

mod certificates;
mod ipv6;
mod proxies;

use std::collections::BTreeSet;

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use test_support::stack::{Stack, StackOptions, example};

use self::proxies::Proxy;
use crate::kills::{OPTIONS, client};
use crate::streams::{Model, events};

const PASSWORD: &str = "open sesame";

struct Site {
    stack: Stack,
    options: StackOptions,
    model: Model,
    proxy: Proxy,
    http: reqwest::Client,
    dir: tempfile::TempDir,
}

impl Site {
    async fn new(which: &str) -> Option<Self> {
        let (model, url) = Model::start(true).await;
        let dir = tempfile::tempdir().unwrap();
        let options = StackOptions {
            example: example(),
            daemon: vec![
                ("LLM_PROVIDER", "openai".to_owned()),
                ("OPENAI_BASE_URL", format!("{url}/v1")),
                ("WOMBAT_PROTOCOLS", "a2a".to_owned()),
                ("WOMBAT_RETRY_DELAY_MS", "1".to_owned()),
                ("WOMBAT_RETRY_MAX_DELAY_MS", "2".to_owned()),
            ],
            everywhere: vec![("MC_BOARD_PASSWORD", PASSWORD.to_owned())],
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        let proxy = Proxy::start(which, dir.path(), &stack.daemon_url, &stack.backend_url).await?;
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Some(Self { stack, options, model, proxy, http, dir })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.proxy.url)
    }

    /// A call of the daemon, with headers that a client would like to be believed.
    async fn daemon(&self, path: &str) -> Value {
        let call =
            self.http.get(self.at(path)).header("x-agent-daemon-key", self.stack.daemon_key());
        let evil = [
            ("x-forwarded-prefix", "//evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "6666"),
            ("forwarded", "host=evil.example;proto=https"),
        ];
        let call = evil.into_iter().fold(call, |call, (name, value)| call.header(name, value));
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// A page with this cookie, and where it leads instead.
    async fn page(&self, path: &str, cookie: &str) -> (u16, String, String) {
        let call = self.http.get(self.at(path)).header("accept", "text/html");
        let answer = call.header("cookie", cookie).send().await.unwrap();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to.unwrap_or_default(), answer.text().await.unwrap())
    }
}

/// The addresses in a page.
fn addresses(page: &str) -> BTreeSet<String> {
    let names = [" href=\"", " src=\"", " action=\"", " data-events=\""];
    let all = names.iter().flat_map(|name| page.split(name).skip(1));
    let all = all.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
    all.filter(|address| !address.starts_with('#')).collect()
}

async fn cards_and_documents(site: &Site) {
    let url = site.at("/wombat/a2a/scout");
    let paths = [("", "analyst"), ("/a2a/scout", "scout")];
    for (of_role, role) in paths {
        let card = site.daemon(&format!("/wombat{of_role}/.well-known/agent-card.json")).await;
        for interface in card["supportedInterfaces"].as_array().unwrap() {
            assert_eq!(interface["url"], site.at(&format!("/wombat/a2a/{role}")), "{card}");
        }
    }
    // What the card names is there.
    let call = site.http.post(&url).header("x-agent-daemon-key", site.stack.daemon_key());
    let call = call.header("a2a-version", "1.0").header("x-wombat-user", "ann");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {} });
    let answer: Value = call.json(&body).send().await.unwrap().json().await.unwrap();
    assert!(answer["result"].is_object(), "{answer}");
    let document = site.daemon("/wombat/openapi.json").await;
    assert_eq!(document["servers"], json!([{ "url": "/wombat" }]));
}

async fn the_page(site: &Site) {
    let (status, to, _) = site.page("/board/", "").await;
    assert_eq!((status, to.as_str()), (303, "/board/login"));
    let (_, _, login) = site.page("/board/login", "").await;
    assert!(login.contains("action=\"/board/login\""), "{login}");
    let form = site.http.post(site.at("/board/login")).header("origin", &site.proxy.url);
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let opened =
        form.body(format!("password={}", PASSWORD.replace(' ', "+"))).send().await.unwrap();
    assert_eq!(opened.headers()["location"], "/board/", "{}", opened.status());
    let cookies: Vec<_> = opened.headers().get_all("set-cookie").iter().collect();
    let cookies: Vec<_> = cookies.iter().map(|cookie| cookie.to_str().unwrap()).collect();
    assert!(cookies.iter().all(|cookie| cookie.contains("; Path=/board/;")), "{cookies:?}");
    let pairs: Vec<_> = cookies.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    let cookie = pairs.join("; ");

    // Every address of every page is below the prefix, and leads somewhere.
    let mut left = vec!["/board/?user=ann".to_owned()];
    let mut seen: BTreeSet<String> = left.iter().cloned().collect();
    let (mut pages, mut forms) = (0, BTreeSet::new());
    while let Some(path) = left.pop() {
        if path.starts_with("/board/live") {
            let live =
                site.http.get(site.at(&path)).header("cookie", &cookie).send().await.unwrap();
            assert_eq!(live.headers()["content-type"], "text/event-stream", "{path}");
            continue;
        }
        let (status, _, page) = site.page(&path, &cookie).await;
        if status == 405 {
            forms.insert(path);
            continue;
        }
        assert_eq!(status, 200, "{path}: {page}");
        pages += 1;
        for address in addresses(&page) {
            assert!(address.starts_with("/board/"), "{path}: {address}");
            if seen.insert(address.clone()) {
                left.push(address);
            }
        }
    }
    assert!(pages >= 4 && forms.contains("/board/write"), "{pages} pages, {seen:?}");

    // A form, and where it leads.
    let (_, _, page) = site.page("/board/?user=ann", &cookie).await;
    let token = page.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = site.http.post(site.at("/board/write")).header("cookie", &cookie);
    let form = form.header("origin", &site.proxy.url).header("sec-fetch-site", "same-origin");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let form = form.body(format!("token={token}&user=ann&role=scout&text=hello"));
    let written = form.send().await.unwrap();
    let to = written.headers()["location"].to_str().unwrap();
    assert!(written.status() == 303 && to.starts_with("/board/tasks/"), "{to}");
}

async fn streams_and_long_bodies(site: &Site) {
    site.model.go.send_replace(false);
    let call = |way: &str, message: String| {
        let url = site.at(&format!("/wombat/api/agents/{way}"));
        site.http.post(url).header("x-agent-daemon-key", site.stack.daemon_key()).json(&json!({
            "user_id": "ann", "session_key": "user:ann:scout", "task_title": way, "message": message,
        }))
    };
    let mut answer = call("stream", "Go.".to_owned()).send().await.unwrap();
    let mut text = String::new();
    // The second piece is not told before the first has been read here.
    while !text.contains("Hallo") {
        let piece = answer.chunk().await.unwrap().expect(&text);
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(!text.contains("Zeilen"), "{text}");
    site.model.let_go().await;
    text.push_str(&answer.text().await.unwrap());
    assert_eq!(events(&text).last().unwrap().0, "done", "{text}");
    // More than a proxy's defaults allow: the daemon's own answer comes back.
    let long = call("send", "x".repeat(1_800_000)).header("expect", "100-continue");
    let answer = long.send().await.unwrap();
    assert!(answer.headers().contains_key("x-trace-id"), "{}", answer.status());
}

/// Our own clients behind the prefix: the daemon's of the backend, and those of the daemon.
async fn clients(site: &mut Site) {
    let message = daemon_client::SendRequest {
        user_id: "ann".into(),
        session_key: "user:ann:scout".into(),
        task_title: Some("Prefix".into()),
        message: "Go.".into(),
        ..daemon_client::SendRequest::default()
    };
    for slash in ["", "/"] {
        let mut options = site.options.clone();
        options.daemon.push(("BACKEND_URL", site.at(&format!("/board{slash}"))));
        let (mut daemon, url) = site.stack.another_daemon(&options).await.unwrap();
        client(&url, site.stack.daemon_key()).send(&message, &OPTIONS).await.unwrap();
        let behind = client(&site.at(&format!("/wombat{slash}")), site.stack.daemon_key());
        behind.send(&message, &OPTIONS).await.unwrap();
        if slash.is_empty() {
            continue;
        }
        // The proxy's own page stands for an outage, and is shown to nobody.
        site.stack.backend.kill().await.unwrap();
        let error =
            client(&url, site.stack.daemon_key()).send(&message, &OPTIONS).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(!error.to_string().contains('<'), "{error}");
        site.stack.daemon.kill().await.unwrap();
        let error = behind.send(&message, &OPTIONS).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(!error.to_string().contains('<'), "{error}");
        daemon.kill().await.unwrap();
    }
}

async fn works_below_a_path(which: &str) {
    let Some(mut site) = Site::new(which).await else { return };
    cards_and_documents(&site).await;
    streams_and_long_bodies(&site).await;
    the_page(&site).await;
    clients(&mut site).await;
    drop(site.dir);
}

#[tokio::test]
async fn behind_nginx_everything_works_below_a_path() {
    works_below_a_path("nginx").await;
}

#[tokio::test]
async fn behind_haproxy_everything_works_below_a_path() {
    works_below_a_path("haproxy").await;
}

#[tokio::test]
async fn behind_caddy_everything_works_below_a_path() {
    works_below_a_path("caddy").await;
}

#[tokio::test]
async fn behind_envoy_everything_works_below_a_path() {
    works_below_a_path("envoy").await;
}
