//! The workspaces of a daemon: the one of `WOMBAT_WORKSPACE`, and those that customers' profiles may choose
//! (`WOMBAT_WORKSPACES`). Each has tools of its own: its MCP servers, and its skills' endpoints.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llm::LlmClient;
use wombat_core::agent_config::AgentProfile;
use wombat_core::redact::RedactRules;
use wombat_core::session::Role;
use wombat_core::workspace::{RoleError, Snapshot, WatchGuard, Workspace, WorkspaceOptions};

use crate::backend::Backend;
use crate::run::customer::{Customer, DEFAULT_WORKSPACE};
use crate::settings::{Settings, lookup};
use crate::tools::Tools;

/// A workspace, and the tools that its roles have.
#[derive(Clone)]
pub struct Served {
    /// The folder.
    pub workspace: Workspace,
    /// Its tools.
    pub tools: Arc<Tools>,
}

/// What a run works with.
pub struct Chosen {
    /// The workspace as it is now; the same one to the end of the run.
    pub snapshot: Arc<Snapshot>,
    /// The role, narrowed by the customer's rules.
    pub profile: AgentProfile,
    /// The workspace's tools.
    pub tools: Arc<Tools>,
}

/// All workspaces, by name.
pub struct Workspaces(Vec<(String, Served)>);

/// The folders by their names, the default one first. They are read, and nothing else is done.
pub fn open(settings: &Settings) -> Vec<(String, PathBuf, Workspace)> {
    let named = settings.customers.workspaces.iter();
    let named = named.map(|(name, path)| (name.as_str(), path, rules_of(settings, path)));
    let config = settings.agent_config.clone();
    let all = std::iter::once((DEFAULT_WORKSPACE, &settings.workspace, config)).chain(named);
    let opened = all.map(|(name, path, agent_config)| {
        let options = options(settings, path.clone(), agent_config);
        (name.to_owned(), path.clone(), Workspace::open(options))
    });
    opened.collect()
}

/// Where `agent-config.json` is looked for beside a folder's files.
fn own_rules(folder: &Path) -> Option<PathBuf> {
    let places = [folder.join("agent-config.json"), folder.join("../config/agent-config.json")];
    places.into_iter().find(|place| place.is_file())
}

/// The rules of a further workspace that has none of its own: those of the default one, so that a profile
/// which chooses it takes no rule away. `None` where it has its own, or there are none at all.
pub fn rules_of(settings: &Settings, folder: &Path) -> Option<PathBuf> {
    match own_rules(folder) {
        Some(_) => None,
        None => settings.agent_config.clone().or_else(|| own_rules(&settings.workspace)),
    }
}

/// How a folder is read.
pub fn options(
    settings: &Settings,
    path: PathBuf,
    agent_config: Option<PathBuf>,
) -> WorkspaceOptions {
    WorkspaceOptions {
        path,
        agent_config,
        max_file_chars: settings.max_file_chars,
        skills_mode: settings.skills_mode,
        // Variables are looked up when the workspace is loaded, never on a request.
        env: lookup(&settings.variables),
        is_secret: service::settings::names::is_own_secret,
    }
}

impl Workspaces {
    /// Opened workspaces with tools of their own.
    pub fn new(
        opened: Vec<(String, PathBuf, Workspace)>,
        settings: &Settings,
        backend: &Arc<Backend>,
        http: &reqwest::Client,
        llm: &LlmClient,
    ) -> Self {
        let served = opened.into_iter().map(|(name, path, workspace)| {
            let (openapi, http) = (settings.openapi.clone(), http.clone());
            let tools =
                Tools::new(openapi, backend, http, path, llm.clone(), settings.tools_direct);
            (name, Served { workspace, tools: Arc::new(tools) })
        });
        Self(served.collect())
    }

    /// The workspace of a name.
    pub fn of(&self, name: &str) -> Option<&Served> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, served)| served)
    }

    /// The names, the default one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there are others than the default one.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The snapshots as they are now, the default one's first.
    pub fn snapshots(&self) -> impl Iterator<Item = Arc<Snapshot>> {
        self.0.iter().map(|(_, served)| served.workspace.snapshot())
    }

    /// Whether any of them has this role.
    pub fn have_role(&self, role: &str) -> bool {
        self.snapshots().any(|snapshot| snapshot.has_role(role))
    }

    /// A snapshot of which a run of this role may start, the default one's if that is one.
    ///
    /// # Errors
    /// Why the default one cannot be used, where none can.
    pub fn admit(&self, role: &str) -> Result<Arc<Snapshot>, RoleError> {
        let mut refused = None;
        for snapshot in self.snapshots() {
            match snapshot.admit(role) {
                Ok(_) => return Ok(snapshot),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| RoleError::Workspace("there is no workspace".to_owned())))
    }

    /// What a run of this role works with, as its customer has it.
    ///
    /// # Errors
    /// When the workspace cannot be used, or has no such role.
    pub fn for_run(&self, customer: &Customer, role: &str) -> Result<Chosen, RoleError> {
        let chosen = self.of(&customer.workspace).ok_or_else(|| {
            let name = &customer.workspace;
            RoleError::Workspace(format!("workspace {name:?} is none of WOMBAT_WORKSPACES"))
        })?;
        let of = |served: &Served| {
            let snapshot = served.workspace.snapshot();
            let profile = snapshot.admit(role)?.narrowed(customer.rules.as_ref());
            Ok(Chosen { snapshot, profile, tools: served.tools.clone() })
        };
        match of(chosen) {
            // A stored reply is told whichever workspace it was made in.
            Err(refused) if customer.is_unread => {
                let mut others = self.0.iter().map(|(_, served)| of(served));
                others.find_map(Result::ok).ok_or(refused)
            }
            chosen => chosen,
        }
    }

    /// What any role keeps from providers: model calls that belong to no role keep it from them, too.
    pub fn redact_of_all(&self) -> Option<RedactRules> {
        let snapshots: Vec<_> = self.snapshots().collect();
        RedactRules::of_provider(snapshots.iter().flat_map(|snapshot| snapshot.redacts()))
    }

    /// Watches all folders.
    pub fn watch(&self) -> Vec<WatchGuard> {
        self.0.iter().map(|(_, served)| served.workspace.watch()).collect()
    }

    /// See [`Tools::warm_up`].
    pub fn warm_up(&self) {
        for (_, served) in &self.0 {
            served.tools.warm_up(&served.workspace.snapshot());
        }
    }

    /// See [`Tools::close`].
    pub async fn close(&self) {
        for (_, served) in &self.0 {
            served.tools.close().await;
        }
    }
}

/// The roles of all workspaces, each once.
pub fn roles_of(workspaces: &[Workspace]) -> Vec<Role> {
    let mut seen = BTreeSet::new();
    let snapshots = workspaces.iter().map(Workspace::snapshot);
    let roles = snapshots.flat_map(|snapshot| snapshot.agents());
    roles.map(|agent| agent.role).filter(|role| seen.insert(role.clone())).collect()
}
