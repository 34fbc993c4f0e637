//! All parsers of the workspace and of what models write, on any text: front matter, endpoints of
//! skills, paths, session keys, settings of agents and MCP servers, schedules, fences.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wombat_core::agent_config::AgentConfig;
use zones::cron::Cron;
use wombat_core::endpoint::{EndpointPattern, NormalPath, endpoints_in_markdown};
use wombat_core::frontmatter;
use wombat_core::mcp_config::McpConfig;
use wombat_core::session::SessionKey;
use wombat_core::untrusted::{FenceKey, break_control_tokens};

fuzz_target!(|text: &str| {
    if let Ok(parsed) = frontmatter::parse(text) {
        assert!(text.ends_with(parsed.body));
    }
    for endpoint in endpoints_in_markdown(text) {
        assert!(EndpointPattern::parse(&endpoint.to_string()).is_ok());
    }
    if let Ok(path) = NormalPath::parse(text) {
        assert!(path.segments().iter().all(|segment| segment != "." && segment != ".."));
        assert_eq!(NormalPath::parse(path.as_str()).as_ref(), Ok(&path));
    }
    if let Ok(key) = SessionKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    let _ = AgentConfig::read(text, &|_| None);
    let _ = McpConfig::parse(text, &|_| None);
    let _ = text.parse::<Cron>();
    let broken = break_control_tokens(text);
    assert_eq!(break_control_tokens(&broken), broken);
    let mark = FenceKey::new(b"fuzz").mark(text);
    assert!(mark.fence("fuzz", text).contains(broken.as_ref()));
});
