//! Whoever calls a backend, and what it answers.

use std::time::Duration;

use mc_client::token::{Algorithm, Key, TokenMinter};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{MC, SECRET};

#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    http: reqwest::Client,
    headers: HeaderMap,
}

impl Caller {
    /// Somebody who says nothing about who it is, to a backend elsewhere.
    pub(crate) fn of(url: &str) -> Self {
        Self::new(url, service::http::client_builder().no_proxy().build().unwrap())
    }

    pub(crate) fn new(url: &str, http: reqwest::Client) -> Self {
        Self { url: url.to_owned(), http, headers: HeaderMap::new() }
    }

    /// The same, to another backend.
    pub(crate) fn at(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// With an agent's token.
    pub(crate) fn by_agent(self, user_id: &str, role: &str) -> Self {
        let key = Key::Secret(SECRET.into());
        let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(900)).unwrap();
        let token = minter.mint(user_id, role).unwrap().header();
        self.with("x-agent-token", token.to_str().unwrap())
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// A path that begins with `/api`, or is the page's.
    pub(crate) fn raw(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).headers(self.headers.clone())
    }

    /// A path of the contract.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.raw(Method::GET, &format!("{MC}{path}"))).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.raw(Method::POST, &format!("{MC}{path}")).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        send(self.raw(Method::PUT, &format!("{MC}{path}")).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.raw(Method::DELETE, &format!("{MC}{path}"))).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        send(self.raw(Method::PATCH, &format!("{MC}{path}")).json(&body)).await
    }

    /// Makes a task and gives its id.
    pub(crate) async fn task(&self, title: &str) -> String {
        let task = self.post("/tasks", serde_json::json!({ "title": title })).await;
        task.ok()["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        &self.body
    }

    /// Checks that it is an error of the contract's shape.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert!(self.body["error"].as_str().is_some_and(|text| !text.is_empty()), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
    }

    #[track_caller]
    pub(crate) fn items(&self) -> &[Value] {
        self.ok()["items"].as_array().unwrap()
    }

    pub(crate) fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
}

/// One field of each item, as text.
#[track_caller]
pub(crate) fn column<'a>(items: &'a [Value], name: &str) -> Vec<&'a str> {
    items.iter().map(|item| item[name].as_str().unwrap()).collect()
}
