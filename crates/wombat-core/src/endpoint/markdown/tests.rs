use super::super::EndpointPattern;
use super::*;

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

#[test]
fn what_reads_like_an_endpoint_and_declares_none_is_found_with_what_was_meant() {
    let text = "First call GET /a/{id}, or\n- POST /b with a body.\nGet /well, /all of it.\n```http\npost /c?x=1\n\
                GET https://api.example.com/d/{id}?q\nPUT {{base_url}}/e\nGET relative\nGET all of them\n\
                OPTIONS /f\nPATCH v1/g now\nGET /declared\nget /good-to know\n```\n\
                ~~~sh\ncurl -s https://h/i\ncurl -X DELETE \\\n  -H 'A: b' \\\n  \"$BASE/j/7\"\n\
                $ curl http://h:8000/k -d '{\"a\": 1}'\ncurl --help\n~~~\n";
    let near = near_endpoints_in_markdown(text);
    let told: Vec<_> =
        near.iter().map(|near| (near.line, near.meant.as_ref().map(ToString::to_string))).collect();
    let meant = |line, endpoint: &str| (line, Some(endpoint.to_owned()));
    let expected = [
        meant(1, "GET /a/{id}"),
        meant(2, "POST /b"),
        meant(5, "POST /c"),
        meant(6, "GET /d/{id}"),
        meant(7, "PUT /e"),
        meant(8, "GET /relative"),
        (10, None),
        meant(11, "PATCH /v1/g"),
        meant(13, "GET /good-to"),
        meant(16, "GET /i"),
        meant(17, "DELETE /j/7"),
        meant(20, "POST /k"),
        (21, None),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_word_that_is_no_method_is_told_with_the_near_one() {
    let text = "```\nGTE /a/{id}?x\nPSOT /b\nDELET: /c\nFETCH /d\nget: /e\ncat /etc/hosts\n# GET /f\nPath /g h\n\
                \"GTE\": /h\nGTE h\nGET /i\n```\n";
    let near = near_endpoints_in_markdown(text);
    let told: Vec<_> =
        near.iter().map(|near| (near.line, near.meant.as_ref().map(ToString::to_string))).collect();
    let meant = |line, endpoint: &str| (line, Some(endpoint.to_owned()));
    let expected = [
        meant(2, "GET /a/{id}"),
        meant(3, "POST /b"),
        meant(4, "DELETE /c"),
        (5, None),
        meant(6, "GET /e"),
        meant(9, "PATCH /g"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_names_of_a_query_are_kept_beside_the_endpoint() {
    let text = "```\nPOST /a/{id}?_method=PUT&x#y\nPOST /a/{id}?z={z}\nGET /b{?page,size}\n\
                GET /c/{id?}/d?e\nGET /f/{g\n```\n";
    let found = endpoints_in_markdown(text);
    let all: Vec<_> = found
        .iter()
        .map(|found| {
            (found.to_string(), found.query().iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    let expected = [
        ("POST /a/{id}".to_owned(), vec!["_method", "x", "z"]),
        ("GET /b".to_owned(), vec![]),
        ("GET /c/{id?}/d".to_owned(), vec!["e"]),
    ];
    assert_eq!(all, expected);
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
    fn no_text_makes_the_extraction_panic(text in "(```|~~~|`|GET |get |POST /|curl |-X |https://|\\\\|[/{}?#%a-z ]|\n|é){0,40}") {
        near_endpoints_in_markdown(&text);
        for endpoint in endpoints_in_markdown(&text) {
            proptest::prop_assert!(EndpointPattern::parse(&endpoint.to_string()).is_ok());
        }
    }
}
