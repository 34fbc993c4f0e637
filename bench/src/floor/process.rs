//! A program that is measured.

use std::io::{Error, Result};
use std::path::Path;
use std::time::Duration;

use super::Program;

/// Ticks of `/proc/PID/stat` in a second, on every Linux that Rust runs on.
const TICKS: u64 = 100;

pub(crate) fn failed(error: impl std::fmt::Display) -> Error {
    Error::other(error.to_string())
}

/// A program, and where it listens.
pub(crate) struct Process {
    pub(crate) program: Program,
    pub(crate) url: String,
}

impl Process {
    pub(crate) async fn start(
        name: &str,
        dir: &Path,
        settings: &[(&str, String)],
        arguments: &[&str],
    ) -> Result<Self> {
        Self::of(Program::start(name, dir, settings, arguments).map_err(failed)?).await
    }

    /// The same of the program at this path.
    pub(crate) async fn start_path(
        path: &Path,
        dir: &Path,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        Self::of(Program::start_path(path, dir, settings, &[]).map_err(failed)?).await
    }

    async fn of(mut program: Program) -> Result<Self> {
        let url = program.url().await.map_err(failed)?;
        Ok(Self { program, url })
    }

    /// The CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let read = || {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", self.program.id()?)).ok()?;
            // The program's name may hold spaces; it ends with the last parenthesis.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
            let user: u64 = fields.next()?.parse().ok()?;
            let system: u64 = fields.next()?.parse().ok()?;
            Some(Duration::from_millis((user + system) * 1000 / TICKS))
        };
        read().unwrap_or_default()
    }
}
