//! Documents.

use mc_client::types::{CreateDocument, Document, Page};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{Store, events, new_id, now, tasks, time};

/// What a list has of documents: all but their text.
const LISTED: &str =
    "SELECT seq, id, title, doc_type, task_id, created_at FROM documents WHERE user_id = ?";

fn document(row: &AnyRow, with_content: bool) -> Document {
    Document {
        id: row.get("id"),
        title: row.get("title"),
        content: with_content.then(|| row.get("content")),
        doc_type: row.get("doc_type"),
        task_id: row.get("task_id"),
        created_at: time(row.get("created_at")),
    }
}

/// Creates a document.
pub async fn insert(
    tx: &mut AnyConnection,
    user_id: &str,
    new: &CreateDocument,
) -> Result<Document, StoreError> {
    if let Some(task_id) = &new.task_id {
        tasks::ensure_exists(tx, user_id, task_id).await?;
    }
    let row = sqlx::query(
        "INSERT INTO documents (id, user_id, task_id, title, content, doc_type, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
    )
    .bind(new_id())
    .bind(user_id)
    .bind(&new.task_id)
    .bind(&new.title)
    .bind(&new.content)
    .bind(&new.doc_type)
    .bind(now())
    .fetch_one(&mut *tx)
    .await?;
    let made = document(&row, false);
    events::record(tx, user_id, "document.created", "document_id", &made).await?;
    Ok(made)
}

impl Store {
    /// The user's documents without their text, newest first.
    pub async fn documents(
        &self,
        user_id: &str,
        task_id: Option<&String>,
        doc_type: Option<&String>,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<Document>, StoreError> {
        let rows = Sql::new(LISTED, user_id)
            .and(" AND task_id = ?", task_id)
            .and(" AND doc_type = ?", doc_type)
            .and(" AND seq < ?", before)
            .and(" ORDER BY seq DESC LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, |row| document(row, false)).await
    }

    /// One document with its text.
    pub async fn document(&self, user_id: &str, id: &str) -> Result<Document, StoreError> {
        let row = sqlx::query("SELECT * FROM documents WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| document(&row, true)).ok_or_else(|| StoreError::NotFound("document"))
    }
}
