//! Documents.

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::types::{CreateDocument, Document, Page};
use crate::url::{path, with_query};

impl AgentClient {
    /// Writes a document.
    pub async fn create_document(&self, document: &CreateDocument) -> Result<Document, McError> {
        let key = document.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["documents"]), document, key)?).await
    }

    /// A page of the user's documents, newest first (feature `documents_list`).
    pub async fn list_documents(
        &self,
        task_id: Option<&str>,
        doc_type: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Page<Document>, McError> {
        let url = with_query(
            path(&["documents"]),
            &[
                ("task_id", task_id.map(str::to_owned)),
                ("doc_type", doc_type.map(str::to_owned)),
                ("cursor", cursor.map(str::to_owned)),
            ],
        );
        self.caller.fetch(Call::get(&url)).await
    }

    /// One document with its content (feature `documents_list`).
    pub async fn get_document(&self, id: &str) -> Result<Document, McError> {
        self.caller.fetch(Call::get(&path(&["documents", id]))).await
    }
}
