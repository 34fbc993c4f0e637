//! How much one user may hold at a time, so that none takes all: event streams and calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many streams all users may have open at once.
const MAX_STREAMS: usize = 1_024;

/// How many streams services may have open beside them.
const MAX_SERVICE_STREAMS: usize = 64;

/// How many streams one user may have open at once, in all roles and on the page.
pub(crate) const MAX_USER_STREAMS: usize = 32;

/// How many calls of one user's agents are answered at once.
pub(crate) const MAX_USER_CALLS: usize = 256;

/// What each user has taken.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    each: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of a user's places, which is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    user: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Places {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place for a user; `None` if all that are this user's are taken.
    pub(crate) fn take(&self, user: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(user) {
            Some(many) if *many >= self.each => return None,
            Some(many) => *many += 1,
            None => drop(taken.insert(user.to_owned(), 1)),
        }
        Some(Place { user: user.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(many) = taken.get_mut(&self.user) {
            *many -= 1;
            if *many == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

/// The places of event streams.
#[derive(Debug, Clone)]
pub(crate) struct StreamPlaces {
    of_users: Arc<Semaphore>,
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
    /// The user has as many as one may have.
    User,
    /// All are taken.
    All,
}

impl Default for StreamPlaces {
    fn default() -> Self {
        Self {
            of_users: Arc::new(Semaphore::new(MAX_STREAMS)),
            of_services: Arc::new(Semaphore::new(MAX_SERVICE_STREAMS)),
            of_each: Places::new(MAX_USER_STREAMS),
        }
    }
}

impl StreamPlaces {
    /// A place for a user's stream, or for a service's.
    pub(crate) fn take(&self, user: Option<&str>) -> Result<StreamPlace, Full> {
        let (all, place) = match user {
            Some(user) => (&self.of_users, Some(self.of_each.take(user).ok_or(Full::User)?)),
            None => (&self.of_services, None),
        };
        let permit = Arc::clone(all).try_acquire_owned().map_err(|_| Full::All)?;
        Ok(StreamPlace { _permit: permit, _place: place })
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        let free = self.of_users.available_permits() + self.of_services.available_permits();
        (MAX_STREAMS + MAX_SERVICE_STREAMS).saturating_sub(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_takes_no_more_than_its_own() {
        let places = StreamPlaces::default();
        let mut held: Vec<_> =
            (0..MAX_USER_STREAMS).map(|_| places.take(Some("ann")).unwrap()).collect();
        assert_eq!(places.take(Some("ann")).unwrap_err(), Full::User);
        let other = places.take(Some("bob")).unwrap();
        assert_eq!(places.open(), MAX_USER_STREAMS + 1);
        held.pop();
        places.take(Some("ann")).unwrap();
        drop((held, other));
        assert_eq!(places.open(), 0);
        assert!(places.of_each.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn services_have_places_of_their_own() {
        let places = StreamPlaces::default();
        let users: Vec<_> = (0..MAX_STREAMS).map(|n| places.take(Some(&n.to_string()))).collect();
        assert!(users.iter().all(Result::is_ok));
        assert_eq!(places.take(Some("one more")).unwrap_err(), Full::All);
        let services: Vec<_> = (0..MAX_SERVICE_STREAMS).map(|_| places.take(None)).collect();
        assert!(services.iter().all(Result::is_ok));
        assert_eq!(places.take(None).unwrap_err(), Full::All);
    }
}
