use proptest::prelude::*;

use super::*;

fn read(deltas: &[Value]) -> Vec<(String, String, String)> {
    let mut calls = Calls::default();
    for delta in deltas {
        calls.delta(delta).unwrap();
    }
    let calls = calls.take(Provider::OpenAi).into_iter();
    calls.map(|call| (call.id, call.name, call.arguments)).collect()
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

/// Each list of pieces stands for one delta per piece.
fn pieces(pieces: &[Value]) -> Vec<Value> {
    pieces.iter().map(|piece| json!({ "tool_calls": [piece] })).collect()
}

#[test]
fn pieces_of_all_servers_make_the_calls() {
    let function = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    for (what, deltas, expected) in [
        (
            "as the protocol says",
            pieces(&[
                json!({ "index": 0, "id": "a", "function": function("f", json!("")) }),
                json!({ "index": 1, "id": "b", "function": function("g", json!("{}")) }),
                json!({ "index": 0, "function": { "arguments": "{\"x\":" } }),
                json!({ "index": 0, "function": { "arguments": "1}" } }),
            ]),
            vec![call("a", "f", "{\"x\":1}"), call("b", "g", "{}")],
        ),
        (
            "index zero for all calls, with ids",
            pieces(&[
                json!({ "index": 0, "id": "a", "function": function("f", json!("")) }),
                json!({ "index": 0, "id": "", "function": { "arguments": "{\"x\":1}", "name": null } }),
                json!({ "index": 0, "id": "b", "function": function("f", json!("")) }),
                json!({ "index": 0, "id": "", "function": { "arguments": "{\"x\":2}" } }),
            ]),
            vec![call("a", "f", "{\"x\":1}"), call("b", "f", "{\"x\":2}")],
        ),
        (
            "another id in the later pieces",
            pieces(&[
                json!({ "index": 0, "id": "a", "function": function("f", json!("")) }),
                json!({ "index": 0, "id": "b", "function": { "arguments": "{\"x\":" } }),
                json!({ "index": 0, "id": "c", "function": { "arguments": "1}" } }),
            ]),
            vec![call("a", "f", "{\"x\":1}")],
        ),
        (
            "neither index nor id, whole",
            pieces(&[
                json!({ "function": function("f", json!({ "x": 1 })) }),
                json!({ "function": function("f", json!({ "x": 2 })) }),
                json!({ "function": function("g", json!({})) }),
            ]),
            vec![call("", "f", "{\"x\":1}"), call("", "f", "{\"x\":2}"), call("", "g", "{}")],
        ),
        (
            "neither index nor id, side by side in one delta",
            vec![
                json!({ "tool_calls": [{ "function": { "name": "f" } }, { "function": { "name": "f" } }] }),
            ],
            vec![call("", "f", ""), call("", "f", "")],
        ),
        (
            "a name that grows, and one in pieces",
            pieces(&[
                json!({ "index": "0", "id": "a", "function": function("li", json!("")) }),
                json!({ "index": "0", "id": "a", "function": function("list", json!("{")) }),
                json!({ "index": "0", "id": "a", "function": function("list_all", json!("}")) }),
                json!({ "index": "1", "id": "b", "function": { "name": "get_" } }),
                json!({ "index": "1", "function": { "name": "one" } }),
                json!({ "index": "1", "function": { "arguments": "{}" } }),
            ]),
            vec![call("a", "list_all", "{}"), call("b", "get_one", "{}")],
        ),
        (
            "an object in pieces",
            pieces(&[
                json!({ "index": 0, "id": "a", "function": function("f", json!({ "x": 1 })) }),
                json!({ "index": 0, "id": "a", "function": { "arguments": { "y": 2 } } }),
            ]),
            vec![call("a", "f", "{\"x\":1,\"y\":2}")],
        ),
        (
            "all of it once more at the end",
            pieces(&[
                json!({ "index": 0, "id": "a", "function": function("f", json!("{\"x\":")) }),
                json!({ "index": 0, "function": { "arguments": "1}" } }),
                json!({ "index": 0, "id": "a", "function": function("f", json!("{\"x\":1}")) }),
            ]),
            vec![call("a", "f", "{\"x\":1}")],
        ),
        (
            "the old form",
            vec![
                json!({ "function_call": { "name": "f", "arguments": "" } }),
                json!({ "function_call": { "arguments": "{\"x\":" } }),
                json!({ "function_call": { "name": null, "arguments": "1}" } }),
            ],
            vec![call("", "f", "{\"x\":1}")],
        ),
        (
            "nothing at all",
            vec![
                json!({ "tool_calls": null, "function_call": null }),
                json!({ "tool_calls": [null, {}, { "function": null }] }),
                json!({ "tool_calls": [] }),
            ],
            Vec::new(),
        ),
        (
            "a call without a name",
            pieces(&[json!({ "index": 0, "id": "a", "function": function("", json!("{}")) })]),
            vec![call("a", "", "{}")],
        ),
    ] {
        assert_eq!(read(&deltas), expected, "{what}");
    }
}

#[test]
fn a_signature_stays_with_its_call_for_its_provider() {
    let extra = json!({ "google": { "thought_signature": "c2ln" } });
    let first = json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "f" },
        "extra_content": extra }] });
    let mut calls = Calls::default();
    calls.delta(&first).unwrap();
    for call in [calls.take(Provider::OpenAi), whole(Provider::OpenAi, &first).unwrap()] {
        let state = call[0].state.as_ref();
        assert_eq!(extra_of(state, Provider::OpenAi), Some(&extra));
        assert_eq!(extra_of(state, Provider::Groq), None);
    }
}

