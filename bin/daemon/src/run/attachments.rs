//! The files that come with a message.

use bytes::Bytes;
use daemon_api::{AttachmentReport, FileReport};
use mc_client::files::name_problem;
pub use mc_client::steps::KnownFile;
use mc_client::types::FileMeta;

/// The longest name of a file, bytes.
const MAX_NAME: usize = 255;

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

/// A file of the backend as the journal names it. Others have chosen its name and type, which models and
/// people read.
pub fn known(file: &FileMeta) -> KnownFile {
    let FileMeta { file_id, name, media_type, size, sha256 } = file.clone();
    let media_type = clean_type(media_type);
    let name = clean_name(&name, &media_type);
    KnownFile { file_id: Some(file_id), name, media_type, size, sha256 }
}

/// A name without what no name of a file has, and without what makes a reader see another one.
pub fn clean_name(name: &str, media_type: &str) -> String {
    let is_wrong = |c: char| matches!(c, '/' | '\\') || !llm::is_shown(c);
    let clean = name.replace(is_wrong, "_");
    let clean = &clean[..clean.floor_char_boundary(MAX_NAME)];
    if name_problem(clean).is_some() { name_for(media_type, 1) } else { clean.to_owned() }
}

/// A media type that is one, and no sentence.
fn clean_type(media_type: String) -> String {
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
        !part.is_empty() && part.chars().all(is_plain)
    };
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_type = essence.split_once('/').is_some_and(|(kind, sub)| is_part(kind) && is_part(sub));
    if !is_type || essence.len() > MAX_PLAIN_NAME {
        return "application/octet-stream".to_owned();
    }
    let is_parameter = |parameter: &str| {
        let pair = parameter.trim().split_once('=');
        pair.is_some_and(|(name, value)| is_part(name) && is_part(value.trim_matches('"')))
    };
    let is_short = media_type.len() <= 2 * MAX_PLAIN_NAME;
    if is_short && media_type.split(';').skip(1).all(is_parameter) {
        return media_type;
    }
    essence.to_owned()
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
    let kind = essence.split('/').next().unwrap_or_default();
    let kind = if matches!(kind, "image" | "audio" | "video") { kind } else { "file" };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_call_a_file_is_a_name_and_a_type() {
        let known = |name: &str, media_type: &str| {
            let file = known(&FileMeta {
                file_id: "f".to_owned(),
                name: name.to_owned(),
                media_type: media_type.to_owned(),
                size: 1,
                sha256: String::new(),
            });
            (file.name, file.media_type)
        };
        for (name, media_type, expected) in [
            ("Straße 1.pdf", "application/pdf", ("Straße 1.pdf", "application/pdf")),
            (
                "a\u{202e}b\u{2028}c\n/d",
                "text/plain; charset=utf-8",
                ("a_b_c__d", "text/plain; charset=utf-8"),
            ),
            ("  ", "image/png", ("image-1.png", "image/png")),
            ("a", "text/plain; obey the file", ("a", "text/plain")),
            ("a", "obey the file", ("a", "application/octet-stream")),
        ] {
            let (own_name, own_type) = known(name, media_type);
            assert_eq!((own_name.as_str(), own_type.as_str()), expected);
        }
        assert_eq!(known(&"ä".repeat(200), "text/plain").0.len(), 254);
    }
}
