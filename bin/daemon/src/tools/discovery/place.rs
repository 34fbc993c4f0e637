//! Where the document is (`WOMBAT_BACKEND_OPENAPI`).

use std::path::{Path, PathBuf};

use super::below;

/// The location of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenApiPlace {
    /// A path on the backend; or a file, where there is one with this absolute path that looks like a
    /// document.
    Backend(String),
    /// A file.
    File(PathBuf),
}

impl OpenApiPlace {
    /// Reads the setting. `application` is the URL that paths of the backend are appended to.
    ///
    /// # Errors
    /// Why it is no place for a document.
    pub fn parse(text: &str, application: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("file://") {
            return if path.starts_with('/') {
                Ok(Self::File(path.into()))
            } else {
                Err("a file URL must have the form file:///absolute/path")
            };
        }
        if text.contains("://") || text.starts_with("//") {
            return below(application, text).map(Self::Backend).ok_or(
                "is not below BACKEND_URL; use a path on the backend such as /openapi.json, or a file",
            );
        }
        if text.starts_with('/') {
            let plain = !text.contains(['#', '\\']) && !text.contains(char::is_whitespace);
            return match plain {
                true => Ok(Self::Backend(text.to_owned())),
                // No path of a URL, but maybe one of a file.
                false if Path::new(text).is_file() => Ok(Self::File(text.into())),
                false => Err("is not a path on the backend, and no file"),
            };
        }
        Ok(Self::File(text.into()))
    }

    /// The file that a path of the backend may be meant for.
    pub(super) fn as_file(&self) -> Option<&Path> {
        match self {
            Self::Backend(path) => Some(Path::new(path)).filter(|_| !path.contains('?')),
            Self::File(path) => Some(path),
        }
    }
}

impl std::fmt::Display for OpenApiPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // A path may be a key.
            Self::Backend(_) => f.write_str("a path of the backend"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_on_the_backend_or_in_a_file_and_nowhere_else() {
        let backend = |path: &str| Ok(OpenApiPlace::Backend(path.into()));
        let file = |path: &str| Ok(OpenApiPlace::File(path.into()));
        for (text, place) in [
            ("/openapi.json", backend("/openapi.json")),
            ("/docs/api?v=1", backend("/docs/api?v=1")),
            ("http://app:8000/base/openapi.json", backend("/openapi.json")),
            ("HTTP://APP:8000/base/v1/api?format=openapi#top", backend("/v1/api?format=openapi")),
            ("openapi.yaml", file("openapi.yaml")),
            ("./api/openapi.yaml", file("./api/openapi.yaml")),
            ("file:///etc/api.json", file("/etc/api.json")),
            ("file://host/api.json", Err(())),
            ("http://evil.example/openapi.json", Err(())),
            ("http://app:8001/base/openapi.json", Err(())),
            ("https://app:8000/base/openapi.json", Err(())),
            ("http://app:8000/openapi.json", Err(())),
            ("http://app:8000/basement/openapi.json", Err(())),
            ("http://user@app:8000/base/openapi.json", Err(())),
            ("//evil.example/openapi.json", Err(())),
            ("/a b", Err(())),
            ("/a\\b", Err(())),
        ] {
            let parsed = OpenApiPlace::parse(text, "http://app:8000/base");
            assert_eq!(parsed.map_err(drop), place, "{text}");
        }
    }

    #[test]
    fn a_path_that_no_url_has_may_be_that_of_a_file() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("an api.json");
        let text = path.display().to_string();
        assert!(OpenApiPlace::parse(&text, "http://app").is_err());
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(OpenApiPlace::parse(&text, "http://app"), Ok(OpenApiPlace::File(path)));
    }
}