#[test]
fn the_calls_of_a_whole_message_are_each_one() {
    let message = json!({ "tool_calls": [
        { "id": "a", "function": { "name": "f", "arguments": "" } },
        { "id": "a", "function": { "name": "f" } },
        { "function": { "name": "g", "arguments": { "x": 1 } } },
    ] });
    let calls = whole(Provider::OpenAi, &message).unwrap();
    let read: Vec<_> =
        calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(read, [("f", ""), ("f", ""), ("g", "{\"x\":1}")]);
    let old = json!({ "tool_calls": null, "function_call": { "name": "f", "arguments": "{}" } });
    assert_eq!(whole(Provider::OpenAi, &old).unwrap()[0].name, "f");
}

/// How a server cuts calls into pieces.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Protocol,
    IdInEachPiece,
    NameInEachPiece,
    OtherIdInLaterPieces,
    GrowingName,
    IndexAsText,
    WithoutIndex,
    WholeWithoutIndex,
    WholeWithoutBoth,
    WholeIndexZero,
    ObjectWithoutBoth,
    AllInOneDelta,
}

const STYLES: [Style; 12] = [
    Style::Protocol,
    Style::IdInEachPiece,
    Style::NameInEachPiece,
    Style::OtherIdInLaterPieces,
    Style::GrowingName,
    Style::IndexAsText,
    Style::WithoutIndex,
    Style::WholeWithoutIndex,
    Style::WholeWithoutBoth,
    Style::WholeIndexZero,
    Style::ObjectWithoutBoth,
    Style::AllInOneDelta,
];

