//! How much one user may hold at a time, so that none takes all: event streams and calls. Each role of
//! a user has places of its own, and so has the user's page: who holds a role's token takes none of
//! the others'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many streams all agents may have open at once, and all people beside them.
const MAX_ALL_STREAMS: usize = 1_024;

/// How many streams services may have open beside them.
const MAX_SERVICE_STREAMS: usize = 64;

/// How many streams one role of a user may have open at once, and the user's page.
pub(crate) const MAX_STREAMS: usize = 32;

/// How many calls of one role of a user are answered at once.
pub(crate) const MAX_CALLS: usize = 256;

/// A user may hold as much as so many roles.
const MAX_ROLES: usize = 8;

/// What the page of a user is among its roles, none of which has an empty name.
const PAGE: &str = "";

/// What each user has taken, by role.
type Taken = Arc<Mutex<HashMap<String, HashMap<String, usize>>>>;

/// The places of each user.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    each: usize,
    taken: Taken,
}

/// One of a role's places, which is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    user: String,
    role: String,
    taken: Taken,
}

impl Places {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place for a role of a user; `None` if all that are its own are taken.
    pub(crate) fn take(&self, user: &str, role: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roles) = taken.get(user) {
            let own = roles.get(role).copied().unwrap_or_default();
            if own >= self.each || roles.values().sum::<usize>() >= self.each * MAX_ROLES {
                return None;
            }
        }
        *taken.entry(user.to_owned()).or_default().entry(role.to_owned()).or_default() += 1;
        let (user, role) = (user.to_owned(), role.to_owned());
        Some(Place { user, role, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(roles) = taken.get_mut(&self.user) else { return };
        if let Some(many) = roles.get_mut(&self.role) {
            *many -= 1;
            if *many == 0 {
                roles.remove(&self.role);
            }
        }
        if roles.is_empty() {
            taken.remove(&self.user);
        }
    }
}

/// The places of event streams.
#[derive(Debug, Clone)]
pub(crate) struct StreamPlaces {
    of_agents: Arc<Semaphore>,
    of_people: Arc<Semaphore>,
    of_services: Arc<Semaphore>,
    of_each: Places,
}

/// An open stream's place.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    _permit: OwnedSemaphorePermit,
    _place: Option<Place>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The role has as many as one may have, or the user as many as all of one's.
    Own,
    /// All are taken.
    All,
}

impl Default for StreamPlaces {
    fn default() -> Self {
        Self {
            of_agents: Arc::new(Semaphore::new(MAX_ALL_STREAMS)),
            of_people: Arc::new(Semaphore::new(MAX_ALL_STREAMS)),
            of_services: Arc::new(Semaphore::new(MAX_SERVICE_STREAMS)),
            of_each: Places::new(MAX_STREAMS),
        }
    }
}

impl StreamPlaces {
    /// A place for a stream of a user's agent, of the user, or of a service for nobody in particular.
    pub(crate) fn take(&self, user: Option<&str>, role: Option<&str>) -> Result<StreamPlace, Full> {
        let own = |user| self.of_each.take(user, role.unwrap_or(PAGE)).ok_or(Full::Own);
        let place = user.map(own).transpose()?;
        let all = match (user, role) {
            (Some(_), Some(_)) => &self.of_agents,
            (Some(_), None) => &self.of_people,
            (None, _) => &self.of_services,
        };
        let permit = Arc::clone(all).try_acquire_owned().map_err(|_| Full::All)?;
        Ok(StreamPlace { _permit: permit, _place: place })
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        let free = [&self.of_agents, &self.of_people, &self.of_services]
            .map(|places| places.available_permits());
        (2 * MAX_ALL_STREAMS + MAX_SERVICE_STREAMS).saturating_sub(free.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_takes_no_more_than_its_own() {
        let places = StreamPlaces::default();
        let take = |user, role| places.take(Some(user), role);
        let mut held: Vec<_> =
            (0..MAX_STREAMS).map(|_| take("ann", Some("mole")).unwrap()).collect();
        assert_eq!(take("ann", Some("mole")).unwrap_err(), Full::Own);
        let others = [
            take("ann", Some("scout")).unwrap(),
            take("ann", None).unwrap(),
            take("bob", Some("mole")).unwrap(),
        ];
        assert_eq!(places.open(), MAX_STREAMS + 3);
        held.pop();
        take("ann", Some("mole")).unwrap();
        drop((held, others));
        assert_eq!(places.open(), 0);
        assert!(places.of_each.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn a_user_takes_no_more_than_its_own() {
        let places = Places::new(2);
        let roles: Vec<_> = (0..MAX_ROLES).map(|role| role.to_string()).collect();
        let _held: Vec<_> = roles
            .iter()
            .flat_map(|role| [0, 1].map(|_| places.take("ann", role).unwrap()))
            .collect();
        assert!(places.take("ann", "one more").is_none());
        assert!(places.take("bob", "one more").is_some());
    }

    #[test]
    fn people_and_services_have_places_of_their_own() {
        let places = StreamPlaces::default();
        let take = |n: usize, role| places.take(Some(&n.to_string()), role);
        let agents: Vec<_> = (0..MAX_ALL_STREAMS).map(|n| take(n, Some("scout"))).collect();
        assert!(agents.iter().all(Result::is_ok));
        assert_eq!(take(MAX_ALL_STREAMS, Some("scout")).unwrap_err(), Full::All);
        assert!(take(MAX_ALL_STREAMS, None).is_ok());
        let services: Vec<_> = (0..MAX_SERVICE_STREAMS).map(|_| places.take(None, None)).collect();
        assert!(services.iter().all(Result::is_ok));
        assert_eq!(places.take(None, None).unwrap_err(), Full::All);
    }
}
