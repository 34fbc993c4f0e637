//! What an operator decides.

use mc_client::token::TokenVerifier;
use secrecy::SecretString;

use crate::login::password::BoardPassword;
use crate::login::proxy::ProxyLogin;
use crate::store::budgets::Nanos;
use crate::store::database::Database;

/// What the backend needs to know.
#[derive(Debug)]
pub struct Config {
    /// Where everything is kept.
    pub database: Database,
    /// Checks agent tokens.
    pub verifier: TokenVerifier,
    /// Lets the dispatcher and other services in; nobody when absent.
    pub internal_token: Option<SecretString>,
    /// Opens `/metrics` and nothing else.
    pub metrics_token: Option<SecretString>,
    /// What the agents of a user may spend in a month when nothing else is said; no limit when
    /// absent.
    pub budget: Option<Nanos>,
    /// Whether the page is served.
    pub board: bool,
    /// What people are asked for before they see the page; nobody is asked when absent, and then
    /// only this machine may.
    pub board_password: Option<BoardPassword>,
    /// The proxy whose word about people counts; none when absent.
    pub board_proxy: Option<ProxyLogin>,
}
