//! The hooks that there are, with their secrets.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use service::settings::{Variables, names};
use wombat_core::hooks::{self, Found, Hook};

use super::Hooks;

/// What there is under a name.
pub(super) enum Known {
    /// Nothing.
    Unknown,
    /// A hook that cannot be used, with the reasons.
    Broken(Vec<String>),
    /// A hook that can be used.
    Ready(Box<Ready>),
}

/// A hook with its secrets.
pub(super) struct Ready {
    pub(super) hook: Hook,
    pub(super) secrets: Vec<SecretString>,
    /// Variables that are not set, while another one is.
    without: Vec<String>,
}

/// Looks a hook up in the folder: an edit counts with the next event.
fn look_up(workspace: &Path, variables: &Variables, name: &str) -> Known {
    let hook = match hooks::read(workspace, name) {
        Found::Missing => return Known::Unknown,
        Found::Broken(problems) => {
            return Known::Broken(problems.iter().map(ToString::to_string).collect());
        }
        Found::Usable(hook) => *hook,
    };
    let (mut secrets, mut without) = (Vec::new(), Vec::new());
    for variable in &hook.secret_env {
        match variables.named(variable) {
            Some(secret) => secrets.push(SecretString::from(secret)),
            None => without.push(variable.clone()),
        }
    }
    if secrets.is_empty() {
        let problem = |variable: &String| {
            let (what, remedy) = match names::is_own_secret(variable) {
                true => ("is a secret of these programs", "give the hook one of its own"),
                false => ("is not set", "set it in the dispatcher's environment and restart it"),
            };
            format!("hooks/{name}.md: secret_env: {variable} {what}; {remedy}")
        };
        return Known::Broken(without.iter().map(problem).collect());
    }
    Known::Ready(Box::new(Ready { hook, secrets, without }))
}

impl Hooks {
    /// Looks up a hook, apart from the threads that serve others.
    pub(super) async fn find(&self, name: &str) -> Known {
        let (workspace, variables) = (self.workspace.clone(), self.variables.clone());
        let name = name.to_owned();
        let found =
            tokio::task::spawn_blocking(move || look_up(&workspace, &variables, &name)).await;
        found.unwrap_or_else(|error| Known::Broken(vec![error.to_string()]))
    }

    /// Logs which hooks there are, and what is wrong with them.
    pub(crate) async fn introduce(self: Arc<Self>, port_is_open: bool) {
        let workspace = self.workspace.clone();
        let names = tokio::task::spawn_blocking(move || hooks::names(&workspace)).await;
        let names = names.unwrap_or_default();
        if names.is_empty() {
            return;
        }
        if !port_is_open {
            let hooks = names.join(", ");
            tracing::warn!(hooks, "no webhook is received: DISPATCH_HTTP_PORT is not set");
            return;
        }
        let (mut ready, mut choosy) = (Vec::new(), Vec::new());
        for name in names {
            match self.find(&name).await {
                Known::Unknown => {}
                Known::Broken(problems) => self.log_problems(&name, &problems),
                Known::Ready(known) => {
                    for variable in &known.without {
                        tracing::warn!(
                            hook = name,
                            "secret_env: {variable} is not set; the others count"
                        );
                    }
                    if known.hook.has_delivery_options() {
                        choosy.push(name.clone());
                    }
                    ready.push(name);
                }
            }
        }
        if !ready.is_empty() {
            tracing::info!(hooks = ready.join(", "), "receiving webhooks at /hooks/NAME");
        }
        if !choosy.is_empty() && self.backend.has_delivery_options().await == Some(false) {
            choosy.iter().for_each(|name| self.log_missing_feature(name));
        }
    }

    /// Logs why a hook cannot be used.
    pub(super) fn log_problems(&self, name: &str, problems: &[String]) {
        for problem in problems {
            if self.is_news(problem) {
                tracing::error!(
                    hook = name,
                    "{problem}; until then its webhooks are answered with 503"
                );
            }
        }
    }

    /// Logs that a hook wants what the backend does not do.
    pub(super) fn log_missing_feature(&self, name: &str) {
        if self.is_news(&format!("delivery_options of {name}")) {
            tracing::warn!(
                hook = name,
                "the backend does not announce delivery_options: collapse_key and priority do nothing"
            );
        }
    }
}
