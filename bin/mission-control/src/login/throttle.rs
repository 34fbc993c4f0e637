//! How often passwords may be tried: per address, so that nobody who guesses keeps others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many attempts in a row are answered at once; after each further one there is a wait.
pub(super) const FREE: u32 = 5;

/// The wait after the last free attempt; doubles with each further one.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(10);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// How long after its wait a source's attempts are remembered.
const KEPT: Duration = Duration::from_secs(3600);

/// The most sources that are remembered; beyond that the one goes that would be forgotten first.
const MAX_SOURCES: usize = 10_000;

/// Where an attempt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An address, or the network of an IPv6 address: whoever has one address of it has all.
    Network(IpAddr),
    /// A browser that has logged in before, wherever it is
    /// (<https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies>).
    Device([u8; 32]),
}

/// For the log: what a browser's cookie holds is not shown.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(address) => write!(f, "{address}"),
            Self::Device(_) => f.write_str("a browser that has logged in before"),
        }
    }
}

impl Source {
    /// The source of whoever has an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                Self::Network(Ipv6Addr::from(network).into())
            }
            address @ IpAddr::V4(_) => Self::Network(address),
        }
    }
}

/// The attempts of a source.
#[derive(Debug, Clone, Copy)]
struct Attempts {
    count: u32,
    /// Until when no other is answered.
    wait_until: Instant,
}

/// The attempts of all sources.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Source, Attempts>>);

impl Throttle {
    /// Begins an attempt, which counts until [`Self::forget`] says that it was right; the error is
    /// the time to wait. What counts is the beginning: many attempts at once are many.
    pub(super) fn begin(&self, source: Source) -> Result<(), Duration> {
        let now = Instant::now();
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sources.get(&source).filter(|known| known.wait_until + KEPT > now).copied();
        let known = known.unwrap_or(Attempts { count: 0, wait_until: now });
        if known.wait_until > now {
            return Err(known.wait_until - now);
        }
        let count = known.count.saturating_add(1);
        let wait = match count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(doubled) => FIRST_WAIT.saturating_mul(1 << doubled.min(16)).min(LONGEST_WAIT),
        };
        if sources.len() >= MAX_SOURCES
            && !sources.contains_key(&source)
            && let Some(first) = sources.iter().min_by_key(|(_, one)| one.wait_until)
        {
            let first = *first.0;
            sources.remove(&first);
        }
        sources.insert(source, Attempts { count, wait_until: now + wait });
        Ok(())
    }

    /// The source's attempt was right.
    pub(super) fn forget(&self, source: Source) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_end() {
        let throttle = Throttle::default();
        let one = source("192.0.2.1");
        for _ in 0..FREE {
            throttle.begin(one).unwrap();
        }
        for wait in [10, 20, 40, 80, 160, 320, 640, 900, 900] {
            let wait = Duration::from_secs(wait);
            assert_eq!(throttle.begin(one), Err(wait));
            // Others do not wait.
            throttle.begin(source("192.0.2.2")).unwrap();
            throttle.forget(source("192.0.2.2"));
            tokio::time::advance(wait).await;
            throttle.begin(one).unwrap();
        }
        throttle.forget(one);
        throttle.begin(one).unwrap();
        for _ in 1..FREE {
            throttle.begin(one).unwrap();
        }
        tokio::time::advance(FIRST_WAIT + KEPT).await;
        for _ in 0..FREE {
            throttle.begin(one).unwrap();
        }
    }

    #[test]
    fn a_source_is_a_network() {
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::4"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn sources_are_bounded() {
        let throttle = Throttle::default();
        for number in 0..u32::try_from(MAX_SOURCES).unwrap() + 50 {
            throttle.begin(Source::Network(std::net::Ipv4Addr::from(number).into())).unwrap();
        }
        assert_eq!(throttle.0.lock().unwrap().len(), MAX_SOURCES);
    }
}
