//! The documentation is correct: its links work, the book builds, the commands of README and tutorials do
//! what the text says, and its table of models is that of the data, and
//! what auditors look up exists.

mod auditors;
mod commands;
mod install;
mod limits;
mod links;
mod readme;

use std::path::{Path, PathBuf};

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
