//! Lists the tools of an MCP server, page by page: bounded in pages, items, bytes and time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{ClientRequest, ListToolsRequest, PaginatedRequestParams, ServerResult};
use rmcp::service::{Peer, RoleClient};
use serde_json::Value;
use tokio::time::timeout;

use super::connection::error_chain;
use super::message::{MAX_TOOLS, problem_of};
use super::server::McpTool;

/// The timeout of all pages together.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// The most pages.
const MAX_PAGES: usize = 100;

/// The most bytes of names, descriptions and schemas.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;

/// The most problems that are told.
const MAX_PROBLEMS: usize = 20;

/// The tools of a server, and what is wrong with others.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) tools: Vec<Arc<McpTool>>,
    pub(super) problems: Vec<String>,
    /// The bytes of the tools' texts.
    pub(super) bytes: usize,
    untold: usize,
    left_out: usize,
}

/// Lists the tools. Of a list that ends, the first [`MAX_TOOLS`] count.
///
/// # Errors
/// Why nothing could be listed; also that the list does not end within its bounds.
pub(super) async fn list(
    peer: &Peer<RoleClient>,
    clean: impl Fn(&str) -> String,
) -> Result<Listing, String> {
    let mut listing = Listing::default();
    let read = timeout(LIST_TIMEOUT, listing.read(peer, &clean)).await;
    let read = read.unwrap_or_else(|_| {
        Err(format!("timeout: the list does not end within {} seconds", LIST_TIMEOUT.as_secs()))
    });
    read.map_err(|why| format!("tools could not be listed: {why}"))?;
    if listing.untold > 0 {
        listing.problems.push(shown::counted(listing.untold, "more problem"));
    }
    if listing.left_out > 0 {
        let left_out = shown::counted(listing.left_out, "tool");
        let text = format!("left out: {left_out}; the limit is {MAX_TOOLS}");
        listing.problems.push(text);
    }
    Ok(listing)
}

impl Listing {
    async fn read(
        &mut self,
        peer: &Peer<RoleClient>,
        clean: impl Fn(&str) -> String,
    ) -> Result<(), String> {
        let mut seen = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor.take());
            let request = ListToolsRequest::with_param(params);
            // Not by `list_tools`, which keeps pages for as long as the server says.
            let page = peer.send_request(ClientRequest::ListToolsRequest(request)).await;
            let page = match page.map_err(|error| error_chain(&error))? {
                ServerResult::ListToolsResult(page) => page,
                _ => return Err("the answer is not a list of tools".to_owned()),
            };
            for tool in page.tools {
                self.add(tool, &clean)?;
            }
            cursor = page.next_cursor.filter(|cursor| !cursor.is_empty());
            match &cursor {
                None => return Ok(()),
                Some(next) if !seen.insert(next.clone()) => {
                    return Err("the server names the same next page again".to_owned());
                }
                Some(_) => {}
            }
        }
        Err(format!("the list does not end within {MAX_PAGES} pages"))
    }

    fn add(
        &mut self,
        tool: rmcp::model::Tool,
        clean: impl Fn(&str) -> String,
    ) -> Result<(), String> {
        if let Some(problem) = problem_of(&tool) {
            if self.problems.len() < MAX_PROBLEMS {
                self.problems.push(clean(problem));
            } else {
                self.untold += 1;
            }
            return Ok(());
        }
        let schema = Value::Object((*tool.input_schema).clone());
        let text = schema.to_string();
        let description = tool.description.unwrap_or_default();
        self.bytes += tool.name.len() + description.len() + text.len();
        if self.bytes > MAX_LIST_BYTES {
            return Err(format!("the list is longer than {} MiB", MAX_LIST_BYTES / 1024 / 1024));
        }
        // Whether the list ends is seen by reading on.
        if self.tools.len() >= MAX_TOOLS {
            self.left_out += 1;
            return Ok(());
        }
        let cleaned = clean(&text);
        let schema =
            if cleaned == text { schema } else { serde_json::from_str(&cleaned).unwrap_or(schema) };
        let description = clean(&description);
        let hints = tool.annotations.as_ref();
        let is_repeatable = hints.is_some_and(|hints| {
            hints.read_only_hint == Some(true) || hints.idempotent_hint == Some(true)
        });
        let name = tool.name.into_owned();
        self.tools.push(Arc::new(McpTool { is_repeatable, name, description, schema }));
        Ok(())
    }
}
