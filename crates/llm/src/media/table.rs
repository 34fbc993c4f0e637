//! The table of `data/media.json`: which models read images and PDFs, and what their providers take.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::tokens::ImageTokens;
use crate::catalog;
use crate::model::Provider;
use crate::wildcard::fits;

static TABLE: LazyLock<Result<Table, String>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../data/media.json")).map_err(|error| error.to_string())
});

/// The models by provider and name.
static INDEX: LazyLock<HashMap<(Provider, &'static str), &'static Reader>> = LazyLock::new(|| {
    let groups = TABLE.as_ref().map_or(&[][..], |table| &table.providers);
    let named = |group: &'static Group, reader: &'static Reader| {
        reader.names.iter().map(move |name| ((group.provider, name.as_str()), reader))
    };
    let of_group =
        |group: &'static Group| group.models.iter().flat_map(move |reader| named(group, reader));
    groups.iter().flat_map(of_group).collect()
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "about")]
    _about: String,
    providers: Vec<Group>,
    /// What any compatible server takes.
    other_servers: Limits,
    /// Open models, wherever they are served.
    families: Vec<Reader>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    provider: Provider,
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    #[serde(rename = "as_of")]
    _as_of: String,
    limits: Limits,
    models: Vec<Reader>,
}

/// What a provider takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    image_types: Vec<String>,
    #[serde(default)]
    pub(super) animated: bool,
    #[serde(default)]
    max_image_base64: Option<u64>,
    #[serde(default)]
    max_image_base64_elsewhere: Option<u64>,
    #[serde(default)]
    pub(super) max_edge: Option<u32>,
    #[serde(default)]
    pub(super) many_images: Option<usize>,
    #[serde(default)]
    pub(super) many_max_edge: Option<u32>,
    #[serde(default)]
    pub(super) max_pixels: Option<u64>,
    #[serde(default)]
    pub(super) max_images: Option<usize>,
    #[serde(default)]
    pub(super) max_pages: Option<u32>,
    #[serde(default)]
    pub(super) max_pdf_bytes: Option<u64>,
    #[serde(default = "yes")]
    pub(super) encrypted: bool,
    pub(super) max_request: u64,
}

fn yes() -> bool {
    true
}

impl Limits {
    /// Whether images of a type are taken.
    pub(super) fn takes(&self, media_type: &str) -> bool {
        self.image_types.iter().any(|taken| fits(taken, media_type))
    }

    /// The types of images, for people.
    pub(super) fn image_types(&self) -> &[String] {
        &self.image_types
    }

    /// The most bytes of an image as base64.
    pub(super) fn max_image(&self, is_own_server: bool) -> Option<u64> {
        let elsewhere = self.max_image_base64_elsewhere.filter(|_| !is_own_server);
        elsewhere.or(self.max_image_base64)
    }
}

/// What some models read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reader {
    names: Vec<String>,
    #[serde(default)]
    pub(super) images: bool,
    #[serde(default)]
    pub(super) pdfs: bool,
    #[serde(default)]
    pub(super) max_images: Option<usize>,
    #[serde(default)]
    pub(super) max_pages: Option<u32>,
    #[serde(default)]
    pub(super) max_pixels: Option<u64>,
    #[serde(default)]
    pub(super) tokens: ImageTokens,
    /// What a page of a PDF costs.
    #[serde(default)]
    pub(super) page_tokens: Option<u64>,
}

/// Checks that the table can be parsed.
///
/// # Errors
/// The parser's message.
pub(crate) fn check() -> Result<(), String> {
    TABLE.as_ref().map(|_| ()).map_err(Clone::clone)
}

/// What a provider takes, be it of the models of another one behind it.
pub(super) fn limits(provider: Provider) -> Option<&'static Limits> {
    group(provider).map(|group| &group.limits)
}

/// What any compatible server takes.
pub(super) fn other_servers() -> Option<&'static Limits> {
    TABLE.as_ref().ok().map(|table| &table.other_servers)
}

fn group(provider: Provider) -> Option<&'static Group> {
    TABLE.as_ref().ok()?.providers.iter().find(|group| group.provider == provider)
}

