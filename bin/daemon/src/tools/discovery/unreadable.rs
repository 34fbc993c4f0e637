//! A document that somebody names, or that is there and cannot be used, and why.

use futures::{StreamExt as _, stream};
use openapi_tools::Document;
use url::Url;

use super::load::from_file;
use super::{AT_ONCE, Answer, Asker, DOCUMENTS, Found, OpenApiPlace, is_contract};
use crate::tools::builtin_names;

impl Asker<'_> {
    /// The document at a place, written as `WOMBAT_BACKEND_OPENAPI` takes it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn named(&self, place: &str) -> Result<Found, String> {
        let parsed = OpenApiPlace::parse(place, self.application);
        let path = match parsed.map_err(|why| format!("{place} {why}"))? {
            OpenApiPlace::File(file) => {
                let text = from_file(&file).await.map_err(|why| {
                    format!(
                        "the file {place}: {why} (a path of the application begins with a slash)"
                    )
                })?;
                return self
                    .of_file(place, text)
                    .await
                    .map_err(|why| format!("the file {place}: {why}"));
            }
            OpenApiPlace::Backend(path) => path,
        };
        if let Ok(text) = from_file(path.as_ref()).await
            && openapi_tools::may_be_document(&text)
        {
            return self
                .of_file(place, text)
                .await
                .map_err(|why| format!("the file {place}: {why}"));
        }
        if let Some((_, found)) = self.document(&path).await {
            return Ok(found);
        }
        let (_, answer) = self.ask(&path).await.map_err(|why| {
            let url = shown::url(self.application);
            format!("the application at {url} does not answer: {why}; start it first")
        })?;
        let why = match answer.status {
            200 => self.why_unreadable(answer).await.unwrap_or_default(),
            status => format!("the application answered {status}, and no file has that path"),
        };
        Err(format!("{path} is no OpenAPI document: {why}"))
    }

    /// The first of the usual addresses at which something is that should be a document, and why it cannot
    /// be used. A page counts only where there is nothing else.
    pub async fn unreadable(&self) -> Option<(String, String)> {
        let asked = stream::iter(DOCUMENTS).map(|path| async move {
            let (_, answer) = self.ask(path).await.ok()?;
            let is_page = answer.is_page;
            let may_be =
                is_page || openapi_tools::may_be_document(&String::from_utf8_lossy(&answer.body));
            if answer.status != 200 || !may_be {
                return None;
            }
            Some((is_page, path.to_owned(), self.why_unreadable(answer).await?))
        });
        let found: Vec<_> = asked.buffered(AT_ONCE).filter_map(async |found| found).collect().await;
        let (_, path, why) = found.into_iter().min_by_key(|(is_page, ..)| *is_page)?;
        Some((path, why))
    }

    async fn why_unreadable(&self, answer: Answer) -> Option<String> {
        if answer.truncated && !answer.is_page {
            return Some("the document is too large".to_owned());
        }
        match openapi_tools::decode(answer.body) {
            Ok(text) => self.operations(text).await.err(),
            Err(error) => Some(error.to_string()),
        }
    }

    async fn of_file(&self, place: &str, text: String) -> Result<Found, String> {
        let (operations, text) = self.operations(text).await?;
        Ok(Found { path: place.to_owned(), operations, text: text.into(), is_file: true })
    }

    /// How many operations a document has, with its text.
    async fn operations(&self, text: String) -> Result<(usize, String), String> {
        let mounted = Url::parse(self.application).map_err(|error| error.to_string())?;
        let read = move || {
            let document = Document::parse(&text, &builtin_names(), mounted.path());
            let document = document.map_err(|error| error.to_string())?;
            match document.candidates().filter(|found| !is_contract(found.path)).count() {
                0 => Err("it has no operation".to_owned()),
                operations => Ok((operations, text)),
            }
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
    }
}
