//! Limits of the operating system.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard limit. Each connection takes one, and the usual
/// limit of 1,024 would stop a daemon at about five hundred concurrent runs.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => {
            tracing::debug!(
                from = limit.current,
                to = limit.maximum,
                "raised the limit on open files"
            )
        }
        Err(error) => tracing::warn!(
            %error,
            limit = limit.current,
            "raising the limit on open files failed; raise it with ulimit -n or LimitNOFILE="
        ),
    }
}
