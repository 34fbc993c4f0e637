use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::runs::RunStep;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn keys(secret: &str, previous: Option<&str>) -> Arc<JournalKeys> {
    let previous = previous.map(SecretString::from);
    Arc::new(JournalKeys::new(&secret.into(), previous.as_ref()))
}

fn owner() -> JournalOwner {
    JournalOwner { run_key: "k".into(), user_id: "ann".into(), role: "scout".into() }
}

fn chain() -> JournalChain {
    JournalChain::new(keys(SECRET, None), owner())
}

/// A journal with these kinds of steps.
fn journal(mut chain: JournalChain, kinds: &[&str]) -> Vec<RunStep> {
    let mut steps = Vec::new();
    for (index, kind) in (0..).zip(kinds) {
        let put = chain.seal(index, kind, json!({ "n": index, "price": 2.0, "none": null }));
        chain.written(index, &put);
        steps.push(RunStep { index, kind: put.kind, payload: put.payload });
    }
    steps
}

const KINDS: [&str; 8] = ["request", "llm", "tool", "tool", "calling", "calling", "llm", "tool"];

fn read(steps: &[RunStep]) -> Result<(), JournalFault> {
    chain().read(steps.iter())
}

#[test]
fn a_journal_is_read_in_any_order_and_with_numbers_written_otherwise() {
    let mut steps = journal(chain(), &KINDS);
    steps.reverse();
    for step in &mut steps {
        step.payload["price"] = json!(2);
    }
    assert_eq!(read(&steps), Ok(()));
    assert_eq!(read(&[]), Ok(()));
    assert_eq!(steps[0].payload["mac"].as_str().unwrap().len(), 64);
}

#[test]
fn each_change_of_a_step_is_found() {
    let good = journal(chain(), &KINDS);
    type Change = fn(&mut RunStep);
    let changes: [Change; 8] = [
        |step| step.payload["n"] = json!(99),
        |step| step.payload["more"] = json!(null),
        |step| drop(step.payload.as_object_mut().unwrap().remove("none")),
        |step| drop(step.payload.as_object_mut().unwrap().remove("mac")),
        |step| step.payload["mac"] = json!("0".repeat(64)),
        |step| step.payload["mac"] = json!(step.payload["mac"].as_str().unwrap().to_uppercase()),
        |step| step.payload = json!("text"),
        |step| step.kind += "x",
    ];
    for (n, change) in changes.iter().enumerate() {
        for index in 0..good.len() {
            let mut steps = good.clone();
            change(&mut steps[index]);
            let fault = read(&steps).unwrap_err();
            assert_eq!(fault.index as usize, index, "change {n}: {fault}");
        }
    }
}

#[test]
fn steps_stay_where_they_were_written() {
    let good = journal(chain(), &KINDS);
    // Without one of its steps; the last one of the newest turn may be missing.
    for index in 0..good.len() - 1 {
        let mut steps = good.clone();
        steps.remove(index);
        assert!(read(&steps).is_err(), "without {index}");
    }
    assert_eq!(read(&good[..good.len() - 1]), Ok(()));
    for (a, b) in [(0, 1), (2, 3), (4, 5), (1, 6)] {
        let mut steps = good.clone();
        let (kind, payload) = (steps[a].kind.clone(), steps[a].payload.clone());
        steps[a] = RunStep { index: steps[a].index, ..steps[b].clone() };
        steps[b] = RunStep { index: steps[b].index, kind, payload };
        assert!(read(&steps).is_err(), "{a} and {b} swapped");
    }
    let mut steps = good.clone();
    steps.push(good[2].clone());
    assert_eq!(read(&steps), Err(JournalFault { index: 2, why: "is there twice" }));
    // Another journal of the same run, with other tools.
    let other = journal(chain(), &["request", "llm", "tool", "llm"]);
    let mut steps = good[..3].to_vec();
    steps.push(other[3].clone());
    assert_eq!(read(&steps), Ok(()));
    let mut steps = good[..4].to_vec();
    steps.push(RunStep { index: 4, ..other[3].clone() });
    assert!(read(&steps).is_err());
}

#[test]
fn tools_of_the_newest_turn_may_be_unfinished() {
    let mut chain = chain();
    let mut steps = Vec::new();
    for (index, kind) in [(0, "request"), (1, "llm"), (4, "calling"), (3, "tool")] {
        let put = chain.seal(index, kind, json!({ "n": index }));
        chain.written(index, &put);
        steps.push(RunStep { index, kind: put.kind, payload: put.payload });
    }
    assert_eq!(read(&steps), Ok(()));
    // Nothing follows on a gap.
    let put = chain.seal(5, "llm", json!({}));
    steps.push(RunStep { index: 5, kind: put.kind, payload: put.payload });
    assert_eq!(read(&steps), Err(JournalFault { index: 2, why: "is missing" }));
    // The result that arrived last fits, too.
    let put = chain.seal(2, "tool", json!({ "n": 2 }));
    steps.pop();
    steps.push(RunStep { index: 2, kind: put.kind, payload: put.payload });
    assert_eq!(read(&steps), Ok(()));
}

#[test]
fn a_journal_belongs_to_one_run_one_user_and_one_role() {
    let good = journal(chain(), &KINDS);
    let others = [
        JournalOwner { run_key: "l".into(), ..owner() },
        JournalOwner { user_id: "bob".into(), ..owner() },
        JournalOwner { role: "mole".into(), ..owner() },
        JournalOwner { user_id: "an".into(), role: "nscout".into(), ..owner() },
    ];
    for other in others {
        let mut chain = JournalChain::new(keys(SECRET, None), other.clone());
        let fault = chain.read(good.iter()).unwrap_err();
        assert_eq!(fault.index, 0, "{other:?}");
    }
}

#[test]
fn the_previous_key_verifies_and_does_not_seal() {
    const NEW: &str = "another secret of thirty-two bytes or more";
    let old = journal(chain(), &KINDS[..3]);
    let read = |keys| JournalChain::new(keys, owner()).read(old.iter());
    assert_eq!(read(keys(NEW, Some(SECRET))), Ok(()));
    assert_eq!(read(keys(&format!(" {SECRET}\r\n"), None)), Ok(()));
    assert!(read(keys(NEW, None)).is_err());
    assert!(read(keys(NEW, Some("a third one"))).is_err());
    // A journal that both have written.
    let mut both = JournalChain::new(keys(NEW, Some(SECRET)), owner());
    both.read(old.iter()).unwrap();
    let put = both.seal(3, "llm", json!({}));
    let step = RunStep { index: 3, kind: put.kind, payload: put.payload };
    let whole: Vec<_> = old.iter().cloned().chain([step]).collect();
    let mut again = JournalChain::new(keys("third", Some(NEW)), owner());
    assert_eq!(again.read(whole.iter()).unwrap_err().index, 0);
    let mut again = JournalChain::new(keys(NEW, Some(SECRET)), owner());
    assert_eq!(again.read(whole.iter()), Ok(()));
    let mut again = JournalChain::new(keys(SECRET, None), owner());
    assert_eq!(again.read(whole.iter()).unwrap_err().index, 3);
    assert!(!format!("{:?}", keys(NEW, None)).contains("thirty"));
}
