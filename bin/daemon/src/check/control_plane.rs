//! Whether the backend answers: the control plane, and the application where it is another one.

use std::sync::Arc;

use mc_client::types::{CONTRACT_VERSION, Capabilities, Contract};
use service::backend_address::BackendAddress;
use service::trace::TraceId;

use super::{BACKEND_TIMEOUT, Report};
use crate::backend::{Backend, told_of_original};
use crate::settings::Settings;

/// Optional features that a backend should have, and what is lost without them.
const RECOMMENDED_FEATURES: [(&str, &str); 3] = [
    ("messages_list", "agents do not see the thread unless the caller sends it"),
    ("message_lookup", "a repeated run asks the model again"),
    ("tasks_get", "an unknown task is found out only when the reply is stored"),
];

impl Report {
    async fn application(&mut self, settings: &Settings, backend: &Backend) {
        let (url, variable) =
            (shown::url(&settings.backend.application), BackendAddress::APPLICATION_VARIABLE);
        match backend.reach_application().await {
            Ok(()) => self.good(format!("application: {url} answers")),
            Err(why) => {
                self.fail(format!("application: {url}: {why}; start it, or correct {variable}"))
            }
        }
    }

    /// Whether the control plane answers, and what it can do; beside it the application.
    pub(super) async fn backend(
        &mut self,
        settings: &Settings,
    ) -> Option<(Arc<Backend>, Arc<Capabilities>)> {
        let address = &settings.backend;
        let (url, variable) = (shown::url(&address.control_plane), address.control_plane_variable);
        let part = if address.is_split() { "control plane" } else { "backend" };
        let http = match service::http::client_builder().build() {
            Ok(http) => http,
            Err(error) => {
                let why = service::http::explain(&error);
                self.fail(format!("{part}: the HTTP client could not be created: {why}"));
                return None;
            }
        };
        let client = address.client(http, settings.backend_retry);
        let backend = Arc::new(Backend::new(client, settings.minter.clone()));
        let trace = TraceId::random();
        let asked =
            tokio::time::timeout(BACKEND_TIMEOUT, backend.fetch_capabilities(&trace.traceparent()))
                .await;
        let capabilities = match asked {
            Ok(Ok(capabilities)) => capabilities,
            Ok(Err(error)) if error.is_auth() => {
                self.fail(format!("{part}: {url}: {}", error.rejection_at(variable)));
                return None;
            }
            Ok(Err(error)) if error.is_in_between() => {
                self.fail(format!("{part}: {url}: {error}"));
                return None;
            }
            Ok(Err(error)) if error.is_tls() => {
                self.fail(format!("{part} ({variable}): {error}"));
                return None;
            }
            Ok(Err(error)) => {
                let correct = correct(address);
                self.fail(format!("{part}: {url}: {error}; start it, or {correct}"));
                return None;
            }
            Err(_) => {
                self.fail(format!("{part}: {url} does not answer (timeout); is it overloaded?"));
                return None;
            }
        };
        let theirs = &capabilities.contract_version;
        match capabilities.contract() {
            Contract::Same => {
                self.good(format!("{part}: {url} answers and speaks contract {theirs}"));
            }
            Contract::Original => {
                self.good(format!("{part}: {url} answers and speaks contract {CONTRACT_VERSION}"));
                self.warn(format!("{part}: {}", told_of_original(theirs)));
            }
            Contract::Unknown => {
                self.fail(format!(
                    "{part}: {url} does not report its capabilities (GET /api/mission-control/capabilities); \
                     see docs/CONTROL_PLANE_CONTRACT.md, or {}",
                    correct(address)
                ));
                return None;
            }
            Contract::Other => {
                self.fail(format!(
                    "{part}: {url} speaks contract {theirs:?}, and this daemon {CONTRACT_VERSION:?}; \
                     update the older one"
                ));
                return None;
            }
        }
        if address.is_split() {
            self.application(settings, &backend).await;
        }
        for feature in &settings.customers.required {
            if !capabilities.has(feature) {
                self.fail(format!(
                    "{part}: it does not announce {feature}, which WOMBAT_REQUIRED_FEATURES names: no run \
                     starts; add it there, or take it out of the setting"
                ));
            }
        }
        for (feature, without) in RECOMMENDED_FEATURES {
            if !capabilities.has(feature) {
                self.warn(format!("{part}: it lacks {feature}: {without}; add it when you can"));
            }
        }
        Some((backend, capabilities))
    }
}

/// Which address of the control plane to correct. Where none is set, it may be an application's own.
fn correct(address: &BackendAddress) -> String {
    let variable = address.control_plane_variable;
    match variable == BackendAddress::APPLICATION_VARIABLE {
        true => format!(
            "correct {variable}; where that is an application with wombat-mission-control beside it, set \
             WOMBAT_CONTROL_PLANE_URL to the latter's address"
        ),
        false => {
            format!("correct {variable} (and MC_PORT of wombat-mission-control, where it listens)")
        }
    }
}
