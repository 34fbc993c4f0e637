use serde_json::json;

use super::*;

fn chunk(step: u32, data: &str) -> RunEvent {
    RunEvent::Chunk { data: data.to_owned(), step: Some(step) }
}

fn restarted(step: u32, from: u64, reason: RestartReason) -> RunEvent {
    RunEvent::Restarted { step, from, reason }
}

fn step(index: u32, kind: &str, payload: Value) -> RunStep {
    RunStep { index, kind: kind.to_owned(), payload }
}

fn turn(index: u32, text: &str, first: i64, last: i64) -> RunStep {
    let completion = json!({ "message": { "text": text, "tool_calls": [] } });
    step(
        index,
        "llm",
        json!({ "completion": completion, "first_event": first, "last_event": last }),
    )
}

fn result(index: u32, first: i64, last: i64) -> RunStep {
    let payload = json!({ "call_id": "c", "name": "find", "arguments": {}, "ok": true,
        "duration_ms": 1, "first_event": first, "last_event": last });
    step(index, "tool", payload)
}

fn kept(events: &[(i64, RunEvent)]) -> BTreeMap<i64, RunEvent> {
    events.iter().cloned().collect()
}

fn told(lines: Vec<Line>) -> Vec<(Option<i64>, RunEvent)> {
    lines.into_iter().map(|line| (line.id, line.event)).collect()
}

#[test]
fn kept_events_of_a_turn_are_told_as_they_are() {
    let steps = [turn(2, "Hello there", 1_000_001, 2_000_002)];
    let events = kept(&[
        (1_000_001, chunk(2, "Hello wor")),
        (2_000_001, restarted(2, 6, RestartReason::Resumed)),
        (2_000_002, chunk(2, "there")),
    ]);
    let script = Script::new(&steps, &events, false);
    let expected: Vec<_> = events.iter().map(|(id, event)| (Some(*id), event.clone())).collect();
    assert_eq!(told(script.after(None, true).unwrap()), expected);
    assert_eq!(told(script.after(Some(0), true).unwrap()), expected);
    assert_eq!(told(script.after(Some(1_000_001), true).unwrap()), expected[1..]);
    assert_eq!(script.last_id(), 2_000_002);
    assert!(script.after(Some(2_000_002), true).unwrap().is_empty());
}

#[test]
fn without_kept_events_a_turn_is_one_chunk_under_its_last_id() {
    let steps = [
        step(0, "request", json!({})),
        turn(2, "I look.", 1_000_001, 1_000_003),
        result(3, 1_000_004, 1_000_005),
        turn(4, "Done.", 1_000_006, 1_000_007),
    ];
    let script = Script::new(&steps, &BTreeMap::new(), false);
    let lines = told(script.after(None, true).unwrap());
    let ids: Vec<_> = lines.iter().filter_map(|(id, _)| *id).collect();
    assert_eq!(ids, [1_000_003, 1_000_004, 1_000_005, 1_000_007]);
    assert_eq!((&lines[0].1, &lines[3].1), (&chunk(2, "I look."), &chunk(4, "Done.")));
    // In the middle of the last turn, whose words are no longer known.
    let lost = told(script.after(Some(1_000_006), true).unwrap());
    assert_eq!(
        lost,
        [(None, restarted(4, 0, RestartReason::Lost)), (Some(1_000_007), chunk(4, "Done."))]
    );
    // In the middle of the first one: that one whole, and the rest.
    let lost = told(script.after(Some(1_000_002), true).unwrap());
    assert_eq!(lost[0], (None, restarted(2, 0, RestartReason::Lost)));
    assert_eq!(lost[1], (Some(1_000_003), chunk(2, "I look.")));
    assert_eq!(lost.len(), 5);
    // From the future: the newest turn.
    let future = told(script.after(Some(99_000_000), true).unwrap());
    assert_eq!(future, told(script.after(Some(1_000_006), true).unwrap()));
}

#[test]
fn the_rest_of_a_turn_is_one_chunk() {
    let steps = [turn(2, "One two three", 1_000_001, 1_000_005)];
    let events = kept(&[(1_000_001, chunk(2, "One ")), (1_000_004, chunk(2, "re"))]);
    let script = Script::new(&steps, &events, false);
    assert_eq!(
        told(script.after(None, true).unwrap()),
        [(Some(1_000_001), chunk(2, "One ")), (Some(1_000_005), chunk(2, "two three"))]
    );
}

#[test]
fn words_after_a_gap_wait_for_the_journal() {
    let events = kept(&[
        (1_000_001, chunk(2, "One ")),
        (1_000_002, chunk(2, "two ")),
        (1_000_004, chunk(2, "four")),
    ]);
    let script = Script::new(&[], &events, false);
    assert_eq!(script.last_id(), 1_000_002);
    assert_eq!(script.after(Some(1_000_001), true).unwrap().len(), 1);
}

