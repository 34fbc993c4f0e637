//! Redaction: what of a text a role's rules replace by placeholders, and how the text gets back.
//!
//! Kinds that are built in are found by scanners in linear time, those with check digits only
//! where these are right; a role's own patterns have the syntax of RE2, of which no search looks back.

mod alone;
mod checks;
mod emails;
mod escapes;
mod ibans;
mod keys;
mod numbers;
mod phones;
mod placeholder;
mod redactor;
mod rules;
mod spans;
mod stream;
mod values;

pub use self::checks::{luhn, mod97};
pub use self::placeholder::{RedactKey, border_before, in_quotes};
pub use self::redactor::Redactor;
pub use self::rules::{RedactMode, RedactRules, Targets};
pub use self::spans::Found;
pub use self::stream::StreamRestorer;

#[cfg(test)]
mod tests;
