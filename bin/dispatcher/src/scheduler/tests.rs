use std::time::Duration;

use retry::Backoff;

use super::*;
use crate::classify::Verdict;

const SECOND: Duration = Duration::from_secs(1);

fn scheduler(concurrency: usize, now: Instant) -> Scheduler {
    let backoff = Backoff::new(SECOND, 30 * SECOND);
    Scheduler::new(Limits { concurrency, max_attempts: 3, backoff }, now)
}

fn delivery(session: &str, id: &str) -> Delivery {
    serde_json::from_value(serde_json::json!({
        "notification_id": id, "user_id": session, "session_key": format!("user:{session}:r")
    }))
    .unwrap()
}

fn failed() -> Outcome {
    Outcome::Forwarded(Verdict::Failed { error: "why".into(), retry_after: None })
}

fn outage() -> Outcome {
    Outcome::Forwarded(Verdict::Outage { error: "away".into(), retry_after: None })
}

fn delivered() -> Outcome {
    Outcome::Forwarded(Verdict::Delivered)
}

fn take(scheduler: &mut Scheduler, now: Instant) -> Option<(String, Step, Job)> {
    let job = scheduler.next(now, false)?;
    Some((job.delivery.notification_id.clone(), job.step.clone(), job))
}

#[test]
fn a_session_is_served_in_order_and_only_after_the_acknowledgement() {
    let now = Instant::now();
    let mut scheduler = scheduler(16, now);
    scheduler.merge(vec![delivery("a", "1"), delivery("a", "2"), delivery("b", "3")], now);
    let (first, _, job) = take(&mut scheduler, now).unwrap();
    let (other, ..) = take(&mut scheduler, now).unwrap();
    assert_eq!((first.as_str(), other.as_str()), ("1", "3"));
    assert!(take(&mut scheduler, now).is_none());
    assert!(scheduler.finish(&job, delivered(), now).is_empty());
    let (id, step, job) = take(&mut scheduler, now).unwrap();
    assert_eq!((id.as_str(), step), ("1", Step::Acknowledge));
    assert_eq!(
        scheduler.finish(&job, Outcome::Acked(AckResult::Accepted), now),
        [Event::Delivered]
    );
    assert_eq!(take(&mut scheduler, now).unwrap().0, "2");
}

#[test]
fn what_is_in_flight_or_just_done_is_not_taken_in_again() {
    let now = Instant::now();
    let mut scheduler = scheduler(16, now);
    let batch = || vec![delivery("a", "1")];
    assert_eq!(scheduler.merge(batch(), now), 1);
    scheduler.poll_started();
    let (.., job) = take(&mut scheduler, now).unwrap();
    assert_eq!(scheduler.merge(batch(), now), 0);
    scheduler.poll_started();
    scheduler.finish(&job, delivered(), now);
    let (.., job) = take(&mut scheduler, now).unwrap();
    scheduler.finish(&job, Outcome::Acked(AckResult::Accepted), now);
    assert!(scheduler.is_empty());
    // The poll began before the acknowledgement, so its answer may be of before.
    assert_eq!(scheduler.merge(batch(), now), 0);
    scheduler.poll_started();
    assert_eq!(scheduler.merge(batch(), now), 1, "put back by a person");
}

#[test]
fn a_failure_holds_back_its_own_session_for_its_own_time() {
    let now = Instant::now();
    let mut scheduler = scheduler(1, now);
    scheduler.merge(vec![delivery("a", "1"), delivery("b", "2")], now);
    let (.., job) = take(&mut scheduler, now).unwrap();
    assert_eq!(scheduler.finish(&job, failed(), now), [Event::ForwardFailed("why".into())]);
    let (id, _, job) = take(&mut scheduler, now).unwrap();
    assert_eq!(id, "2");
    scheduler.finish(&job, failed(), now);
    assert!(take(&mut scheduler, now).is_none());
    assert_eq!(scheduler.next_due(false), Some(now + SECOND));
    assert_eq!(take(&mut scheduler, now + SECOND).unwrap().0, "1");
}

#[test]
fn a_notification_is_dead_after_its_attempts_and_the_next_one_goes_on() {
    let mut now = Instant::now();
    let mut scheduler = scheduler(1, now);
    scheduler.merge(vec![delivery("a", "1"), delivery("a", "2")], now);
    for _ in 0..3 {
        let (id, step, job) = take(&mut scheduler, now).unwrap();
        assert_eq!((id.as_str(), step), ("1", Step::Forward));
        scheduler.finish(&job, failed(), now);
        now += 30 * SECOND;
    }
    let (_, step, job) = take(&mut scheduler, now).unwrap();
    assert_eq!((step, job.attempts), (Step::DeadLetter("why".into()), 3));
    let retry = AckResult::Retry { error: "down".into(), retry_after: Some(5 * SECOND) };
    assert_eq!(
        scheduler.finish(&job, Outcome::Acked(retry), now),
        [Event::AckFailed("down".into())]
    );
    assert!(take(&mut scheduler, now + 4 * SECOND).is_none());
    let (.., job) = take(&mut scheduler, now + 5 * SECOND).unwrap();
    let dead = Event::DeadLetter { error: "why".into(), reported: true };
    assert_eq!(scheduler.finish(&job, Outcome::Acked(AckResult::Accepted), now), [dead]);
    assert_eq!(take(&mut scheduler, now).unwrap().0, "2");
}

