//! The table of models: prices, context windows, and unsupported parameters.
//!
//! The data is `data/models.json`, with a source and a date for every price.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use serde::Deserialize;

use crate::model::Provider;

/// The table, parsed once.
static CATALOG: LazyLock<Result<Catalog, String>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/models.json")).map_err(|error| error.to_string())
});

/// The models by provider and name. The keys are our own, so that the hash need not be a secret one.
type Index = HashMap<(Provider, &'static str), &'static Entry, FixedState>;

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let groups = CATALOG.as_ref().map_or(&[][..], |catalog| &catalog.providers);
    let named = |group: &'static Group| {
        group.models.iter().map(|entry| ((group.provider, entry.name.as_str()), entry))
    };
    groups.iter().flat_map(named).collect()
});

/// A model of the table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The provider's name for it, without a date.
    name: String,
    /// The context window, tokens.
    pub(crate) context: u64,
    /// The longest answer, reasoning included, tokens.
    pub(crate) max_output: u32,
    /// Prices of an ordinary prompt.
    input: f64,
    output: f64,
    #[serde(default)]
    cached: Option<f64>,
    #[serde(default)]
    cache_write: Option<f64>,
    /// Prices of a long prompt.
    #[serde(default)]
    long: Option<LongPrompt>,
    /// The model rejects a temperature.
    #[serde(default)]
    pub(crate) fixed_sampling: bool,
    #[serde(default, rename = "as_of")]
    _as_of: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LongPrompt {
    /// Tokens of the prompt up to which the ordinary prices hold.
    over: u64,
    input: f64,
    output: f64,
    #[serde(default)]
    cached: Option<f64>,
    #[serde(default)]
    cache_write: Option<f64>,
}

/// Prices per million tokens, USD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prices {
    /// Of the prompt.
    pub(crate) input: f64,
    /// Of the answer.
    pub(crate) output: f64,
    /// Of the prompt, read from the provider's cache.
    pub(crate) cached: f64,
    /// Of the prompt, written to the provider's cache.
    pub(crate) cache_write: f64,
}

impl Entry {
    /// The prices of a prompt of this many tokens.
    pub(crate) fn prices(&self, prompt_tokens: u64) -> Prices {
        let (input, output, cached, cache_write) = match &self.long {
            Some(long) if prompt_tokens > long.over => {
                (long.input, long.output, long.cached, long.cache_write)
            }
            Some(_) | None => (self.input, self.output, self.cached, self.cache_write),
        };
        Prices {
            input,
            output,
            cached: cached.unwrap_or(input),
            cache_write: cache_write.unwrap_or(input),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    #[serde(rename = "about")]
    _about: String,
    providers: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    provider: Provider,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "as_of")]
    _as_of: String,
    models: Vec<Entry>,
}

/// Checks that the table can be parsed.
///
/// # Errors
/// The parser's message.
pub(crate) fn check() -> Result<(), String> {
    CATALOG.as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Looks a model up; `None` when it is not in the table.
///
/// The longest matching name wins; a name matches itself, also with a date or a word such as `latest`
/// appended. OpenRouter's `vendor/model` is looked up as the vendor's own model,
/// because OpenRouter passes the vendors' prices on.
pub(crate) fn find(provider: Provider, name: &str) -> Option<&'static Entry> {
    if provider == Provider::OpenRouter {
        let (vendor, name) = name.split_once('/')?;
        let vendor = vendor_of(vendor)?;
        return find(vendor, name).or_else(|| find(vendor, &name.replace('.', "-")));
    }
    editions(name).find_map(|name| INDEX.get(&(provider, name)).copied())
}

/// The names that a name may be an edition of, from the longest to the shortest, so that a call costs a
/// few look-ups: itself, and without the date or word behind it.
pub(crate) fn editions(name: &str) -> impl Iterator<Item = &str> {
    let shorter = name.rmatch_indices('-').map(|(at, _)| name.split_at(at));
    std::iter::once((name, ""))
        .chain(shorter)
        .take_while(|(_, rest)| rest.is_empty() || parts_of_edition(rest))
        .filter(|(_, rest)| rest.is_empty() || is_edition(rest))
        .map(|(name, _)| name)
}

/// All models of the table.
#[cfg(test)]
pub(crate) fn names() -> Vec<(Provider, &'static str)> {
    INDEX.keys().copied().collect()
}

/// The provider behind OpenRouter's name of a vendor.
pub(crate) fn vendor_of(vendor: &str) -> Option<Provider> {
    match vendor {
        "openai" => Some(Provider::OpenAi),
        "anthropic" => Some(Provider::Anthropic),
        "google" => Some(Provider::Google),
        "x-ai" => Some(Provider::Xai),
        "mistralai" => Some(Provider::Mistral),
        _ => None,
    }
}

/// Whether what follows a model's name is a date or a word that makes no other model of it:
/// `-2024-07-18`, `-20250514`, `-2411`, `-latest`, `-preview-09-2025`. A single digit is a version,
/// and so another model.
fn is_edition(rest: &str) -> bool {
    parts_of_edition(rest) && rest.split('-').any(|part| is_word(part) || is_number(part, 3))
}

