//! The models of all tiers: keys, and what their servers tell without generating anything.

use llm::model::{ModelRef, Provider};
use llm::{LlmClient, ServerFinding, ServerFindingKind as Kind};

use super::Report;
use crate::settings::Settings;

impl Report {
    /// Checks the models' settings, then asks their servers.
    pub(super) async fn models(&mut self, settings: &Settings) -> Option<LlmClient> {
        let http = match service::http::client_builder().build() {
            Ok(http) => http,
            Err(error) => {
                let why = service::http::explain(&error);
                self.fail(format!("model: the HTTP client could not be created: {why}"));
                return None;
            }
        };
        let client = match LlmClient::new(settings.llm.clone(), http) {
            Ok(client) => client,
            Err(error) => {
                self.fail(format!("model: {error}"));
                return None;
            }
        };
        let default = &settings.llm.default;
        if client.has_key(default) {
            let how = match default.provider {
                Provider::Offline => match &settings.llm.offline_script {
                    Some(script) => format!("answers from {}, no key needed", script.display()),
                    None => "answers from the built-in script, no key needed".to_owned(),
                },
                _ if default.provider.key_variable().is_none() => "no key needed".to_owned(),
                _ => "key set, not verified".to_owned(),
            };
            self.good(format!("model: {default}: {how}"));
        }
        for model in client.models().into_iter().filter(|model| !client.has_key(model)) {
            self.missing_key(model, model == default);
        }
        for finding in client.ask_servers().await {
            let is_default = finding.model == *default;
            self.server(&finding, is_default);
        }
        Some(client)
    }

    fn missing_key(&mut self, model: &ModelRef, is_default: bool) {
        let variable = model.provider.key_variable().unwrap_or("its key");
        if is_default {
            self.fail(format!(
                "model: {model} needs {variable}; runs fail until it is set (LLM_PROVIDER=offline needs no \
                 key)"
            ));
        } else {
            self.warn(format!("model: {model} needs {variable}; its calls fail until it is set"));
        }
    }

    fn server(&mut self, finding: &ServerFinding, is_default: bool) {
        let text = format!("model: {}: {}", finding.model, finding.text);
        match finding.kind {
            Kind::Answers => self.good(text),
            // Other models may work, but the default one is what most runs use.
            Kind::KeyRefused if is_default => self.fail(text),
            Kind::KeyRefused
            | Kind::Refused
            | Kind::Unavailable
            | Kind::ModelUnknown
            | Kind::ToolsUnseen => self.warn(text),
        }
    }
}
