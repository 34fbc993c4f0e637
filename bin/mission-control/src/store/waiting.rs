//! Tool requests as a person decides about them: with their arguments as they were sent.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use mc_client::tool_requests::{AskedBy, Question, ToolRequestKind};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::StoreError;
use super::{Store, json_of, time};

/// The most rows of a list on the page.
const SHOWN: i64 = 50;

/// After how many bytes of tool requests no further one is read.
const WAITING_BYTES: usize = 4 * 1024 * 1024;

/// A tool request that waits for a decision.
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// Its task.
    pub task_id: String,
    /// The session that it is of.
    pub session_key: String,
    /// The role of a run below, that asks.
    pub asked_by: Option<String>,
    /// The tool.
    pub tool: String,
    /// Why the agent wants it.
    pub reason: Option<String>,
    /// The arguments: the JSON text that was sent.
    pub arguments: String,
    /// Whether it is a call to approve, or a question.
    pub kind: ToolRequestKind,
    /// Until when a question waits.
    pub expires_at: Option<DateTime<Utc>>,
}

fn waiting(row: &AnyRow) -> Waiting {
    Waiting {
        id: row.get("id"),
        task_id: row.get("task_id"),
        session_key: row.get("session_key"),
        asked_by: json_of::<AskedBy>(row.get("asked_by")).map(|asker| asker.role),
        tool: row.get("tool"),
        reason: row.get("reason"),
        arguments: row.get("arguments"),
        kind: row.get::<&str, _>("kind").parse().unwrap_or_default(),
        expires_at: row.get::<Option<&str>, _>("expires_at").and_then(time),
    }
}

impl Waiting {
    /// The question that it is.
    pub fn question(&self) -> Option<Question> {
        let is_question = self.kind == ToolRequestKind::Question;
        is_question.then(|| serde_json::from_str(&self.arguments).ok()).flatten()
    }

    /// How much memory it takes, about.
    fn size(&self) -> usize {
        let texts = [&self.session_key, &self.tool, &self.arguments];
        let reason = self.reason.as_ref().map_or(0, String::len);
        texts.iter().map(|text| text.len()).sum::<usize>() + reason
    }
}

impl Store {
    /// The user's tool requests that wait for a decision, all or those on a task, oldest first, and whether
    /// there are more: they are as many as a page takes.
    pub async fn waiting(
        &self,
        user_id: &str,
        task_id: Option<&str>,
    ) -> Result<(Vec<Waiting>, bool), StoreError> {
        self.expire_before_reading().await;
        let mut rows = sqlx::query(
            "SELECT * FROM tool_requests WHERE user_id = $1 AND status = 'pending' AND $2 IN ('', task_id) \
             ORDER BY seq LIMIT $3",
        )
        .bind(user_id)
        .bind(task_id.unwrap_or_default())
        .bind(SHOWN + 1)
        .fetch(&self.reader);
        let (mut shown, mut size) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            if size >= WAITING_BYTES || shown.len() >= SHOWN.unsigned_abs() as usize {
                return Ok((shown, true));
            }
            let one = waiting(&row);
            size += one.size();
            shown.push(one);
        }
        Ok((shown, false))
    }

    /// One tool request, with its arguments as they were sent.
    pub async fn waiting_one(&self, user_id: &str, id: &str) -> Result<Waiting, StoreError> {
        let row = sqlx::query("SELECT * FROM tool_requests WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(waiting).ok_or(StoreError::NotFound("tool request"))
    }
}
