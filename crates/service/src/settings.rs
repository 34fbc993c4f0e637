//! Layered settings: defaults, a file, `.env`, the environment, flags; later layers override earlier
//! ones.
//!
//! A program loads [`Layers`] once, reads each setting through a [`Reader`], which collects every
//! problem, and ends with [`Reader::finish`]: all problems at once, or the effective settings.
//! Tests pass in pairs; only [`Layers::of_process`] reads the process's environment.

mod dot_env;
mod effective;
mod env_layer;
mod layers;
pub mod names;
mod reader;

pub use effective::{Effective, EffectiveSetting, SettingsError};
pub use layers::{Layers, LoadOptions, Origin, Variables};
pub use reader::Reader;

#[cfg(test)]
mod tests;
