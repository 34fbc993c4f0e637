//! Serialises runs: one at a time for each session and task, in the order of arrival.
//!
//! This applies within one instance; leases extend it to all. Idle sessions cost no memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What happens to a message whose session is busy (`WOMBAT_SESSION_POLICY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPolicy {
    /// It waits for its turn.
    Queue,
    /// It is rejected.
    Reject,
    /// It runs concurrently.
    Parallel,
}

impl std::str::FromStr for SessionPolicy {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "queue" => Ok(Self::Queue),
            "reject" => Ok(Self::Reject),
            "parallel" => Ok(Self::Parallel),
            _ => Err(()),
        }
    }
}

/// The session is busy, and the policy is to reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// The sessions in use, each with its queue.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<String, Lane>>>);

#[derive(Debug)]
struct Lane {
    /// One permit; tokio's semaphore is fair (first in, first out).
    semaphore: Arc<Semaphore>,
    /// How many hold the permit or wait for it.
    users: usize,
}

/// The right to run; when it is dropped, the next run starts.
#[derive(Debug)]
pub struct Turn {
    /// Dropped before the place, so that a lane without users has its permit.
    _permit: Option<OwnedSemaphorePermit>,
    _lane_user: Option<LaneUser>,
}

/// Counts as one message that waits until it is dropped.
#[derive(Debug)]
pub struct WaitingPlace(#[expect(dead_code, reason = "dropped, it leaves the lane")] LaneUser);

/// Counts as one user of a lane until it is dropped, also while waiting.
#[derive(Debug)]
struct LaneUser {
    sessions: Sessions,
    name: String,
}

impl Sessions {
    /// Waits for the turn in a lane, or fails, as the policy says. Dropping the future gives up the
    /// place in the queue.
    ///
    /// # Errors
    /// [`Busy`] when the policy is [`SessionPolicy::Reject`] and the lane is in use.
    pub async fn enter(&self, name: String, policy: SessionPolicy) -> Result<Turn, Busy> {
        if policy == SessionPolicy::Parallel {
            return Ok(Turn { _permit: None, _lane_user: None });
        }
        let (lane_user, semaphore) = self.join_lane(name);
        let permit = match policy {
            SessionPolicy::Reject => semaphore.try_acquire_owned().map_err(|_| Busy)?,
            // The semaphore is never closed, so waiting always ends with a permit.
            SessionPolicy::Queue | SessionPolicy::Parallel => {
                semaphore.acquire_owned().await.map_err(|_| Busy)?
            }
        };
        Ok(Turn { _permit: Some(permit), _lane_user: Some(lane_user) })
    }

    /// A place among the messages of a session that wait; `None` when there are as many as may be.
    pub fn wait_in(&self, session: &str, most: usize) -> Option<WaitingPlace> {
        let (place, _) = self.join_lane(format!("waiting\n{session}"));
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = lanes.get(&place.name).map_or(0, |lane| lane.users);
        drop(lanes);
        (waiting <= most).then_some(WaitingPlace(place))
    }

    fn join_lane(&self, name: String) -> (LaneUser, Arc<Semaphore>) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes
            .entry(name.clone())
            .or_insert_with(|| Lane { semaphore: Arc::new(Semaphore::new(1)), users: 0 });
        lane.users += 1;
        let semaphore = lane.semaphore.clone();
        (LaneUser { sessions: self.clone(), name }, semaphore)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Drop for LaneUser {
    fn drop(&mut self) {
        let mut lanes = self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get_mut(&self.name) {
            lane.users -= 1;
            if lane.users == 0 {
                lanes.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Whether a future is still waiting after having been asked once.
    async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
        poll_fn(|cx| {
            Poll::Ready(matches!(std::pin::Pin::new(&mut *future).poll(cx), Poll::Pending))
        })
        .await
    }

    #[tokio::test]
    async fn the_next_starts_when_the_one_before_is_done_in_order() {
        let sessions = Sessions::default();
        let first = sessions.enter("s".into(), SessionPolicy::Queue).await.unwrap();
        let mut second = pin!(sessions.enter("s".into(), SessionPolicy::Queue));
        let mut third = pin!(sessions.enter("s".into(), SessionPolicy::Queue));
        assert!(waits(&mut second).await);
        assert!(waits(&mut third).await);
        drop(first);
        assert!(waits(&mut third).await);
        drop(second.await.unwrap());
        drop(third.await.unwrap());
        assert_eq!(sessions.len(), 0);
    }

    #[tokio::test]
    async fn other_sessions_do_not_wait() {
        let sessions = Sessions::default();
        let _a = sessions.enter("a".into(), SessionPolicy::Queue).await.unwrap();
        let _b = sessions.enter("b".into(), SessionPolicy::Queue).await.unwrap();
        assert_eq!(sessions.len(), 2);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_no_trace() {
        let sessions = Sessions::default();
        let first = sessions.enter("s".into(), SessionPolicy::Queue).await.unwrap();
        {
            let mut waiting = pin!(sessions.enter("s".into(), SessionPolicy::Queue));
            assert!(waits(&mut waiting).await);
        }
        drop(first);
        assert_eq!(sessions.len(), 0);
        sessions.enter("s".into(), SessionPolicy::Reject).await.unwrap();
    }

    #[tokio::test]
    async fn the_policy_may_refuse_or_let_pass() {
        let sessions = Sessions::default();
        let _first = sessions.enter("s".into(), SessionPolicy::Queue).await.unwrap();
        assert_eq!(sessions.enter("s".into(), SessionPolicy::Reject).await.unwrap_err(), Busy);
        sessions.enter("s".into(), SessionPolicy::Parallel).await.unwrap();
    }
}
