//! Callers of the backend and their requests, with retries after 429 and 503.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::token::{ROLE, claims};
use crate::verdict::NotPassed;
use crate::world::World;

/// The path prefix of the contract's endpoints.
pub(crate) const MC: &str = "/api/mission-control";

/// The timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The most retries after a 429 or 503 with `Retry-After`.
const MAX_RETRIES: u32 = 5;

/// The most pages of a list that are read.
const MAX_PAGES: usize = 100;

/// The longest `Retry-After` that is waited for.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The credentials of a caller.
#[derive(Debug, Clone)]
enum Who {
    Anonymous,
    Token(String),
    Agent { user: String, role: String },
    Service,
    Person(String),
}

/// Somebody who calls the backend.
#[derive(Clone)]
pub(crate) struct Caller<'w> {
    world: &'w World,
    who: Who,
    extra: Vec<(&'static str, String)>,
    /// Whether its answers count for the rules of the form of all answers.
    is_watched: bool,
}

impl World {
    fn caller(&self, who: Who) -> Caller<'_> {
        Caller { world: self, who, extra: Vec::new(), is_watched: true }
    }

    /// A caller without credentials.
    pub(crate) fn anonymous(&self) -> Caller<'_> {
        self.caller(Who::Anonymous)
    }

    /// A caller with this agent token, valid or not.
    pub(crate) fn token(&self, token: &str) -> Caller<'_> {
        self.caller(Who::Token(token.to_owned()))
    }

    /// A user's agent.
    pub(crate) fn agent(&self, user: &str) -> Caller<'_> {
        self.agent_as(user, ROLE)
    }

    /// A user's agent in a role.
    pub(crate) fn agent_as(&self, user: &str, role: &str) -> Caller<'_> {
        self.caller(Who::Agent { user: user.to_owned(), role: role.to_owned() })
    }

    fn internal(&self) -> Result<(), NotPassed> {
        match self.internal {
            Some(_) => Ok(()),
            None => Err(NotPassed::Skipped(
                "needs the internal token: give --internal-token or INTERNAL_API_TOKEN".to_owned(),
            )),
        }
    }

    /// A service, with the internal token.
    pub(crate) fn service(&self) -> Result<Caller<'_>, NotPassed> {
        self.internal().map(|()| self.caller(Who::Service))
    }

    /// A person, on whose behalf a service acts. A check is skipped where the backend takes none: its
    /// people act on its own pages. Asked once, with a request that every person may make; where persons
    /// are taken, a later 401 or 403 is an answer like any other.
    pub(crate) async fn person(&self, user: &str) -> Result<Caller<'_>, NotPassed> {
        self.internal()?;
        let asked = async {
            let own = self.caller(Who::Person(self.one.clone())).get("/tasks").await?;
            Ok::<_, NotPassed>(matches!(own.status, 401 | 403).then(|| own.summary()))
        };
        match self.no_persons.get_or_try_init(|| asked).await? {
            None => Ok(self.caller(Who::Person(user.to_owned()))),
            Some(seen) => Err(NotPassed::Skipped(format!(
                "the backend takes no X-On-Behalf-Of, so its people act on its own pages: {seen}"
            ))),
        }
    }

    /// Creates a task of a user; returns its id.
    pub(crate) async fn task(&self, user: &str, what: &str) -> Result<String, NotPassed> {
        let task = self.agent(user).post("/tasks", json!({ "title": self.title(what) })).await?;
        task.created()?;
        task.text_at("id").map(str::to_owned)
    }
}

impl<'w> Caller<'w> {
    /// The same with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// The same, for requests of which the contract says nothing.
    #[must_use]
    pub(crate) fn unwatched(mut self) -> Self {
        self.is_watched = false;
        self
    }

    fn headers(&self) -> Result<HeaderMap, NotPassed> {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, text: &str| {
            let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                NotPassed::Failed(format!("{name} cannot be sent: HTTP does not allow its value"))
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
            Ok::<_, NotPassed>(())
        };
        let internal = || {
            let token = self.world.internal.as_ref().map(ExposeSecret::expose_secret);
            token.unwrap_or_default()
        };
        match &self.who {
            Who::Anonymous => {}
            Who::Token(token) => put("x-agent-token", token)?,
            Who::Agent { user, role } => {
                let token = self.world.keys.sign(&claims(user, role));
                put(
                    "x-agent-token",
                    &token.map_err(|error| NotPassed::Failed(error.to_string()))?,
                )?;
            }
            Who::Service => put("x-internal-token", internal())?,
            Who::Person(user) => {
                put("x-internal-token", internal())?;
                put("x-on-behalf-of", user)?;
            }
        }
        for (name, value) in &self.extra {
            put(name, value)?;
        }
        Ok(headers)
    }

