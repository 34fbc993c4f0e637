use http::{HeaderName, HeaderValue};

use super::*;

const NEAR: &str = "127.0.0.1:4711";
const FAR: &str = "192.0.2.7:4711";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn front() -> Front {
    Front::new(None, None)
}

fn url(front: &Front, peer: &str, pairs: &[(&'static str, &str)]) -> String {
    let peer: SocketAddr = peer.parse().unwrap();
    front.address(Some(peer.ip()), &headers(pairs)).url("/x")
}

#[test]
fn a_trusted_proxy_says_where_the_client_is() {
    for (pairs, expected) in [
        (&[("host", "h:81")][..], "http://h:81/x"),
        (&[("host", "h"), ("x-forwarded-prefix", "/wombat/")], "http://h/wombat/x"),
        (&[("host", "h"), ("x-forwarded-prefix", "/")], "http://h/x"),
        (&[("host", "h"), ("x-forwarded-proto", "HTTPS")], "https://h/x"),
        (&[("host", "h"), ("x-forwarded-proto", "https, http")], "http://h/x"),
        (
            &[("host", "h"), ("x-forwarded-proto", "https"), ("x-forwarded-proto", "https")],
            "http://h/x",
        ),
        (&[("host", "h"), ("x-forwarded-proto", "javascript")], "http://h/x"),
        (&[("host", "h"), ("x-forwarded-host", "a.example:8443")], "http://a.example:8443/x"),
        (
            &[("host", "h"), ("x-forwarded-host", "a.example"), ("x-forwarded-port", "8443")],
            "http://a.example:8443/x",
        ),
        (&[("host", "[::1]"), ("x-forwarded-port", "8080")], "http://[::1]:8080/x"),
        (
            &[("host", "h"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "443")],
            "https://h/x",
        ),
        // Where a proxy appends, the client has written the first.
        (&[("host", "h"), ("x-forwarded-host", "evil.example, a.example")], "http://h/x"),
        (&[("host", "h"), ("x-forwarded-host", "evil.example,a.example")], "http://h/x"),
        (
            &[
                ("host", "h"),
                ("x-forwarded-host", "evil.example"),
                ("x-forwarded-host", "a.example"),
            ],
            "http://h/x",
        ),
        (
            &[("host", "h"), ("x-forwarded-host", "e, a"), ("forwarded", "host=evil.example")],
            "http://h/x",
        ),
        (&[("host", "h"), ("x-forwarded-port", "6666, 8443")], "http://h/x"),
        (
            &[
                ("host", "h"),
                ("forwarded", "host=evil.example;proto=http, host=b.example"),
                ("forwarded", "host=evil.example, for=::1;host=a.example;proto=https"),
            ],
            "https://a.example/x",
        ),
        (&[("host", "h"), ("x-forwarded-host", "u@evil.example")], "http://h/x"),
        (&[("host", "h"), ("x-forwarded-host", "evil.example/a")], "http://h/x"),
        (&[("host", "h"), ("x-forwarded-host", "evil.example\\@h")], "http://h/x"),
        (
            &[
                ("host", "h"),
                ("forwarded", "for=::1, for=1.2.3.4;Proto=https;host=\"a.example:8443\""),
            ],
            "https://a.example:8443/x",
        ),
        (&[("host", "h"), ("forwarded", "nonsense")], "http://h/x"),
    ] {
        assert_eq!(url(&front(), NEAR, pairs), expected, "{pairs:?}");
        // The same word of anybody else means nothing.
        let host = pairs[0].1;
        assert_eq!(url(&front(), FAR, pairs), format!("http://{host}/x"), "{pairs:?}");
    }
}

#[test]
fn what_the_operator_has_set_counts_before_every_header() {
    let public: Address = "https://a.example/t/wombat/".parse().unwrap();
    let front = Front::new(Some(public), None);
    let said = [("host", "h"), ("x-forwarded-host", "b"), ("x-forwarded-prefix", "/c")];
    for peer in [NEAR, FAR] {
        assert_eq!(url(&front, peer, &said), "https://a.example/t/wombat/x");
    }
    let plain: Address = "http://[::1]:8080".parse().unwrap();
    assert_eq!(plain.url("/x"), "http://[::1]:8080/x");
    for wrong in [
        "",
        "a.example",
        "ftp://a.example",
        "https://u:p@a.example",
        "https://a.example/?x",
        "https://a.example/#x",
        "https://a.example//evil",
        "https://a.example/a/../b",
        "https://a.example/a b",
        "https://",
    ] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong}");
    }
}

