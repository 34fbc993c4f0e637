//! All tool sources of the daemon, kept up to date, and the tool sets of the roles.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llm::LlmClient;
use mc_client::tools::BackendTools;
use mc_client::types::Capabilities;
use openapi_tools::Document;
use serde_json::{Value, json};
use tokio::runtime::RuntimeFlavor;
use wombat_core::advice::KnownTools;
use wombat_core::agent_config::AgentProfile;
use wombat_core::session::Role;
use wombat_core::workspace::Snapshot;

use super::backend_tools;
use super::catalogue::Catalogue;
use super::mcp::{Listed, McpServers};
use super::model_forms::{self, ModelForm};
use super::openapi::{self, NamedOperations, OpenApiPlace};
use super::operations::BackendOperations;
use super::refreshing_cache::RefreshingCache;
use super::set::ToolSet;
use crate::backend::Backend;

/// How many roles' tool sets are cached.
const MAX_CACHED: usize = 256;

/// The sources of tools, and the tool sets built from them.
#[derive(Debug)]
pub struct Tools {
    openapi: Option<RefreshingCache<Document>>,
    backend: RefreshingCache<BackendTools>,
    mcp: McpServers,
    llm: LlmClient,
    built: Mutex<Option<Built>>,
    /// The warnings of patterns that match nothing, as they have been logged.
    warned: Mutex<Vec<String>>,
    /// Held while something is built, so that a crowd builds it once.
    building: tokio::sync::Mutex<()>,
}

/// The state of the sources, for `/health`.
#[derive(Debug)]
pub struct SourcesReport {
    /// Whether no source has failed.
    pub is_well: bool,
    /// `{openapi?, backend?, mcp: {name: …}}`, each with `status` and, where they are known, its
    /// number of `tools`, its `problems` and its `error`; and `models: {model: {left_out?, cut?,
    /// mapped?}}`, what differs at the providers, once a role has been run.
    pub sources: Value,
}

/// All that the sources offer, for `wombat-daemon check`.
#[derive(Debug)]
pub struct Inspection {
    /// The tools.
    pub known: KnownTools,
    /// What costs tools, or a part of their descriptions.
    pub problems: Vec<String>,
    /// What has another name at a provider.
    pub mapped: Vec<String>,
}

