//! Which model the demo calls.

use test_support::local_model;

/// Providers with the variables that hold their keys, and an inexpensive model.
const PROVIDERS: [(&str, &[&str], &str); 7] = [
    ("openai", &["OPENAI_API_KEY"], "gpt-4o-mini"),
    ("anthropic", &["ANTHROPIC_API_KEY"], "claude-haiku-4-5"),
    ("google", &["GEMINI_API_KEY", "GOOGLE_API_KEY"], "gemini-2.5-flash"),
    ("xai", &["XAI_API_KEY"], "grok-4-fast-non-reasoning"),
    ("groq", &["GROQ_API_KEY"], "openai/gpt-oss-20b"),
    ("mistral", &["MISTRAL_API_KEY"], "mistral-small-latest"),
    ("openrouter", &["OPENROUTER_API_KEY"], "openai/gpt-4o-mini"),
];

/// Settings that are passed to the daemon unchanged.
const PASSED_ON: [&str; 18] = [
    "LLM_MODEL_CHEAP",
    "LLM_MODEL_BEST",
    "LLM_MODEL_FALLBACK",
    "LLM_OFFLINE_SCRIPT",
    "OPENAI_API",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GEMINI_BASE_URL",
    "XAI_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "OPENROUTER_API_KEY",
    "OLLAMA_BASE_URL",
    "RUST_LOG",
];

/// The daemon's settings about models.
#[derive(Debug, PartialEq)]
pub(crate) struct Choice {
    /// The provider's name.
    pub(crate) provider: String,
    /// All settings.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Settings of all programs.
    pub(crate) everywhere: Vec<(&'static str, String)>,
}

impl Choice {
    /// `LLM_PROVIDER` if it is set, else the first provider with a key or, for OpenAI's protocol, a
    /// server of one's own, else offline.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let has_key = |keys: &[&str]| keys.iter().any(|key| variable(key).is_some());
        let found = PROVIDERS.iter().find(|(_, keys, _)| has_key(keys)).map(|(name, ..)| *name);
        let own_server = variable("OPENAI_BASE_URL").map(|_| "openai");
        let provider = variable("LLM_PROVIDER")
            .unwrap_or_else(|| found.or(own_server).unwrap_or("offline").to_owned());
        let usual = PROVIDERS.iter().find(|(name, ..)| *name == provider).map(|(.., model)| *model);
        let model = variable("LLM_MODEL_DEFAULT").or_else(|| usual.map(str::to_owned));
        let mut settings = vec![("LLM_PROVIDER", provider.clone())];
        settings.extend(model.map(|model| ("LLM_MODEL_DEFAULT", model)));
        settings.extend(PASSED_ON.iter().filter_map(|name| Some((*name, variable(name)?))));
        Self { provider, settings, everywhere: Vec::new() }
    }

    /// The small model on this machine.
    pub(crate) fn local(url: &str) -> Self {
        let settings = [
            ("LLM_PROVIDER", "openai"),
            ("LLM_MODEL_DEFAULT", local_model::NAME),
            ("OPENAI_BASE_URL", url),
            ("WOMBAT_RUN_TIMEOUT_SECS", "600"),
        ];
        Self {
            provider: "local".to_owned(),
            settings: settings.map(|(name, value)| (name, value.to_owned())).to_vec(),
            everywhere: vec![("DISPATCH_SEND_TIMEOUT_SEC", "600".to_owned())],
        }
    }

    /// The choice in words.
    pub(crate) fn told(&self) -> &str {
        match self.provider.as_str() {
            _ if self.is_scripted() => "built-in script: scripted answers, no key, no network",
            "local" => {
                "SmolLM2 with 135 million parameters, on this machine: it writes all texts itself; its \
                 first turn is held to a tool call (docs/REAL_MODELS.md)"
            }
            provider => provider,
        }
    }

    /// Whether the answers come from the built-in script, so that all of them are known.
    pub(crate) fn is_scripted(&self) -> bool {
        let own_script = self.settings.iter().any(|(name, _)| *name == "LLM_OFFLINE_SCRIPT");
        self.provider == "offline" && !own_script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(variables: &[(&str, &str)]) -> (String, Option<String>) {
        let choice = Choice::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        let model = choice.settings.iter().find(|(name, _)| *name == "LLM_MODEL_DEFAULT");
        (choice.provider.clone(), model.map(|(_, model)| model.clone()))
    }

    #[test]
    fn the_provider_whose_key_is_set_is_asked() {
        for (variables, provider, model) in [
            (&[][..], "offline", None),
            (&[("OPENAI_API_KEY", " ")], "offline", None),
            (&[("ANTHROPIC_API_KEY", "k")], "anthropic", Some("claude-haiku-4-5")),
            (&[("GOOGLE_API_KEY", "k")], "google", Some("gemini-2.5-flash")),
            (&[("OPENAI_BASE_URL", "http://h/v1")], "openai", Some("gpt-4o-mini")),
            (&[("OPENAI_API_KEY", "k"), ("LLM_MODEL_DEFAULT", "m")], "openai", Some("m")),
            (&[("OPENAI_API_KEY", "k"), ("LLM_PROVIDER", "offline")], "offline", None),
        ] {
            let expected = (provider.to_owned(), model.map(str::to_owned));
            assert_eq!(choice(variables), expected, "{variables:?}");
        }
    }
}
