//! A backend in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mc_client::client::{AgentClient, InternalClient, McClient, RetryPolicy};
use mc_client::token::{AgentAuth, Algorithm, Key, TokenMinter, TokenVerifier};
use reqwest::Method;
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;
use test_support::postgres::Postgres;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wombat_mission_control::deltas::DeltasConfig;
use wombat_mission_control::store::budgets::Nanos;
use wombat_mission_control::store::database::Database;
use wombat_mission_control::store::artifacts::ArtifactLimits;
use wombat_mission_control::store::files::FileLimits;
use service::forwarded::{Front, TrustedProxies};
use wombat_mission_control::{BoardPassword, Config, ProxyLogin, RunError};

pub(crate) use crate::caller::{Answer, Caller, column, send};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const INTERNAL: &str = "the-internal-token-of-the-tests";
pub(crate) const MC: &str = "/api/mission-control";

/// How long a backend may take to stop.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Backend {
    pub(crate) url: String,
    http: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    pub(crate) home: Arc<Home>,
}

/// Whether these tests run on PostgreSQL: this file belongs to two test programs.
pub(crate) fn on_postgres() -> bool {
    env!("CARGO_CRATE_NAME") == "postgres"
}

/// A folder for what tests share.
pub(crate) fn kept() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Where a backend's objects are kept.
pub(crate) enum Home {
    File(TempDir),
    Server(Postgres),
}

impl Home {
    /// An empty one. Where there is no PostgreSQL the test ends here, as skipped.
    pub(crate) fn new() -> Self {
        if !on_postgres() {
            return Self::File(tempfile::tempdir().unwrap());
        }
        match Postgres::start(kept()) {
            Some(server) => Self::Server(server),
            None => std::process::exit(0),
        }
    }

    pub(crate) fn database(&self) -> Database {
        Database::of_url(&self.url().into()).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(dir) => {
                format!("sqlite:{}", dir.path().join("mission-control.db").display())
            }
            Self::Server(server) => server.url(),
        }
    }

    /// The database itself, for what no call can bring about, such as the past.
    pub(crate) async fn connect(&self) -> AnyConnection {
        wombat_mission_control::store::database::install_drivers_once();
        let url = match self {
            Self::File(_) => format!("{}?mode=rwc", self.url()),
            Self::Server(server) => server.url(),
        };
        AnyConnection::connect(&url).await.unwrap()
    }
}

