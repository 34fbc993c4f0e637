//! The fields of the page's forms, and of its links.

use std::collections::HashMap;

use axum::extract::Request;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::guard;
use super::viewer::Viewer;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::read_body;

/// The largest form, in bytes.
pub(super) const MAX_FORM: usize = 256 * 1024;

/// The fields of a form.
pub(super) async fn fields(request: Request) -> Result<HashMap<String, String>, ApiError> {
    let body = read_body(request.into_body(), MAX_FORM).await?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

/// The token in a viewer's forms, which neither a foreign page nor another person knows.
pub(super) fn token(app: &App, viewer: &Viewer) -> Result<String, ApiError> {
    let mac = Hmac::<Sha256>::new_from_slice(app.form_key.as_bytes());
    let mut mac = mac.map_err(|_| ApiError::internal())?;
    mac.update(viewer.name().unwrap_or_default().as_bytes());
    Ok(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The fields of a form that was sent from our own page, by the person whose page it was; 403 for
/// any other.
pub(super) async fn own_form(
    app: &App,
    viewer: &Viewer,
    request: Request,
) -> Result<HashMap<String, String>, ApiError> {
    let origin = Origin::of(app, &request);
    let form = fields(request).await?;
    origin.check(app, viewer, &form)?;
    Ok(form)
}

/// Where a form comes from, as the browser tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    is_own: bool,
}

impl Origin {
    pub(super) fn of(app: &App, request: &Request) -> Self {
        let address = app.config.front.address(guard::peer(request), request.headers());
        Self { is_own: guard::is_same_origin(request.headers(), &address) }
    }

    /// Refuses a form that another page has sent.
    pub(super) fn check_own(self) -> Result<(), ApiError> {
        if self.is_own { Ok(()) } else { Err(foreign()) }
    }

    /// Refuses a form that was not sent from our own page, by the person whose page it was.
    pub(super) fn check(
        self,
        app: &App,
        viewer: &Viewer,
        form: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let sent = form.get("token").map(|token| token.trim()).unwrap_or_default();
        if self.is_own && bool::from(sent.as_bytes().ct_eq(token(app, viewer)?.as_bytes())) {
            return Ok(());
        }
        Err(foreign())
    }
}

fn foreign() -> ApiError {
    ApiError::forbidden("this form was not sent from the page, or the page is old: reload it")
}
