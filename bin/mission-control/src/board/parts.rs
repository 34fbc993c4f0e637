//! A form with files, as browsers send it (`multipart/form-data`, RFC 7578).

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use futures::{StreamExt as _, TryFutureExt as _, stream};
use http::{StatusCode, header};
use mc_client::types::FileRef;
use tokio::time::timeout;

use super::forms::{MAX_FORM, Origin};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{BODY_TIMEOUT, too_late};
use crate::routes::files::{check_name, receive};

/// How many files a person attaches at once.
const MAX_FILES: usize = 16;

/// How many parts a form has.
const MAX_PARTS: usize = 64;

/// Whether a form comes with files.
pub(super) fn has_parts(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// The fields of a form that was sent from our own page, and its files, which are stored. The first field is
/// the token: nothing more is read of a form that is not of our page, and nothing of it is stored.
pub(super) async fn own_form(
    app: &App,
    viewer: &Viewer,
    request: Request,
) -> Result<(HashMap<String, String>, Vec<FileRef>), ApiError> {
    let origin = Origin::of(app, &request);
    origin.check_own()?;
    let room = Room::default();
    let multipart = Multipart::from_request(paced(request, &room), app).await;
    let mut multipart = multipart.map_err(|error| malformed(&error))?;
    let (mut form, mut files, mut size) = (HashMap::new(), Vec::new(), 0);
    for number in 0.. {
        room.make();
        let next = multipart.next_field().map_err(|error| incomplete(&error));
        let field = in_time(next).await?;
        let Some(field) = field else { break };
        if number == MAX_PARTS {
            return Err(too_large(&format!("the form has more than {MAX_PARTS} parts")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let file = field.file_name().map(base).map(str::to_owned);
        if number == 0 && (name != "token" || file.is_some()) {
            return origin.check(app, viewer, &form).map(|()| (form, files));
        }
        count(&mut size, name.len())?;
        match file {
            None => {
                let text = in_time(text(field, &room, &mut size)).await?;
                form.insert(name, text);
                origin.check(app, viewer, &form)?;
            }
            // What is left empty has no name.
            Some(empty) if empty.is_empty() => {
                in_time(text(field, &room, &mut size)).await?;
            }
            Some(file) => {
                if files.len() == MAX_FILES {
                    return Err(ApiError::field("files", "are more than 16"));
                }
                files.push(store(app, viewer, &form, &file, field, &room).await?);
            }
        }
    }
    origin.check(app, viewer, &form)?;
    Ok((form, files))
}

/// How many more bytes of a form are read before something of it is complete.
#[derive(Clone)]
struct Room(Arc<AtomicUsize>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MAX_FORM)))
    }
}

impl Room {
    /// Something is complete: as much as before may come again.
    fn make(&self) {
        self.0.store(MAX_FORM, Ordering::Relaxed);
    }

    /// Takes room for what has come, of which the last piece may be larger.
    fn take(&self, bytes: usize) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Err(io::Error::other("its beginning, or that of a part, is too large")),
            left => {
                self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

/// The request, of whose body one piece is read at a time: the reader of the form takes all that is ready.
fn paced(request: Request, room: &Room) -> Request {
    let (parts, body) = request.into_parts();
    let (mut bytes, room) = (body.into_data_stream(), room.clone());
    let mut is_next = true;
    let pieces = stream::poll_fn(move |context| {
        if !is_next {
            is_next = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = ready!(bytes.poll_next_unpin(context));
        is_next = false;
        Poll::Ready(piece.map(|piece| {
            let piece = piece.map_err(io::Error::other)?;
            room.take(piece.len()).map(|()| piece)
        }))
    });
    Request::from_parts(parts, Body::from_stream(pieces))
}

/// Stores a file for the user whom the form is about.
async fn store(
    app: &App,
    viewer: &Viewer,
    form: &HashMap<String, String>,
    name: &str,
    field: Field<'_>,
    room: &Room,
) -> Result<FileRef, ApiError> {
    check_name(name)?;
    let user = viewer.user(form.get("user").map(String::as_str))?;
    let declared = field.content_type().map(str::to_owned);
    let mut upload = app.store.upload(viewer.scope(user), app.config.files);
    receive(&mut upload, field.inspect(|_| room.make())).await?;
    let stored = upload.finish(viewer.scope(user), name, declared.as_deref()).await?;
    Ok(FileRef::from(&stored.meta))
}

/// Gives a part of a form so much time as another body has; a file has its own.
async fn in_time<T>(part: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    timeout(BODY_TIMEOUT, part).await.unwrap_or_else(|_| Err(too_late("the form")))
}

/// The text of a field; all fields together have a bound.
async fn text(mut field: Field<'_>, room: &Room, size: &mut usize) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| incomplete(&error))? {
        room.make();
        count(size, chunk.len())?;
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Counts what a form has beside its files.
fn count(size: &mut usize, bytes: usize) -> Result<(), ApiError> {
    *size = size.saturating_add(bytes);
    match *size > MAX_FORM {
        true => Err(too_large(&format!("the form's fields are larger than {MAX_FORM} bytes"))),
        false => Ok(()),
    }
}

fn too_large(why: &str) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", why)
}

/// A file's name without the folders that some browsers send with it.
fn base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or_default()
}

fn malformed(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "malformed_form",
        format!("the form cannot be read: {error}"),
    )
}

fn incomplete(error: &MultipartError) -> ApiError {
    malformed(&error.body_text())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_does_not_come_ends_the_form() {
        let never = std::future::pending::<Result<(), ApiError>>();
        let late = in_time(never).await.unwrap_err().into_response();
        assert_eq!(late.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
