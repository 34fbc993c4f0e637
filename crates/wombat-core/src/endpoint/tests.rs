use super::*;

#[test]
fn two_patterns_meet_where_some_call_is_of_both() {
    for (a, b, meet) in [
        ("GET /a/{id}", "GET /a/*", true),
        ("* /a/**", "POST /a/b/c", true),
        ("GET /a/{id}", "POST /a/{id}", false),
        ("GET /a/b", "GET /a/c", false),
        ("GET /a", "GET /a/b", false),
        ("GET /a/b", "GET /{x}/b", true),
        ("GET /{x}.json", "GET /a-*", true),
        ("GET /{x}.json", "GET /*.xml", false),
        ("GET /v{x}", "GET /{y}v", true),
        ("GET /a/**", "GET /a", true),
    ] {
        let pattern = |text: &str| EndpointPattern::parse(text).unwrap();
        assert_eq!(pattern(a).may_meet(&pattern(b)), meet, "{a} {b}");
        assert_eq!(pattern(b).may_meet(&pattern(a)), meet, "{b} {a}");
    }
}

fn path(raw: &str) -> NormalPath {
    NormalPath::parse(raw).unwrap()
}

#[test]
fn what_could_mean_another_place_is_refused() {
    for raw in [
        "",
        "a",
        "http://h/p",
        "//h/p",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00b",
        "/a\0b",
        "/a\r\nb",
        "/a%0d%0ab",
        "/a%252fb",
        "/%252e%252e/b",
        "/a?b=1",
        "/a#b",
        "/a%",
        "/a%zz",
        "/a%ff",
        "/a%255cb",
        "/a\tb",
        "/a/..",
        "/%2e",
    ] {
        assert!(NormalPath::parse(raw).is_err(), "{raw:?}");
    }
    assert_eq!(NormalPath::parse(&format!("/{}", "a".repeat(2048))), Err(PathError::TooLong));
}

#[test]
fn a_path_is_sent_encoded_and_compared_decoded() {
    assert_eq!(path("/a b/ü/%41").as_str(), "/a%20b/%C3%BC/A");
    assert_eq!(path("/x/a@b:c").as_str(), "/x/a@b:c");
    assert_eq!(path("/").as_str(), "/");
    assert_eq!(path("/100%25").as_str(), "/100%25");
}

