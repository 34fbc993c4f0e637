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

#[test]
fn endpoints_are_found_in_fenced_blocks_only() {
    let text = "GET /outside\n```http\nPOST /api/search HTTP/1.1\n{\"a\": 1}\n\n  GET /api/x/{id}?q=1 -- note\n\
                $ DELETE /api/x/:id\ncurl -X POST https://h/api/no\nGETTING /no\nGET relative\n```\nPUT /outside\n\
                ~~~\nPATCH /api/y\n```\nPOST /api/search\n~~~\n````\n```\nPUT /api/z\n````\n";
    let found: Vec<_> = endpoints_in_markdown(text).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["POST /api/search", "GET /api/x/{id}", "DELETE /api/x/:id", "PATCH /api/y", "PUT /api/z"]
    );
}

proptest::proptest! {
    #[test]
    fn what_stands_in_a_fence_is_found_and_nothing_else(
        lines in proptest::collection::vec((0_usize..METHODS.len(), "(/[a-z]{1,4}|/\\{id\\}){1,4}", "|[?]a=[{]b[}]&c=1", "| HTTP/1[.]1| # why"), 0..6),
        language in "|http|json|sh",
        around in "[a-z ]{0,12}",
    ) {
        let block: Vec<String> = lines
            .iter()
            .map(|(method, path, query, rest)| format!("{} {path}{query}{rest}", METHODS[*method]))
            .collect();
        let block = block.join("\n{\"body\": 1}\n");
        let text = format!("GET /outside\n{around}\n```{language}\n{block}\n```\nPOST /after\n");
        let mut expected: Vec<String> = Vec::new();
        for (method, path, ..) in &lines {
            let endpoint = format!("{} {path}", METHODS[*method]);
            if !expected.contains(&endpoint) {
                expected.push(endpoint);
            }
        }
        let found: Vec<String> = endpoints_in_markdown(&text).iter().map(ToString::to_string).collect();
        proptest::prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_makes_the_extraction_panic(text in "(```|~~~|GET |POST /|[/{}?#%a-z ]|\n|é){0,40}") {
        for endpoint in endpoints_in_markdown(&text) {
            proptest::prop_assert!(EndpointPattern::parse(&endpoint.to_string()).is_ok());
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
            proptest::prop_assert_eq!(NormalPath::parse(path.as_str()).map(|p| p.segments), Ok(path.segments));
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
    ] {
        assert_eq!(parse(outer).covers(&parse(inner)), covers, "{outer} {inner}");
    }
    let file = EndpointPattern::of_template("GET", "/files/{name}.json").unwrap();
    assert_eq!(file.to_string(), "GET /files/*");
}
