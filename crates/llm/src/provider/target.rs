//! Where a provider is, how it is spoken to, and with which key.

use genai::adapter::AdapterKind;
use genai::resolver::{AuthData, Endpoint as GenaiEndpoint};
use genai::{ModelIden, ServiceTarget};
use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use crate::model::Provider;
use crate::provider::Failure;
use crate::settings::{Endpoint, LlmConfigError, OpenAiApi};

/// Sent where the wire format wants a key and the server does not.
const NO_KEY: &str = "unused";

/// A provider's server and key.
#[derive(Debug, Clone)]
pub(super) struct Target {
    provider: Provider,
    adapter: AdapterKind,
    /// With a slash at the end, which genai wants.
    base: String,
    key: Option<SecretString>,
    /// Whether the server is the provider's own, which always wants a key.
    is_own_server: bool,
}

impl Target {
    /// Checks a provider's settings; `None` for the one that has no server.
    pub(super) fn new(
        provider: Provider,
        endpoint: &Endpoint,
        openai_api: OpenAiApi,
    ) -> Result<Option<Self>, LlmConfigError> {
        let Some((adapter, own_server, version)) = wire(provider, openai_api) else {
            return Ok(None);
        };
        if let Some(key) = &endpoint.api_key
            && HeaderValue::from_str(key.expose_secret()).is_err()
        {
            let variable = provider.key_variable().unwrap_or("the key");
            return Err(LlmConfigError::Key { variable });
        }
        let base = match &endpoint.base_url {
            None => format!("{own_server}{version}"),
            Some(text) => {
                let variable = provider.base_url_variable().unwrap_or("the address");
                let refuse =
                    |reason: &str| LlmConfigError::BaseUrl { variable, reason: reason.to_owned() };
                let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
                if !matches!(url.scheme(), "http" | "https") {
                    return Err(refuse("it begins with neither http:// nor https://"));
                }
                if url.query().is_some() || url.fragment().is_some() {
                    return Err(refuse("it has a query or a fragment"));
                }
                let text = text.trim_end_matches('/');
                // Some write the version although the SDKs add it.
                let version = if text.ends_with(version.trim_matches('/')) { "/" } else { version };
                format!("{text}{version}")
            }
        };
        let is_own_server = base.starts_with(own_server);
        Ok(Some(Self { provider, adapter, base, key: endpoint.api_key.clone(), is_own_server }))
    }

    /// The variable that must be set before the provider can be asked.
    pub(super) fn missing_key(&self) -> Option<&'static str> {
        let needed = self.is_own_server && self.key.is_none();
        self.provider.key_variable().filter(|_| needed)
    }

    pub(super) fn for_model(&self, name: &str) -> ServiceTarget {
        let key = self.key.as_ref().map_or(NO_KEY, |key| key.expose_secret());
        ServiceTarget {
            endpoint: GenaiEndpoint::from_owned(self.base.as_str()),
            auth: AuthData::from_single(key),
            model: ModelIden::new(self.adapter, name),
        }
    }

    /// Takes the key out of what a failure says: some servers repeat it.
    pub(super) fn scrub(&self, mut failure: Failure) -> Failure {
        if let Some(key) = &self.key
            && !key.expose_secret().is_empty()
        {
            failure.cause = failure.cause.replace(key.expose_secret(), "[key]");
        }
        failure
    }
}

/// The wire format, the provider's own server, and what the official SDKs put between that and the
/// path (for those of OpenAI's kind the address already ends in it).
fn wire(
    provider: Provider,
    openai_api: OpenAiApi,
) -> Option<(AdapterKind, &'static str, &'static str)> {
    Some(match provider {
        Provider::OpenAi => match openai_api {
            OpenAiApi::Chat => (AdapterKind::OpenAI, "https://api.openai.com/v1", "/"),
            OpenAiApi::Responses => (AdapterKind::OpenAIResp, "https://api.openai.com/v1", "/"),
        },
        Provider::Anthropic => (AdapterKind::Anthropic, "https://api.anthropic.com", "/v1/"),
        Provider::Google => {
            (AdapterKind::Gemini, "https://generativelanguage.googleapis.com", "/v1beta/")
        }
        Provider::Xai => (AdapterKind::Xai, "https://api.x.ai/v1", "/"),
        Provider::Groq => (AdapterKind::Groq, "https://api.groq.com/openai/v1", "/"),
        Provider::Mistral => (AdapterKind::Mistral, "https://api.mistral.ai/v1", "/"),
        Provider::OpenRouter => (AdapterKind::OpenRouter, "https://openrouter.ai/api/v1", "/"),
        // Ollama speaks OpenAI's protocol under /v1, with tools and usage.
        Provider::Ollama => (AdapterKind::OpenAI, "http://localhost:11434/v1", "/"),
        Provider::Offline => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(provider: Provider, url: &str) -> String {
        let endpoint = Endpoint { base_url: Some(url.to_owned()), api_key: None };
        Target::new(provider, &endpoint, OpenAiApi::Chat).unwrap().unwrap().base
    }

    #[test]
    fn addresses_are_taken_as_the_official_sdks_take_them() {
        for (provider, given, used) in [
            (Provider::OpenAi, "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/"),
            (Provider::OpenAi, "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/"),
            (Provider::OpenAi, "http://127.0.0.1:9", "http://127.0.0.1:9/"),
            (Provider::Anthropic, "http://h:9", "http://h:9/v1/"),
            (Provider::Anthropic, "http://h:9/v1", "http://h:9/v1/"),
            (Provider::Anthropic, "http://h:9/proxy/", "http://h:9/proxy/v1/"),
            (Provider::Google, "http://h:9", "http://h:9/v1beta/"),
            (Provider::Ollama, "http://h:9/v1", "http://h:9/v1/"),
        ] {
            assert_eq!(base(provider, given), used, "{provider} {given}");
        }
    }

    #[test]
    fn a_key_is_wanted_by_the_providers_own_server_only() {
        let own = Target::new(Provider::OpenAi, &Endpoint::default(), OpenAiApi::Chat);
        assert_eq!(own.unwrap().unwrap().missing_key(), Some("OPENAI_API_KEY"));
        let local = Endpoint { base_url: Some("http://127.0.0.1:1/v1".into()), api_key: None };
        let local = Target::new(Provider::OpenAi, &local, OpenAiApi::Chat).unwrap().unwrap();
        assert_eq!(local.missing_key(), None);
        let ollama = Target::new(Provider::Ollama, &Endpoint::default(), OpenAiApi::Chat);
        assert_eq!(ollama.unwrap().unwrap().missing_key(), None);
    }

    #[test]
    fn a_bad_address_or_key_is_named_without_being_repeated() {
        for url in ["ftp://user:canary@h", "canary", "http://h/v1?key=canary"] {
            let endpoint = Endpoint { base_url: Some(url.into()), api_key: None };
            let error = Target::new(Provider::OpenAi, &endpoint, OpenAiApi::Chat).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("OPENAI_BASE_URL") && !text.contains("canary"), "{text}");
        }
        let endpoint = Endpoint { base_url: None, api_key: Some("canary\n".to_owned().into()) };
        let error = Target::new(Provider::OpenAi, &endpoint, OpenAiApi::Chat).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("OPENAI_API_KEY") && !text.contains("canary"), "{text}");
    }
}
