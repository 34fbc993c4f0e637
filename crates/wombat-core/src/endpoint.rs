//! Endpoints that a skill declares, and paths that a model writes.

mod fold;
mod markdown;
mod path;
mod pattern;
mod reserved;
mod segment;

pub use fold::folded_text;
pub use markdown::endpoints_in_markdown;
pub(crate) use markdown::{broken_endpoints_in_markdown, near_endpoints_in_markdown};
pub use path::{NormalPath, PathError};
pub(crate) use pattern::FoldedPattern;
pub use pattern::{EndpointError, EndpointPattern, METHODS};
pub use reserved::{declares_reserved, is_messages, is_reserved};

#[cfg(test)]
mod tests;
