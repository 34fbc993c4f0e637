//! All tools of the daemon: what roles may get, from every source, kept up to date.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mc_client::tools::BackendTool;
use mc_client::types::Capabilities;
use openapi_tools::Document;
use serde_json::{Value, json};
use wombat_core::advice::KnownTools;
use wombat_core::agent_config::AgentProfile;
use wombat_core::session::Role;
use wombat_core::workspace::Snapshot;

use super::backend_tools;
use super::catalogue::Catalogue;
use super::mcp::{Listed, McpServers};
use super::openapi::{self, Named, OpenApiPlace};
use super::refreshing_cache::RefreshingCache;
use super::set::ToolSet;
use crate::backend::Backend;

/// How many roles' tool sets are kept.
const MAX_CACHED: usize = 256;

/// The sources of tools, and what was made of them.
#[derive(Debug)]
pub struct Tools {
    openapi: Option<RefreshingCache<Document>>,
    backend: RefreshingCache<Vec<BackendTool>>,
    mcp: McpServers,
    made: Mutex<Option<Made>>,
}

/// How the sources are, for `/health`.
#[derive(Debug)]
pub struct SourcesReport {
    /// Whether none is missing.
    pub is_well: bool,
    /// `{openapi?, backend?, mcp: {name: …}}`, each with `status` and, where they are known, its
    /// number of `tools`, its `problems` and its `error`.
    pub sources: Value,
}

/// The tools made of one state of all sources.
#[derive(Debug)]
struct Made {
    from: Sources,
    catalogue: Arc<Catalogue>,
    sets: HashMap<Role, Arc<ToolSet>>,
}

/// One state of all sources.
#[derive(Debug, Clone)]
struct Sources {
    snapshot: Arc<Snapshot>,
    capabilities: Arc<Capabilities>,
    document: Option<Arc<Document>>,
    backend: Option<Arc<Vec<BackendTool>>>,
    mcp: Vec<Listed>,
}

impl Sources {
    /// Whether nothing has changed. What is the same is the same object.
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

impl Tools {
    /// Nothing is fetched or started yet. Programs of MCP servers are started in `workspace`.
    pub fn new(
        openapi: Option<OpenApiPlace>,
        backend: &Arc<Backend>,
        http: reqwest::Client,
        workspace: PathBuf,
    ) -> Self {
        let agent = |backend: &Arc<Backend>| {
            let backend = backend.clone();
            move || backend.own_agent().map_err(|error| error.to_string())
        };
        let mounted = url::Url::parse(backend.url()).map(|url| url.path().to_owned());
        let mounted = mounted.unwrap_or_default();
        Self {
            openapi: openapi.map(|place| openapi::cached(place, agent(backend), mounted)),
            backend: backend_tools::cached(agent(backend)),
            mcp: McpServers::new(http, workspace),
            made: Mutex::default(),
        }
    }

    /// Begins to fetch and start what will be wanted, so that no run need wait for it.
    pub fn warm_up(&self, snapshot: &Snapshot) {
        if let Some(openapi) = &self.openapi {
            openapi.refresh();
        }
        self.mcp.reconcile(snapshot.mcp());
    }

