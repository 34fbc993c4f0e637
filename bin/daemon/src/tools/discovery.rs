//! Where an application has its OpenAPI document: the usual addresses are asked, and where there are only
//! pages for people, the addresses that these name.

mod links;
mod load;
mod place;
mod unreadable;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use mc_client::client::AgentClient;
use mc_client::raw::{RawRequest, RawResponse};
use openapi_tools::Document;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::links::links;
use super::specs::builtin_names;

pub(super) use self::load::{Loaded, Source};
pub use self::place::OpenApiPlace;

/// The timeout of one question.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// The timeout of all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// The maximum size of a document.
pub(super) const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// The most of a page that is read.
const MAX_PAGE_BYTES: usize = 256 * 1024;

/// The most addresses that pages name.
const MAX_LINKS: usize = 12;

/// The usual addresses of documents, with who has them there by default.
const DOCUMENTS: [&str; 47] = [
    "/openapi.json",            // FastAPI, Sanic, Hono, poem, aide, hapi-swagger
    "/schema/openapi.json",     // Litestar
    "/api/openapi.json",        // Django Ninja
    "/api/schema/",             // drf-spectacular
    "/schema/",                 // drf-spectacular
    "/api-json",                // NestJS
    "/docs-json",               // NestJS
    "/api/docs-json",           // NestJS
    "/swagger-json",            // NestJS
    "/documentation/json",      // Fastify
    "/docs/json",               // Fastify
    "/docs/openapi.json",       // Sanic
    "/doc",                     // Hono
    "/openapi/json",            // Elysia
    "/swagger/json",            // Elysia
    "/swagger/v1/swagger.json", // ASP.NET, Swashbuckle
    "/openapi/v1.json",         // ASP.NET 9
    "/v3/api-docs",             // Spring
    "/v2/api-docs",             // Springfox
    "/api-docs",
    "/api-docs/openapi.json", // utoipa
    "/api-docs/swagger.json",
    "/api-docs.json",            // swagger-jsdoc
    "/api-docs/v1/openapi.json", // salvo
    "/api-docs/v1/swagger.yaml", // rswag
    "/swagger.json",             // Flask-RESTX, tsoa, hapi-swagger, drf-yasg
    "/swagger.yaml",
    "/swagger/doc.json",        // swaggo
    "/swagger/?format=openapi", // drf-yasg
    "/openapi/openapi.json",    // flask-openapi3
    "/apidoc/openapi.json",     // spectree
    "/apispec_1.json",          // flasgger
    "/openapi",                 // MicroProfile
    "/q/openapi",               // Quarkus
    "/openapi.yaml",            // Huma
    "/openapi.yml",
    "/api/v1/openapi.json", // FastAPI's template
    "/v1/openapi.json",
    "/api/v1/swagger.json",
    "/api/swagger.json",
    "/api/openapi.yaml",
    "/api/docs/openapi.json",
    "/api/docs.json",
    "/docs/api.json",        // Laravel Scramble
    "/api/docs.jsonopenapi", // API Platform
    "/spec",
    "/.well-known/openapi.json",
];

/// The usual addresses of pages that show a document.
const PAGES: [&str; 12] = [
    "/docs",
    "/api-docs/",
    "/swagger",
    "/swagger-ui/",
    "/swagger/index.html",
    "/api/docs",
    "/api",
    "/documentation",
    "/redoc",
    "/reference",
    "/scalar",
    "/",
];

/// A document of the application.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its path, as `WOMBAT_BACKEND_OPENAPI` takes it.
    pub path: String,
    /// How many operations it has.
    pub operations: usize,
    /// Its text.
    pub text: Arc<str>,
    /// Whether it is a file here, and no path of the application.
    pub is_file: bool,
}

/// An answer, as far as it is needed here.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
    pub(super) is_page: bool,
    location: Option<String>,
}

impl From<RawResponse> for Answer {
    fn from(answer: RawResponse) -> Self {
        let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            status: answer.status,
            is_page: shown::is_page(header(CONTENT_TYPE), &answer.body),
            location: header(LOCATION).map(str::to_owned),
            truncated: answer.truncated,
            body: answer.body.into(),
        }
    }
}

/// Asks an application, without a token unless one is demanded and may be used. Nothing is ever asked of
/// another host: redirects and links are followed below the application's own address only.
pub struct Asker<'a> {
    http: &'a reqwest::Client,
    application: &'a str,
    agent: Option<&'a AgentClient>,
    deadline: Instant,
}

impl<'a> Asker<'a> {
    /// Asks nobody's agent; `application` is its URL.
    pub fn new(http: &'a reqwest::Client, application: &'a str) -> Self {
        let application = application.trim_end_matches('/');
        Self { http, application, agent: None, deadline: Instant::now() + TIMEOUT }
    }

    /// Asks again as an agent where a token is demanded.
    #[must_use]
    pub fn with_agent(mut self, agent: &'a AgentClient) -> Self {
        self.agent = Some(agent);
        self
    }