#[test]
fn a_prefix_leads_nowhere_else() {
    let long = format!("/{}", "a".repeat(300));
    for evil in [
        "//evil.example",
        "/a//b",
        "/\\evil.example",
        "\\evil",
        "/..",
        "/a/../b",
        "/./a",
        "/%2e%2e",
        "/a?b",
        "/a#b",
        "/a;b",
        "/a b",
        "/a\"><script>",
        "/ü",
        "/a\r\nSet-Cookie: x=y",
        "wombat",
        "https://evil.example",
        "/a, /b",
        &long,
    ] {
        assert!(evil.parse::<Prefix>().is_err(), "{evil}");
        if HeaderValue::from_bytes(evil.as_bytes()).is_ok() {
            let said = [("host", "h"), ("x-forwarded-prefix", evil)];
            assert_eq!(url(&front(), NEAR, &said), "http://h/x", "{evil}");
        }
    }
    // Of two, one is the client's own.
    let twice = [("host", "h"), ("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/b")];
    assert_eq!(url(&front(), NEAR, &twice), "http://h/x");
}

#[test]
fn a_prefix_that_the_proxy_has_left_is_taken_from_the_path() {
    let public: Address = "https://a.example/wombat".parse().unwrap();
    let set = Front::new(Some(public), None);
    let named = Front::new(None, Some(TrustedProxies::loopback()));
    for (path, expected) in [
        ("/wombat/tasks/1?user=a", "/tasks/1?user=a"),
        ("/wombat", "/"),
        ("/wombat?user=a", "/?user=a"),
        ("/tasks/1", "/tasks/1"),
        ("/wombats/1", "/wombats/1"),
        ("/wombat//evil.example", "//evil.example"),
    ] {
        for (front, peer, pairs) in
            [(&set, FAR, &[][..]), (&named, NEAR, &[("x-forwarded-prefix", "/wombat")])]
        {
            let entered = enter(front, peer, pairs, path);
            assert_eq!(entered.uri(), expected, "{path}");
            assert_eq!(entered.extensions().get::<Prefix>().unwrap().at("/y"), "/wombat/y");
        }
    }
}

fn enter(front: &Front, peer: &str, pairs: &[(&'static str, &str)], path: &str) -> Request<()> {
    let mut request = Request::builder().uri(path).body(()).unwrap();
    *request.headers_mut() = headers(pairs);
    front.enter(peer.parse().unwrap(), request)
}

#[test]
fn a_prefix_below_our_own_paths_is_left_to_the_proxy() {
    for (prefix, path) in [
        ("/api", "/api/agents/send"),
        ("/api/agents", "/api/agents/send"),
        ("/boot", "/boot/complete"),
        ("/.well-known", "/.well-known/agent-card.json"),
        ("/login", "/login"),
    ] {
        let set = Front::new(format!("https://h{prefix}").parse().ok(), None);
        assert_eq!(enter(&set, FAR, &[], path).uri(), path, "{prefix}");
    }
    let set = Front::new("https://h/apis".parse().ok(), None);
    assert_eq!(enter(&set, FAR, &[], "/apis/boot").uri(), "/boot");
}

#[test]
fn a_header_that_a_proxy_may_have_passed_on_does_not_change_the_path() {
    let said = [("x-forwarded-prefix", "/open")];
    let entered = enter(&front(), NEAR, &said, "/open/api/agents/send");
    assert_eq!(entered.uri(), "/open/api/agents/send");
    assert_eq!(entered.extensions().get::<Prefix>().unwrap().at("/y"), "/open/y");
    let nobody = Front::new(None, Some(TrustedProxies::new(" none ").unwrap()));
    let entered = enter(&nobody, NEAR, &said, "/open/api/agents/send");
    assert_eq!(entered.uri(), "/open/api/agents/send");
    assert!(entered.extensions().get::<Prefix>().is_none());
}
