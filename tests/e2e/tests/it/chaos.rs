//! Nothing is lost and nothing happens twice, whichever program is killed when.

use std::time::Duration;

use test_support::chaos::{self, Plan};
use test_support::stack::example;

#[tokio::test]
async fn every_notification_has_one_reply_in_order_whoever_is_killed_meanwhile() {
    let plan = Plan {
        seed: 7,
        notifications: 60,
        sessions: 12,
        percent: 10,
        between_kills: (Duration::from_millis(200), Duration::from_millis(600)),
        max_kills: 8,
        patience: Duration::from_secs(180),
    };
    let report = chaos::run(&plan, &example()).await.unwrap();
    assert_eq!(report.replies, plan.notifications, "{report:?}");
    assert!(report.failed_forwards > 0 && report.dispatchers_killed > 0, "{report:?}");
}
