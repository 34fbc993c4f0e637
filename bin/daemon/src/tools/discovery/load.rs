//! Reading the document, from a file or from the backend.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::HeaderMap;
use mc_client::client::AgentClient;
use mc_client::raw::RawRequest;
use serde_json::Value;

use super::place::OpenApiPlace;
use super::{Answer, Asker, MAX_DOCUMENT_BYTES};
use crate::tools::refusal;

/// Where the document is, and how the backend is asked for it.
pub(in crate::tools) struct Source {
    pub(in crate::tools) place: OpenApiPlace,
    /// Makes the client for calls on nobody's behalf.
    pub(in crate::tools) agent: Arc<dyn Fn() -> Result<AgentClient, String> + Send + Sync>,
    pub(in crate::tools) http: reqwest::Client,
    /// The URL that paths of the backend are appended to.
    pub(in crate::tools) application: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A text that should be a document.
pub(in crate::tools) struct Loaded {
    pub(in crate::tools) text: String,
    /// In words, for errors and logs.
    pub(in crate::tools) from: String,
    /// Its path on the backend; empty for a file.
    pub(in crate::tools) path: String,
}

impl Source {
    /// Whether the document is in a file now.
    pub(in crate::tools) fn is_file(&self) -> bool {
        match &self.place {
            OpenApiPlace::File(_) => true,
            OpenApiPlace::Backend(_) => self.place.as_file().is_some_and(Path::is_file),
        }
    }

    /// In words, which of the two a path was taken for.
    pub(in crate::tools) async fn meant(&self) -> String {
        match (&self.place, self.file().await) {
            (OpenApiPlace::Backend(path), Some(Ok(_))) => {
                format!("the file {path}, and no path of the backend: it exists")
            }
            (place, _) => place.to_string(),
        }
    }

    /// Reads the text.
    pub(in crate::tools) async fn load(&self) -> Result<Loaded, String> {
        let file = self.file().await;
        let path = match (&self.place, file) {
            (OpenApiPlace::File(_), None) => return Err("it is no file".to_owned()),
            (OpenApiPlace::File(path), Some(text)) => {
                let text = text.map_err(|why| {
                    let hint = "a path of the backend begins with a slash";
                    format!("{}: {why} ({hint})", path.display())
                })?;
                return Ok(Loaded { text, from: self.place.to_string(), path: String::new() });
            }
            (OpenApiPlace::Backend(path), Some(Ok(text))) => {
                return Ok(Loaded { text, from: format!("the file {path}"), path: String::new() });
            }
            (OpenApiPlace::Backend(path), _) => path,
        };
        let (path, text) = self.ask_backend(path).await.map_err(|why| {
            let there = self.place.as_file().is_some_and(Path::exists);
            let file =
                if there { "the file of that path is none" } else { "no file has that path" };
            format!("{why}, and {file}")
        })?;
        Ok(Loaded { text, from: "the backend's document".to_owned(), path })
    }

    /// The text of the file, if a file is meant: for a path of the backend only if it is there and looks
    /// like a document.
    async fn file(&self) -> Option<Result<String, String>> {
        let path = self.place.as_file()?;
        let text = from_file(path).await;
        match (&self.place, &text) {
            (OpenApiPlace::File(_), _) => Some(text),
            (OpenApiPlace::Backend(_), Ok(read)) if openapi_tools::may_be_document(read) => {
                Some(text)
            }
            (OpenApiPlace::Backend(_), Ok(_) | Err(_)) => None,
        }
    }

    /// What anybody gets. Some frameworks make the document when it is first asked for, and fail for whoever
    /// comes meanwhile: a 5xx is asked once more.
    async fn ask_as_nobody(&self, path: &str) -> Result<(String, Answer), String> {
        let asker = Asker::new(&self.http, &self.application);
        match asker.ask(path).await {
            Ok((_, answer)) if answer.status >= 500 => asker.ask(path).await,
            asked => asked,
        }
    }

    /// The text, and the path at which it was: redirects are followed.
    async fn ask_backend(&self, path: &str) -> Result<(String, String), String> {
        let agent = (self.agent)()?;
        let request = RawRequest {
            method: http::Method::GET,
            path_and_query: path.to_owned(),
            body: None,
            idempotency_key: None,
            max_bytes: MAX_DOCUMENT_BYTES,
        };
        let asked = agent.raw(request).await.map(Answer::from).map_err(|error| error.to_string());
        let own = || path.to_owned();
        let (path, answer) = match asked {
            Ok(answer) if answer.status == 200 => (own(), answer),
            // Many applications look up whoever calls, and there is no such user; their document is public
            // all the same. A redirect within the backend is followed here, too.
            asked => match self.ask_as_nobody(path).await {
                // A page is mostly a login form, and tells less than why the agent was refused.
                Ok(found) if found.1.status == 200 && is_more(&found.1, &asked) => found,
                Ok((_, page)) if page.status == 200 => (own(), asked?),
                Ok((_, answer)) => (own(), asked.unwrap_or(answer)),
                Err(why) => (own(), asked.map_err(|_| why)?),
            },
        };
        if answer.truncated {
            return Err("the document is too large".to_owned());
        }
        match answer.status {
            200 => {
                let text = openapi_tools::decode(answer.body).map_err(|error| error.to_string())?;
                Ok((path, text))
            }
            status @ (401 | 403) => {
                let told = refusal::told(status, refusal::reason(&HeaderMap::new(), &answer.body));
                // Foreign, and as long as it likes.
                let why = match &told["error"] {
                    Value::String(text) => shown::words(text),
                    other => shown::words(&other.to_string()),
                };
                let who = crate::backend::system_caller();
                Err(format!("the backend answered {status} to GET of it by {who}: {why}"))
            }
            status => Err(format!("the backend answered {status} to GET of it")),
        }
    }
}

/// Whether what anybody gets tells more than what the agent got.
fn is_more(found: &Answer, asked: &Result<Answer, String>) -> bool {
    let redirects = || asked.as_ref().is_ok_and(|asked| (300..400).contains(&asked.status));
    !found.is_page || redirects()
}

pub(super) async fn from_file(path: &Path) -> Result<String, String> {
    let metadata = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > MAX_DOCUMENT_BYTES as u64 {
        return Err(format!("it is larger than {} MiB", MAX_DOCUMENT_BYTES / 1024 / 1024));
    }
    let bytes = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    openapi_tools::decode(bytes).map_err(|error| error.to_string())
}
