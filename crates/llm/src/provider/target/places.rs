//! Where a server tells about itself, and how it is named to a person.

use reqwest::Url;

use super::{Protocol, Target};
use crate::model::{ModelRef, Provider};
use crate::provider::gemini;

impl Target {
    /// Where the provider's own server tells about a model (OpenRouter's about the key), and any other
    /// one about all of its models.
    pub(in crate::provider) fn models_url(&self, model: &ModelRef) -> Url {
        let own = |path: &str| format!("models/{path}");
        let path = match (self.provider, self.protocol) {
            (_, Protocol::Gemini) => {
                let path = gemini::path(&model.name);
                path.split_once(':').map_or(path.clone(), |(path, _)| path.to_owned())
            }
            (Provider::OpenRouter, _) if self.is_own_server => "key".to_owned(),
            _ if self.is_own_server => own(&model.name),
            _ => "models".to_owned(),
        };
        self.at(&[self.base(), &path].concat())
    }

    /// A path of the server beside its version (`/v1`).
    pub(in crate::provider) fn root(&self, path: &str) -> Url {
        let base = self.base();
        self.at(&[base.strip_suffix("v1/").unwrap_or(base), path].concat())
    }

    /// The server as a person may see it.
    pub(in crate::provider) fn shown(&self) -> String {
        match (self.is_own_server, self.url.host_str(), self.url.port()) {
            (true, _, _) | (_, None, _) => self.provider.to_string(),
            (_, Some(host), None) => format!("{host} ({})", self.url_variable()),
            (_, Some(host), Some(port)) => format!("{host}:{port} ({})", self.url_variable()),
        }
    }

    /// The variable with the server's address.
    pub(in crate::provider) fn url_variable(&self) -> &'static str {
        self.provider.base_url_variable().unwrap_or("the address")
    }

    /// Whether the server is the provider's own.
    pub(in crate::provider) fn is_own_server(&self) -> bool {
        self.is_own_server
    }

    /// Whether the server of a stream that ended before it began is asked for a whole answer.
    pub(in crate::provider) fn may_answer_whole(&self) -> bool {
        !self.is_own_server && self.protocol != Protocol::Gemini
    }

    /// Whether the protocol is Responses.
    pub(in crate::provider) fn is_responses(&self) -> bool {
        self.protocol == Protocol::Responses
    }

    /// Whether a key is set.
    pub(in crate::provider) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The path below which all of the protocol's paths are.
    fn base(&self) -> &str {
        let path = self.url.path();
        path.strip_suffix(self.protocol.path()).unwrap_or(path)
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Endpoint, OpenAiApi};

    #[test]
    fn a_server_is_asked_where_it_tells_about_a_model() {
        for (provider, base, name, models, root) in [
            (Provider::OpenAi, None, "gpt-x", "https://api.openai.com/v1/models/gpt-x", None),
            (Provider::OpenRouter, None, "a/b", "https://openrouter.ai/api/v1/key", None),
            (
                Provider::Google,
                None,
                "gemini-x",
                "https://generativelanguage.googleapis.com/v1beta/models/gemini-x",
                None,
            ),
            (Provider::Anthropic, None, "c", "https://api.anthropic.com/v1/models/c", None),
            (
                Provider::OpenAi,
                Some("http://h:1/v1/"),
                "m",
                "http://h:1/v1/models",
                Some("http://h:1/props"),
            ),
            (
                Provider::OpenAi,
                Some("http://h:1"),
                "m",
                "http://h:1/models",
                Some("http://h:1/props"),
            ),
            (
                Provider::Anthropic,
                Some("http://h:1/llm"),
                "m",
                "http://h:1/llm/v1/models",
                Some("http://h:1/llm/props"),
            ),
        ] {
            let endpoint = Endpoint { base_url: base.map(str::to_owned), api_key: None };
            let target = Target::new(provider, &endpoint, OpenAiApi::Chat).unwrap().unwrap();
            assert_eq!(target.models_url(&ModelRef::new(provider, name)).as_str(), models);
            if let Some(root) = root {
                assert_eq!(target.root("props").as_str(), root);
            }
        }
    }
}
