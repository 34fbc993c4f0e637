//! Base paths: what the document's servers and the application's address both say is said once.

use openapi_tools::{Document, Mount};
use serde_json::{Value, json};

use crate::all;

fn document(servers: &Value, paths: &[&str], mount: Mount<'_>) -> Vec<String> {
    let paths: Value =
        paths.iter().map(|path| ((*path).to_owned(), json!({ "get": {} }))).collect();
    let mut text = json!({ "openapi": "3.1.0", "paths": paths });
    if !servers.is_null() {
        text["servers"] = servers.clone();
    }
    let document = Document::parse(&text.to_string(), &[], mount).unwrap();
    let tools = all(&document).operations;
    tools.iter().map(|tool| tool.request(&json!({})).unwrap().path).collect()
}

#[test]
fn servers_and_the_applications_address_are_joined_once() {
    for (url, address, at, path) in [
        ("/", "", "/openapi.json", "/owners"),
        ("/api", "", "/openapi.json", "/api/owners"),
        ("https://example.org/api/", "", "/openapi.json", "/api/owners"),
        ("https://example.org/petclinic/api", "/petclinic", "/v3/api-docs", "/api/owners"),
        ("/petclinic/api", "/petclinic/", "/v3/api-docs", "/api/owners"),
        ("/petclinic/api", "/petclinic/api", "/openapi.json", "/owners"),
        ("/petclinic", "/petclinic", "/openapi.json", "/owners"),
        ("/petclinics/api", "/petclinic", "/openapi.json", "/petclinics/api/owners"),
        // An edge has put the application below a path of its own.
        ("/petclinic/api", "/wombat/petclinic", "/openapi.json", "/api/owners"),
        ("/wombat", "/wombat", "/openapi.json", "/owners"),
        ("https://example.org/wombat/", "/wombat", "/openapi.json", "/owners"),
        ("/api", "/wombat", "/openapi.json", "/api/owners"),
        ("/api/v1", "/wombat/api", "/openapi.json", "/v1/owners"),
        // Relative to the document.
        ("api/v3", "", "/openapi.json", "/api/v3/owners"),
        ("./api/v3", "", "", "/api/v3/owners"),
        (".", "", "/openapi.json", "/owners"),
        ("", "", "/openapi.json", "/owners"),
        ("./", "/petclinic", "/openapi.json", "/owners"),
        ("api/v3", "/petclinic", "/openapi.json", "/api/v3/owners"),
        ("api/v3", "/api/v3", "", "/owners"),
        ("v3", "", "/docs/openapi.json", "/docs/v3/owners"),
        (".", "", "/docs/openapi.json?v=1/2", "/docs/owners"),
        ("../v3", "", "/docs/openapi.json", "/v3/owners"),
        ("..", "", "/openapi.json", "/owners"),
        ("../../..", "/a", "/openapi.json", "/owners"),
        ("/a/../b/./c", "", "/openapi.json", "/b/c/owners"),
        ("//evil.example/v2", "", "/openapi.json", "/v2/owners"),
        ("https://evil.example?x=/y", "", "/openapi.json", "/owners"),
        // A scheme stands at the beginning alone, known or not.
        ("/proxy/https://example.org/v1", "", "", "/proxy/https:/example.org/v1/owners"),
        ("{scheme}://{host}/v1", "", "/openapi.json", "/v1/owners"),
    ] {
        let mount = Mount { path: address, document: at };
        let servers = json!([{ "url": url }]);
        assert_eq!(document(&servers, &["/owners"], mount), [path], "{url} {address} {at}");
    }
    let variables = |of: Value| {
        let servers = json!([{ "url": "https://{host}/{base}", "variables": { "base": of, "host": { "default": "x" } } }]);
        document(&servers, &["/a"], "".into())
    };
    assert_eq!(variables(json!({ "default": "v2" })), ["/v2/a"]);
    assert_eq!(variables(json!({ "enum": ["v1", "v2"] })), ["/v1/a"]);
}

#[test]
fn paths_that_all_repeat_the_applications_own_lose_it() {
    let items: &[&str] = &["/api/items", "/api/users/me"];
    for servers in [json!(null), json!([]), json!([{ "url": "/" }]), json!([{ "url": "http://x" }])]
    {
        assert_eq!(document(&servers, items, "/api".into()), ["/items", "/users/me"], "{servers}");
        assert_eq!(document(&servers, items, "".into()), items);
    }
    // One that does not is below the address, and so are the others.
    let mixed: &[&str] = &["/users/items", "/health"];
    assert_eq!(document(&json!(null), mixed, "/users".into()), mixed);
    // The server has said it already.
    let servers = json!([{ "url": "/api" }]);
    assert_eq!(document(&servers, items, "/api".into()), items);
}
