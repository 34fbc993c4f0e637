//! The backend's configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use mc_client::token::TokenVerifier;
use secrecy::SecretString;
use service::forwarded::{Front, TrustedProxies};

use crate::deltas::DeltasConfig;
use crate::login::password::BoardPassword;
use crate::login::proxy::ProxyLogin;
use crate::store::artifacts::ArtifactLimits;
use crate::store::budgets::Nanos;
use crate::store::database::Database;
use crate::store::files::FileLimits;
use crate::store::retention::Retention;

/// The backend's configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Where everything is kept.
    pub database: Database,
    /// Checks agent tokens.
    pub verifier: TokenVerifier,
    /// Authenticates the dispatcher and other services; without it no service can call.
    pub internal_token: Option<SecretString>,
    /// A bearer token for `/metrics`, accepted nowhere else.
    pub metrics_token: Option<SecretString>,
    /// The roles whose agents may act on the sessions of their user's other roles.
    pub lead_roles: BTreeSet<String>,
    /// The monthly budget of a user without one of their own; no limit when absent.
    pub budget: Option<Nanos>,
    /// Where what runs tell is kept, and how much of it.
    pub deltas: DeltasConfig,
    /// How long a daemon may use a profile without asking again.
    pub profile_max_age: Duration,
    /// How much is kept of files.
    pub files: FileLimits,
    /// How much is kept of long results of tools.
    pub artifacts: ArtifactLimits,
    /// For how long things are kept.
    pub retention: Retention,
    /// How often a run that nobody works on is given out without a new step, until it has failed.
    pub orphan_max_attempts: u32,
    /// How many approval rules a user may have in force.
    pub rules_per_user: u32,
    /// Whether the demo application is served, too.
    pub demo: bool,
    /// Whether the page for people is served.
    pub board: bool,
    /// The page's password. Without it, and without a proxy, the page answers on loopback only.
    pub board_password: Option<BoardPassword>,
    /// The reverse proxy that authenticates people; none when absent.
    pub board_proxy: Option<ProxyLogin>,
    /// The proxies whose word counts about where a login comes from.
    pub board_proxies: TrustedProxies,
    /// By which address browsers know the page.
    pub front: Front,
}
