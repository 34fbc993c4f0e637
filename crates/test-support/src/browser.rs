//! A real Chromium for tests, driven by its own `chromedriver` over WebDriver (W3C), which is plain
//! JSON over HTTP; plus two extensions of Chromium: its log and its devtools.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{lacks_package, wait_for};

/// The key of an element's id in WebDriver's responses.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Timeout of one command.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a page is displayed.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Width, CSS pixels.
    pub width: u32,
    /// Height, CSS pixels.
    pub height: u32,
    /// Whether the person prefers dark colours.
    pub dark: bool,
}

/// A browser with one window. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    http: reqwest::Client,
    session: String,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts it. `None` where Chromium or its driver is not installed; the test is then skipped.
    ///
    /// # Panics
    /// When it does not start; and when it is not installed though `WOMBAT_TEST_ALL` is set.
    pub async fn start() -> Option<Self> {
        let programs = ["/usr/bin/chromium", "/usr/bin/chromedriver"];
        if !programs.iter().all(|program| Path::new(program).exists()) {
            lacks_package("Chromium", "chromium chromium-driver");
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        // It takes its browsers with it when it ends, and ends with the thread that started it.
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", programs[1], "--port=0"])
            .env("TMPDIR", profile.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver ended");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let data = profile.path().join("profile");
        let options = json!({
            "binary": programs[0],
            "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                "--hide-scrollbars", format!("--user-data-dir={}", data.display()),
            ]
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" }
        } } });
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&url).json(&wanted).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let session = format!("{url}/{id}");
        Some(Self { http, session, _driver: driver, _profile: profile })
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let is_good = answer.status().is_success();
        let mut body: Value = answer.json().await.map_err(|error| error.to_string())?;
        let value = body["value"].take();
        if is_good { Ok(value) } else { Err(value["message"].to_string()) }
    }

    async fn try_post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.ask(self.http.post(format!("{}{path}", self.session)).json(&body)).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.try_post(path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// One of Chromium's own devtools commands.
    ///
    /// # Panics
    /// When it fails.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Displays pages like this from now on.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn view(&self, view: View) {
        let size = json!({
            "width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": false
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Opens a page and waits until it has loaded.
    ///
    /// # Panics
    /// When it does not load.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Runs a script in the page; gives what it returns.
    ///
    /// # Panics
    /// When it throws.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The element that a CSS selector finds, once it is there and can be used.
    async fn find(&self, selector: &str) -> String {
        wait_for(&format!("{selector} is on the page"), async || {
            let wanted = json!({ "using": "css selector", "value": selector });
            let found = self.try_post("/element", wanted).await.ok()?;
            Some(found[ELEMENT].as_str()?.to_owned())
        })
        .await
    }

    /// Clicks an element, once it is there.
    ///
    /// # Panics
    /// When it never is, or cannot be clicked.
    pub async fn click(&self, selector: &str) {
        // What was found may be drawn anew in the same moment.
        wait_for(&format!("{selector} is clicked"), async || {
            let element = self.find(selector).await;
            self.try_post(&format!("/element/{element}/click"), json!({})).await.ok()
        })
        .await;
    }

    /// Types into an element, key by key. `\\u{e004}` is Tab, `\\u{e007}` Enter (WebDriver, 17.4.2).
    ///
    /// # Panics
    /// When there is none, or it takes no text.
    pub async fn keys(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// The page's visible text.
    ///
    /// # Panics
    /// When there is no page.
    pub async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a text is on the page.
    ///
    /// # Panics
    /// When it never is.
    pub async fn sees(&self, text: &str) {
        let deadline = Instant::now() + crate::PATIENCE;
        loop {
            let page = self.text().await;
            if page.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{text:?} is not seen on:\n{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The whole page as a PNG.
    ///
    /// # Panics
    /// When it cannot be drawn.
    pub async fn picture(&self) -> Vec<u8> {
        use base64::Engine as _;
        let got = self.ask(self.http.get(format!("{}/screenshot", self.session))).await.unwrap();
        let text = got.as_str().unwrap();
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", json!({ "type": kind })).await;
        log.as_array().cloned().unwrap_or_default()
    }

    /// Errors and blocked content that the page has logged since the last call.
    ///
    /// # Panics
    /// When the browser does not return its log.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.log("browser").await;
        let bad = log.iter().filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        bad.map(|line| line["message"].to_string()).collect()
    }

    /// The URLs that were requested since the last call.
    ///
    /// # Panics
    /// When the browser does not return its log.
    pub async fn requests(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let of = |line: &Value| {
            let event: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
            let event = &event["message"];
            let is_request = event["method"] == "Network.requestWillBeSent";
            is_request.then(|| event["params"]["request"]["url"].as_str().map(str::to_owned))?
        };
        log.iter().filter_map(of).collect()
    }

    /// Closes it.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn quit(self) {
        self.ask(self.http.delete(&self.session)).await.unwrap();
    }
}
