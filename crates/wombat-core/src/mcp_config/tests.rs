use super::*;

fn read_one(server: &str) -> ServerEntry {
    let text = format!(r#"{{"mcpServers": {{"s": {server}}}}}"#);
    let env = |name: &str| (name == "KEY").then(|| "k1".to_owned());
    McpConfig::parse(&text, &env).unwrap().servers.remove("s").unwrap()
}

#[test]
fn both_transports_are_read_and_variables_filled_in() {
    let stdio = read_one(
        r#"{"command": "npx", "args": ["-y", "x"], "env": {"A": "${KEY}", "N": 1}, "timeout_secs": 5}"#,
    );
    let stdio = stdio.unwrap();
    assert_eq!(stdio.timeout, Duration::from_secs(5));
    let Transport::Stdio { command, args, env, cwd } = &stdio.transport else { panic!() };
    assert_eq!((command.as_str(), args.len(), cwd), ("npx", 2, &None));
    assert_eq!((env["A"].as_str(), env["N"].as_str()), ("k1", "1"));
    assert!(!format!("{stdio:?}").contains("k1"), "{stdio:?}");
    let http = read_one(
        r#"{"type": "http", "url": "https://h/mcp", "headers": {"Authorization": "Bearer ${KEY}"}}"#,
    );
    let Transport::Http { url, headers } = http.unwrap().transport else { panic!() };
    assert_eq!((url.as_str(), headers["Authorization"].as_str()), ("https://h/mcp", "Bearer k1"));
}

#[test]
fn secrets_of_an_entry_are_taken_out_of_what_is_told() {
    let http = read_one(
        r#"{"url": "https://me:pass@h/mcp?key=${KEY}-long", "headers": {"Authorization": "Bearer topsecret"}}"#,
    );
    let said = "error for url (https://me:pass@h/mcp?key=k1-long): topsecret";
    let told = http.unwrap().transport.hide_secrets(said);
    assert_eq!(told, "error for url (https://***@h/***?***): ***");
    let http = r#"{"url": "https://h/0123456789abcdef/mcp", "headers": {"X": "topsecret+1"}}"#;
    let said =
        "at h/0123456789abcdef/mcp or 0123456789abcdef with topsecret%2B1 and dG9wc2VjcmV0KzE=";
    let told = read_one(http).unwrap().transport.hide_secrets(said);
    assert_eq!(told, "at h/*** or *** with [token] and [token]=");
    let stdio = read_one(
        r#"{"command": "x", "args": ["--token=abcdef", "-v"], "env": {"A": "canary", "N": 1}}"#,
    );
    let told = stdio.unwrap().transport.hide_secrets("x --token=abcdef -v 1 said canary");
    assert_eq!(told, "x --token=*** -v 1 said ***");
}

#[test]
fn answers_lose_keys_and_no_words() {
    let http = r#"{"url": "https://h/mcp?readonly=true&api_key=hunter22", "headers": {
        "X-MCP-Readonly": "true", "X-Team": "search", "Authorization": "Bearer topsecret",
        "X-Api-Key": "abcd", "X-Other": "0123456789abcdefg"}}"#;
    let transport = read_one(http).unwrap().transport;
    let said = "true, search at h/mcp: hunter22 topsecret abcd 0123456789abcdefg";
    assert_eq!(transport.hide_keys(said), "true, search at h/mcp: *** *** *** ***");
    assert_eq!(transport.hide_secrets("true"), "***");
}

#[test]
fn a_server_that_cannot_be_used_here_says_why_and_spares_the_others() {
    for (server, word) in [
        (r#"{"command": "x", "env": {"A": "${NOT_SET}"}}"#, "NOT_SET"),
        (r#"{"url": "http://h/sse", "type": "sse"}"#, "sse"),
    ] {
        let error = read_one(server).unwrap_err();
        assert!(error.contains(word), "{server}: {error}");
    }
    let text = r#"{"mcpServers": {"a__b": {"command": "x"}, "off": {"disabled": true}, "ok": {"command": "x"}}}"#;
    let config = McpConfig::parse(text, &|_| None).unwrap();
    let states: Vec<_> = config.servers.iter().map(|(n, s)| (n.as_str(), s.is_ok())).collect();
    assert_eq!(states, [("a__b", false), ("ok", true)]);
}

#[test]
fn variables_with_odd_values_cost_their_server_alone() {
    let env = |name: &str| match name {
        "EMPTY" => Some(String::new()),
        "HOST" => Some("host:80".to_owned()),
        _ => None,
    };
    for (server, word) in [
        (r#"{"url": "${EMPTY}"}"#, "url is empty"),
        (r#"{"url": "${HOST}"}"#, "http"),
        (r#"{"url": "http://${EMPTY}/mcp"}"#, "http"),
        (r#"{"command": "${EMPTY}"}"#, "command is empty"),
    ] {
        let text = format!(r#"{{"mcpServers": {{"s": {server}, "ok": {{"command": "x"}}}}}}"#);
        let servers = McpConfig::parse(&text, &env).unwrap().servers;
        assert!(servers["ok"].is_ok());
        assert!(servers["s"].as_ref().unwrap_err().contains(word), "{:?}", servers["s"]);
    }
}

#[test]
fn a_server_that_is_not_described_as_one_makes_the_file_unusable() {
    for (server, word) in [
        ("7", "not an object"),
        ("{}", "neither"),
        (r#"{"command": "x", "url": "http://h"}"#, "both"),
        (r#"{"command": ""}"#, "empty"),
        (r#"{"command": "x", "args": "y"}"#, "not a list"),
        (r#"{"command": "x", "args": [7]}"#, "list of strings"),
        (r#"{"command": "x", "env": {"A": []}}"#, "A is not a string"),
        (r#"{"command": "x", "env": {"A": "${NOT_SET}", "B": []}}"#, "B is not a string"),
        (r#"{"command": "x", "timeout_secs": 0}"#, "timeout_secs"),
        (r#"{"command": "x", "disabled": "true"}"#, "neither true nor false"),
        (r#"{"command": "x", "Disabled": true}"#, "did you mean \"disabled\""),
        (r#"{"command": "x", "disable": true}"#, "did you mean \"disabled\""),
        (r#"{"url": "ftp://h"}"#, "http"),
        (r#"{"url": "http://"}"#, "http"),
        (r#"{"url": "http://h", "type": "stdio"}"#, "stdio"),
    ] {
        let text =
            format!("{{\"mcpServers\": {{\n\"ok\": {{\"command\": \"x\"}},\n\"s\": {server}}}}}");
        let error = McpConfig::parse(&text, &|_| None).unwrap_err();
        assert_eq!(error.line, Some(3), "{server}: {error}");
        let reason = error.reason.strip_prefix("server \"s\": ");
        assert!(reason.is_some_and(|reason| reason.contains(word)), "{server}: {error}");
    }
}

#[test]
fn a_file_that_is_no_such_file_is_refused_with_its_line() {
    let error = McpConfig::parse("{\n\"mcpServers\": {\n}", &|_| None).unwrap_err();
    assert_eq!(error.line, Some(3));
    let twice = r#"{"mcpServers": {"s": {"command": "x"}, "s": {"command": "y"}}}"#;
    for text in ["[]", "{}", r#"{"mcpServers": []}"#, twice] {
        assert!(McpConfig::parse(text, &|_| None).is_err(), "{text}");
    }
}
