//! Why a document cannot be used.

/// Why a document cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Neither JSON nor YAML.
    #[error("the OpenAPI document cannot be read: {0}")]
    Syntax(String),
    /// A page for people.
    #[error("this is an HTML page, and not an OpenAPI document")]
    Page,
    /// Something else, or another version.
    #[error("this is not an OpenAPI 3 or Swagger 2.0 document: {0}")]
    Version(String),
    /// Over 16 MiB, or over 10,000 operations.
    #[error("the OpenAPI document is too large")]
    TooLarge,
}
