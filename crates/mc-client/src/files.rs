//! Files of a user (feature `files`; docs/CONTROL_PLANE_CONTRACT.md, "Files").

use bytes::Bytes;
use http::Method;
use sha2::{Digest as _, Sha256};

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::types::FileMeta;
use crate::url::{path, with_query};

/// The longest name of a file, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// What is wrong with a file's name, as the end of a sentence that begins with the field's name.
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        return Some("must not be empty");
    }
    if name.len() > MAX_NAME_BYTES {
        return Some("must have at most 255 bytes");
    }
    let is_wrong = |c: char| matches!(c, '/' | '\\') || c.is_control();
    name.contains(is_wrong).then_some("must hold no /, no \\ and no control characters")
}

/// The SHA-256 of bytes in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A digest in hexadecimal digits.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl McError {
    /// Whether a file is not there: unknown, another user's, deleted, or gone.
    pub fn is_file_not_found(&self) -> bool {
        self.status() == Some(404) && self.code() == Some("file_not_found")
    }

    /// Whether a file is larger than the backend keeps.
    pub fn is_file_too_large(&self) -> bool {
        self.status() == Some(413) && self.code() == Some("file_too_large")
    }

    /// Whether the user's files take all the room that they may have.
    pub fn is_quota_exceeded(&self) -> bool {
        self.status() == Some(413) && self.code() == Some("quota_exceeded")
    }
}

impl AgentClient {
    /// Stores a file of the user. One with equal bytes, name and type is the same file.
    pub async fn put_file(
        &self,
        name: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<FileMeta, McError> {
        let url = with_query(path(&["files"]), &[("name", Some(name.to_owned()))]);
        let mut call = Call::new(Method::PUT, &url);
        call.body = Some(bytes);
        call.content_type = media_type.to_owned().into();
        self.caller.fetch(call).await
    }

    /// What is known of a file of the user.
    pub async fn file_meta(&self, file_id: &str) -> Result<FileMeta, McError> {
        let url = with_query(path(&["files", file_id]), &[("meta", Some("true".to_owned()))]);
        self.caller.fetch(Call::get(&url)).await
    }

    /// The bytes of a file of the user, at most `max_bytes`; an error unless size and hash are those
    /// of `file`.
    pub async fn file_bytes(&self, file: &FileMeta, max_bytes: usize) -> Result<Bytes, McError> {
        let wrong = |cause: String| Err(McError::BadAnswer { cause });
        let most = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        if file.size > most {
            return wrong(format!(
                "the file has {} bytes, of which at most {most} are read",
                file.size
            ));
        }
        let mut call = Call::get(&path(&["files", &file.file_id])).accept("*/*");
        // A file may be a page.
        call.is_foreign = true;
        call.max_bytes = max_bytes;
        let answer = self.caller.answer(&call).await.map_err(|failure| failure.error)?;
        if answer.truncated || sha256_hex(&answer.body) != file.sha256 {
            return wrong("its bytes are not those of the file".to_owned());
        }
        Ok(answer.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_paths() {
        let longest = "ü".repeat(127) + "x";
        for name in ["a", "a b.txt", "..", "ünïcode 漢.pdf", "\u{202e}", &longest] {
            assert_eq!(name_problem(name), None, "{name:?}");
        }
        let long = longest + "x";
        for name in ["", " ", "a/b", "a\\b", "a\0", "a\nb", "\u{85}", "\u{7f}", &long] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
