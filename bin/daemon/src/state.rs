//! The parts of the daemon that all requests share, put together once. Nothing in it has to survive the
//! process.
//!
//! It stands below `agent` and `api`, which use it, and above the rooms whose parts it holds.

use std::sync::Arc;

use llm::{LlmClient, LlmConfigError};
use wombat_core::workspace::Workspace;

use crate::backend::Backend;
use crate::metrics::Metrics;
use crate::run::customer::DEFAULT_WORKSPACE;
use crate::run::feed::Feeds;
use crate::run::registry::Runs;
use crate::run::usage::UsageBook;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::tools::Tools;
use crate::webhook::Webhooks;
use crate::workspaces::{self, Served, Workspaces};

/// The shared parts of the daemon. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of the daemon.
pub struct Parts {
    /// The settings, read at the start.
    pub settings: Settings,
    /// The agents' workspace, where no profile chooses another one.
    pub workspace: Workspace,
    /// All workspaces.
    pub workspaces: Workspaces,
    /// The models.
    pub llm: LlmClient,
    /// The backend.
    pub backend: Arc<Backend>,
    /// The runs in flight.
    pub runs: Runs,
    /// What detached runs tell here.
    pub feeds: Feeds,
    /// The sessions in use.
    pub sessions: Sessions,
    /// Model usage since the start.
    pub book: Arc<UsageBook>,
    /// Notifies callers' servers of the end of runs.
    pub webhooks: Webhooks,
    /// The Prometheus metrics.
    pub metrics: Metrics,
    /// The tools of the roles of that workspace.
    pub tools: Arc<Tools>,
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Why the daemon could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The HTTP client.
    #[error("the HTTP client could not be created: {}", service::http::explain(.0))]
    Http(#[from] reqwest::Error),
    /// The models.
    #[error(transparent)]
    Llm(#[from] LlmConfigError),
    /// There is no default workspace, which cannot be.
    #[error("there is no workspace")]
    NoWorkspace,
    /// The metrics.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] service::metrics::BuildError),
}

impl App {
    /// Puts the parts together; makes no request.
    ///
    /// # Errors
    /// When models, HTTP client or metrics cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let http = service::http::client()?;
        let opened = workspaces::open(&settings);
        let client = settings.backend.client(http.clone(), settings.backend_retry);
        let named = &settings.llm;
        let models = [
            Some(&named.default),
            named.cheap.as_ref(),
            named.best.as_ref(),
            named.fallback.as_ref(),
        ];
        let models = models.into_iter().flatten().cloned().collect();
        let book = Arc::new(UsageBook::default());
        let runs = Runs::new(settings.max_concurrent_runs, book.clone());
        let tracker = runs.tracker().clone();
        let all: Vec<Workspace> =
            opened.iter().map(|(_, _, workspace)| workspace.clone()).collect();
        let served = move || workspaces::roles_of(&all);
        let backend = Arc::new(Backend::new(client, settings.minter.clone()).serving(served));
        let llm = LlmClient::new(settings.llm.clone(), http.clone())?;
        let workspaces = Workspaces::new(opened, &settings, &backend, http.library(), &llm);
        let default = workspaces.of(DEFAULT_WORKSPACE).cloned();
        let Served { workspace, tools } = default.ok_or(SetupError::NoWorkspace)?;
        Ok(Self(Arc::new(Parts {
            llm,
            backend,
            webhooks: Webhooks::new(
                settings.webhook_allow_private,
                settings.webhook_secret.clone(),
                settings.backend_retry.delay,
                tracker,
            ),
            metrics: Metrics::new(models)?,
            runs,
            sessions: Sessions::default(),
            feeds: Feeds::default(),
            book,
            tools,
            workspace,
            workspaces,
            settings,
        })))
    }
}
