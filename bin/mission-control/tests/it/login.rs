//! The page behind a password.

use reqwest::{Method, RequestBuilder};

use crate::harness::{Answer, Backend, column, send};

const PASSWORD: &str = "open sesame";

fn open(backend: &Backend, path: &str, cookie: Option<&str>) -> RequestBuilder {
    let request = backend.nobody().raw(Method::GET, path).header("accept", "text/html");
    match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    }
}

fn form(backend: &Backend, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = backend.nobody().raw(Method::POST, path).body(body);
    request.header("content-type", "application/x-www-form-urlencoded")
}

async fn log_in(backend: &Backend, password: &str) -> Answer {
    send(form(backend, "/login", &[("password", password)])).await
}

/// The pair that a browser sends back.
fn cookie(answer: &Answer) -> String {
    let set = answer.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

fn token(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn the_page_opens_with_the_password_and_closes_with_the_logout() {
    let backend = Backend::with_password(PASSWORD).await;
    for path in ["/", "/tasks/x", "/documents/x"] {
        let away = send(open(&backend, path, None)).await;
        assert_eq!(
            (away.status.as_u16(), &away.headers["location"]),
            (303, &"/login".parse().unwrap())
        );
    }
    let asked = send(open(&backend, "/login", None)).await;
    assert!(asked.text.contains("type=\"password\""));
    assert!(
        asked.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
    );
    assert_eq!(send(open(&backend, "/assets/board.css", None)).await.status, 200);

    let wrong = log_in(&backend, "open barley").await;
    wrong.fails(401, "unauthorized");
    assert!(!wrong.headers.contains_key("set-cookie"));

    let right = log_in(&backend, PASSWORD).await;
    assert_eq!(right.status, 303);
    let set = right.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("HttpOnly; SameSite=Strict"), "{set}");
    let cookie = cookie(&right);
    let page = send(open(&backend, "/", Some(&cookie))).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Log out"));

    let token = token(&page.text);
    let out = form(&backend, "/logout", &[("token", "guess")]).header("cookie", &cookie);
    assert_eq!(send(out).await.status, 403);
    let out = form(&backend, "/logout", &[("token", token)]).header("cookie", &cookie);
    assert_eq!(send(out).await.status, 303);
    assert_eq!(send(open(&backend, "/", Some(&cookie))).await.status, 303);
}

#[tokio::test]
async fn nothing_is_written_without_a_login_or_from_elsewhere() {
    let backend = Backend::with_password(PASSWORD).await;
    let cookie = cookie(&log_in(&backend, PASSWORD).await);
    let page = send(open(&backend, "/", Some(&cookie))).await.text;
    let fields = [("token", token(&page)), ("user", "ann"), ("role", "scout"), ("text", "hello")];
    send(form(&backend, "/write", &fields)).await.fails(401, "unauthorized");
    let forged = form(&backend, "/write", &fields).header("cookie", "wombat_board=guess");
    send(forged).await.fails(401, "unauthorized");
    let foreign = form(&backend, "/write", &fields).header("cookie", &cookie);
    let foreign = foreign.header("origin", "http://evil.example");
    send(foreign).await.fails(403, "forbidden");
    let foreign = form(&backend, "/login", &[("password", PASSWORD)]);
    send(foreign.header("sec-fetch-site", "cross-site")).await.fails(403, "forbidden");
    assert!(backend.person("ann").get("/tasks").await.items().is_empty());
    let own = form(&backend, "/write", &fields).header("cookie", &cookie);
    assert_eq!(send(own.header("origin", &backend.url)).await.status, 303);
    assert_eq!(backend.person("ann").get("/tasks").await.items().len(), 1);
}

#[tokio::test]
async fn with_a_password_any_name_leads_to_the_page_and_the_contract_asks_for_none() {
    let backend = Backend::with_password(PASSWORD).await;
    let asked = open(&backend, "/login", None).header("host", "board.example");
    assert_eq!(send(asked).await.status, 200);
    let secure =
        form(&backend, "/login", &[("password", PASSWORD)]).header("x-forwarded-proto", "https");
    assert!(send(secure).await.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    backend.agent("ann", "scout").get("/tasks").await.ok();
    let without = Backend::start().await;
    assert_eq!(send(open(&without, "/login", None)).await.status, 404);
}

#[tokio::test]
async fn a_trusted_proxys_header_opens_the_page_and_no_other_does() {
    let backend = Backend::behind("X-Forwarded-User", "127.0.0.1").await;
    let person = |name: &str| backend.nobody().with("x-forwarded-user", name);
    let page = send(person("ann@example.org").raw(Method::GET, "/")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(!page.text.contains("Log out"));
    assert_eq!(send(person("").raw(Method::GET, "/")).await.status, 401);
    let bare = backend.nobody().raw(Method::GET, "/").header("accept", "text/html");
    assert_eq!(send(bare).await.status, 401);
    assert_eq!(send(backend.nobody().raw(Method::GET, "/login")).await.status, 404);

    let backend = Backend::behind("X-Forwarded-User", "10.0.0.0/8").await;
    let forged = backend.nobody().with("x-forwarded-user", "ann@example.org");
    assert_eq!(send(forged.raw(Method::GET, "/")).await.status, 401);
}

#[tokio::test]
async fn logins_are_in_the_audit_log() {
    let backend = Backend::with_password(PASSWORD).await;
    log_in(&backend, "open barley").await.fails(401, "unauthorized");
    let cookie = cookie(&log_in(&backend, PASSWORD).await);
    let page = send(open(&backend, "/", Some(&cookie))).await.text;
    let out = form(&backend, "/logout", &[("token", token(&page))]).header("cookie", &cookie);
    assert_eq!(send(out).await.status, 303);
    let log = backend.internal().get("/audit?act=login.*").await;
    assert_eq!(column(log.items(), "act"), ["login.failed", "login.succeeded", "login.ended"]);
    assert_eq!(log.items()[0]["actor"]["type"], "person");
}

#[tokio::test]
async fn whoever_guesses_waits_and_keeps_nobody_out() {
    let backend = Backend::with_password(PASSWORD).await;
    for _ in 0..5 {
        log_in(&backend, "open barley").await.fails(401, "unauthorized");
    }
    let waits = log_in(&backend, PASSWORD).await;
    waits.fails(429, "too_many_tries");
    assert!(waits.headers.contains_key("retry-after"));
    // A header of nobody who is trusted makes no other address.
    let claimed = form(&backend, "/login", &[("password", PASSWORD)]);
    let claimed = claimed.header("x-forwarded-for", "192.0.2.1");
    send(claimed).await.fails(429, "too_many_tries");
    let elsewhere = reqwest::Client::builder().no_proxy().local_address(Some([127, 0, 0, 9].into()));
    let elsewhere = elsewhere.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let right = elsewhere.post(format!("{}/login", backend.url)).form(&[("password", PASSWORD)]);
    assert_eq!(send(right).await.status, 303);
}
