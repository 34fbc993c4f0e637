//! Ports for programs that have to be told one.

use std::fs::{File, create_dir_all};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where the system begins to give out ports by itself, where it does not say so: Linux's default.
const EPHEMERAL: u16 = 32_768;

/// How many ports below that are used here.
const MANY: u16 = 10_000;

/// The lowest port that is used here.
const LOWEST: u16 = 10_000;

/// The locks of the ports that this process was given.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port that is free now, and that no other test gets while this process lives: it is none of those that the
/// system gives to listeners on port 0 and to connections, and who asks here holds a lock on it.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let range = range();
    let tries = if range.is_empty() { 0 } else { 1_000 };
    let found = (0..tries).find_map(|_| {
        let port = fastrand::u16(range.clone());
        let lock = lock(port)?;
        drop(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?);
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
        Some(port)
    });
    found.unwrap_or_else(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("an address").port()
    })
}

/// The ports below those that the system gives out.
fn range() -> Range<u16> {
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let first = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    let end = first.unwrap_or(EPHEMERAL);
    end.saturating_sub(MANY).max(LOWEST)..end
}

/// The lock on a port, where nobody has it. It ends with the process.
fn lock(port: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("wombat-test-ports");
    create_dir_all(&folder).ok()?;
    let lock = File::create(folder.join(port.to_string())).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_is_none_of_the_systems_own() {
        let ports: Vec<_> = (0..20).map(|_| free_port()).collect();
        let range = range();
        for (at, port) in ports.iter().enumerate() {
            assert!(range.is_empty() || range.contains(port), "{port} {range:?}");
            assert!(range.is_empty() || lock(*port).is_none(), "{port} may be given again");
            assert!(!ports[..at].contains(port), "{ports:?}");
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap();
        }
    }
}
