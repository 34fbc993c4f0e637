//! A user of an application: logs in by its own means, and asks the agent through it.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::application::{Application, Running};

const PASSWORD: &str = "open sesame 2030";

pub(super) struct Person {
    pub(super) id: i64,
    email: String,
    application: &'static Application,
    url: String,
    bearer: Option<String>,
    cookies: BTreeMap<String, String>,
}

impl Person {
    pub(super) async fn register(running: &Running, email: &str) -> Self {
        let (application, url) = (running.application, running.url.clone());
        let body = json!({ "email": email, "password": PASSWORD });
        let address = format!("{url}{}", application.paths.register);
        let answer = reqwest::Client::new().post(address).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let id = answer.json::<Value>().await.unwrap()["id"].as_i64().unwrap();
        let (email, cookies) = (email.to_owned(), BTreeMap::new());
        Self { id, email, application, url, bearer: None, cookies }.again(running).await
    }

    /// The same person, who logs in anew.
    pub(super) async fn again(mut self, running: &Running) -> Self {
        let body = json!({ "email": self.email, "password": PASSWORD });
        let address = format!("{}{}", running.url, self.application.paths.login);
        let answer = reqwest::Client::new().post(address).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let answer: Value = answer.json().await.unwrap();
        self.bearer = answer["access_token"].as_str().map(str::to_owned);
        self
    }

    /// Somebody who has not logged in.
    pub(super) fn anonymous(&self) -> Self {
        let (email, url, cookies) = (String::new(), self.url.clone(), BTreeMap::new());
        Self { id: 0, email, application: self.application, url, bearer: None, cookies }
    }

    fn with_login(&self, mut call: RequestBuilder) -> RequestBuilder {
        if let Some(token) = &self.bearer {
            call = call.bearer_auth(token);
        }
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            call = call.header("cookie", pairs.collect::<Vec<_>>().join("; "));
        }
        // Django's protection against forged requests.
        match self.cookies.get("csrftoken") {
            Some(token) => call.header("x-csrftoken", token),
            None => call,
        }
    }

    async fn posts(&self, path: &str, body: &Value) -> (u16, Value) {
        let call = reqwest::Client::new().post(format!("{}{path}", self.url)).json(body);
        let answer = self.with_login(call).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Writes a row; returns its id.
    pub(super) async fn writes(&self, title: &str) -> i64 {
        let row = (self.application.row)(title);
        let (status, made) = self.posts(self.application.paths.rows, &row).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_i64().unwrap()
    }

    /// A message to the agent, through the application.
    pub(super) async fn asks(&self, message: &str) -> (u16, Value) {
        self.sends(&json!({ "message": message })).await
    }

    /// Whatever a person sends where messages to the agent go.
    pub(super) async fn sends(&self, body: &Value) -> (u16, Value) {
        self.posts(self.application.paths.assistant, body).await
    }

    /// Reads the own rows; the status.
    pub(super) async fn lists(&self) -> u16 {
        let address = format!("{}{}", self.url, self.application.paths.rows);
        let call = self.with_login(reqwest::Client::new().get(address));
        call.send().await.unwrap().status().as_u16()
    }

    /// The rows that an agent with this token gets.
    pub(super) async fn lists_as_agent(&self, token: &str) -> (u16, Value) {
        let address = format!("{}{}", self.url, self.application.paths.rows);
        let call = reqwest::Client::new().get(address);
        let answer = call.header("x-agent-token", token).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}
