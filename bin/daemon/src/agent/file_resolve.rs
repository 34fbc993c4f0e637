//! Before a run: the files of its request are looked up, or stored, so that any instance can fetch them.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::files::sha256_hex;
use mc_client::idempotency::RunKey;
use mc_client::steps::KnownFile;
use serde_json::{Value, json};
use service::trace::TraceId;
use tokio::time::Instant;
use wombat_core::session::SessionKey;

use super::journal::{Journal, empty_chain};
use crate::run::attachments::{Attached, Given, clean_name, known};
use crate::run::error::{FileRefusal, RunError, RunErrorKind};
use crate::state::App;

/// How many files are looked up or stored at the same time.
const PARALLEL: usize = 4;

/// How long the caller may wait for that.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Whose files they are, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Bring<'a> {
    pub(crate) session: &'a SessionKey,
    /// The run's key, where the caller gave one: an earlier request may have brought the same files.
    pub(crate) key: Option<&'a RunKey>,
    /// Whether the run may wait for long: then no bytes are kept that the backend has.
    pub(crate) detached: bool,
}

/// Looks the files of a request up, and stores those that come with their bytes, where the backend keeps
/// files. A repetition finds what the first request brought in the run's journal, also what has been deleted
/// since.
///
/// # Errors
/// Before anything is made for the run: the backend keeps no files; there is no such file; all together are
/// too large; the backend does not take one.
pub(crate) async fn resolve(
    app: &App,
    trace: &TraceId,
    bring: Bring<'_>,
    given: Vec<Given>,
) -> Result<Vec<Attached>, RunError> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let backend = |error: McError| RunError::backend(&error);
    let traceparent = trace.traceparent();
    let capabilities = app.backend.capabilities(&traceparent).await.map_err(backend)?;
    let keeps_files = capabilities.has("files");
    if !keeps_files && given.iter().any(|file| matches!(file, Given::Stored { .. })) {
        return Err(RunError::new(RunErrorKind::FeatureMissing("files")));
    }
    let session = bring.session;
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(backend)?.with_trace(&traceparent);
    let client = client.with_deadline(Instant::now() + TIMEOUT);
    let earlier = match bring.key.filter(|_| capabilities.has("run_journal")) {
        Some(key) => of_earlier(app, &client, session, key).await?,
        None => Vec::new(),
    };
    let files = Files { client, keeps_files, earlier, keeps_bytes: !bring.detached };
    let found: Vec<_> = given.into_iter().map(|given| files.find(given)).collect();
    let attached: Vec<Attached> = stream::iter(found).buffered(PARALLEL).try_collect().await?;
    let sizes = attached.iter().map(|attached| attached.file.size);
    let total = sizes.fold(0, u64::saturating_add);
    let most = app.settings.files.max_bytes;
    if usize::try_from(total).is_ok_and(|total| total <= most) {
        return Ok(attached);
    }
    Err(RunError::new(RunErrorKind::FilesTooLarge(most)))
}

/// The files that an earlier request with this key brought. A journal that cannot be trusted says nothing
/// here; the run itself is refused for it.
async fn of_earlier(
    app: &App,
    client: &AgentClient,
    session: &SessionKey,
    key: &RunKey,
) -> Result<Vec<KnownFile>, RunError> {
    let chain = empty_chain(&app.settings.journal_keys, key, session);
    let journal = Journal::open(client, chain, key, true).await?;
    let recorded = journal.recorded_request().ok().flatten();
    Ok(recorded.map(|recorded| recorded.attachments).unwrap_or_default())
}

struct Files {
    client: AgentClient,
    keeps_files: bool,
    earlier: Vec<KnownFile>,
    keeps_bytes: bool,
}

impl Files {
    async fn find(&self, given: Given) -> Result<Attached, RunError> {
        match given {
            Given::Stored { file_id } => self.look_up(file_id).await,
            Given::Inline { name, media_type, bytes } => {
                let file = self.keep(name, media_type, &bytes).await?;
                let is_there = file.file_id.is_some();
                Ok(Attached { file, bytes: (self.keeps_bytes || !is_there).then_some(bytes) })
            }
        }
    }

    async fn look_up(&self, file_id: String) -> Result<Attached, RunError> {
        let is_it = |file: &&KnownFile| file.file_id.as_deref() == Some(&file_id);
        if let Some(earlier) = self.earlier.iter().find(is_it) {
            return Ok(Attached::elsewhere(earlier.clone()));
        }
        match self.client.file_meta(&file_id).await {
            Ok(file) => Ok(Attached::elsewhere(known(&file))),
            Err(error) if error.is_file_not_found() || error.is_not_found() => {
                Err(RunError::new(RunErrorKind::FileNotFound(file_id)).caused_by(error))
            }
            Err(error) => Err(RunError::backend(&error)),
        }
    }

    /// Stores a file with its bytes, where the backend keeps files.
    async fn keep(
        &self,
        name: String,
        media_type: String,
        bytes: &Bytes,
    ) -> Result<KnownFile, RunError> {
        let sha256 = sha256_hex(bytes);
        let shown = clean_name(&name, &media_type);
        let is_it = |file: &&KnownFile| file.sha256 == sha256 && file.name == shown;
        if let Some(earlier) = self.earlier.iter().find(is_it) {
            return Ok(earlier.clone());
        }
        if !self.keeps_files {
            let size = bytes.len() as u64;
            return Ok(KnownFile { file_id: None, name: shown, media_type, size, sha256 });
        }
        match self.client.put_file(&name, &media_type, bytes.clone()).await {
            // What counts is what a fetch has to give: these very bytes.
            Ok(file) => Ok(KnownFile { sha256, size: bytes.len() as u64, ..known(&file) }),
            Err(error) => Err(not_kept(error)),
        }
    }
}

/// Why the backend did not take a file.
fn not_kept(error: McError) -> RunError {
    let code = if error.is_quota_exceeded() {
        "quota_exceeded"
    } else if error.is_file_too_large() {
        "file_too_large"
    } else {
        return RunError::backend(&error);
    };
    let (text, details) = match &error {
        McError::Status { message, details, .. } => {
            (message.clone(), details.as_deref().cloned().unwrap_or_else(|| json!({})))
        }
        _ => (error.to_string(), Value::Object(serde_json::Map::new())),
    };
    let refusal = FileRefusal { code, error: text, details };
    RunError::new(RunErrorKind::FileRefused(Box::new(refusal))).caused_by(error)
}