/// Whose model it is, and what it reads; `None` when it is not known.
pub(super) fn find(provider: Provider, name: &str) -> Option<(Provider, &'static Reader)> {
    let name = name.trim_start_matches("models/");
    if provider == Provider::OpenRouter {
        // `:free`, `:nitro` and the like are the same model.
        let name = name.split(':').next().unwrap_or(name);
        let vendors = || {
            let (vendor, name) = name.split_once('/')?;
            let vendor = catalog::vendor_of(vendor)?;
            find(vendor, name).or_else(|| find(vendor, &name.replace('.', "-")))
        };
        return vendors().or_else(|| family(name).map(|reader| (provider, reader)));
    }
    let own = || {
        let named = catalog::editions(name).find_map(|name| INDEX.get(&(provider, name)).copied());
        named.or_else(|| group(provider)?.models.iter().find(|reader| reader.is_of(name)))
    };
    let is_open = matches!(provider, Provider::OpenAi | Provider::Ollama);
    let reader = own().or_else(|| family(name).filter(|_| is_open))?;
    Some((provider, reader))
}

fn family(name: &str) -> Option<&'static Reader> {
    let name = name.to_ascii_lowercase();
    TABLE.as_ref().ok()?.families.iter().find(|reader| reader.is_of(&name))
}

impl Reader {
    /// Whether one of the patterns fits.
    fn is_of(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| fits(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_knows_every_model_that_has_a_price() {
        assert_eq!(check(), Ok(()));
        for (provider, name) in catalog::names() {
            assert!(INDEX.contains_key(&(provider, name)), "{provider}/{name}");
        }
        for group in &TABLE.as_ref().unwrap().providers {
            assert!(!group.limits.image_types.is_empty(), "{}", group.provider);
            for reader in &group.models {
                assert!(!reader.pdfs || reader.images, "{reader:?}");
                assert_eq!(reader.pdfs, reader.page_tokens.is_some(), "{reader:?}");
            }
        }
    }

    #[test]
    fn models_are_known_by_name_edition_pattern_vendor_or_family() {
        use Provider::{Anthropic, Google, Groq, Mistral, Ollama, OpenAi, OpenRouter, Xai};
        let reads =
            |provider, name| find(provider, name).map(|(_, reader)| (reader.images, reader.pdfs));
        for (provider, name, known) in [
            (OpenAi, "gpt-4o-mini-2024-07-18", Some((true, true))),
            (OpenAi, "gpt-3.5-turbo", Some((false, false))),
            (OpenAi, "o3-mini", Some((false, false))),
            (OpenAi, "gpt-4-turbo", Some((true, false))),
            (OpenAi, "gpt-4o-audio-preview", None),
            (OpenAi, "some-local-model", None),
            (OpenAi, "Qwen3-VL-8B-Instruct", Some((true, false))),
            (Anthropic, "claude-sonnet-4-5-20250929", Some((true, true))),
            (Anthropic, "claude-3-haiku-20240307", Some((true, false))),
            (Anthropic, "claude-opus-9", Some((true, true))),
            (Anthropic, "claude-2.1", Some((false, false))),
            (Anthropic, "some-local-model", None),
            (Google, "models/gemini-3-pro-preview", Some((true, true))),
            (Google, "gemini-embedding-001", Some((false, false))),
            (Xai, "grok-4", Some((true, false))),
            (Xai, "grok-3-mini", Some((false, false))),
            (Groq, "openai/gpt-oss-120b", Some((false, false))),
            (Groq, "meta-llama/llama-4-scout-17b-16e-instruct", Some((true, false))),
            (Mistral, "mistral-small-2506", Some((true, true))),
            (Mistral, "mistral-small-2501", Some((false, false))),
            (Mistral, "mistral-large-latest", Some((true, true))),
            (Mistral, "codestral-latest", Some((false, false))),
            (OpenRouter, "anthropic/claude-sonnet-4.5", Some((true, true))),
            (OpenRouter, "qwen/qwen3-vl-8b-instruct:free", Some((true, false))),
            (OpenRouter, "qwen/qwen3-coder", None),
            (Ollama, "llava:7b", Some((true, false))),
            (Ollama, "gemma3:1b", None),
            (Ollama, "qwen3", None),
        ] {
            assert_eq!(reads(provider, name), known, "{provider} {name}");
        }
    }
}
