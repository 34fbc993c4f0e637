//! All tool sources of the daemon, kept up to date, and the tool sets of the roles.

mod inspect;
mod listing;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use llm::LlmClient;
use mc_client::tools::BackendTools;
use mc_client::types::Capabilities;
use openapi_tools::Document;
use wombat_core::agent_config::AgentProfile;
use wombat_core::mcp_config::tool_prefix;
use wombat_core::session::Role;
use wombat_core::workspace::Snapshot;

pub use self::inspect::{DocumentState, Inspection};
use super::backend_tools;
use super::catalogue::Catalogue;
use super::discovery::{OpenApiPlace, Source};
use super::latest::{Latest, apart};
use super::mcp::{Listed, McpServers};
use super::model_forms::{self, ModelForm};
use super::openapi::{self, NamedOperations};
use super::operations::BackendOperations;
use super::refreshing_cache::RefreshingCache;
use super::replayed::CaseTool;
use super::set::ToolSet;
use super::source_state::{SourcesState, ToolCounts};
use crate::backend::Backend;

/// How many roles' tool sets are cached.
const MAX_CACHED: usize = 256;

/// How long a document is used that lacks endpoints which a skill declares: the application may be about to
/// get them.
const INCOMPLETE_TTL: Duration = Duration::from_secs(15);

/// The sources of tools, and the tool sets built from them.
#[derive(Debug)]
pub struct Tools {
    openapi: Option<RefreshingCache<Document>>,
    /// Where the document is.
    source: Option<Arc<Source>>,
    /// The workspace for which the document was read.
    read_for: ArcSwapOption<Snapshot>,
    application: Arc<Backend>,
    backend: RefreshingCache<BackendTools>,
    mcp: McpServers,
    llm: LlmClient,
    /// There may be many schemas to compile.
    built: Latest<Built>,
    /// The warnings of patterns that match nothing, as they have been logged.
    warned: Arc<Mutex<Vec<String>>>,
    /// How many tools a model is given at once.
    direct: usize,
}

/// The tools built from one state of all sources.
#[derive(Debug)]
struct Built {
    from: Sources,
    catalogue: Arc<Catalogue>,
    operations: Arc<BackendOperations>,
    /// Whether a skill declares an endpoint that the document does not have.
    is_incomplete: bool,
    /// How many tools a model is given at once.
    direct: usize,
    /// By role, and by the customer's rules that narrow it.
    sets: Mutex<HashMap<SetKey, Arc<ToolSet>>>,
}

/// A role, and the customer's rules that narrow it.
type SetKey = (Role, Option<String>);

/// A consistent view of all sources.
#[derive(Debug, Clone)]
struct Sources {
    snapshot: Arc<Snapshot>,
    capabilities: Arc<Capabilities>,
    document: Option<Arc<Document>>,
    backend: Option<Arc<BackendTools>>,
    mcp: Vec<Listed>,
}

impl Sources {
    /// Whether nothing has changed. Unchanged values are the same objects.
    fn same(&self, other: &Self) -> bool {
        let same_tools =
            |(a, b): (&Listed, &Listed)| Arc::ptr_eq(&a.0, &b.0) && Arc::ptr_eq(&a.1, &b.1);
        Arc::ptr_eq(&self.snapshot, &other.snapshot)
            && self.capabilities == other.capabilities
            && same(self.document.as_ref(), other.document.as_ref())
            && same(self.backend.as_ref(), other.backend.as_ref())
            && self.mcp.len() == other.mcp.len()
            && self.mcp.iter().zip(&other.mcp).all(same_tools)
    }
}

fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl Built {
    /// Compiles all schemas. `has_openapi`: whether there should be a document.
    fn of(from: Sources, has_openapi: bool, direct: usize) -> Self {
        let named =
            from.document.as_ref().map(|document| NamedOperations::of(document, &from.snapshot));
        let backend = from.backend.as_deref();
        let catalogue = Catalogue::collect(named.as_ref(), backend, &from.mcp);
        for problem in &catalogue.openapi_problems {
            tracing::warn!("OpenAPI document: {problem}");
        }
        for problem in &catalogue.backend_problems {
            tracing::warn!("backend's tools: {problem}");
        }
        for (server, problem) in &catalogue.mcp_problems {
            tracing::warn!(server, "MCP server's tools: {problem}");
        }
        let document = (from.document.as_ref(), has_openapi);
        let offered = backend.map_or(&[][..], |backend| &backend.tools);
        let operations =
            BackendOperations::collect(document, offered, &catalogue, from.snapshot.mcp());
        let (catalogue, operations) = (Arc::new(catalogue), Arc::new(operations));
        let is_incomplete = from.document.is_some() && operations.lacks_declared(&from.snapshot);
        Self { from, catalogue, operations, is_incomplete, direct, sets: Mutex::default() }
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<SetKey, Arc<ToolSet>>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tools of a role, for a snapshot with these sources.
    fn set(&self, snapshot: &Arc<Snapshot>, profile: &AgentProfile) -> ToolSet {
        let (capabilities, operations) = (&self.from.capabilities, &self.operations);
        let of = (&**snapshot, profile);
        ToolSet::build(of, capabilities, &self.catalogue, operations, self.direct)
    }

    /// Logs, once, the patterns of roles that can match nothing, as far as all sources are known.
    fn warn_of_unmatched(
        &self,
        has_openapi: bool,
        may_offer_tools: bool,
        warned: &Mutex<Vec<String>>,
    ) {
        let (sources, operations) = (&self.from, &self.operations);
        let has_document = !has_openapi || sources.document.is_some();
        let has_list = !may_offer_tools || sources.backend.is_some();
        if !has_document || !has_list {
            return;
        }
        let is_listed = |name: &String| sources.mcp.iter().any(|(server, _)| server.name() == name);
        let silent: Vec<String> = sources.snapshot.mcp().servers.keys().cloned().collect();
        let silent: Vec<_> = silent.into_iter().filter(|name| !is_listed(name)).collect();
        let mut now = Vec::new();
        for (role, lists) in sources.snapshot.tool_lists() {
            for pattern in sources.snapshot.unmatched_patterns(lists, &operations.known) {
                if !silent
                    .iter()
                    .any(|name| pattern.starts_with(&format!("{}__", tool_prefix(name))))
                {
                    now.push(format!("{pattern:?} of {role}"));
                }
            }
        }
        let mut warned = warned.lock().unwrap_or_else(PoisonError::into_inner);
        for what in now.iter().filter(|what| !warned.contains(what)) {
            tracing::warn!("agent-config.json: {what} matches no tool and no endpoint of a skill");
        }
        *warned = now;
    }
}

impl Tools {
    /// The sources; nothing is fetched or started yet. Programs of MCP servers run in `workspace`.
    pub fn new(
        openapi: Option<OpenApiPlace>,
        backend: &Arc<Backend>,
        http: reqwest::Client,
        workspace: PathBuf,
        llm: LlmClient,
        direct: usize,
    ) -> Self {
        let agent = |backend: &Arc<Backend>| {
            let backend = backend.clone();
            move || backend.system_agent().map_err(|error| error.to_string())
        };
        let mounted = url::Url::parse(backend.application_url()).map(|url| url.path().to_owned());
        let mounted = mounted.unwrap_or_default();
        let source = openapi.map(|place| {
            let (http, application) = (http.clone(), backend.application_url().to_owned());
            Arc::new(Source { place, agent: Arc::new(agent(backend)), http, application })
        });
        Self {
            openapi: source.clone().map(|source| openapi::cached(source, mounted)),
            source,
            read_for: ArcSwapOption::empty(),
            application: backend.clone(),
            backend: backend_tools::cached(agent(backend), backend.is_split()),
            mcp: McpServers::new(http, workspace),
            llm,
            built: Latest::default(),
            warned: Arc::default(),
            direct,
        }
    }

    /// Starts to fetch the document and to connect the MCP servers, so that no run has to wait.
    pub fn warm_up(&self, snapshot: &Arc<Snapshot>) {
        if let Some(openapi) = &self.openapi {
            self.follow(openapi, snapshot);
            openapi.refresh();
        }
        self.mcp.reconcile(snapshot.mcp());
    }

    /// Fetches the document again when the workspace refers to other operations than before: the
    /// application may have got them with the skill.
    fn follow(&self, openapi: &RefreshingCache<Document>, snapshot: &Arc<Snapshot>) {
        let before = self.read_for.load();
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, snapshot)) {
            return;
        }
        self.read_for.store(Some(snapshot.clone()));
        let refers_to_others = |before: &Arc<Snapshot>| {
            let declared = |s: &Snapshot| -> Vec<_> {
                s.endpoints().iter().map(|declared| declared.pattern.to_string()).collect()
            };
            declared(before) != declared(snapshot) || !before.tool_lists().eq(snapshot.tool_lists())
        };
        if before.as_ref().is_some_and(refers_to_others) {
            openapi.outdate();
        }
    }

    /// The tools of a role. Waits for a source only the first time; an unavailable source costs only its
    /// own tools.
    pub async fn of_role(
        &self,
        snapshot: &Arc<Snapshot>,
        profile: &AgentProfile,
        capabilities: &Arc<Capabilities>,
    ) -> Arc<ToolSet> {
        let sources = self.sources(snapshot, capabilities).await;
        let built = self.built(sources).await;
        let rules = profile.tools.customer().map(|rules| rules.id().to_owned());
        let key = (profile.role.clone(), rules);
        if let Some(set) = built.sets().get(&key) {
            return set.clone();
        }
        // Schemas are compiled: nobody else waits for that, also not for the lock.
        let (from, of, profile_of) = (built.clone(), snapshot.clone(), profile.clone());
        let set = apart(move || Arc::new(from.set(&of, &profile_of))).await;
        let mut sets = built.sets();
        if sets.len() >= MAX_CACHED {
            sets.clear();
        }
        let is_new = !sets.contains_key(&key);
        let set = sets.entry(key).or_insert(set).clone();
        drop(sets);
        if is_new {
            model_forms::log(&profile.role, &self.forms(&set));
        }
        set
    }

    /// All tools that are not built in, as a case has them.
    pub async fn as_of_cases(
        &self,
        snapshot: &Arc<Snapshot>,
        capabilities: &Arc<Capabilities>,
    ) -> Vec<CaseTool> {
        let sources = self.sources(snapshot, capabilities).await;
        let built = self.built(sources).await;
        built.catalogue.tools.iter().map(|tool| tool.as_of_case()).collect()
    }

    /// What the models' providers take of a role's tools now: they may have refused some since.
    fn forms(&self, set: &ToolSet) -> Vec<ModelForm> {
        model_forms::of_tools(&self.llm, set.specs())
    }

    async fn sources(&self, snapshot: &Arc<Snapshot>, capabilities: &Arc<Capabilities>) -> Sources {
        let document = async {
            match &self.openapi {
                Some(openapi) => {
                    self.follow(openapi, snapshot);
                    openapi.get().await
                }
                None => None,
            }
        };
        let may_offer = self.application.may_offer_tools(capabilities);
        let backend = async { if may_offer { self.backend.get().await } else { None } };
        let (document, backend, mcp) =
            tokio::join!(document, backend, self.mcp.get(snapshot.mcp()));
        Sources {
            snapshot: snapshot.clone(),
            capabilities: capabilities.clone(),
            document,
            backend,
            mcp,
        }
    }

    /// What is built from these sources.
    async fn built(&self, sources: Sources) -> Arc<Built> {
        let (from, has_openapi) = (sources.clone(), self.openapi.is_some());
        let may_offer_tools = self.application.may_offer_tools(&sources.capabilities);
        let (warned, direct) = (self.warned.clone(), self.direct);
        let build = move || {
            let built = Built::of(from, has_openapi, direct);
            built.warn_of_unmatched(has_openapi, may_offer_tools, &warned);
            built
        };
        let built = self.built.get_or_make(|built| built.from.same(&sources), build).await;
        if let Some(openapi) = self.openapi.as_ref().filter(|_| built.is_incomplete) {
            openapi.refresh_older_than(INCOMPLETE_TTL);
        }
        built
    }

    /// The state of the sources, for `/health`; of models only those that a role has been run with.
    pub fn report(&self, snapshot: &Snapshot) -> SourcesState {
        let built = self.built.get();
        let catalogue = built.as_ref().map(|built| built.catalogue.clone());
        let offered = built
            .as_ref()
            .is_some_and(|built| self.application.may_offer_tools(&built.from.capabilities));
        let sets: Vec<_> = built
            .iter()
            .flat_map(|built| built.sets().clone().into_iter().collect::<Vec<_>>())
            .collect();
        let forms: Vec<_> = sets.iter().flat_map(|(_, set)| self.forms(set)).collect();
        // Of a role as it is, without a customer's rules.
        let of_roles = sets.iter().filter(|((_, customer), _)| customer.is_none());
        let deferring = of_roles.filter(|(_, set)| !set.deferred_names().is_empty());
        let count = |set: &ToolSet| ToolCounts {
            direct: set.specs().len(),
            deferred: set.deferred_names().len(),
        };
        let deferred = deferring.map(|((role, _), set)| (role.to_string(), count(set))).collect();
        let openapi = self.openapi.as_ref().map(|openapi| {
            let (document, mut state) = openapi.state();
            state.operations = document.map(|document| document.candidates().count());
            if let Some(catalogue) = &catalogue {
                state.tools = Some(catalogue.count(|tool| tool.is_openapi()));
                state.problems = Some(catalogue.openapi_problems.clone());
            }
            state
        });
        let backend = offered.then(|| {
            let (_, mut state) = self.backend.state();
            if let Some(catalogue) = &catalogue {
                state.tools = Some(catalogue.count(|tool| tool.is_backend()));
                state.problems = Some(catalogue.backend_problems.clone());
            }
            state
        });
        let problems = catalogue.as_ref().map_or(&[][..], |catalogue| &catalogue.mcp_problems);
        let mcp = self.mcp.states(snapshot.mcp(), problems);
        SourcesState { openapi, backend, mcp, deferred, models: model_forms::report(&forms) }
    }

    /// Disconnects the MCP servers and stops their programs.
    pub async fn close(&self) {
        self.mcp.close().await;
    }
}
