//! Long results of tools, which the backend keeps with their run (feature `artifacts`; docs/CONTROL_PLANE_CONTRACT.md,
//! "Long results").

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::files::sha256_hex;
use crate::url::path;

/// The longest one that is read, bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The timeout of keeping one. A call that was made waits for it with its step of the journal.
const PUT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is known of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// The SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it goes.
    pub expires_at: String,
}

impl AgentClient {
    /// Keeps a long result of a run of this user, by one attempt that takes no long time. An equal one is kept once.
    pub async fn put_artifact(
        &self,
        run_key: &str,
        sha256: &str,
        text: Bytes,
    ) -> Result<Artifact, McError> {
        let url = path(&["runs", run_key, "artifacts", sha256]);
        let mut call = Call::new(Method::PUT, &url);
        call.repeatable = false;
        call.body = Some(text);
        call.content_type = "text/plain; charset=utf-8".into();
        let until = Instant::now() + PUT_TIMEOUT;
        let mut caller = self.caller.clone();
        caller.deadline = Some(caller.deadline.map_or(until, |own| own.min(until)));
        caller.fetch(call).await
    }

    /// A long result of a run of this user; an error unless its hash is this one.
    pub async fn artifact(&self, run_key: &str, sha256: &str) -> Result<String, McError> {
        let wrong = |cause: &str| McError::BadAnswer { cause: cause.to_owned() };
        let mut call = Call::get(&path(&["runs", run_key, "artifacts", sha256])).accept("*/*");
        call.is_foreign = true;
        call.max_bytes = MAX_BYTES;
        let answer = self.caller.answer(&call).await.map_err(|failure| failure.error)?;
        let (body, sha256) = (answer.body, sha256.to_owned());
        if answer.truncated {
            return Err(wrong("it has too many bytes"));
        }
        // Some milliseconds, apart from what waits for others.
        let text = tokio::task::spawn_blocking(move || {
            let is_it = sha256_hex(&body) == sha256;
            is_it.then(|| String::from_utf8(Vec::from(body)))
        });
        match text.await {
            Ok(Some(text)) => text.map_err(|_| wrong("the result is not UTF-8")),
            Ok(None) => Err(wrong("its bytes are not those of the result")),
            Err(_) => Err(wrong("it could not be looked at")),
        }
    }
}
