use std::time::Duration;

use retry::Backoff;

use super::*;
use crate::classify::Verdict;

const SECOND: Duration = Duration::from_secs(1);

fn board(concurrency: usize, now: Instant) -> Board {
    let backoff = Backoff::new(SECOND, 30 * SECOND);
    Board::new(Limits { concurrency, max_attempts: 3, backoff }, now)
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

fn take(board: &mut Board, now: Instant) -> Option<(String, Step, Job)> {
    let job = board.next(now, false)?;
    Some((job.delivery.notification_id.clone(), job.step.clone(), job))
}

#[test]
fn a_session_is_served_in_order_and_only_after_the_acknowledgement() {
    let now = Instant::now();
    let mut board = board(16, now);
    board.merge(vec![delivery("a", "1"), delivery("a", "2"), delivery("b", "3")], now);
    let (first, _, job) = take(&mut board, now).unwrap();
    let (other, ..) = take(&mut board, now).unwrap();
    assert_eq!((first.as_str(), other.as_str()), ("1", "3"));
    assert!(take(&mut board, now).is_none());
    assert!(board.finish(&job, delivered(), now).is_empty());
    let (id, step, job) = take(&mut board, now).unwrap();
    assert_eq!((id.as_str(), step), ("1", Step::Acknowledge));
    assert_eq!(board.finish(&job, Outcome::Told(Told::Done), now), [Event::Delivered]);
    assert_eq!(take(&mut board, now).unwrap().0, "2");
}

#[test]
fn what_is_in_flight_or_just_done_is_not_taken_in_again() {
    let now = Instant::now();
    let mut board = board(16, now);
    let batch = || vec![delivery("a", "1")];
    assert_eq!(board.merge(batch(), now), 1);
    board.poll_begins();
    let (.., job) = take(&mut board, now).unwrap();
    assert_eq!(board.merge(batch(), now), 0);
    board.poll_begins();
    board.finish(&job, delivered(), now);
    let (.., job) = take(&mut board, now).unwrap();
    board.finish(&job, Outcome::Told(Told::Done), now);
    assert!(board.is_empty());
    // The poll began before the acknowledgement, so its answer may be of before.
    assert_eq!(board.merge(batch(), now), 0);
    board.poll_begins();
    assert_eq!(board.merge(batch(), now), 1, "put back by a person");
}

#[test]
fn a_failure_holds_back_its_own_session_for_its_own_time() {
    let now = Instant::now();
    let mut board = board(1, now);
    board.merge(vec![delivery("a", "1"), delivery("b", "2")], now);
    let (.., job) = take(&mut board, now).unwrap();
    assert_eq!(board.finish(&job, failed(), now), [Event::Failed("why".into())]);
    let (id, _, job) = take(&mut board, now).unwrap();
    assert_eq!(id, "2");
    board.finish(&job, failed(), now);
    assert!(take(&mut board, now).is_none());
    assert_eq!(board.next_due(false), Some(now + SECOND));
    assert_eq!(take(&mut board, now + SECOND).unwrap().0, "1");
}

#[test]
fn a_notification_is_dead_after_its_attempts_and_the_next_one_goes_on() {
    let mut now = Instant::now();
    let mut board = board(1, now);
    board.merge(vec![delivery("a", "1"), delivery("a", "2")], now);
    for _ in 0..3 {
        let (id, step, job) = take(&mut board, now).unwrap();
        assert_eq!((id.as_str(), step), ("1", Step::Forward));
        board.finish(&job, failed(), now);
        now += 30 * SECOND;
    }
    let (_, step, job) = take(&mut board, now).unwrap();
    assert_eq!((step, job.attempts), (Step::Bury("why".into()), 3));
    let later = Told::Later { error: "down".into(), retry_after: Some(5 * SECOND) };
    assert_eq!(board.finish(&job, Outcome::Told(later), now), [Event::NotTold("down".into())]);
    assert!(take(&mut board, now + 4 * SECOND).is_none());
    let (.., job) = take(&mut board, now + 5 * SECOND).unwrap();
    let dead = Event::Dead { error: "why".into(), reported: true };
    assert_eq!(board.finish(&job, Outcome::Told(Told::Done), now), [dead]);
    assert_eq!(take(&mut board, now).unwrap().0, "2");
}

#[test]
fn what_the_backend_refuses_to_hear_of_is_skipped_from_then_on() {
    let now = Instant::now();
    let mut board = board(1, now);
    board.merge(vec![delivery("a", "1")], now);
    let (.., job) = take(&mut board, now).unwrap();
    board.finish(&job, Outcome::Forwarded(Verdict::Refused("bad".into())), now);
    let (_, step, job) = take(&mut board, now).unwrap();
    assert_eq!(step, Step::Bury("bad".into()));
    let dead = Event::Dead { error: "bad".into(), reported: false };
    assert_eq!(board.finish(&job, Outcome::Told(Told::Never("405".into())), now), [dead]);
    board.poll_begins();
    assert_eq!(board.merge(vec![delivery("a", "1")], now), 0);
    assert!(board.is_empty());
}

#[test]
fn an_outage_counts_against_nobody_is_probed_by_one_and_told_once() {
    let mut now = Instant::now();
    let mut board = board(2, now);
    board.merge(vec![delivery("a", "1"), delivery("b", "2"), delivery("c", "3")], now);
    let (.., first) = take(&mut board, now).unwrap();
    let (.., second) = take(&mut board, now).unwrap();
    assert_eq!(board.finish(&first, outage(), now), [Event::OutageBegan("away".into())]);
    assert_eq!(board.finish(&second, outage(), now), [Event::OutageGoesOn]);
    assert!(take(&mut board, now).is_none());
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(board.next_due(false), Some(now + wait * SECOND));
        now += wait * SECOND;
        let (.., probe) = take(&mut board, now).unwrap();
        assert!(take(&mut board, now).is_none(), "one probe at a time");
        assert_eq!(board.next_due(false), None);
        assert_eq!(board.finish(&probe, outage(), now), [Event::OutageGoesOn]);
    }
    now += 30 * SECOND;
    let (.., probe) = take(&mut board, now).unwrap();
    assert_eq!(probe.attempts, 0);
    assert_eq!(board.finish(&probe, delivered(), now), [Event::OutageOver]);
    assert!(take(&mut board, now).is_some() && take(&mut board, now).is_some());
}