#[test]
fn an_endpoint_matches_its_own_method_and_shape_only() {
    let endpoint = EndpointPattern::parse("GET /api/schools/{school_id}/profile").unwrap();
    assert!(endpoint.matches("GET", &path("/api/schools/sch_1/profile")));
    assert!(endpoint.matches("GET", &path("/api/%73chools/sch_1/profile")));
    for (method, raw) in [
        ("POST", "/api/schools/sch_1/profile"),
        ("get", "/api/schools/sch_1/profile"),
        ("GET", "/api/schools/sch_1"),
        ("GET", "/api/schools/sch_1/profile/"),
        ("GET", "/api/schools/sch_1/profile/x"),
        ("GET", "/API/schools/sch_1/profile"),
        ("GET", "/api/schools/profile"),
        ("GET", "/api/ѕchools/sch_1/profile"),
    ] {
        assert!(!endpoint.matches(method, &path(raw)), "{method} {raw}");
    }
    let rest = EndpointPattern::parse("* /api/**").unwrap();
    assert!(rest.matches("DELETE", &path("/api/a/b")) && !rest.matches("GET", &path("/ap")));
    assert!(EndpointPattern::parse("GET /a/:id").unwrap().matches("GET", &path("/a/1")));
    for text in ["GET", "GET a", "FETCH /a", "GET /a/**/b", "GET //a", "GET /a/../b", "/a"] {
        assert!(EndpointPattern::parse(text).is_err(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn a_rule_holds_for_all_that_its_pattern_matches(
        pattern in "GET (/([aA.;+:%$é*]|%25|%41|[{]x[}]|[(]){1,5}){1,2}(/[*][*])?",
        given in "(/([aA.;+:$é*b]|%25|%41|%2B|[(]|[)]){1,6}){1,3}/?",
    ) {
        if let (Ok(pattern), Ok(path)) = (EndpointPattern::parse(&pattern), NormalPath::parse(&given)) {
            let folded = FoldedPattern::of(&pattern);
            if pattern.matches("GET", &path) {
                proptest::prop_assert!(folded.matches("GET", &path));
            }
            // Nor does the case change anything.
            let upper = NormalPath::parse(&given.replace('b', "B"));
            proptest::prop_assert_eq!(upper.map(|upper| folded.matches("GET", &upper)), Ok(folded.matches("GET", &path)));
        }
    }

    #[test]
    fn no_path_that_passes_can_climb_or_leave(raw in "/([a-z./%2efF5c\\\\:@]|%2e|%2f|%25){0,12}") {
        if let Ok(path) = NormalPath::parse(&raw) {
            for segment in path.segments() {
                proptest::prop_assert!(segment != "." && segment != "..");
                proptest::prop_assert!(!segment.contains(['/', '\\']));
            }
            proptest::prop_assert!(path.as_str().starts_with('/') && !path.as_str().starts_with("//"));
            proptest::prop_assert_eq!(NormalPath::parse(path.as_str()), Ok(path));
        }
    }
}

#[test]
fn an_endpoint_covers_what_lies_within_it() {
    let parse = |text: &str| EndpointPattern::parse(text).unwrap();
    for (outer, inner, covers) in [
        ("GET /a/{id}", "GET /a/{other}", true),
        ("GET /a/{id}", "GET /a/b", true),
        ("GET /a/b", "GET /a/{id}", false),
        ("GET /a/*", "GET /a", false),
        ("GET /a/**", "GET /a/{id}/b", true),
        ("* /a", "DELETE /a", true),
        ("GET /a", "* /a", false),
        ("POST /a", "GET /a", false),
        ("GET /a", "GET /a/b", false),
        ("GET /a/{id}", "GET /a/**", false),
        ("GET /a/*", "GET /a/{id}.json", true),
        ("GET /a/*.json", "GET /a/{id}.json", true),
        ("GET /a/{id}.json", "GET /a/*.json", false),
        ("GET /a/{id}.json", "GET /a/*", false),
        ("GET /a/{x}:{y}", "GET /a/b{z}:go", true),
    ] {
        assert_eq!(parse(outer).covers(&parse(inner)), covers, "{outer} {inner}");
    }
}

#[test]
fn parameters_stand_within_a_segment() {
    for (pattern, yes, no) in [
        (
            "GET /posts/{id}.json",
            vec!["/posts/12.json"],
            vec!["/posts/12.xml", "/posts/12", "/posts/.json", "/posts/a/b.json", "/posts/12.JSON"],
        ),
        (
            "GET /api/admin-*",
            vec!["/api/admin-users", "/api/admin-"],
            vec!["/api/user-admin", "/api/admin/users", "/api/admins"],
        ),
        (
            "GET /docs/{id}:archive",
            vec!["/docs/7:archive", "/docs/7%3Aarchive"],
            vec!["/docs/7:delete", "/docs/:archive", "/docs/7"],
        ),
        (
            "GET /Products({key})",
            vec!["/Products(5)", "/Products%285%29"],
            vec!["/Products", "/Products()", "/Orders(5)"],
        ),
        ("GET /@{name}", vec!["/@bob"], vec!["/bob", "/bob@", "/@"]),
        ("GET /r/{owner}-{repo}", vec!["/r/a-b"], vec!["/r/ab", "/r/-b", "/r/a-"]),
        (
            "GET /v{version}/status",
            vec!["/v2/status"],
            vec!["/2/status", "/w2/status", "/v/status"],
        ),
        ("GET /Sum(a={a},b={b})", vec!["/Sum(a=1,b=2)"], vec!["/Sum(a=1)", "/Sum"]),
        ("GET /x/:id.json", vec!["/x/5.json"], vec!["/x/5"]),
        ("GET /x/:from-:to", vec!["/x/1-2"], vec!["/x/1"]),
        ("GET /x/<int:id>.csv", vec!["/x/5.csv"], vec!["/x/5"]),
        ("GET /x/{id:[0-9]{4}}.{ext?}", vec!["/x/2026.pdf"], vec!["/x/2026"]),
        ("GET /x/{id}:undo", vec!["/x/1:undo"], vec!["/x/1:"]),
        ("GET /x/%7Bid%7D-%2A", vec!["/x/{id}-*"], vec!["/x/1-2"]),
        ("GET /x/.{name}", vec!["/x/.git"], vec!["/x/git"]),
        ("GET /**", vec!["/", "/a", "/a/b"], vec![]),
    ] {
        let endpoint = EndpointPattern::parse(pattern).unwrap();
        for given in yes {
            assert!(endpoint.matches("GET", &path(given)), "{pattern} {given}");
        }
        for given in no {
            assert!(!endpoint.matches("GET", &path(given)), "{pattern} {given}");
        }
    }
    for text in [
        "GET /a/{b",
        "GET /a}",
        "GET /{}",
        "GET /a{b}?c",
        "GET /a/{b}#c",
        "GET /a//**",
        "GET /a/;x",
        "GET /a/.%20/b",
    ] {
        assert!(EndpointPattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_document_means_stars_and_colons_as_they_are() {
    let of = |path: &str| EndpointPattern::of_template("GET", path).unwrap();
    assert!(
        of("/a/:b").matches("GET", &path("/a/:b")) && !of("/a/:b").matches("GET", &path("/a/1"))
    );
    assert!(of("/a/*").matches("GET", &path("/a/*")) && !of("/a/*").matches("GET", &path("/a/b")));
    assert!(of("/a/{b}:c").matches("GET", &path("/a/1:c")));
    assert!(EndpointPattern::of_template("GET", "/a?b={c}").is_err());
}

#[test]
fn what_a_server_may_take_for_an_endpoint_is_matched_after_folding() {
    let hits = |pattern: &str, method: &str, given: &str| {
        let folded = FoldedPattern::of(&EndpointPattern::parse(pattern).unwrap());
        NormalPath::parse(given).map_or(true, |given| folded.matches(method, &given))
    };
    let refund = "POST /app/orders/refund";
    for last in [
        "REFUND",
        "refund/",
        "refund.",
        "refund..",
        "refund;x=1",
        "refund;",
        "refund%20",
        "refund ",
        "refund%09",
        "refund.json",
        "refund.JSON;x",
        "refund;x=1.json",
        "refund.json/",
        "re%66und",
        "%52EFUND",
        "refund%2Ejson",
        "refund%3Bx",
        "refund/;x",
        "refund/%20",
        "refund.%20",
        "refund.2",
        "refund.tar.gz",
        "refund%2520",
        "ｒefund",
        "refund+",
        "refund%00",
        "refund%2F",
        "refund::$DATA",
    ] {
        assert!(hits(refund, "POST", &format!("/app/orders/{last}")), "{last}");
    }
    for whole in [
        "/app;a=b/Orders/refund",
        "/app/orders./refund",
        "/app/orders%20/refund",
        "/app/./orders/refund",
        "/app/orders/x/..%20/refund",
        "/app/orders/x/%2e%2e;/refund",
        "/app/orders/.%20/refund",
        "/app/orders/;/refund",
        "/app/orders/%E2%80%8B/refund",
        "/app/orders/x/．．/refund",
        "/app／orders/refund",
        "/app/orders/x/.../refund",
        "/app/orders/refund%3Fx/y",
        "/app/orders/refund/%23y",
        "/app/orders/refund/%253Fy/z",
    ] {
        assert!(hits(refund, "POST", whole), "{whole}");
    }
    for other in
        ["cancel", "refunds", "prerefund", "re-fund", "refund-list", "refund_x", "xrefund.json"]
    {
        assert!(!hits(refund, "POST", &format!("/app/orders/{other}")), "{other}");
    }
    for (pattern, given, hit) in [
        ("GET /app/Wires/Send", "/app/wires/send", true),
        ("GET /app/send.json", "/app/SEND.JSON;x", true),
        ("GET /app/send.json", "/app/send", true),
        ("GET /app/send.json", "/app/sender", false),
        ("GET /app/list/", "/app/LIST.json", true),
        ("GET /app/admin/**", "/app/Admin;p=1/x/y", true),
        ("GET /app/admin/**", "/app/admin.json", true),
        ("GET /app/v1/**", "/app/v1.2/x", false),
        ("GET /posts/{id}.json", "/posts/12.JSON;x", true),
        ("GET /posts/{id}.json", "/posts/12.xml", false),
        ("GET /docs/{id}:archive", "/docs/7:ARCHIVE.json", true),
        ("GET /docs/{id}:archive", "/docs/7:archived", false),
        ("GET /x/trans*", "/X/Trans;y", true),
        ("GET /x/trans*", "/x/untrans", false),
        ("GET /files/caf\u{e9}", "/files/CAFE\u{301}", true),
        ("GET /files/{path+}", "/files/a/b", true),
        ("GET /files/{path:path}/meta", "/Files/a/b/c", true),
        ("GET /files/x-<path:rest>", "/files/x-a/b", true),
        ("GET /files/{path+}", "/files", false),
        ("GET /files/{path}", "/files/a/b", false),
        // Not every server cuts what another one cuts.
        ("GET /docs/{id}:archive", "/docs/7;:ARCHIVE", true),
        ("GET /x/a{id}", "/x/a;b", true),
        ("GET /x/a{id}", "/x/a.", true),
        ("GET /x/{id}y;z", "/x/a;y;z", true),
        ("GET /", "/", true),
        ("GET /", "/x", false),
    ] {
        assert_eq!(hits(pattern, "GET", given), hit, "{pattern} {given}");
        assert_eq!(hits(pattern, "HEAD", given), hit, "a HEAD is a GET: {pattern} {given}");
    }
    assert!(!hits("GET /a", "POST", "/a"));
}

#[test]
fn what_only_looks_like_a_trick_is_a_path() {
    for good in [
        "/channels/%23general",
        "/a/..b",
        "/a/.b",
        "/odata/$count",
        "/a/+49123",
        "/100%25",
        "/a/b;c=d",
    ] {
        assert!(NormalPath::parse(good).is_ok(), "{good}");
    }
}
