use serde_json::json;

use super::*;

fn chunk(step: u32, data: &str) -> RunEvent {
    RunEvent::Chunk { data: data.to_owned(), step: Some(step) }
}

fn restarted(step: u32, from: u64) -> RunEvent {
    RunEvent::Restarted { step, from, reason: RestartReason::Resumed }
}

fn call(id: &str) -> RunEvent {
    RunEvent::ToolCall { id: id.to_owned(), name: "find".to_owned(), arguments: json!({}) }
}

fn result(id: &str, duration_ms: u64) -> RunEvent {
    let (id, name) = (id.to_owned(), "find".to_owned());
    RunEvent::ToolResult { id, name, ok: true, duration_ms, error: None }
}

/// Stores everything that waits, and tells it.
fn store(recording: &Recording) -> Vec<(i64, RunEvent)> {
    let mut all = Vec::new();
    loop {
        let batch = recording.next_batch(256, 1 << 20);
        let Some(last) = batch.last().map(|told| told.id) else { return all };
        all.extend(recording.stored().into_iter().map(|told| (told.id, told.event)));
        recording.told_until(last);
    }
}

/// A recording of the second lease, after the first one told this text of turn 2.
fn after(text: &str) -> Recording {
    let events = vec![
        Told { id: 1_000_001, event: chunk(2, &text[..1]) },
        Told { id: 1_000_002, event: chunk(2, &text[1..]) },
    ];
    Recording::new(2, Known::of(events, 0))
}

#[test]
fn waiting_chunks_of_a_turn_are_merged_and_what_is_on_its_way_is_left_alone() {
    let recording = Recording::new(1, Known::default());
    recording.push(chunk(2, "Hel"));
    assert_eq!(recording.next_batch(256, 1 << 20).len(), 1);
    recording.push(chunk(2, "lo "));
    recording.push(chunk(2, "wörld"));
    let first = recording.stored();
    assert_eq!((first[0].id, &first[0].event), (1_000_001, &chunk(2, "Hel")));
    recording.push(call("a"));
    recording.push(chunk(4, "!"));
    assert_eq!(
        store(&recording),
        [(1_000_002, chunk(2, "lo wörld")), (1_000_003, call("a")), (1_000_004, chunk(4, "!"))]
    );
}

#[tokio::test]
async fn a_turn_asked_again_tells_nothing_twice() {
    for (again, told) in [
        ("Hello", vec![]),
        ("Hello there", vec![(2_000_001, chunk(2, " there"))]),
        ("Help", vec![(2_000_001, restarted(2, 3)), (2_000_002, chunk(2, "p"))]),
        ("Hell", vec![(2_000_001, restarted(2, 4))]),
    ] {
        let recording = after("Hello");
        recording.ask(2);
        let mut said = String::new();
        for letter in again.chars() {
            recording.push(chunk(2, letter.encode_utf8(&mut [0; 4])));
            said.push(letter);
        }
        let (span, stored) =
            tokio::join!(recording.complete(2, &said), async { store(&recording) });
        assert_eq!(stored, told, "{again}");
        let last = told.last().map_or(1_000_002, |(id, _)| *id);
        assert_eq!(span, Some(Span { first: 1_000_001, last }));
    }
}

#[test]
fn code_points_are_counted_and_not_bytes() {
    let recording =
        Recording::new(2, Known::of(vec![Told { id: 1_000_001, event: chunk(2, "äöü ß") }], 0));
    recording.ask(2);
    recording.push(chunk(2, "äöx"));
    assert_eq!(store(&recording), [(2_000_001, restarted(2, 2)), (2_000_002, chunk(2, "x"))]);
}

#[test]
fn a_second_attempt_in_the_same_lease_is_compared_too() {
    let recording = Recording::new(1, Known::default());
    recording.ask(2);
    recording.push(chunk(2, "Good morning"));
    store(&recording);
    recording.ask(2);
    recording.push(chunk(2, "Good "));
    recording.push(chunk(2, "evening"));
    assert_eq!(store(&recording), [(1_000_002, restarted(2, 5)), (1_000_003, chunk(2, "evening"))]);
}

#[test]
fn what_is_rejected_is_taken_back_once() {
    let recording = after("Hello");
    recording.reject(2);
    let reason = RestartReason::Rejected;
    assert_eq!(store(&recording), [(2_000_001, RunEvent::Restarted { step: 2, from: 0, reason })]);
    recording.reject(2);
    recording.push(chunk(3, "New"));
    assert_eq!(store(&recording), [(2_000_002, chunk(3, "New"))]);
}

#[test]
fn calls_and_results_that_were_told_keep_their_ids() {
    let events = vec![
        Told { id: 1_000_003, event: call("a") },
        Told { id: 1_000_004, event: call("b") },
        Told { id: 1_000_005, event: result("b", 7) },
    ];
    let recording = Recording::new(2, Known::of(events, 1_000_002));
    assert_eq!(recording.push(call("a")), Some(1_000_003));
    assert_eq!(recording.push(result("b", 9)), Some(1_000_005));
    assert_eq!(recording.push(result("a", 9)), Some(2_000_001));
    assert_eq!(recording.push(result("a", 9)), Some(2_000_001));
    assert_eq!(store(&recording), [(2_000_001, result("a", 9))]);
}

#[tokio::test]
async fn while_the_store_is_away_words_are_told_at_once_and_stored_later() {
    let recording = Recording::new(1, Known::default());
    recording.push(chunk(2, "a"));
    let _lost = recording.next_batch(256, 1 << 20);
    assert_eq!(recording.store_is_away().len(), 1);
    recording.told_until(1_000_001);
    recording.flushed().await;
    recording.push(chunk(2, "b"));
    assert!(recording.has_news());
    assert_eq!(recording.store_is_away()[0].id, 1_000_002);
    recording.push(chunk(2, "c"));
    // It is back: readers elsewhere get all, readers here what they have not heard.
    let batch = recording.next_batch(256, 1 << 20);
    assert_eq!(
        batch.iter().map(|told| told.id).collect::<Vec<_>>(),
        [1_000_001, 1_000_002, 1_000_003]
    );
    assert_eq!(recording.stored().len(), 1);
}

#[test]
fn where_nobody_knows_what_was_told_the_turn_begins_anew_once() {
    let known = Known { is_unsure: true, ..Known::default() };
    let recording = Recording::new(2, known);
    recording.ask(2);
    recording.push(chunk(2, "Hello"));
    recording.ask(2);
    recording.push(chunk(2, "Hello you"));
    recording.ask(3);
    recording.push(chunk(3, "!"));
    assert_eq!(
        store(&recording),
        [
            (2_000_001, restarted(2, 0)),
            (2_000_002, chunk(2, "Hello you")),
            (2_000_003, chunk(3, "!"))
        ]
    );
}