#[test]
fn the_open_turn_follows_what_the_journal_has() {
    let steps = [turn(2, "I look.", 1_000_001, 1_000_001), result(3, 1_000_002, 1_000_003)];
    let events = kept(&[
        (1_000_001, chunk(2, "I look.")),
        (
            1_000_002,
            RunEvent::ToolCall { id: "c".into(), name: "find".into(), arguments: json!({}) },
        ),
        (1_000_004, chunk(4, "So")),
        (2_000_001, chunk(4, " be it")),
    ]);
    let script = Script::new(&steps, &events, false);
    let ids: Vec<_> =
        script.after(None, true).unwrap().into_iter().filter_map(|line| line.id).collect();
    assert_eq!(ids, [1_000_001, 1_000_002, 1_000_003, 1_000_004, 2_000_001]);
    let lost = told(script.after(Some(3_000_000), true).unwrap());
    assert_eq!(
        lost,
        [
            (None, restarted(4, 0, RestartReason::Lost)),
            (Some(1_000_004), chunk(4, "So")),
            (Some(2_000_001), chunk(4, " be it")),
        ]
    );
}

#[test]
fn a_rejected_answer_is_told_only_where_its_words_and_their_end_are_kept() {
    let rejected = RunStep { kind: "llm_rejected".into(), ..turn(2, "{}", 1_000_001, 1_000_001) };
    let steps = [rejected, turn(3, "[1]", 1_000_003, 1_000_003)];
    let events = kept(&[
        (1_000_001, chunk(2, "{}")),
        (1_000_002, restarted(2, 0, RestartReason::Schema)),
        (1_000_003, chunk(3, "[1]")),
    ]);
    assert_eq!(Script::new(&steps, &events, false).after(None, true).unwrap().len(), 3);
    let without = Script::new(&steps, &BTreeMap::new(), false);
    assert_eq!(told(without.after(None, true).unwrap()), [(Some(1_000_003), chunk(3, "[1]"))]);
}

#[test]
fn a_readers_event_that_is_not_known_now_may_be_later() {
    let events = kept(&[(1_000_001, chunk(2, "One ")), (1_000_002, chunk(2, "two"))]);
    let seen = Some(1_000_002);
    // While the kept events cannot be read, nothing is told twice.
    assert_eq!(Script::new(&[], &BTreeMap::new(), false).after(seen, false), None);
    assert_eq!(Script::new(&[], &events, false).after(seen, false), Some(Vec::new()));
    let earlier = [turn(2, "I look.", 1_000_001, 1_000_001)];
    let seen = Some(1_000_005);
    assert_eq!(Script::new(&earlier, &BTreeMap::new(), false).after(seen, false), None);
    // They are lost: the turn is told whole once it is in the journal.
    let steps = [earlier[0].clone(), turn(3, "So be it", 1_000_004, 1_000_006)];
    let lost = Script::new(&steps, &BTreeMap::new(), false).after(seen, false).unwrap();
    assert_eq!(
        told(lost),
        [(None, restarted(3, 0, RestartReason::Lost)), (Some(1_000_006), chunk(3, "So be it"))]
    );
}

#[test]
fn an_id_that_nobody_gave_goes_on_with_what_follows() {
    let steps = [turn(2, "Hello there", 3_000_001, 5_000_002)];
    let events = kept(&[
        (3_000_001, chunk(2, "Hello ")),
        (5_000_001, chunk(2, "the")),
        (5_000_002, chunk(2, "re")),
    ]);
    let script = Script::new(&steps, &events, true);
    // Before the first lease; a lease that told nothing; far beyond what a lease told.
    for (seen, first) in [(7, 0), (2_999_999, 0), (4_000_003, 1), (3_900_000, 1)] {
        let lines = told(script.after(Some(seen), true).unwrap());
        assert_eq!(lines[0].0, events.keys().nth(first).copied(), "{seen}");
        assert_eq!(lines.len(), 3 - first, "{seen}");
    }
    // Just after what is known of a lease: perhaps words that nobody else has.
    let lost = told(script.after(Some(3_000_002), true).unwrap());
    assert_eq!(lost[0], (None, restarted(2, 0, RestartReason::Lost)));
    // The ids of words that have expired were given.
    let expired = Script::new(&steps, &BTreeMap::new(), true);
    for seen in [5_000_001, 4_000_003] {
        let lost = told(expired.after(Some(seen), true).unwrap());
        assert_eq!(lost[0], (None, restarted(2, 0, RestartReason::Lost)), "{seen}");
    }
}
