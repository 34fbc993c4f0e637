//! Paging of lists.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

const CURSOR: &str = "Lists accept limit (50, at most 200) and cursor, and return {\"items\": […], \"next_cursor\"?}.";

/// More than the largest page.
const MANY: usize = 203;

async fn pages(w: &World, user: &str, limit: usize) -> Result<(Vec<String>, usize), NotPassed> {
    let (mut ids, mut cursor, mut count) = (Vec::new(), String::new(), 0);
    loop {
        let answer = w.agent(user).get(&format!("/tasks?limit={limit}{cursor}")).await?;
        let items = answer.items()?;
        count += 1;
        let fits = items.len() <= limit;
        ensure(fits, || {
            format!(
                "expected no more than limit={limit}, got {}",
                shown::counted(items.len(), "item")
            )
        })?;
        ids.extend(items.iter().filter_map(|item| item["id"].as_str()).map(str::to_owned));
        match answer.next_cursor() {
            Some(next) => cursor = format!("&cursor={}", super::encode(&next)),
            None => return Ok((ids, count)),
        }
        ensure(count < 1_000, || {
            "expected the last page to have no next_cursor, got 1000 pages".to_owned()
        })?;
    }
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    suite
        .required("walk", CURSOR, async |w| {
            let user = w.fresh_user()?;
            let mut made = BTreeSet::new();
            for _ in 0..7 {
                made.insert(w.task(&user, "walk").await?);
            }
            let (ids, count) = pages(w, &user, 3).await?;
            let found: BTreeSet<_> = ids.iter().cloned().collect();
            ensure(ids.len() == found.len(), || {
                "expected each task on one page, got one of them twice".to_owned()
            })?;
            ensure(found == made, || {
                format!("expected the 7 tasks on the pages together, got {}", found.len())
            })?;
            Ok(format!("7 tasks on {count} pages of 3, each once"))
        })
        .await;
    suite
        .required("sizes", CURSOR, async |w| {
            let user = w.fresh_user()?;
            for _ in 0..MANY.div_ceil(7) {
                let made = join_all((0..7).map(|_| w.task(&user, "sizes"))).await;
                made.into_iter().collect::<Result<Vec<_>, _>>()?;
            }
            let plain = w.agent(&user).get("/tasks").await?;
            let count = plain.items()?.len();
            // A page may end before its limit, if it leads on.
            let fits = count == 50 || count < 50 && plain.next_cursor().is_some();
            ensure(fits, || format!("expected 50 items without a limit, got {count}"))?;
            let of_default = count;
            let more = w.agent(&user).get("/tasks?limit=1000").await?;
            if more.status >= 400 {
                return more.refuses();
            }
            let count = more.items()?.len();
            ensure(count <= 200, || {
                format!("expected at most 200 items with limit=1000, got {count}")
            })?;
            Ok(format!("{of_default} without a limit, {count} with limit=1000"))
        })
        .await;
    suite
        .required("bad-cursor", "a bad cursor is a 400", async |w| {
            w.agent(&w.one).get("/tasks?cursor=no%20such%20cursor").await?.fails(400)
        })
        .await;
    suite
        .required("by-status", "GET /tasks?limit&cursor&status&title", async |w| {
            let user = w.fresh_user()?;
            w.task(&user, "by-status").await?;
            let body = json!({ "title": w.title("by-status"), "status": "blocked" });
            let blocked = w.agent(&user).post("/tasks", body).await?;
            blocked.created()?;
            let list = w.agent(&user).get("/tasks?status=blocked").await?;
            let items = list.items()?;
            let fits = items.len() == 1 && items[0]["id"] == blocked.body["id"];
            ensure(fits, || {
                format!(
                    "expected only the blocked task, got {}",
                    shown::counted(items.len(), "item")
                )
            })?;
            Ok("the one that is blocked".to_owned())
        })
        .await;
}
