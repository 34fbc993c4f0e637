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
        assert!(error.reason.contains(word), "{server}: {error}");
    }
    let text = r#"{"mcpServers": {"a__b": {"command": ""}, "off": {"disabled": true}, "ok": {"command": "x"}}}"#;
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
        assert!(servers["s"].as_ref().unwrap_err().reason.contains(word), "{:?}", servers["s"]);
    }
}

#[test]
fn a_server_that_cannot_be_understood_costs_itself_with_its_line() {
    for (server, word) in [
        ("7", "not an object"),
        ("{}", "neither"),
        (r#"{"command": "x", "url": "http://h"}"#, "both"),
        (r#"{"command": ""}"#, "empty"),
        (r#"{"command": []}"#, "empty"),
        (r#"{"command": {"args": []}}"#, "no path"),
        (r#"{"command": "x", "args": "y"}"#, "not a list"),
        (r#"{"command": "x", "args": [7]}"#, "list of strings"),
        (r#"{"command": "x", "env": {"A": []}}"#, "A is not a string"),
        (r#"{"command": "x", "env": {"A": "${NOT_SET}", "B": []}}"#, "B is not a string"),
        (r#"{"command": "x", "envFile": "${workspaceFolder}/.env"}"#, "envFile is not read"),
        (r#"{"command": "x", "timeout_secs": 0}"#, "timeout_secs"),
        (r#"{"command": "x", "timeout": "30s"}"#, "timeout is not a number"),
        (r#"{"command": "x", "disabled": "true"}"#, "neither true nor false"),
        (r#"{"command": "x", "Disabled": true}"#, "did you mean \"disabled\""),
        (r#"{"command": "x", "disable": true}"#, "did you mean \"disabled\""),
        (r#"{"command": "x", "disabledTools": {"drop": true}}"#, "disabledTools is not a list"),
        (r#"{"command": "x", "excludeTools": ["drop_*"]}"#, "list of the names"),
        (r#"{"command": "x", "tools": {"drop": false}}"#, "tools is not a list"),
        (r#"{"url": "ftp://h"}"#, "http"),
        (r#"{"url": "http://"}"#, "http"),
        (r#"{"url": "http://h", "type": "stdio"}"#, "stdio"),
        (r#"{"command": "x", "type": "http"}"#, "does not match"),
        (r#"{"url": "ws://h", "type": "websocket"}"#, "does not match"),
        (r#"{"url": "http://h", "headers": {"A": "${input:api-key}"}}"#, "such as ${API_KEY}"),
        (r#"{"url": "http://h/${command:x}"}"#, "${command:…} is not known"),
        (r#"{"url": "http://h/${A:-${KEY}}"}"#, "variable in its default"),
        (r#"{"source": "extension", "settings": {}}"#, "neither"),
    ] {
        let text =
            format!("{{\"mcpServers\": {{\n\"ok\": {{\"command\": \"x\"}},\n\"s\": {server}}}}}");
        let servers = McpConfig::parse(&text, &|_| None).unwrap().servers;
        assert!(servers["ok"].is_ok());
        let disabled = servers["s"].as_ref().unwrap_err();
        assert_eq!(disabled.line, Some(3), "{server}: {disabled}");
        assert!(disabled.reason.contains(word), "{server}: {disabled}");
        assert!(disabled.to_string().starts_with("line 3: "));
    }
}

/// What a program is started with, or where a server is.
fn told(server: &ServerConfig) -> String {
    match &server.transport {
        Transport::Stdio { command, args, env, cwd } => {
            format!("{command} {args:?} {env:?} {cwd:?}")
        }
        Transport::Http { url, headers } => format!("{url} {headers:?}"),
    }
}

#[test]
fn the_files_of_the_usual_clients_are_read() {
    let npx = r#"npx ["-y", "x"] {"A": "k1"} None"#;
    let http = r#"https://h/mcp {"A": "k1"}"#;
    for (file, expected) in [
        // Claude Desktop, Cursor, LM Studio.
        (
            r#"{"mcpServers": {"s": {"command": "npx", "args": ["-y", "x"], "env": {"A": "${KEY}"}}}}"#,
            npx,
        ),
        // Claude Code.
        (
            r#"{"mcpServers": {"s": {"type": "stdio", "command": "${NO:-npx}", "args": ["-y", "${NO:-x}"], "env": {"A": "${KEY:-no}"}}}}"#,
            npx,
        ),
        (
            r#"{"mcpServers": {"s": {"type": "http", "url": "${NO:-https://h}/mcp", "headers": {"A": "${KEY}"}}}}"#,
            http,
        ),
        // VS Code, in its own file and in settings.json.
        (
            r#"{"inputs": [{"id": "k"}], "servers": {"s": {"type": "stdio", "command": "npx", "args": ["-y", "x"], "env": {"A": "${env:KEY}"}}}}"#,
            npx,
        ),
        (
            r#"{"editor.tabSize": 2, "mcp": {"servers": {"s": {"type": "http", "url": "https://h/mcp", "headers": {"A": "${env:KEY}"}}}}}"#,
            http,
        ),
        // Windsurf.
        (
            r#"{"mcpServers": {"s": {"serverUrl": "https://h/mcp", "headers": {"A": "${env:KEY}"}}}}"#,
            http,
        ),
        // Gemini CLI.
        (
            r#"{"mcpServers": {"s": {"httpUrl": "https://h/mcp", "headers": {"A": "k1"}, "timeout": 5000, "trust": true}}}"#,
            http,
        ),
        // Zed.
        (
            r#"{"context_servers": {"s": {"source": "custom", "enabled": true, "command": {"path": "npx", "args": ["-y", "x"]}, "env": {"A": "k1"}}}}"#,
            npx,
        ),
        // Cline, Roo.
        (
            r#"{"mcpServers": {"s": {"command": "npx", "args": ["-y", "x"], "env": {"A": "k1"}, "disabled": false, "autoApprove": ["a"], "alwaysAllow": [], "timeout": 60}}}"#,
            npx,
        ),
        (
            r#"{"mcpServers": {"s": {"type": "streamableHttp", "url": "https://h/mcp", "headers": {"A": "k1"}}}}"#,
            http,
        ),
        // OpenCode.
        (
            r#"{"mcp": {"s": {"type": "local", "command": ["npx", "-y", "x"], "environment": {"A": "k1"}, "enabled": true}}}"#,
            npx,
        ),
        (
            r#"{"mcp": {"s": {"type": "remote", "url": "https://h/mcp", "headers": {"A": "k1"}}}}"#,
            http,
        ),
        // Amp; Cherry Studio; a plugin of Claude Code.
        (r#"{"amp.mcpServers": {"s": {"url": "https://h/mcp", "headers": {"A": "k1"}}}}"#, http),
        (
            r#"{"mcpServers": {"s": {"isActive": true, "type": "streamableHttp", "baseUrl": "https://h/mcp", "headers": {"A": "k1"}}}}"#,
            http,
        ),
        (r#"{"s": {"command": "npx", "args": ["-y", "x"], "env": {"A": "k1"}}}"#, npx),
        // With all that an editor lets pass.
        (
            "\u{feff}{\n  // mine\n  \"mcpServers\": {\n    \"s\": { /* http */ \"url\": \"https://h/mcp\", \"headers\": {\"A\": \"k1\",},\n    },\n  },\n}",
            http,
        ),
    ] {
        let env = |name: &str| (name == "KEY").then(|| "k1".to_owned());
        let config = McpConfig::parse(file, &env).unwrap_or_else(|error| panic!("{file}: {error}"));
        let server = config.servers["s"].as_ref().unwrap_or_else(|why| panic!("{file}: {why}"));
        assert_eq!(told(server), expected, "{file}");
    }
}

#[test]
fn a_timeout_is_seconds_or_milliseconds_and_has_a_bound() {
    for (fields, seconds) in [
        (r#""timeout_secs": 5"#, 5.0),
        (r#""timeout": 60"#, 60.0),
        (r#""timeout": 3600"#, 600.0),
        (r#""timeout": 5000"#, 5.0),
        (r#""timeout": 600000"#, 600.0),
        (r#""timeout": 4500, "timeout_secs": 7"#, 7.0),
    ] {
        let server = read_one(&format!(r#"{{"command": "x", {fields}}}"#)).unwrap();
        assert!((server.timeout.as_secs_f64() - seconds).abs() < 1e-9, "{fields}: {server:?}");
    }
}

#[test]
fn only_the_tools_that_a_client_has_on_are_wanted() {
    for (fields, wanted) in [
        (r#""args": []"#, [true, true]),
        (r#""disabledTools": ["drop"]"#, [true, false]),
        (r#""excludeTools": ["drop(x)"], "includeTools": ["add", "drop"]"#, [true, false]),
        (r#""includeTools": ["add"]"#, [true, false]),
        (r#""enabled_tools": []"#, [false, false]),
        (r#""tools": ["*"]"#, [true, true]),
        (r#""tools": ["*"], "enabledTools": ["drop"]"#, [false, true]),
    ] {
        let server = read_one(&format!(r#"{{"command": "x", {fields}}}"#)).unwrap();
        assert_eq!(["add", "drop"].map(|tool| server.tools.has(tool)), wanted, "{fields}");
    }
}

#[test]
fn two_servers_whose_tools_would_have_the_same_names_are_kept_apart() {
    let text = r#"{"mcpServers": {"a_b": {"command": "x"},
        "a.b": {"command": "x"},
        "c d": {"command": "x"}, "c.d": {"command": "x"}},
        "servers": {"e": {"command": "x"}, "f": {"command": "x", "disabled": true}},
        "context_servers": {"e": {"command": "y"}, "f": {"command": "x"}}}"#;
    let servers = McpConfig::parse(text, &|_| None).unwrap().servers;
    let usable: Vec<_> = servers.iter().filter(|(_, s)| s.is_ok()).map(|(n, _)| n).collect();
    assert_eq!(usable, ["a_b"]);
    let why = servers["a.b"].as_ref().unwrap_err().to_string();
    assert_eq!(
        why,
        "line 2: the names of its tools would begin with a_b__, as those of \"a_b\"; rename it"
    );
    assert!(servers["e"].as_ref().unwrap_err().reason.contains("two lists"));
    assert!(servers["f"].is_err());
}

#[test]
fn a_file_that_is_no_such_file_is_refused_with_its_line() {
    let error = McpConfig::parse("{\n\"mcpServers\": {\n}", &|_| None).unwrap_err();
    assert_eq!(error.line, Some(3));
    let twice = r#"{"mcpServers": {"s": {"command": "x"}, "s": {"command": "y"}}}"#;
    for text in
        ["[]", "{}", r#"{"mcpServers": []}"#, r#"{"name": "x", "version": 1}"#, twice, "{/*"]
    {
        assert!(McpConfig::parse(text, &|_| None).is_err(), "{text}");
    }
}
