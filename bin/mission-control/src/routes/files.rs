//! Files of users.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mc_client::files::name_problem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout, timeout_at};

use crate::app::App;
use crate::auth::{Person, Tenant, Trace, Writer};
use crate::error::ApiError;
use crate::extract::{Id, Params, refuse_coding, too_late};
use crate::store::audit::Actor;
use crate::store::file_uploads::Upload;
use crate::store::files::Found;
use crate::store::{Scope, Store, StoreError};
use crate::unseen::is_unseen;

/// The timeout for the next bytes of a file to arrive.
const NEXT: Duration = Duration::from_secs(30);

/// The timeout for all of them.
const ALL: Duration = Duration::from_secs(15 * 60);

/// What need not be encoded in a parameter of a header (RFC 8187, section 3.2.1).
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What keeps a file from doing anything where it is opened: browsers save it, take it for what it is said to
/// be, and run nothing of it.
const INERT: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
];

pub(super) async fn put(
    State(app): State<App>,
    writer: Writer,
    Query(params): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut names = params.iter().filter(|(key, _)| key == "name").map(|(_, name)| name);
    let name = names.next().ok_or_else(|| ApiError::field("name", "is required"))?;
    if names.next().is_some() {
        return Err(ApiError::field("name", "must be given once"));
    }
    check_name(name)?;
    refuse_coding(request.headers())?;
    let declared = declared(request.headers())?;
    let limits = app.config.files;
    let body = request.into_body();
    // A Content-Length that is too large is refused at once.
    if body.size_hint().lower() > limits.max_bytes {
        return Err(StoreError::FileTooLarge { max_bytes: limits.max_bytes }.into());
    }
    let mut upload = app.store.upload(writer.scope(), limits);
    receive(&mut upload, body.into_data_stream()).await?;
    let stored = upload.finish(writer.scope(), name, declared.as_deref()).await?;
    let status = if stored.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(stored.meta)).into_response())
}

/// Refuses what is no file's name.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    name_problem(name).map_or(Ok(()), |why| Err(ApiError::field("name", why)))
}

/// The media type that a request says its body has.
fn declared(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let known = kind.to_str().ok().and_then(media_type::parse);
    let wrong = || ApiError::field("Content-Type", "must be a media type, such as text/csv");
    known.map(Some).ok_or_else(wrong)
}

/// Takes the bytes of a file as they arrive.
pub(crate) async fn receive<E>(
    upload: &mut Upload,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<(), ApiError> {
    let mut bytes = std::pin::pin!(bytes);
    let end = Instant::now() + ALL;
    let late = |_| too_late("the file");
    loop {
        let next = timeout_at(end, timeout(NEXT, bytes.next()));
        match next.await.map_err(late)?.map_err(late)? {
            Some(Ok(bytes)) => upload.write(&bytes).await?,
            Some(Err(_)) => {
                let text = "the connection closed before the file was complete";
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", text));
            }
            None => return Ok(()),
        }
    }
}

pub(super) async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
    Query(params): Params,
) -> Result<Response, ApiError> {
    let meta = match params.get("meta").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::field("meta", "must be true or false")),
    };
    let file = app.store.file(tenant.user_id(), &id).await?;
    match meta {
        true => Ok(Json(file.meta).into_response()),
        false => download(&app.store, file),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    person: Person,
    trace: Trace,
    Id(id): Id,
) -> Result<StatusCode, ApiError> {
    let user_id = &person.user_id;
    let scope = Scope::of(user_id).by(trace.by(Actor::Person(user_id)));
    app.store.delete_file(scope, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A file to be saved, never shown.
pub(crate) fn download(store: &Store, file: Found) -> Result<Response, ApiError> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| ApiError::internal());
    let mut headers = HeaderMap::from_iter(INERT);
    headers.insert(header::CONTENT_TYPE, value(&file.meta.media_type)?);
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition(&file.meta.name))?);
    headers.insert(header::CONTENT_LENGTH, file.meta.size.into());
    Ok((headers, Body::from_stream(bytes(store.clone(), file))).into_response())
}

/// `attachment` with the file's name (RFC 6266): in ASCII, and as it is.
fn disposition(name: &str) -> String {
    // Whoever saves the file sees its name as it is: nothing turns it round, and nothing in it is unseen.
    let name: String = name.chars().filter(|c| !is_unseen(*c)).collect();
    let name = if name.is_empty() { "file" } else { &*name };
    let plain = |c: char| match c {
        '"' | '%' => '_',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '_',
    };
    let ascii: String = name.chars().map(plain).collect();
    format!(
        "attachment; filename=\"{ascii}\"; filename*=UTF-8''{}",
        utf8_percent_encode(name, PARAMETER)
    )
}

/// The bytes of a file, a part at a time. It ends with an error where parts are missing: then the file was
/// deleted, and what was read is not all of it.
fn bytes(store: Store, file: Found) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let left = file.meta.size;
    stream::try_unfold((store, file, 0, left), async |(store, file, part, left)| {
        if left == 0 {
            return Ok(None);
        }
        let read = store.file_part(&file, part).await.map_err(io::Error::other)?;
        let bytes = read.ok_or_else(|| io::Error::other("the file was deleted"))?;
        let left = left.saturating_sub(bytes.len() as u64);
        Ok(Some((bytes, (store, file, part + 1, left))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_in_ascii_and_as_it_is() {
        assert_eq!(
            disposition("a b.txt"),
            "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"
        );
        assert_eq!(
            disposition("a\u{202e}\u{200b}\u{2066}gpj.exe"),
            "attachment; filename=\"agpj.exe\"; filename*=UTF-8''agpj.exe"
        );
        assert_eq!(disposition("\u{202e}"), "attachment; filename=\"file\"; filename*=UTF-8''file");
        assert_eq!(
            disposition("\u{fc}\"%\u{6f22};'.pdf"),
            "attachment; filename=\"___\u{5f};'.pdf\"; filename*=UTF-8''%C3%BC%22%25%E6%BC%A2%3B%27.pdf"
        );
    }
}
