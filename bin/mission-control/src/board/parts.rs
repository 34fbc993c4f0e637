//! A form with files, as browsers send it (`multipart/form-data`, RFC 7578).

use std::collections::HashMap;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use http::{StatusCode, header};
use mc_client::types::FileRef;

use super::forms::{MAX_FORM, Origin};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::ApiError;
use crate::routes::files::{check_name, receive};

/// How many files a person attaches at once.
const MAX_FILES: usize = 16;

/// Whether a form comes with files.
pub(super) fn has_parts(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// The fields of a form that was sent from our own page, and its files, which are stored. The fields come
/// before the files: nothing is stored for a page that is not ours.
pub(super) async fn own_form(
    app: &App,
    viewer: &Viewer,
    request: Request,
) -> Result<(HashMap<String, String>, Vec<FileRef>), ApiError> {
    let origin = Origin::of(app, &request);
    let multipart = Multipart::from_request(request, app).await;
    let mut multipart = multipart.map_err(|error| malformed(&error))?;
    let (mut form, mut files, mut size) = (HashMap::new(), Vec::new(), 0);
    while let Some(field) = multipart.next_field().await.map_err(|error| incomplete(&error))? {
        let Some(name) = field.name().map(str::to_owned) else { continue };
        match field.file_name().map(base).map(str::to_owned) {
            None => {
                let text = text(field, &mut size).await?;
                form.insert(name, text);
            }
            // What is left empty has no name.
            Some(empty) if empty.is_empty() => {}
            Some(file) => {
                origin.check(app, viewer, &form)?;
                if files.len() == MAX_FILES {
                    return Err(ApiError::field("files", "are more than 16"));
                }
                files.push(store(app, viewer, &form, &file, field).await?);
            }
        }
    }
    origin.check(app, viewer, &form)?;
    Ok((form, files))
}

/// Stores a file for the user whom the form is about.
async fn store(
    app: &App,
    viewer: &Viewer,
    form: &HashMap<String, String>,
    name: &str,
    field: Field<'_>,
) -> Result<FileRef, ApiError> {
    check_name(name)?;
    let user = viewer.user(form.get("user").map(String::as_str))?;
    let declared = field.content_type().map(str::to_owned);
    let mut upload = app.store.upload(user, app.config.files);
    receive(&mut upload, field).await?;
    let stored = upload.finish(viewer.scope(user), name, declared.as_deref()).await?;
    Ok(FileRef::from(&stored.meta))
}

/// The text of a field; all fields together have a bound.
async fn text(mut field: Field<'_>, size: &mut usize) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| incomplete(&error))? {
        *size += chunk.len();
        if *size > MAX_FORM {
            let why = format!("the form's fields are larger than {MAX_FORM} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", why));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
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