    /// The tools of a role. Waits for a source only while it is looked for the first time; one that
    /// is not there costs its own tools.
    pub async fn of_role(
        &self,
        snapshot: &Arc<Snapshot>,
        profile: &AgentProfile,
        capabilities: &Arc<Capabilities>,
    ) -> Arc<ToolSet> {
        let sources = self.sources(snapshot, capabilities).await;
        self.made(sources, |made| {
            let (from, catalogue) = (&made.from, &made.catalogue);
            let build =
                || Arc::new(ToolSet::build(&from.snapshot, profile, &from.capabilities, catalogue));
            made.sets.entry(profile.role.clone()).or_insert_with(build).clone()
        })
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

    /// Works on what is made of the sources as they are now.
    fn made<T>(&self, sources: Sources, work: impl FnOnce(&mut Made) -> T) -> T {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            made.take().filter(|made| made.from.same(&sources) && made.sets.len() < MAX_CACHED);
        let now = fits.unwrap_or_else(|| {
            let named =
                sources.document.as_ref().map(|document| Named::of(document, &sources.snapshot));
            let backend = sources.backend.as_ref().map_or(&[][..], |tools| tools.as_slice());
            let catalogue = Catalogue::collect(named.as_ref(), backend, &sources.mcp);
            for problem in &catalogue.openapi_problems {
                tracing::warn!("left out of the OpenAPI document: {problem}");
            }
            for problem in &catalogue.backend_problems {
                tracing::warn!("left out of the backend's tools: {problem}");
            }
            for (server, problem) in &catalogue.mcp_problems {
                tracing::warn!(server, "left out of an MCP server's tools: {problem}");
            }
            Made { from: sources, catalogue: Arc::new(catalogue), sets: HashMap::new() }
        });
        work(made.insert(now))
    }

    /// How the sources are.
    pub fn report(&self, snapshot: &Snapshot) -> SourcesReport {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let catalogue = made.as_ref().map(|made| made.catalogue.clone());
        let offered = made.as_ref().is_some_and(|made| made.from.capabilities.has("tools"));
        drop(made);
        let mut report = json!({});
        if let Some(openapi) = &self.openapi {
            let (document, mut told) = openapi.report();
            if let Some(document) = document {
                told["operations"] = document.candidates().count().into();
            }
            if let Some(catalogue) = &catalogue {
                told["tools"] = catalogue.count(|tool| tool.is_openapi()).into();
                told["problems"] = catalogue.openapi_problems.clone().into();
            }
            report["openapi"] = told;
        }
        if offered {
            let (_, mut told) = self.backend.report();
            if let Some(catalogue) = &catalogue {
                told["tools"] = catalogue.count(|tool| tool.is_backend()).into();
                told["problems"] = catalogue.backend_problems.clone().into();
            }
            report["backend"] = told;
        }
        let problems = catalogue.as_ref().map_or(&[][..], |catalogue| &catalogue.mcp_problems);
        let servers = self.mcp.report(snapshot.mcp(), problems);
        let failed = |source: &Value| source["status"] == "error";
        let is_well = !report.as_object().into_iter().flatten().any(|(_, source)| failed(source))
            && !servers.as_object().into_iter().flatten().any(|(_, server)| failed(server));
        report["mcp"] = servers;
        SourcesReport { is_well, sources: report }
    }

    /// Asks all sources, and says what there is and what is wrong, for `wombat-daemon check`.
    pub async fn look_over(
        &self,
        snapshot: &Arc<Snapshot>,
        capabilities: &Arc<Capabilities>,
    ) -> (KnownTools, Vec<String>) {
        let mut wrong = Vec::new();
        if let Some(openapi) = &self.openapi
            && let Err(why) = openapi.settled().await
        {
            wrong.push(format!("WOMBAT_BACKEND_OPENAPI: {why}"));
        }
        if capabilities.has("tools")
            && let Err(why) = self.backend.settled().await
        {
            wrong.push(format!("the backend's tools (GET /api/tools): {why}"));
        }
        let sources = self.sources(snapshot, capabilities).await;
        let catalogue = self.made(sources, |made| made.catalogue.clone());
        let servers = self.mcp.report(snapshot.mcp(), &[]);
        for (name, server) in servers.as_object().into_iter().flatten() {
            if server["status"] != "ok" {
                let why = server["error"].as_str().unwrap_or("no answer in time");
                wrong.push(format!("mcp.json: {name}: {why}"));
            }
        }
        let complete = wrong.is_empty();
        let left_out = catalogue.openapi_problems.iter().map(|p| format!("OpenAPI: {p}"));
        wrong.extend(left_out);
        wrong.extend(catalogue.backend_problems.iter().map(|p| format!("GET /api/tools: {p}")));
        wrong.extend(catalogue.mcp_problems.iter().map(|(s, p)| format!("mcp.json: {s}: {p}")));
        let builtin = super::names().into_iter().map(str::to_owned);
        let outside = catalogue.tools.iter().map(|tool| tool.name().to_owned());
        let known = KnownTools {
            names: builtin.chain(outside).collect(),
            endpoints: catalogue.tools.iter().filter_map(|tool| tool.endpoint()).collect(),
            complete,
        };
        (known, wrong)
    }

    /// Stops what was started.
    pub async fn close(&self) {
        self.mcp.close().await;
    }
}
