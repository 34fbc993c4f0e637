//! The files that come with a message.

use bytes::Bytes;
use daemon_api::{AttachmentReport, FileReport};
pub use mc_client::steps::KnownFile;
use mc_client::types::FileMeta;

/// The longest name that a tool may give a file, bytes.
const MAX_PLAIN_NAME: usize = 80;

/// A file as a request gives it; name, type and base64 have been checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// A file that the backend has.
    Stored {
        /// Its id.
        file_id: String,
    },
    /// A file with its bytes.
    Inline {
        /// Its name.
        name: String,
        /// What the caller and the bytes say that it is.
        media_type: String,
        /// The bytes.
        bytes: Bytes,
    },
}

/// A file that is known to be there, and to be the user's.
#[derive(Debug, Clone)]
pub struct Attached {
    /// What it is.
    pub file: KnownFile,
    /// Its bytes, where they came with the request.
    pub bytes: Option<Bytes>,
}

impl Attached {
    /// A file whose bytes are not here.
    pub fn elsewhere(file: KnownFile) -> Self {
        Self { file, bytes: None }
    }
}

/// How the model got a file (docs/API.md, `attachments`).
pub mod used {
    /// As a picture.
    pub const IMAGE: &str = "image";
    /// As a document.
    pub const DOCUMENT: &str = "document";
    /// Its text, or as much of it as there was room for.
    pub const TEXT: &str = "text";
    /// The model was told what it is.
    pub const NAMED: &str = "named";
    /// Its bytes were no longer to be had.
    pub const GONE: &str = "gone";

    /// What counts where turns of the model got the same file in different ways.
    pub fn rank(used: &str) -> u8 {
        match used {
            IMAGE => 5,
            DOCUMENT => 4,
            TEXT => 3,
            NAMED => 2,
            GONE => 1,
            _ => 0,
        }
    }
}

/// A file of the backend as the journal names it.
pub fn known(file: &FileMeta) -> KnownFile {
    let FileMeta { file_id, name, media_type, size, sha256 } = file.clone();
    KnownFile { file_id: Some(file_id), name, media_type, size, sha256 }
}

/// A file of the journal as the backend names it, where that has it.
pub fn stored(file: &KnownFile) -> Option<FileMeta> {
    let KnownFile { file_id, name, media_type, size, sha256 } = file.clone();
    Some(FileMeta { file_id: file_id?, name, media_type, size, sha256 })
}

/// A file as answers report it.
pub fn report(file: &KnownFile, used: &str) -> AttachmentReport {
    let KnownFile { file_id, name, media_type, size, sha256 } = file.clone();
    AttachmentReport { file_id, name, media_type, size, sha256, used: used.to_owned() }
}

/// A file that the agent has made as answers report it.
pub fn saved(file: &KnownFile) -> Option<FileReport> {
    let FileMeta { file_id, name, media_type, size, sha256 } = stored(file)?;
    Some(FileReport { file_id, name, media_type, size, sha256 })
}

/// A name that others gave a file, where it is one and no sentence: a model reads it.
pub fn plain_name(name: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_it = !name.is_empty() && name.len() <= MAX_PLAIN_NAME && name.chars().all(is_plain);
    is_it.then_some(name)
}

/// A name for a file that has none: `image-1.png`. `n` counts from 1.
pub fn name_for(media_type: &str, n: usize) -> String {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = if essence.starts_with("image/") { "image" } else { "file" };
    let ending = match essence.as_str() {
        "image/jpeg" => "jpg",
        "image/svg+xml" => "svg",
        "text/plain" => "txt",
        "text/markdown" => "md",
        "" => "bin",
        other => other.rsplit_once('/').map_or("bin", |(_, subtype)| subtype),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    let ending = if ending.len() <= 8 && ending.chars().all(is_plain) { ending } else { "bin" };
    format!("{kind}-{n}.{ending}")
}