/// The deltas in which a server of this style sends the calls.
fn written(style: Style, calls: &[(String, Value)], cut: usize) -> Vec<Value> {
    let mut deltas = Vec::new();
    let mut all = Vec::new();
    for (n, (name, arguments)) in calls.iter().enumerate() {
        let (id, text) = (format!("id{n}"), arguments.to_string());
        let whole = match style {
            Style::WholeWithoutIndex => {
                Some(json!({ "id": id, "function": { "name": name, "arguments": text } }))
            }
            Style::WholeWithoutBoth => {
                Some(json!({ "function": { "name": name, "arguments": text } }))
            }
            Style::WholeIndexZero => Some(
                json!({ "index": 0, "id": id, "function": { "name": name, "arguments": text } }),
            ),
            Style::ObjectWithoutBoth | Style::AllInOneDelta => {
                Some(json!({ "function": { "name": name, "arguments": arguments } }))
            }
            _ => None,
        };
        if let Some(whole) = whole {
            all.push(whole.clone());
            deltas.push(json!({ "tool_calls": [whole] }));
            continue;
        }
        let chars: Vec<char> = text.chars().collect();
        let index = if style == Style::IndexAsText { json!(n.to_string()) } else { json!(n) };
        let half: String = name.chars().take(name.chars().count() / 2).collect();
        let first = if style == Style::GrowingName { half.as_str() } else { name };
        let mut piece = json!({ "index": index, "id": id, "type": "function",
            "function": { "name": first, "arguments": "" } });
        if style == Style::WithoutIndex {
            piece.as_object_mut().unwrap().remove("index");
        }
        deltas.push(json!({ "tool_calls": [piece] }));
        for (nth, part) in chars.chunks(cut).enumerate() {
            let mut piece = json!({ "index": index,
                "function": { "arguments": part.iter().collect::<String>() } });
            match style {
                Style::IdInEachPiece => piece["id"] = json!(id),
                Style::OtherIdInLaterPieces => piece["id"] = json!(format!("{id}-{nth}")),
                Style::NameInEachPiece | Style::GrowingName => {
                    piece["function"]["name"] = json!(name)
                }
                Style::WithoutIndex => {
                    piece.as_object_mut().unwrap().remove("index");
                }
                _ => {}
            }
            deltas.push(json!({ "tool_calls": [piece] }));
        }
    }
    if style == Style::AllInOneDelta { vec![json!({ "tool_calls": all })] } else { deltas }
}

proptest! {
    #[test]
    fn calls_read_the_same_in_whatever_pieces_they_come(
        calls in proptest::collection::vec(
            (
                "[a-z_]{2,8}",
                proptest::collection::btree_map("[a-z]{1,3}", "[ -~é]{0,6}", 0..3),
            ),
            1..4,
        ),
        style in proptest::sample::select(STYLES.to_vec()),
        cut in 1..9_usize,
    ) {
        let calls: Vec<(String, Value)> =
            calls.into_iter().map(|(name, arguments)| (name, json!(arguments))).collect();
        let read: Vec<(String, Value)> = read(&written(style, &calls, cut))
            .into_iter()
            .map(|(_, name, arguments)| (name, serde_json::from_str(&arguments).unwrap()))
            .collect();
        prop_assert_eq!(read, calls, "{:?}", style);
    }
}

#[test]
fn a_call_is_whole_when_its_arguments_are() {
    for (pieces, is_whole) in [
        (&["{}"][..], true),
        (&["{\"a\":", " [1, {}]}", " \n"], true),
        (&["{\"a\": \"}", "\\\"{", "\"", "}"], true),
        (&["{\"a\": \"}", "{}", "{}"], false),
        (&["{\"a\": {}", "{}"], false),
        (&["{}", "x"], false),
        (&["{,}", "{}"], false),
        (&["[]"], false),
        (&[""], false),
    ] {
        let (mut progress, mut all) = (Progress::default(), String::new());
        for piece in pieces {
            all += piece;
            progress.add(piece, &all);
        }
        assert_eq!(progress.is_whole, is_whole, "{pieces:?}");
    }
}

#[test]
fn arguments_in_many_pieces_are_read_once() {
    let mut calls = Calls::default();
    let piece =
        |text: &str| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": text } }] });
    calls.delta(&piece("{\"a\": \"")).unwrap();
    let many = piece(&format!("{{{}}}", "x".repeat(200)));
    let start = std::time::Instant::now();
    // Ten seconds and more if each piece were a reason to read all before it.
    for _ in 0..20_000 {
        calls.delta(&many).unwrap();
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn there_is_a_limit_of_calls() {
    let mut calls = Calls::default();
    let many: Vec<Value> = (0..100_000)
        .map(|n| json!({ "id": format!("c{n}"), "function": { "name": "f" } }))
        .collect();
    assert!(calls.delta(&json!({ "tool_calls": many })).is_err());
}