#[test]
fn acknowledgements_go_on_in_an_outage_and_an_old_answer_does_not_end_it() {
    let now = Instant::now();
    let mut board = board(2, now);
    board.merge(vec![delivery("a", "1"), delivery("b", "2")], now);
    let (.., first) = take(&mut board, now).unwrap();
    let (.., second) = take(&mut board, now).unwrap();
    let later = now + Duration::from_millis(1);
    board.finish(&first, outage(), later);
    assert!(board.finish(&second, delivered(), later).is_empty(), "sent before the outage");
    assert_eq!(take(&mut board, later).unwrap().1, Step::Acknowledge);
}

#[test]
fn a_busy_session_waits_without_end() {
    let mut now = Instant::now();
    let mut board = board(1, now);
    board.merge(vec![delivery("a", "1")], now);
    for _ in 0..20 {
        let (_, step, job) = take(&mut board, now).unwrap();
        assert_eq!((step, job.attempts), (Step::Forward, 0));
        let busy = Outcome::Forwarded(Verdict::Busy { retry_after: None });
        assert_eq!(board.finish(&job, busy, now), [Event::Busy]);
        now += 30 * SECOND;
    }
}

#[test]
fn when_stopping_only_what_was_delivered_is_settled() {
    let now = Instant::now();
    let mut board = board(2, now);
    board.merge(vec![delivery("a", "1"), delivery("b", "2"), delivery("c", "3")], now);
    let (.., job) = take(&mut board, now).unwrap();
    board.finish(&job, delivered(), now);
    assert!(board.is_settling());
    let job = board.next(now, true).unwrap();
    assert_eq!(job.step, Step::Acknowledge);
    board.finish(&job, Outcome::Told(Told::Done), now);
    assert!(board.next(now, true).is_none() && !board.is_settling());
    assert_eq!(board.next_due(true), None);
}
