//! JSON Schemas that others wrote: bounded before they are compiled, and while they are used.
//!
//! A schema of a kilobyte can cost hundreds of megabytes (nested repetitions in a pattern), and a
//! recursive one exponential time. Nothing is fetched: a reference leads inside of the schema.

mod limits;
mod patterns;
mod steps;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;


/// The largest regular expression of a schema, as the engine counts it; its cache has the same bound.
const MAX_PATTERN_SIZE: usize = 1024 * 1024;

/// The most work for listing what is wrong with an instance. Beyond it only the fact is told.
const MAX_LISTING: u64 = 200_000;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    growth: limits::Growth,
}

/// A schema, and what is not checked of it: a line for each keyword.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) schema: Schema,
    pub(crate) unchecked: Vec<String>,
}

impl Schema {
    /// Compiles a schema (draft 7, 2019-09 or 2020-12 by its `$schema`, else the newest). A pattern
    /// that cannot be compiled, or only to something large, is left out; references to other documents
    /// are errors.
    ///
    /// # Errors
    /// A clause that says what is wrong, with the limit where it is one.
    pub(crate) fn compile(schema: &Value) -> Result<Compiled, String> {
        limits::check(schema)?;
        let (checkable, unchecked) = patterns::without_unusable(schema);
        let growth = limits::growth(&checkable)?;
        let validator = options(MAX_PATTERN_SIZE)
            .with_keyword(steps::KEYWORD, steps::factory)
            .build(&steps::counted(&checkable))
            .map_err(|error| format!("is invalid: {}", bounded(&error.to_string())))?;
        Ok(Compiled { schema: Self { validator, growth }, unchecked })
    }

    /// Validates; the errors name their places, `max` of them at most.
    ///
    /// # Errors
    /// What does not fit, or that validating takes too much work.
    pub(crate) fn check(&self, instance: &Value, max: usize) -> Result<(), Vec<String>> {
        let is_valid = steps::within_budget(|| self.validator.is_valid(instance))
            .map_err(|why| vec![why.to_owned()])?;
        if is_valid {
            return Ok(());
        }
        if self.growth.work(instance) > MAX_LISTING {
            return Err(vec![
                "something in it does not fit; it is too large to say where".to_owned(),
            ]);
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
/// look-around.
fn options(max_pattern: usize) -> jsonschema::ValidationOptions<'static> {
    let patterns =
        PatternOptions::regex().size_limit(max_pattern).dfa_size_limit(MAX_PATTERN_SIZE / 4);
    jsonschema::options().with_pattern_options(patterns)
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
