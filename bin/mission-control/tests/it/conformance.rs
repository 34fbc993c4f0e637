//! This backend keeps the contract, and a backend that does not is told so.

use std::time::Duration;

use mc_client::token::{Algorithm, Key};
use conformance::report::{Outcome, Report};
use conformance::{Target, check};

use crate::harness::{Backend, INTERNAL, SECRET};

pub(crate) fn target(url: &str, secret: &str, internal: Option<&str>) -> Target {
    Target {
        url: url.to_owned(),
        key: Key::Secret(secret.into()),
        algorithm: Algorithm::Hs256,
        public_key: None,
        internal_token: internal.map(Into::into),
        users: None,
        chapters: Vec::new(),
    }
}

pub(crate) fn failures(report: &Report) -> Vec<String> {
    let failed = report.checks.iter().filter(|check| check.outcome == Outcome::Fail);
    failed.map(|check| format!("{}: {}", check.id(), check.seen)).collect()
}

#[tokio::test]
async fn this_backend_keeps_the_contract() {
    let backend = Backend::start().await;
    let report = check(target(&backend.url, SECRET, Some(INTERNAL)), |_| {}).await.unwrap();
    assert_eq!(failures(&report), Vec::<String>::new());
    assert!(report.summary.passed > 80, "{:?}", report.summary);
    assert!(report.hints.is_empty());
    let texts = [report.table(None), report.json().unwrap(), report.junit().unwrap()];
    for text in texts {
        assert!(!text.contains(SECRET) && !text.contains(INTERNAL));
        assert!(text.contains("alg-none"));
    }
    backend.stop().await;
}

#[tokio::test]
async fn a_dispatcher_that_takes_what_the_suite_queues_is_told_of() {
    let backend = Backend::start().await;
    let queue = format!(
        "{}/api/mission-control/dispatch/undelivered?limit_users=1000&lease_seconds=60",
        backend.url
    );
    let dispatcher = tokio::spawn(async move {
        let http = reqwest::Client::new();
        loop {
            let _taken = http.post(&queue).header("x-internal-token", INTERNAL).send().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let of_queue = Target {
        chapters: vec!["queue".to_owned()],
        ..target(&backend.url, SECRET, Some(INTERNAL))
    };
    let report = check(of_queue, |_| {}).await.unwrap();
    dispatcher.abort();
    assert!(report.hints.iter().any(|hint| hint.contains("Stop it")), "{:?}", report.summary);
    assert!(report.table(Some(80)).contains("a dispatcher works on this backend"));
    backend.stop().await;
}

#[tokio::test]
async fn a_backend_with_another_secret_fails_where_it_refuses_good_tokens() {
    let backend = Backend::start().await;
    let report = check(target(&backend.url, &"z".repeat(32), None), |_| {}).await.unwrap();
    assert!(report.summary.failed_required > 0);
    let failed = failures(&report);
    assert!(failed.iter().any(|line| line.starts_with("auth.good-token:")), "{failed:?}");
    backend.stop().await;
}
