//! The agent token: a short-lived JWT that lets an agent act as one user only.
//!
//! Programs mint it, the reference backend verifies it. The verifier follows RFC 8725: one pinned
//! algorithm, all claims required, nothing else accepted.

mod claims;
mod minter;
mod verifier;

pub(crate) use claims::LEEWAY;
pub use claims::{Algorithm, Claims, Key, MIN_SECRET_BYTES, TokenError};
pub use minter::{AgentAuth, AgentToken, TokenMinter};
pub use verifier::TokenVerifier;

#[cfg(test)]
mod tests;
