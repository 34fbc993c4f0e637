//! Files that come with a message, and what became of them.

use serde::{Deserialize, Serialize};

/// A file that a request brings: `file_id` of one that the backend has, or else its name, type and bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attachment {
    /// A file of the user's in the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// Its name, without a path; 255 bytes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type, such as `image/png`. What the bytes are counts more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its bytes in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// A file that came with a message, and how the model got it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AttachmentReport))]
pub struct AttachmentReport {
    /// Its id in the backend; absent where the backend keeps no files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// `image`, `document`, `text` (extracted, perhaps in part), `named` (the model was told what it is, and
    /// not what is in it) or `gone` (its bytes were no longer to be had).
    pub used: String,
}

/// A file that the agent has made; it is attached to the reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FileReport))]
pub struct FileReport {
    /// Its id in the backend.
    pub file_id: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}