/// Whether nothing else than parts of an edition follows, be it enough for one or not.
fn parts_of_edition(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('-') else { return false };
    rest.split('-').all(|part| is_word(part) || is_number(part, 2))
}

fn is_word(part: &str) -> bool {
    matches!(part, "latest" | "preview" | "exp")
}

fn is_number(part: &str, least: usize) -> bool {
    part.len() >= least && part.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(provider: Provider, asked: &str) -> Option<&'static str> {
        find(provider, asked).map(|entry| entry.name.as_str())
    }

    proptest::proptest! {
        #[test]
        fn the_longest_name_of_which_this_is_an_edition_is_found(
            pick in 0_usize..1_000,
            rest in "(-(latest|preview|exp|mini|[0-9]{1,4}|))*[a-z0-9-]{0,2}",
        ) {
            let groups = &CATALOG.as_ref().unwrap().providers;
            let all: Vec<_> = groups
                .iter()
                .flat_map(|group| group.models.iter().map(|entry| (group.provider, &*entry.name)))
                .collect();
            let (provider, known) = all[pick % all.len()];
            let asked = format!("{known}{rest}");
            let is_its = |name: &&str| {
                asked.strip_prefix(name).is_some_and(|rest| rest.is_empty() || is_edition(rest))
            };
            let names = all.iter().filter(|(of, _)| *of == provider).map(|(_, name)| *name);
            let longest = names.filter(is_its).max_by_key(|name| name.len());
            proptest::prop_assert_eq!(name(provider, &asked), longest, "{}", asked);
        }
    }

    #[test]
    fn the_table_can_be_read_and_its_numbers_make_sense() {
        assert_eq!(check(), Ok(()));
        let catalog = CATALOG.as_ref().unwrap();
        for entry in catalog.providers.iter().flat_map(|group| &group.models) {
            assert!(entry.context >= 8_000, "{entry:?}");
            assert!((4_096..=entry.context).contains(&u64::from(entry.max_output)), "{entry:?}");
            for tokens in [0, 2_000_000] {
                let prices = entry.prices(tokens);
                assert!(
                    prices.cached <= prices.input && prices.input <= prices.output,
                    "{entry:?}"
                );
                assert!(prices.cached > 0.0 && prices.cache_write >= prices.input, "{entry:?}");
            }
        }
        for group in &catalog.providers {
            let mut names: Vec<_> = group.models.iter().map(|entry| &entry.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), group.models.len(), "{}", group.provider);
        }
    }

    #[test]
    fn a_date_behind_the_name_makes_no_other_model() {
        use Provider::{Anthropic, Google, Mistral, OpenAi};
        for (provider, asked, found) in [
            (OpenAi, "gpt-4o-mini", Some("gpt-4o-mini")),
            (OpenAi, "gpt-4o-mini-2024-07-18", Some("gpt-4o-mini")),
            (OpenAi, "gpt-4o-2024-11-20", Some("gpt-4o")),
            (OpenAi, "gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
            (OpenAi, "gpt-4-0613", Some("gpt-4")),
            (Anthropic, "claude-sonnet-4-20250514", Some("claude-sonnet-4")),
            (Anthropic, "claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
            (Anthropic, "claude-3-5-haiku-latest", Some("claude-3-5-haiku")),
            (Google, "gemini-2.5-flash-preview-09-2025", Some("gemini-2.5-flash")),
            (Google, "gemini-3-pro-preview", Some("gemini-3-pro")),
            (Mistral, "mistral-small-2506", Some("mistral-small")),
        ] {
            assert_eq!(name(provider, asked), found, "{asked}");
        }
    }

    #[test]
    fn another_model_is_not_taken_for_one_with_a_shorter_name() {
        for (provider, asked) in [
            (Provider::OpenAi, "gpt-4o-mini-search-preview"),
            (Provider::OpenAi, "gpt-5.3"),
            (Provider::OpenAi, "gpt-4o-audio-preview"),
            (Provider::Anthropic, "claude-opus-4-9"),
            (Provider::Anthropic, "claude-opus-4-12"),
            (Provider::Groq, "gpt-4o-mini"),
            (Provider::OpenAi, ""),
        ] {
            assert_eq!(name(provider, asked), None, "{asked}");
        }
    }

    #[test]
    fn openrouter_names_are_the_vendors_models() {
        let find = |asked| name(Provider::OpenRouter, asked);
        assert_eq!(find("openai/gpt-4o-mini"), Some("gpt-4o-mini"));
        assert_eq!(find("anthropic/claude-sonnet-4.5"), Some("claude-sonnet-4-5"));
        assert_eq!(find("x-ai/grok-4"), Some("grok-4"));
        assert_eq!(find("qwen/qwen3-coder"), None);
        assert_eq!(find("openai/gpt-4o:online"), None);
    }

    #[test]
    fn a_long_prompt_has_its_own_prices() {
        let entry = find(Provider::Google, "gemini-2.5-pro").unwrap();
        assert_eq!(entry.prices(200_000).input, 1.25);
        assert_eq!(entry.prices(200_001).input, 2.5);
    }
}