/// The tools built from one state of all sources.
#[derive(Debug)]
struct Built {
    from: Sources,
    catalogue: Arc<Catalogue>,
    operations: Arc<BackendOperations>,
    sets: HashMap<Role, Arc<ToolSet>>,
}

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
    fn of(from: Sources, has_openapi: bool) -> Self {
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
        let operations =
            BackendOperations::collect(document, backend, &catalogue, from.snapshot.mcp());
        let (catalogue, operations) = (Arc::new(catalogue), Arc::new(operations));
        Self { from, catalogue, operations, sets: HashMap::new() }
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
    ) -> Self {
        let agent = |backend: &Arc<Backend>| {
            let backend = backend.clone();
            move || backend.system_agent().map_err(|error| error.to_string())
        };
        let mounted = url::Url::parse(backend.url()).map(|url| url.path().to_owned());
        let mounted = mounted.unwrap_or_default();
        Self {
            openapi: openapi.map(|place| openapi::cached(place, agent(backend), mounted)),
            backend: backend_tools::cached(agent(backend)),
            mcp: McpServers::new(http, workspace),
            llm,
            built: Mutex::default(),
            warned: Mutex::default(),
            building: tokio::sync::Mutex::default(),
        }
    }

    /// Starts to fetch the document and to connect the MCP servers, so that no run has to wait.
    pub fn warm_up(&self, snapshot: &Snapshot) {
        if let Some(openapi) = &self.openapi {
            openapi.refresh();
        }
        self.mcp.reconcile(snapshot.mcp());
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
        let build_set = |built: &mut Built| {
            let (from, catalogue) = (&built.from, &built.catalogue);
            let build = || {
                let (capabilities, operations) = (&from.capabilities, &built.operations);
                let set =
                    ToolSet::build(&from.snapshot, profile, capabilities, catalogue, operations);
                model_forms::log(&profile.role, &self.forms(&set));
                Arc::new(set)
            };
            if let Some(known) = built.sets.get(&profile.role) {
                return known.clone();
            }
            built.sets.entry(profile.role.clone()).or_insert(apart(build)).clone()
        };
        self.with_built(sources, build_set).await
    }

    /// What the models' providers take of a role's tools now: they may have refused some since.
    fn forms(&self, set: &ToolSet) -> Vec<ModelForm> {
        model_forms::of_tools(&self.llm, set.specs())
    }

    async fn sources(&self, snapshot: &Arc<Snapshot>, capabilities: &Arc<Capabilities>) -> Sources {
        let document = async {
            match &self.openapi {
                Some(openapi) => openapi.get().await,
                None => None,
            }
        };
        let backend =
            async { if capabilities.has("tools") { self.backend.get().await } else { None } };
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

    /// Works on what is built from these sources, building it if they have changed: on another thread,
    /// because there may be many schemas to compile.
    async fn with_built<T>(&self, sources: Sources, work: impl FnOnce(&mut Built) -> T) -> T {
        let fits =
            |built: &Option<Built>| built.as_ref().is_some_and(|built| built.from.same(&sources));
        let _one = if fits(&self.lock()) { None } else { Some(self.building.lock().await) };
        let mut now = None;
        if !fits(&self.lock()) {
            let from = sources.clone();
            let has_openapi = self.openapi.is_some();
            now = tokio::task::spawn_blocking(move || Built::of(from, has_openapi)).await.ok();
            if let Some(built) = &now {
                self.warn_of_unmatched(&built.from, &built.operations);
            }
        }
        let mut place = self.lock();
        let kept = place.take().filter(|built| built.from.same(&sources));
        let built = place
            .insert(kept.or(now).unwrap_or_else(|| Built::of(sources, self.openapi.is_some())));
        if built.sets.len() >= MAX_CACHED {
            built.sets.clear();
        }
        work(built)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Built>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs, once, the patterns of roles that can match nothing, as far as all sources are known.
    fn warn_of_unmatched(&self, sources: &Sources, operations: &BackendOperations) {
        let has_document = self.openapi.is_none() || sources.document.is_some();
        let has_list = !sources.capabilities.has("tools") || sources.backend.is_some();
        if !has_document || !has_list {
            return;
        }
        let is_listed = |name: &String| sources.mcp.iter().any(|(server, _)| server.name() == name);
        let silent: Vec<String> = sources.snapshot.mcp().servers.keys().cloned().collect();
        let silent: Vec<_> = silent.into_iter().filter(|name| !is_listed(name)).collect();
        let mut now = Vec::new();
        for (role, lists) in sources.snapshot.tool_lists() {
            for pattern in sources.snapshot.unmatched_patterns(lists, &operations.known) {
                if !silent.iter().any(|name| pattern.starts_with(&format!("{name}__"))) {
                    now.push(format!("{pattern:?} of {role}"));
                }
            }
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for what in now.iter().filter(|what| !warned.contains(what)) {
            tracing::warn!("agent-config.json: {what} matches no tool and no endpoint of a skill");
        }
        *warned = now;
    }

    /// The state of the sources, for `/health`.
    pub fn report(&self, snapshot: &Snapshot) -> SourcesReport {
        let built = self.lock();
        let catalogue = built.as_ref().map(|built| built.catalogue.clone());
        let offered = built.as_ref().is_some_and(|built| built.from.capabilities.has("tools"));
        let sets = built.iter().flat_map(|built| built.sets.values());
        let forms: Vec<_> = sets.flat_map(|set| self.forms(set)).collect();
        let models = model_forms::report(&forms);
        drop(built);
        let mut report = json!({});
        if let Some(openapi) = &self.openapi {
            let (document, mut entry) = openapi.report();
            if let Some(document) = document {
                entry["operations"] = document.candidates().count().into();
            }
            if let Some(catalogue) = &catalogue {
                entry["tools"] = catalogue.count(|tool| tool.is_openapi()).into();
                entry["problems"] = catalogue.openapi_problems.clone().into();
            }
            report["openapi"] = entry;
        }
        if offered {
            let (_, mut entry) = self.backend.report();
            if let Some(catalogue) = &catalogue {
                entry["tools"] = catalogue.count(|tool| tool.is_backend()).into();
                entry["problems"] = catalogue.backend_problems.clone().into();
            }
            report["backend"] = entry;
        }
        let problems = catalogue.as_ref().map_or(&[][..], |catalogue| &catalogue.mcp_problems);
        let servers = self.mcp.report(snapshot.mcp(), problems);
        let failed = |source: &Value| source["status"] == "error";
        let is_well = !report.as_object().into_iter().flatten().any(|(_, source)| failed(source))
            && !servers.as_object().into_iter().flatten().any(|(_, server)| failed(server));
        report["mcp"] = servers;
        report["models"] = models;
        SourcesReport { is_well, sources: report }
    }

    /// Asks all sources for their tools, for `wombat-daemon check`.
    pub async fn inspect(
        &self,
        snapshot: &Arc<Snapshot>,
        capabilities: &Arc<Capabilities>,
    ) -> Inspection {
        let (mut problems, mut missing, mut silent_servers) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(openapi) = &self.openapi
            && let Err(why) = openapi.fetch_result().await
        {
            missing.push("WOMBAT_BACKEND_OPENAPI".to_owned());
            problems.push(format!("WOMBAT_BACKEND_OPENAPI: {why}"));
        }
        if capabilities.has("tools")
            && let Err(why) = self.backend.fetch_result().await
        {
            missing.push("the backend's tools".to_owned());
            problems.push(format!("the backend's tools (GET /api/tools): {why}"));
        }
        let sources = self.sources(snapshot, capabilities).await;
        let look = |built: &mut Built| {
            let mut roles: Vec<_> = snapshot.agents().into_iter().map(|agent| agent.role).collect();
            if roles.is_empty() {
                // Any role can be addressed.
                roles.extend("agent".parse::<Role>());
            }
            let (from, catalogue) = (&built.from, &built.catalogue);
            let forms = roles.iter().flat_map(|role| {
                let profile = snapshot.agent(role);
                let (capabilities, operations) = (&from.capabilities, &built.operations);
                let set = ToolSet::build(snapshot, &profile, capabilities, catalogue, operations);
                self.forms(&set)
            });
            let (lost, mapped) = model_forms::lines(&forms.collect::<Vec<_>>());
            (built.catalogue.clone(), built.operations.clone(), lost, mapped)
        };
        let (catalogue, operations, lost, mapped) = self.with_built(sources, look).await;
        let servers = self.mcp.report(snapshot.mcp(), &[]);
        let mut left_out = Vec::new();
        for (name, server) in servers.as_object().into_iter().flatten() {
            if server["status"] != "ok" {
                let why = server["error"].as_str().unwrap_or("timeout");
                silent_servers.push(name.clone());
                problems.push(format!("mcp.json: {name}: {why}"));
            }
            let told = server["problems"].as_array().into_iter().flatten();
            let told = told.filter_map(|what| what.as_str());
            left_out.extend(told.map(|what| format!("mcp.json: {name}: {what}")));
        }
        problems.extend(left_out);
        let left_out = catalogue.openapi_problems.iter().map(|p| format!("OpenAPI: {p}"));
        problems.extend(left_out);
        problems.extend(catalogue.backend_problems.iter().map(|p| format!("GET /api/tools: {p}")));
        problems.extend(catalogue.mcp_problems.iter().map(|(s, p)| format!("mcp.json: {s}: {p}")));
        problems.extend(lost);
        let builtin = super::builtin_names().into_iter().map(str::to_owned);
        let external = catalogue.tools.iter().map(|tool| tool.name().to_owned());
        let known = KnownTools {
            names: builtin.chain(external).collect(),
            operations: operations.known.clone(),
            missing,
            silent_servers,
        };
        Inspection { known, problems, mapped }
    }

    /// Disconnects the MCP servers and stops their programs.
    pub async fn close(&self) {
        self.mcp.close().await;
    }
}

/// Does work that may take long, where the runtime can let others go on meanwhile.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
