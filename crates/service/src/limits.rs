//! What the system lets a program do.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open at a time as far as the system allows without asking
/// an administrator. Each connection is one, and many shells and service managers begin with 1,024:
/// a daemon would refuse its five hundredth run for no reason that anybody could see.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => {
            tracing::debug!(from = limit.current, to = limit.maximum, "more files may be open")
        }
        Err(error) => tracing::warn!(
            %error,
            limit = limit.current,
            "the number of open files stays low; raise it (ulimit -n, LimitNOFILE=)"
        ),
    }
}