    /// A request that is not sent yet. A path that does not begin with `/api/` gets the contract's
    /// prefix.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
    ) -> Result<reqwest::RequestBuilder, NotPassed> {
        let prefix = if path.starts_with("/api/") { "" } else { MC };
        let url = format!("{}{prefix}{path}", self.world.url);
        Ok(self.world.http.request(method, url).headers(self.headers()?))
    }

    /// Sends a request without a body.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, NotPassed> {
        self.send(Method::GET, path, None).await
    }

    /// Sends JSON.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Answer, NotPassed> {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// All items of a list, page after page, at most so many as a test backend may hold.
    pub(crate) async fn all(&self, path: &str) -> Result<Vec<Value>, NotPassed> {
        let (mut items, mut url) = (Vec::new(), path.to_owned());
        for _ in 0..MAX_PAGES {
            let page = self.get(&url).await?;
            items.extend_from_slice(page.items()?);
            let Some(next) = page.next_cursor() else { break };
            let sign = if path.contains('?') { '&' } else { '?' };
            url = format!("{path}{sign}cursor={}", crate::checks::encode(&next));
        }
        Ok(items)
    }

    /// The deliveries that wait, as the dispatcher polls them: a backend may take only `GET`.
    pub(crate) async fn undelivered(&self, query: &str) -> Result<Answer, NotPassed> {
        let path = format!("/dispatch/undelivered?{query}");
        let answer = self.post(&path, json!({})).await?;
        if matches!(answer.status, 404 | 405) {
            return self.get(&path).await;
        }
        Ok(answer)
    }

    /// Sends JSON.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Result<Answer, NotPassed> {
        self.send(Method::PUT, path, Some(&body)).await
    }

    /// Sends JSON.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Result<Answer, NotPassed> {
        self.send(Method::PATCH, path, Some(&body)).await
    }

    /// Sends a request without a body.
    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, NotPassed> {
        self.send(Method::DELETE, path, None).await
    }

    /// Sends a body of any kind.
    pub(crate) async fn text(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, NotPassed> {
        let mut request = self.request(method.clone(), path)?.body(body);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        self.finish(&method, path, None, request).await
    }

    /// Sends JSON, and takes a 429 or 503 for an answer.
    pub(crate) async fn once(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, NotPassed> {
        let request = self.request(method.clone(), path)?.json(body);
        self.finish(&method, path, Some(body), request).await
    }

    /// Sends, and retries a 429 or 503 with `Retry-After`: such a request had no effect.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, NotPassed> {
        let mut retries = 0;
        loop {
            let mut request = self.request(method.clone(), path)?;
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = self.finish(&method, path, body, request).await?;
            let wait = answer.retry_after().filter(|_| matches!(answer.status, 429 | 503));
            match wait {
                Some(wait) if retries < MAX_RETRIES && wait <= MAX_WAIT => {
                    retries += 1;
                    tokio::time::sleep(wait).await;
                }
                Some(_) | None => return Ok(answer),
            }
        }
    }

    async fn finish(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, NotPassed> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let lost = |error: reqwest::Error| {
            NotPassed::Failed(format!("{what}: no response: {}", shown::cause(&error)))
        };
        let response = request.timeout(REQUEST_TIMEOUT).send().await.map_err(lost)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.map_err(lost)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = Answer::new(what, status, headers, text);
        self.note(method, path, body, &answer);
        Ok(answer)
    }

    fn user(&self) -> Option<&str> {
        match &self.who {
            Who::Agent { user, .. } | Who::Person(user) => Some(user),
            Who::Anonymous | Who::Token(_) | Who::Service => None,
        }
    }

    /// Records what was created, and checks the rules for every response.
    fn note(&self, method: &Method, path: &str, body: Option<&Value>, answer: &Answer) {
        if let Ok(mut watch) = self.world.watch.lock() {
            watch.see_any(answer, self.world.leaks(&answer.text));
            if self.is_watched {
                watch.see(answer);
            }
        }
        let Ok(mut made) = self.world.made.lock() else { return };
        let named = body.and_then(|body| body.get("user_id")).and_then(Value::as_str);
        made.users.extend(self.user().or(named).map(str::to_owned));
        let fresh = !answer.replayed() && matches!(answer.status, 200 | 201);
        if method != Method::POST || !fresh {
            return;
        }
        match (path, self.user(), answer.body["id"].as_str()) {
            ("/tasks", Some(user), Some(id)) => {
                made.tasks.insert((user.to_owned(), id.to_owned()));
            }
            ("/messages", ..) => made.messages += 1,
            ("/documents", ..) => made.documents += 1,
            _ => {}
        }
    }
}