/// What a test wants of its backend.
pub(crate) struct Options {
    pub(crate) legacy: bool,
    pub(crate) board: bool,
    pub(crate) demo: bool,
    pub(crate) budget: Option<f64>,
    pub(crate) password: Option<String>,
    pub(crate) proxy: Option<ProxyLogin>,
    pub(crate) leads: &'static [&'static str],
    pub(crate) deltas: DeltasConfig,
    pub(crate) files: FileLimits,
    pub(crate) artifacts: ArtifactLimits,
    pub(crate) orphan_max_attempts: u32,
    pub(crate) rules_per_user: u32,
    pub(crate) retention: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            legacy: false,
            board: true,
            demo: true,
            budget: None,
            password: None,
            proxy: None,
            leads: &[],
            deltas: DeltasConfig::default(),
            files: FileLimits::default(),
            artifacts: ArtifactLimits::default(),
            orphan_max_attempts: 8,
            rules_per_user: 100,
            retention: "",
        }
    }
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self::start_on(Home::new()).await
    }

    pub(crate) async fn without_demo() -> Self {
        Self::start_in(Home::new(), Options { demo: false, ..Options::default() }).await
    }

    pub(crate) async fn without_page() -> Self {
        let options = Options { board: false, ..Options::default() };
        Self::start_in(Home::new(), options).await
    }

    /// With a limit on what each user's agents spend in a month.
    pub(crate) async fn with_legacy_tokens(legacy: bool) -> Self {
        Self::start_in(Home::new(), Options { legacy, ..Options::default() }).await
    }

    pub(crate) async fn with_budget(usd: f64) -> Self {
        let options = Options { budget: Some(usd), ..Options::default() };
        Self::start_in(Home::new(), options).await
    }

    /// With roles that may act on the sessions of others.
    pub(crate) async fn with_leads(leads: &'static [&'static str]) -> Self {
        Self::start_in(Home::new(), Options { leads, ..Options::default() }).await
    }

    /// With a password on the page.
    pub(crate) async fn with_password(password: &str) -> Self {
        let options = Options { password: Some(password.to_owned()), ..Options::default() };
        Self::start_in(Home::new(), options).await
    }

    /// Behind a proxy that asks people who they are.
    pub(crate) async fn behind(header: &str, from: &str) -> Self {
        Self::behind_proxy(ProxyLogin::new(header, from).unwrap()).await
    }

    /// Behind a proxy that may name operators, too.
    pub(crate) async fn behind_proxy(proxy: ProxyLogin) -> Self {
        let options = Options { proxy: Some(proxy), ..Options::default() };
        Self::start_in(Home::new(), options).await
    }

    /// On what is there already.
    pub(crate) async fn start_on(home: Home) -> Self {
        Self::start_in(home, Options::default()).await
    }

    pub(crate) async fn start_in(home: Home, options: Options) -> Self {
        Self::beside(Arc::new(home), options).await
    }

    /// One more on the same database.
    pub(crate) async fn another(&self) -> Self {
        Self::beside(Arc::clone(&self.home), Options::default()).await
    }

    pub(crate) async fn beside(home: Arc<Home>, options: Options) -> Self {
        let database = home.database();
        Self::over(home, database, options).await
    }

    /// On a database that is reached in another way.
    pub(crate) async fn reaching(home: &Arc<Home>, database: Database) -> Self {
        Self::over(Arc::clone(home), database, Options::default()).await
    }

    async fn over(home: Arc<Home>, database: Database, options: Options) -> Self {
        let (url, http, shutdown, task) = Self::serve(database, options).await;
        Self { url, http, shutdown, task, home }
    }

    /// Why a backend does not start on a database.
    pub(crate) async fn refusal(database: Database) -> String {
        Self::refusal_of(database, Options::default()).await
    }

    /// The same with these options.
    pub(crate) async fn refusal_of(database: Database, options: Options) -> String {
        let (.., task) = Self::serve(database, options).await;
        let ended = tokio::time::timeout(PATIENCE, task).await;
        ended.expect("the backend refuses to start").unwrap().unwrap_err().to_string()
    }

    async fn serve(
        database: Database,
        options: Options,
    ) -> (String, reqwest::Client, CancellationToken, JoinHandle<Result<(), RunError>>) {
        let key = Key::Secret(SECRET.into());
        let verifier = TokenVerifier::new(&key, Algorithm::Hs256).unwrap();
        let config = Config {
            lead_roles: options.leads.iter().map(|role| (*role).to_owned()).collect(),
            database,
            verifier: verifier.with_legacy(options.legacy),
            metrics_token: Some("for-prometheus".into()),
            internal_token: Some(INTERNAL.into()),
            budget: options.budget.and_then(Nanos::of_usd),
            demo: options.demo,
            deltas: options.deltas,
            files: options.files,
            artifacts: options.artifacts,
            orphan_max_attempts: options.orphan_max_attempts,
            rules_per_user: options.rules_per_user,
            retention: options.retention.parse().unwrap(),
            profile_max_age: Duration::from_secs(7),
            board: options.board,
            board_proxy: options.proxy,
            board_proxies: TrustedProxies::default(),
            front: Front::new(None, None),
            board_password: options
                .password
                .map(|password| BoardPassword::new(&password.into()).unwrap()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(wombat_mission_control::run(listener, config, shutdown.clone()));
        let http = service::http::client_builder().no_proxy().build().unwrap();
        (url, http, shutdown, task)
    }

    /// Stops, as a signal would make it.
    pub(crate) async fn stop(self) -> Arc<Home> {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(PATIENCE, self.task).await;
        stopped.expect("the backend stops in time").unwrap().unwrap();
        self.home
    }

    /// Stops, and starts anew on the same database.
    pub(crate) async fn restart(self) -> Self {
        let home = self.stop().await;
        Self::beside(home, Options::default()).await
    }

    /// The database itself, for what no call can bring about, such as the past.
    pub(crate) async fn database(&self) -> AnyConnection {
        // It is there once the backend answers.
        send(self.nobody().raw(Method::GET, "/readyz")).await;
        self.home.connect().await
    }

    /// Somebody who says nothing about who it is.
    pub(crate) fn nobody(&self) -> Caller {
        Caller::new(&self.url, self.http.clone())
    }

    /// The client that the programs use, with a user's agent behind it.
    pub(crate) fn client(&self, user_id: &str, role: &str) -> AgentClient {
        let key = Key::Secret(SECRET.into());
        let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(900)).unwrap();
        self.mc().agent(AgentAuth::new(Arc::new(minter), user_id, role).unwrap().into())
    }

    /// The client of the dispatcher and of other services.
    pub(crate) fn service(&self) -> InternalClient {
        self.mc().internal(INTERNAL.into())
    }

    fn mc(&self) -> McClient {
        McClient::new(&self.url, self.http.clone(), RetryPolicy::default())
    }

    pub(crate) fn agent(&self, user_id: &str, role: &str) -> Caller {
        self.nobody().by_agent(user_id, role)
    }

    pub(crate) fn internal(&self) -> Caller {
        self.nobody().with("x-internal-token", INTERNAL)
    }

    pub(crate) fn person(&self, user_id: &str) -> Caller {
        self.internal().with("x-on-behalf-of", user_id)
    }
}
