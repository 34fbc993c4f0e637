//! The files that an agent has made, as parts of the protocol that bring their bytes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use daemon_api::FileReport;
use mc_client::client::AgentClient;
use mc_client::types::FileMeta;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The most bytes of all files of one reply; the task's metadata names those that do not fit.
const MOST_BYTES: usize = 20 * 1024 * 1024;

/// How long fetching them may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The parts of these files, without what is gone or does not fit.
pub(super) async fn of(client: &AgentClient, files: Vec<FileMeta>) -> Vec<Value> {
    let client = client.clone().with_deadline(Instant::now() + TIMEOUT);
    let (mut parts, mut left) = (Vec::new(), MOST_BYTES);
    for file in files {
        if usize::try_from(file.size).map_or(true, |size| size > left) {
            continue;
        }
        match client.file_bytes(&file, left).await {
            Ok(bytes) => {
                left -= bytes.len();
                parts.push(json!({ "raw": STANDARD.encode(&bytes), "filename": file.name,
                    "mediaType": file.media_type }));
            }
            Err(error) => tracing::debug!(%error, "a file of the reply could not be read"),
        }
    }
    parts
}

/// The same for those that an answer lists.
pub(super) async fn of_answer(client: &AgentClient, answer: &Value) -> Vec<Value> {
    let listed = answer["files"].as_array().into_iter().flatten();
    let files = listed.filter_map(|file| FileReport::deserialize(file).ok()).map(meta);
    of(client, files.collect()).await
}

/// What is known of a file that is reported.
pub(super) fn meta(file: FileReport) -> FileMeta {
    let FileReport { file_id, name, media_type, size, sha256 } = file;
    FileMeta { file_id, name, media_type, size, sha256 }
}
