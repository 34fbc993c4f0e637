//! Where an application has its OpenAPI document.

use std::time::Duration;

use http::StatusCode;
use openapi_tools::Document;
use url::Url;

/// The timeout of each question.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most of a document that is read.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The usual addresses, by framework.
const ADDRESSES: [&str; 18] = [
    "/openapi.json",            // FastAPI, Hono, axum
    "/api/openapi.json",        // Django Ninja
    "/api/schema/",             // drf-spectacular
    "/schema/openapi.json",     // Litestar
    "/api-docs.json",           // swagger-jsdoc
    "/api-json",                // NestJS
    "/documentation/json",      // Fastify
    "/docs/openapi.json",       // Sanic
    "/doc",                     // Hono
    "/openapi/json",            // Elysia
    "/swagger/v1/swagger.json", // .NET
    "/v3/api-docs",             // Spring
    "/api-docs/openapi.json",   // utoipa
    "/swagger.json",
    "/api/swagger.json",
    "/api/docs/openapi.json",
    "/api/v1/openapi.json",
    "/spec",
];

/// A document.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path on the application.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
}

/// Asks the application at the usual addresses, or only at `path`.
///
/// # Errors
/// Why the application does not answer at all.
pub(super) async fn discover(
    http: &reqwest::Client,
    application: &Url,
    path: Option<&str>,
) -> Result<Option<Found>, String> {
    let addresses = path.map_or_else(|| ADDRESSES.to_vec(), |path| vec![path]);
    for address in addresses {
        let url = format!("{}{address}", application.as_str().trim_end_matches('/'));
        let asked = http.get(&url).header("accept", "application/json, application/yaml, */*");
        let answer = asked.timeout(TIMEOUT).send().await;
        let answer = answer.map_err(|error| service::http::explain(&error))?;
        if answer.status() != StatusCode::OK {
            continue;
        }
        let Some(text) = text(answer).await else { continue };
        let mounted = application.path().trim_end_matches('/').to_owned();
        if Document::parse(&text, &[], mounted.as_str()).is_ok() {
            return Ok(Some(Found { path: address.to_owned(), text }));
        }
    }
    Ok(None)
}

/// The text of an answer, unless it is too long or none.
async fn text(mut answer: reqwest::Response) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.ok()? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_BYTES {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}
