//! JSON Schemas that others wrote: bounded before they are compiled, and while they are used.
//!
//! A schema of a kilobyte can cost hundreds of megabytes (references that are followed, repetitions in a
//! pattern) and exponential time. Nothing is fetched: a reference leads inside of the schema.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod condition;
mod limits;
mod patterns;
pub mod reply;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// The largest regular expression of a schema, as the engine counts it; its cache has the same bound.
const MAX_PATTERN_SIZE: usize = 256 * 1024;

/// The most work for listing what is wrong with an instance. Beyond it only the fact is told.
const MAX_LISTING: u64 = 200_000;

/// The most work for an instance that is validated where it is, on the thread that serves others.
const MAX_IN_PLACE: u64 = 2_000;

/// How long validating may take. Its budget of steps ends it sooner.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    growth: limits::Growth,
    has_patterns: bool,
}

/// A schema, and what is not checked of it: a line for each keyword.
#[derive(Debug)]
pub struct Compiled {
    /// The schema.
    pub schema: Schema,
    /// What is not checked.
    pub unchecked: Vec<String>,
}

/// What the schemas of one source may take together.
#[derive(Debug)]
pub struct Budget {
    schemas: u64,
    pattern_bytes: usize,
    /// How many patterns are tried that cannot be used.
    bad_patterns: usize,
    /// Those that were tried.
    refused: Vec<String>,
    /// Whether `format` is checked whatever the draft says.
    formats: bool,
}

impl Budget {
    /// For one schema that has to be checked in full: the first pattern that cannot be is one too many.
    pub fn strict() -> Self {
        Self { bad_patterns: 1, formats: true, ..Self::default() }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            schemas: 100_000,
            pattern_bytes: 16 * 1024 * 1024,
            bad_patterns: 20,
            refused: Vec::new(),
            formats: false,
        }
    }
}

impl Schema {
    /// Compiles a schema (draft 7, 2019-09 or 2020-12 by its `$schema`, else the newest). A pattern
    /// that cannot be compiled, or only to something large, is left out; references to other documents
    /// are errors.
    ///
    /// # Errors
    /// A clause that says what is wrong, with the limit where it is one.
    pub fn compile(schema: &Value, budget: &mut Budget) -> Result<Compiled, String> {
        limits::check(schema)?;
        let growth = limits::growth(schema)?;
        budget.schemas = budget.schemas.checked_sub(growth.held()).ok_or(
            "is one too many: all of this source together stand for more than 100000 schemas",
        )?;
        let usable = patterns::without_unusable(schema, budget);
        let mut options = options(MAX_PATTERN_SIZE);
        if budget.formats {
            options = options.should_validate_formats(true);
        }
        let validator = options
            .with_keyword(steps::KEYWORD, steps::factory)
            .build(&steps::counted(&usable.schema, &usable.sizes))
            .map_err(|error| format!("is invalid: {}", bounded(&error.to_string())))?;
        let has_patterns = !usable.sizes.is_empty();
        let schema = Self { validator, growth, has_patterns };
        Ok(Compiled { schema, unchecked: usable.unchecked })
    }

    /// Validates; the errors name their places, `max` of them at most. What takes long is done on
    /// another thread.
    ///
    /// # Errors
    /// What does not fit, or that validating takes too much work.
    pub async fn check(self: &Arc<Self>, instance: &Value, max: usize) -> Result<(), Vec<String>> {
        if !self.has_patterns && self.growth.work(instance) <= MAX_IN_PLACE {
            return self.check_here(instance, max);
        }
        let (schema, instance) = (self.clone(), instance.clone());
        let checked = tokio::task::spawn_blocking(move || schema.check_here(&instance, max));
        match tokio::time::timeout(CHECK_TIMEOUT, checked).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(vec![steps::TOO_MUCH.to_owned()]),
        }
    }

    /// Whether an instance is valid; an error where that takes too much to know. On this thread.
    fn fits(&self, instance: &Value) -> Result<bool, &'static str> {
        if self.growth.is_too_deep_for(instance) {
            return Err("it is nested too deeply for the schema");
        }
        steps::within_budget(|| self.validator.is_valid(instance))
    }

    /// Validates on this thread.
    fn check_here(&self, instance: &Value, max: usize) -> Result<(), Vec<String>> {
        if self.fits(instance).map_err(|why| vec![why.to_owned()])? {
            return Ok(());
        }
        if self.growth.work(instance) > MAX_LISTING {
            let text = "something in it does not fit; it is too large to say where";
            return Err(vec![text.to_owned()]);
        }
        let errors = || {
            let errors = self.validator.iter_errors(instance).take(max);
            errors
                .map(|error| {
                    let (place, what) = (error.instance_path().to_string(), error.to_string());
                    let what = bounded(&what);
                    if place.is_empty() { what } else { format!("{}: {what}", bounded(&place)) }
                })
                .collect()
        };
        Err(steps::within_budget(errors).unwrap_or_else(|why| vec![why.to_owned()]))
    }
}

/// The options that all schemas are compiled with: a pattern takes linear time, which excludes
/// look-around. The format `regex` would compile what the instance says.
fn options(max_pattern: usize) -> jsonschema::ValidationOptions<'static> {
    let patterns = PatternOptions::regex().size_limit(max_pattern).dfa_size_limit(MAX_PATTERN_SIZE);
    jsonschema::options().with_pattern_options(patterns).with_format("regex", |_: &str| true)
}

/// The beginning of a message, which may quote the schema or the instance.
fn bounded(text: &str) -> String {
    const MAX: usize = 500;
    if text.len() <= MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX)])
}

#[cfg(test)]
mod tests;