#[test]
fn a_rejected_dead_letter_is_skipped_from_then_on() {
    let now = Instant::now();
    let mut scheduler = scheduler(1, now);
    scheduler.merge(vec![delivery("a", "1")], now);
    let (.., job) = take(&mut scheduler, now).unwrap();
    scheduler.finish(&job, Outcome::Forwarded(Verdict::Rejected("bad".into())), now);
    let (_, step, job) = take(&mut scheduler, now).unwrap();
    assert_eq!(step, Step::DeadLetter("bad".into()));
    let dead = Event::DeadLetter { error: "bad".into(), reported: false };
    assert_eq!(
        scheduler.finish(&job, Outcome::Acked(AckResult::Rejected("405".into())), now),
        [dead]
    );
    scheduler.poll_started();
    assert_eq!(scheduler.merge(vec![delivery("a", "1")], now), 0);
    assert!(scheduler.is_empty());
}

#[test]
fn an_outage_counts_no_attempts_and_is_probed_by_one_forward_at_a_time() {
    let mut now = Instant::now();
    let mut scheduler = scheduler(2, now);
    scheduler.merge(vec![delivery("a", "1"), delivery("b", "2"), delivery("c", "3")], now);
    let (.., first) = take(&mut scheduler, now).unwrap();
    let (.., second) = take(&mut scheduler, now).unwrap();
    assert_eq!(scheduler.finish(&first, outage(), now), [Event::OutageBegan("away".into())]);
    assert_eq!(scheduler.finish(&second, outage(), now), [Event::OutageContinues]);
    assert!(take(&mut scheduler, now).is_none());
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(scheduler.next_due(false), Some(now + wait * SECOND));
        now += wait * SECOND;
        let (.., probe) = take(&mut scheduler, now).unwrap();
        assert!(take(&mut scheduler, now).is_none(), "one probe at a time");
        assert_eq!(scheduler.next_due(false), None);
        assert_eq!(scheduler.finish(&probe, outage(), now), [Event::OutageContinues]);
    }
    now += 30 * SECOND;
    let (.., probe) = take(&mut scheduler, now).unwrap();
    assert_eq!(probe.attempts, 0);
    assert_eq!(scheduler.finish(&probe, delivered(), now), [Event::OutageEnded]);
    assert!(take(&mut scheduler, now).is_some() && take(&mut scheduler, now).is_some());
}

#[test]
fn an_outage_with_a_wait_of_its_own_is_probed_after_that_wait() {
    let mut now = Instant::now();
    let mut scheduler = scheduler(2, now);
    scheduler.merge(vec![delivery("a", "1")], now);
    // Such as that of a provider whose account is spent.
    let spent = || {
        let retry_after = Some(60 * SECOND);
        Outcome::Forwarded(Verdict::Outage { error: "spent".into(), retry_after })
    };
    for _ in 0..20 {
        let (_, step, job) = take(&mut scheduler, now).unwrap();
        assert_eq!((step, job.attempts), (Step::Forward, 0));
        scheduler.finish(&job, spent(), now);
        assert_eq!(scheduler.next_due(false), Some(now + 60 * SECOND));
        assert!(take(&mut scheduler, now + 59 * SECOND).is_none());
        now += 60 * SECOND;
    }
}

#[test]
fn acknowledgements_go_on_in_an_outage_and_an_old_answer_does_not_end_it() {
    let now = Instant::now();
    let mut scheduler = scheduler(2, now);
    scheduler.merge(vec![delivery("a", "1"), delivery("b", "2")], now);
    let (.., first) = take(&mut scheduler, now).unwrap();
    let (.., second) = take(&mut scheduler, now).unwrap();
    let later = now + Duration::from_millis(1);
    scheduler.finish(&first, outage(), later);
    assert!(scheduler.finish(&second, delivered(), later).is_empty(), "sent before the outage");
    assert_eq!(take(&mut scheduler, later).unwrap().1, Step::Acknowledge);
}

#[test]
fn a_busy_session_waits_without_end() {
    let mut now = Instant::now();
    let mut scheduler = scheduler(1, now);
    scheduler.merge(vec![delivery("a", "1")], now);
    for _ in 0..20 {
        let (_, step, job) = take(&mut scheduler, now).unwrap();
        assert_eq!((step, job.attempts), (Step::Forward, 0));
        let busy = Outcome::Forwarded(Verdict::Busy { retry_after: None });
        assert_eq!(scheduler.finish(&job, busy, now), [Event::SessionBusy]);
        now += 30 * SECOND;
    }
}

#[test]
fn when_stopping_only_acknowledgements_are_sent() {
    let now = Instant::now();
    let mut scheduler = scheduler(2, now);
    scheduler.merge(vec![delivery("a", "1"), delivery("b", "2"), delivery("c", "3")], now);
    let (.., job) = take(&mut scheduler, now).unwrap();
    scheduler.finish(&job, delivered(), now);
    assert!(scheduler.has_pending_acks());
    let job = scheduler.next(now, true).unwrap();
    assert_eq!(job.step, Step::Acknowledge);
    scheduler.finish(&job, Outcome::Acked(AckResult::Accepted), now);
    assert!(scheduler.next(now, true).is_none() && !scheduler.has_pending_acks());
    assert_eq!(scheduler.next_due(true), None);
}
