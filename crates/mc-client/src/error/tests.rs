use super::*;

#[test]
fn an_error_page_becomes_a_readable_message() {
    let page = b"<html><head><title>Cannot GET</title></head><body>...</body></html>";
    let error = McError::of_answer(404, &HeaderMap::new(), page);
    assert_eq!(error.to_string(), "the backend answered 404: a page (Cannot GET)");
    assert!(error.is_not_found());
}

#[test]
fn what_the_backend_did_not_answer_is_not_taken_for_its_word() {
    let page = "<html><head><title>Access Denied by ACME</title></head></html>";
    for (status, body, in_between, retried) in [
        (401, page, true, false),
        (403, page, true, false),
        (403, "Forbidden", true, false),
        (401, "", true, false),
        (403, r#"{"message":"Forbidden","statusCode":403}"#, false, false),
        (401, r#"{"detail":"Could not validate credentials"}"#, false, false),
        (401, r#"{"msg":"Missing Authorization Header"}"#, false, false),
        (401, "{}", true, false),
        (407, r#"{"error":"log in"}"#, true, false),
        (401, r#"["x"]"#, true, false),
        (302, "", true, false),
        (407, "", true, false),
        (502, page, true, true),
        (511, page, true, true),
        (502, "", false, true),
        (500, page, false, true),
        (404, page, false, false),
        (401, r#"{"error":"expired"}"#, false, false),
        (403, r#"{"error":"no","code":"forbidden"}"#, false, false),
    ] {
        let error = McError::of_answer(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.is_in_between(), in_between, "{status} {body}");
        assert_eq!(error.is_retryable(), retried, "{status} {body}");
        assert!(!in_between || !error.is_auth() && error.status().is_none(), "{status} {body}");
    }
    let error = McError::of_answer(403, &HeaderMap::new(), page.as_bytes()).to_string();
    assert!(
        error.starts_with("answered by something in between (Access Denied by ACME)"),
        "{error}"
    );
}

#[test]
fn a_refusal_names_the_user_and_the_backends_words_whatever_wrote_them() {
    let who = |bearer: bool| move || ("user \"ann\", role \"scout\"".to_owned(), bearer);
    let bearer = || {
        let value = "Bearer realm=\"api\",error=\"invalid_request\"";
        HeaderMap::from_iter([(header::WWW_AUTHENTICATE, value.parse().unwrap())])
    };
    for (status, headers, body, words, asks_for_bearer) in [
        (
            401,
            HeaderMap::new(),
            r#"{"detail":"Not authenticated"}"#,
            "401, Not authenticated; check",
            false,
        ),
        (
            403,
            HeaderMap::new(),
            r#"{"message":"Forbidden resource","error":"Forbidden"}"#,
            "403, Forbidden: Forbidden resource; check",
            false,
        ),
        // simplejwt, and Hono's middleware.
        (
            401,
            bearer(),
            r#"{"detail":"Authentication credentials were not provided."}"#,
            "were not provided.; its middleware",
            true,
        ),
        (401, bearer(), "Unauthorized", "401, Unauthorized; its middleware", true),
        (401, HeaderMap::new(), "Unauthorized", "(Unauthorized), with status 401 to user", false),
        (403, bearer(), "<title>No</title>", "(No), with status 403 to user", false),
    ] {
        let of = |sent| McError::of_answer(status, &headers, body.as_bytes()).for_caller(who(sent));
        let error = of(false).rejection();
        assert!(error.contains(words) && error.contains("user \"ann\", role \"scout\""), "{error}");
        assert_eq!(error.contains("AGENT_JWT_BEARER"), asks_for_bearer, "{error}");
        assert!(!of(true).rejection().contains("AGENT_JWT_BEARER"), "{error}");
    }
}

#[test]
fn what_the_backend_says_of_the_secret_is_not_said_again() {
    let body = br#"{"error":"the agent token is not valid: check AGENT_JWT_SECRET on both sides"}"#;
    let error = McError::of_answer(401, &HeaderMap::new(), body)
        .for_caller(|| ("user \"ann\", role \"scout\"".to_owned(), true));
    assert_eq!(error.rejection().matches("AGENT_JWT_SECRET").count(), 1, "{}", error.rejection());
    assert!(error.rejection().ends_with("(BACKEND_URL)?"), "{}", error.rejection());
}

#[test]
fn a_token_that_is_refused_because_of_the_clocks_says_so() {
    let now = SystemTime::now();
    let body = br#"{"error":"the token is not valid"}"#;
    for (status, ahead, told) in [
        (401, 120, Some("120 s ahead of")),
        (401, -120, Some("120 s behind")),
        (401, 30, None),
        (401, -30, None),
        (403, 120, None),
    ] {
        let shift = Duration::from_secs(i32::unsigned_abs(ahead).into());
        let theirs = if ahead > 0 { now + shift } else { now - shift };
        let date = httpdate::fmt_http_date(theirs);
        let headers = HeaderMap::from_iter([(header::DATE, date.parse().unwrap())]);
        // The date has no fraction of a second.
        assert!(
            told.is_none() || clock_ahead(&headers, now).is_some_and(|s| (s - ahead).abs() <= 1)
        );
        let error = McError::of_answer(status, &headers, body);
        assert_eq!(error.to_string().contains("the clocks differ"), told.is_some(), "{error}");
        assert_eq!(error.rejection().contains("the clocks differ"), told.is_some());
    }
}

#[test]
fn the_contracts_error_is_read_and_a_conflict_gives_the_original() {
    let body = br#"{"error":"other body","code":"idempotency_conflict","details":{"original":{"id":"7"}}}"#;
    let error = McError::of_answer(409, &HeaderMap::new(), body);
    assert_eq!(error.code(), Some("idempotency_conflict"));
    let original: Value = error.conflicting_original().unwrap();
    assert_eq!(original["id"], "7");
    assert!(!error.is_retryable());
}
