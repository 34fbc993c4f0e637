//! Files, and what messages tell of them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::lenient;

/// What is known of a file besides its bytes (feature `files`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct FileMeta {
    /// The backend's id.
    #[serde(deserialize_with = "lenient::id")]
    pub file_id: String,
    /// Its name, without a path.
    pub name: String,
    /// Its media type without parameters, in lower case.
    pub media_type: String,
    /// How many bytes it has.
    pub size: u64,
    /// The SHA-256 of its bytes in hexadecimal digits.
    pub sha256: String,
}

/// A file that a new message names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct FileRef {
    /// The backend's id.
    pub file_id: String,
}

/// What is attached to a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Attachment {
    /// A file, as it was when the message was written.
    File(FileMeta),
    /// What a backend without files of the contract attaches, in its own terms.
    Other(Value),
}

impl Attachment {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&FileMeta> {
        match self {
            Self::File(file) => Some(file),
            Self::Other(_) => None,
        }
    }
}

impl From<&FileMeta> for FileRef {
    fn from(file: &FileMeta) -> Self {
        Self { file_id: file.file_id.clone() }
    }
}

/// What is attached; nothing where it is no list.
pub(super) fn attachments<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Attachment>, D::Error> {
    let Value::Array(items) = Value::deserialize(from)? else { return Ok(Vec::new()) };
    let read = |item: Value| match FileMeta::deserialize(&item) {
        Ok(file) => Attachment::File(file),
        Err(_) => Attachment::Other(item),
    };
    Ok(items.into_iter().map(read).collect())
}

/// What a new message attaches; nothing where it is `null`.
pub(super) fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FileRef>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{CreateMessage, Message};

    #[test]
    fn a_message_tells_of_files_and_of_what_else_backends_attach() {
        let file = json!({ "file_id": "f", "name": "a.txt", "media_type": "text/plain", "size": 2, "sha256": "00" });
        let read = |attachments: Value| {
            let wire = json!({ "id": "m", "content": "x", "attachments": attachments });
            serde_json::from_value::<Message>(wire).unwrap()
        };
        let message = read(json!([file, { "url": "x" }, 7]));
        let names: Vec<_> = message.files().map(|file| &*file.name).collect();
        assert_eq!(names, ["a.txt"]);
        let written = serde_json::to_value(&message).unwrap();
        assert_eq!(written["attachments"], json!([file, { "url": "x" }, 7]));
        for none in [json!(null), json!("x"), json!({}), json!([])] {
            let message = read(none.clone());
            assert!(message.attachments.is_empty(), "{none}");
            assert!(serde_json::to_value(&message).unwrap().get("attachments").is_none());
        }
    }

    #[test]
    fn a_new_message_names_files_and_nothing_else() {
        let read = |attachments: Value| {
            let wire = json!({ "task_id": "t", "content": "x", "attachments": attachments });
            serde_json::from_value::<CreateMessage>(wire)
        };
        let new = read(json!([{ "file_id": "f", "name": "more" }])).unwrap();
        assert_eq!(new.attachments, [FileRef { file_id: "f".to_owned() }]);
        assert!(read(Value::Null).unwrap().attachments.is_empty());
        for wrong in [json!("f"), json!(["f"]), json!([{}]), json!([{ "file_id": 7 }]), json!({})] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