    /// The documents at the usual addresses, the one with the most operations first.
    ///
    /// # Errors
    /// Why the application does not answer at all.
    pub async fn discover(&self) -> Result<Vec<Found>, String> {
        self.ask("/").await?;
        let mut found = self.documents(DOCUMENTS.map(str::to_owned).into()).await;
        if found.is_empty() {
            let named = self.named_by_pages().await;
            found = self.documents(named).await;
        }
        found.sort_by_key(|(_, found)| std::cmp::Reverse(found.operations));
        // The same document in another form or under another address.
        let mut known = HashSet::new();
        found.retain(|(operations, _)| known.insert(*operations));
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// What the path answers, and the path at which that was: redirects are followed.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self, path: &str) -> Result<(String, Answer), String> {
        let mut path = path.to_owned();
        for _ in 0..3 {
            let answer = self.ask_once(&path).await?;
            let next = answer.location.as_deref().filter(|_| (300..400).contains(&answer.status));
            match next.and_then(|next| self.resolve(&path, next)) {
                Some(next) if next != path => path = next,
                Some(_) | None => return Ok((path, answer)),
            }
        }
        Err("it redirects too often".to_owned())
    }

    /// The path that a link on a page means, if it is below the application's address.
    fn resolve(&self, page: &str, link: &str) -> Option<String> {
        let page = Url::parse(&format!("{}{page}", self.application)).ok()?;
        below(self.application, page.join(link).ok()?.as_str())
    }

    async fn ask_once(&self, path: &str) -> Result<Answer, String> {
        let until = self.deadline.min(Instant::now() + ASK_TIMEOUT);
        let asked = timeout_at(until, self.plain(path)).await;
        let answer = asked.unwrap_or_else(|_| Err("timeout".to_owned()))?;
        let Some(agent) = self.agent.filter(|_| matches!(answer.status, 401 | 403)) else {
            return Ok(answer);
        };
        let request = RawRequest {
            method: http::Method::GET,
            path_and_query: path.to_owned(),
            body: None,
            idempotency_key: None,
            max_bytes: MAX_DOCUMENT_BYTES,
        };
        let asked = agent.clone().with_deadline(until).raw(request).await;
        Ok(asked.map_or(answer, Answer::from))
    }

    async fn plain(&self, path: &str) -> Result<Answer, String> {
        let accept = "application/json, application/yaml, application/vnd.oai.openapi, */*;q=0.5";
        let request = self.http.get(format!("{}{path}", self.application)).header(ACCEPT, accept);
        let failed = |error: reqwest::Error| match std::error::Error::source(&error) {
            Some(cause) => shown::cause(cause).to_string(),
            None => "the connection failed".to_owned(),
        };
        let mut response = request.send().await.map_err(failed)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (media_type, location) = (header(CONTENT_TYPE), header(LOCATION).map(str::to_owned));
        let media_type = media_type.map(str::to_owned);
        let status = response.status().as_u16();
        let (mut body, mut is_page, mut truncated) = (BytesMut::new(), false, false);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            is_page = shown::is_page(media_type.as_deref(), &body);
            let most = if is_page { MAX_PAGE_BYTES } else { MAX_DOCUMENT_BYTES };
            if body.len() > most {
                truncated = true;
                break;
            }
        }
        Ok(Answer { status, body: body.into(), truncated, is_page, location })
    }

    /// The documents among these paths.
    async fn documents(&self, paths: Vec<String>) -> Vec<(u64, Found)> {
        let asked = stream::iter(paths).map(|path| async move { self.document(&path).await });
        asked.buffered(AT_ONCE).filter_map(async |found| found).collect().await
    }

    /// The document at a path, if there is one, and a hash of which operations it has.
    async fn document(&self, path: &str) -> Option<(u64, Found)> {
        let (path, answer) = self.ask(path).await.ok()?;
        if answer.status != 200 || answer.truncated || answer.is_page {
            return None;
        }
        let text = openapi_tools::decode(answer.body).ok()?;
        if !openapi_tools::may_be_document(&text) {
            return None;
        }
        let mounted = Url::parse(self.application).ok()?.path().to_owned();
        let read = move || {
            let document = Document::parse(&text, &builtin_names(), mounted.as_str()).ok()?;
            // The contract's own endpoints are no tools.
            let all = document.candidates().filter(|found| !is_contract(found.path));
            let mut all: Vec<_> = all.map(|found| (found.method, found.path)).collect();
            all.sort_unstable();
            let mut hasher = DefaultHasher::new();
            all.hash(&mut hasher);
            let operations = all.len();
            (operations > 0).then(|| (hasher.finish(), operations, text.as_str().into()))
        };
        let (hash, operations, text) = tokio::task::spawn_blocking(read).await.ok()??;
        Some((hash, Found { path, operations, text, is_file: false }))
    }

    /// The paths that the pages name.
    async fn named_by_pages(&self) -> Vec<String> {
        let asked = stream::iter(PAGES).map(|page| async move { self.ask(page).await.ok() });
        let pages: Vec<_> = asked.buffered(AT_ONCE).filter_map(async |page| page).collect().await;
        let mut named = Vec::new();
        for (page, answer) in pages.iter().filter(|(_, answer)| answer.is_page) {
            for link in links(&String::from_utf8_lossy(&answer.body)) {
                let path = self.resolve(page, &link);
                named.extend(path.filter(|path| !named.contains(path)));
            }
        }
        named.truncate(MAX_LINKS);
        named
    }
}

/// Path and query of a URL after a base URL, if it is of the same origin and below it.
pub(super) fn below(base: &str, url: &str) -> Option<String> {
    let (base, url) = (Url::parse(base).ok()?, Url::parse(url).ok()?);
    let is_ours = base.origin() == url.origin()
        && (url.username().is_empty() || url.username() == base.username())
        && url.password().is_none_or(|password| Some(password) == base.password());
    let rest = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
    if !is_ours || !rest.starts_with('/') {
        return None;
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{rest}{query}"))
}

fn is_contract(path: &str) -> bool {
    path.contains(super::specs::MISSION_CONTROL)
}
