//! The workspace of Markdown files that configures the agents, and the prompts made from it. No
//! network.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod advice;
pub mod agent_config;
pub mod endpoint;
pub mod frontmatter;
pub mod heartbeat;
pub mod hooks;
mod json_lines;
mod jsonc;
mod loader;
pub mod mcp_config;
mod nearest;
pub mod operations;
mod permissions;
mod prompt;
pub mod redact;
mod render;
pub mod session;
pub mod skills;
mod snapshot;
pub mod untrusted;
pub mod workspace;
