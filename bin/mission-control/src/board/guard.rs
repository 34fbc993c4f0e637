//! Access to the page, and the security headers of its answers.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use service::forwarded::{Address, Peer, Prefix};

use super::markup::place::{at, under};
use super::notices;
use super::viewer::Viewer;
use crate::app::App;
use crate::error::{ApiError, ErrorText};

/// The path of the login.
pub(super) const LOGIN: &str = "/login";

/// The headers of every answer: only our own style and script, in no frame.
/// `same-origin` rather than `no-referrer`, because the latter makes browsers send `Origin: null`
/// with our own form.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Lets authenticated people in, or, without a login, requests under a loopback host name, and adds
/// the security headers. A browser gets errors as a page.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let prefix = request.extensions().get::<Prefix>().cloned().unwrap_or_default();
    under(prefix, guarded(app, request, next)).await
}

async fn guarded(app: App, mut request: Request, next: Next) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_person = accept.is_some_and(|accept| accept.contains("text/html"));
    let path = request.uri().path();
    let is_open = app.login.is_required() && (path == LOGIN || path.starts_with("/assets/"));
    let mut response = match viewer(&app, &request) {
        _ if is_open => next.run(request).await,
        Ok(Some(viewer)) => {
            if let Some(name) = viewer.name().filter(|_| !viewer.may_choose())
                && let Err(error) = app.store.author_lost(name).await
            {
                tracing::warn!(%error, "could not note who is no operator any more");
            }
            request.extensions_mut().insert(viewer);
            next.run(request).await
        }
        Ok(None) if is_person && request.method() == Method::GET && app.login.has_password() => {
            Redirect::to(&at(LOGIN)).into_response()
        }
        Ok(None) => ApiError::unauthorized("log in first").into_response(),
        Err(error) => error.into_response(),
    };
    if is_person && let Some(ErrorText(why)) = response.extensions().get() {
        let page = Html(notices::failure(why));
        let retry_after = response.headers().get(header::RETRY_AFTER).cloned();
        let mut shown = (response.status(), page).into_response();
        if let Some(seconds) = retry_after {
            shown.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response = shown;
    }
    // A file that is downloaded has stricter ones of its own.
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// The address that a request comes from: the client's, or a proxy's.
pub(super) fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|Peer(peer)| *peer)
}

/// Who sent a request; nobody before a login.
fn viewer(app: &App, request: &Request) -> Result<Option<Viewer>, ApiError> {
    let headers = request.headers();
    if !app.login.is_required() {
        if host(headers).is_some_and(is_loopback) {
            return Ok(Some(Viewer::Holder));
        }
        let why = "the page is for this machine: open it as http://localhost or http://127.0.0.1";
        return Err(ApiError::forbidden(why));
    }
    // The name that the proxy passes counts before a session that knows none.
    if let Some(visitor) = app.login.visitor(peer(request), headers)? {
        return Viewer::named(visitor).map(Some);
    }
    Ok(app.login.has_session(headers).then_some(Viewer::Holder))
}

/// Whether a form comes from our own page, which browsers know by this address, according to the
/// headers that current browsers send. A request without them passes; the form's token decides then.
pub(super) fn is_same_origin(headers: &HeaderMap, address: &Address) -> bool {
    let site = headers.get("sec-fetch-site");
    let origin = headers.get(header::ORIGIN);
    site.is_none_or(|site| site == "same-origin" || site == "none")
        && origin.is_none_or(|origin| {
            // Behind a proxy the browser may have come by https.
            let origin = origin.to_str().ok().and_then(|origin| {
                origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
            });
            origin.is_some() && (origin == host(headers) || origin == Some(&*address.host))
        })
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Whether a `Host` header names this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_let_in() {
        for host in
            ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:80",
            "127.0.0.1.nip.io",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_form_of_another_origin_is_told_apart() {
        let from = |site: Option<&'static str>, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8000"));
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let address = Address {
                scheme: "https",
                host: "a.example:8443".to_owned(),
                prefix: Prefix::default(),
            };
            is_same_origin(&headers, &address)
        };
        assert!(from(None, None));
        assert!(from(Some("same-origin"), Some("http://127.0.0.1:8000")));
        assert!(from(Some("same-origin"), Some("https://a.example:8443")));
        assert!(from(Some("none"), None));
        assert!(!from(Some("cross-site"), Some("http://127.0.0.1:8000")));
        assert!(!from(Some("same-site"), None));
        for origin in ["null", "http://evil.example", "http://127.0.0.1:9000", "http://localhost"] {
            assert!(!from(None, Some(origin)), "{origin}");
        }
    }
}
