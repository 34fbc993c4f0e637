//! The table of errors: how a provider's status, codes and words are told apart. Rows are tried in
//! this order: those of bad samples (whose text may repeat anything that the model wrote), those of the provider itself, those of all others (any of them may be behind another
//! one's address, or wrapped in its errors), and the general ones.

mod anthropic;
mod compatible;
mod general;
mod google;
mod hosted;
mod local;
mod media;
mod open_ai;
mod request;

use std::time::Duration;

use super::details::ErrorDetails;
use super::meaning::Meaning;
use super::pattern;
use crate::model::Provider;

/// The longest wait after which a limit per minute is renewed, with some reserve. What takes longer is
/// a quota.
const SHORT_WAIT: Duration = Duration::from_secs(600);

/// A row: what an error must say to have a meaning. An empty condition is always met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    meaning: Meaning,
    /// One of these statuses: that of HTTP or one in the body.
    statuses: &'static [u16],
    /// One of these codes or types.
    codes: &'static [&'static str],
    /// One of these phrases in a message.
    says: &'static [&'static str],
    /// And one of these in the same message.
    and: &'static [&'static str],
    /// And none of these.
    unless: &'static [&'static str],
    /// Whether it applies only where the provider does not say that a short wait is enough.
    no_short_wait: bool,
    /// Whether words in quotes do not count: they are names that somebody else chose.
    outside_quotes: bool,
    /// Where the provider documents it, or a person reported it.
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation that a test checks"))]
    source: &'static str,
}

impl Rule {
    const fn new(meaning: Meaning, source: &'static str) -> Self {
        Self {
            meaning,
            statuses: &[],
            codes: &[],
            says: &[],
            and: &[],
            unless: &[],
            no_short_wait: false,
            outside_quotes: false,
            source,
        }
    }

    const fn statuses(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }

    const fn codes(self, codes: &'static [&'static str]) -> Self {
        Self { codes, ..self }
    }

    const fn says(self, says: &'static [&'static str]) -> Self {
        Self { says, ..self }
    }

    const fn and(self, and: &'static [&'static str]) -> Self {
        Self { and, ..self }
    }

    const fn unless(self, unless: &'static [&'static str]) -> Self {
        Self { unless, ..self }
    }

    const fn without_short_wait(self) -> Self {
        Self { no_short_wait: true, ..self }
    }

    const fn outside_quotes(self) -> Self {
        Self { outside_quotes: true, ..self }
    }

    fn matches(&self, status: Option<u16>, details: &ErrorDetails) -> bool {
        // An error in a success may have no status at all: then its words decide.
        let has_words = !(self.codes.is_empty() && self.says.is_empty());
        let has_none = status.is_none() && details.statuses.is_empty();
        let has_status = |wanted: &u16| {
            status == Some(*wanted) || details.statuses.contains(wanted) || has_none && has_words
        };
        let has_code = |wanted: &&str| details.codes.iter().any(|code| code == wanted);
        let one_of = |text: &str, phrases: &[&str]| {
            phrases.iter().any(|phrase| pattern::contains(text, phrase))
        };
        // The error of a request quotes from it: descriptions, messages, arguments.
        let is_of_request =
            matches!(status.or(details.statuses.first().copied()), None | Some(400 | 422));
        let texts = match self.outside_quotes {
            false => &details.texts,
            true if is_of_request => &details.unquoted_texts,
            true => &details.bare_texts,
        };
        (self.statuses.is_empty() || self.statuses.iter().any(has_status))
            && (self.codes.is_empty() || self.codes.iter().any(has_code))
            && (!self.no_short_wait || details.retry_after.is_none_or(|wait| wait > SHORT_WAIT))
            && (self.says.is_empty()
                || texts.iter().zip(&details.texts).any(|(text, whole)| {
                    one_of(text, self.says)
                        && (self.and.is_empty() || one_of(text, self.and))
                        && !one_of(whole, self.unless)
                }))
    }
}

/// The tables of the providers and of the servers that speak the same protocols.
const TABLES: &[&[Rule]] = &[
    open_ai::RULES,
    anthropic::RULES,
    google::RULES,
    hosted::XAI,
    hosted::GROQ,
    hosted::MISTRAL,
    hosted::OPEN_ROUTER,
    compatible::RULES,
    local::RULES,
];

/// What holds for all, in this order.
const GENERAL: &[&[Rule]] = &[general::ACCOUNT, request::RULES, general::CODES];

/// The provider's own table.
fn own(provider: Provider) -> &'static [Rule] {
    match provider {
        Provider::OpenAi => open_ai::RULES,
        Provider::Anthropic => anthropic::RULES,
        Provider::Google => google::RULES,
        Provider::Xai => hosted::XAI,
        Provider::Groq => hosted::GROQ,
        Provider::Mistral => hosted::MISTRAL,
        Provider::OpenRouter => hosted::OPEN_ROUTER,
        Provider::Ollama => local::RULES,
        Provider::Offline => &[],
    }
}

/// The meaning of an error. `status` is that of HTTP, or `None` for an error in a success.
pub(super) fn meaning(provider: Provider, status: Option<u16>, details: &ErrorDetails) -> Meaning {
    let all = || {
        let tables = [own(provider)].into_iter().chain(TABLES.iter().copied());
        tables.chain(GENERAL.iter().copied()).flatten()
    };
    let samples = all().filter(|rule| rule.meaning == Meaning::BadSample);
    let found =
        media::RULES.iter().chain(samples).chain(all()).find(|rule| rule.matches(status, details));
    match found {
        Some(rule) => rule.meaning,
        // RFC 9110, section 15.5: the status alone says that the request is malformed.
        None if matches!(status, Some(400 | 422))
            && details.texts.is_empty()
            && details.codes.is_empty() =>
        {
            Meaning::Malformed
        }
        None => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_source_and_a_condition_in_lower_case() {
        let mut rows = 0;
        let media = [media::RULES].into_iter();
        let tables = media.chain(TABLES.iter().copied()).chain(GENERAL.iter().copied());
        for rule in tables.flatten() {
            assert!(rule.source.starts_with("https://"), "{rule:?}");
            let phrases = [rule.codes, rule.says, rule.and, rule.unless].concat();
            assert!(!phrases.is_empty() || !rule.statuses.is_empty(), "{rule:?}");
            for phrase in phrases {
                assert_eq!(phrase, phrase.to_lowercase(), "{rule:?}");
                assert!(!phrase.contains(['`', '"']), "a quote is ': {rule:?}");
            }
            assert!(rule.and.is_empty() || !rule.says.is_empty(), "{rule:?}");
            rows += 1;
        }
        assert!(rows >= 100, "{rows}");
    }
}
