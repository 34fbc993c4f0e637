//! Who looks at the page, and whose things they may see.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use crate::app::App;
use crate::auth::is_user_id;
use crate::error::ApiError;
use crate::login::proxy::Visitor;
use crate::store::Scope;
use crate::store::audit::{Act, Actor, By};

/// The user that the page shows while there is none: whom `wombat-daemon chat` talks for.
const DEFAULT_USER: &str = "local";

/// For how long reloads of a page are one view of it.
const RELOADED: Duration = Duration::from_secs(15 * 60);

/// Who looks at the page, as the guard has found out. A handler that takes one cannot run without it.
#[derive(Debug, Clone)]
pub(super) enum Viewer {
    /// Somebody at this machine, or who knows the password: may see every user's things.
    Holder,
    /// A person whom the proxy has named.
    Named(Visitor),
}

impl Viewer {
    /// A person whom the proxy has named; 400 if the name cannot be a user's id.
    pub(super) fn named(visitor: Visitor) -> Result<Self, ApiError> {
        if is_user_id(&visitor.name) {
            return Ok(Self::Named(visitor));
        }
        let why = "the name that the proxy passes is no user's id: it must hold no colon";
        Err(ApiError::new(http::StatusCode::BAD_REQUEST, "invalid_user", why))
    }

    /// The viewer's own name, if there is one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Holder => None,
            Self::Named(visitor) => Some(&visitor.name),
        }
    }

    /// All of a user's things, for this viewer.
    pub(super) fn scope<'a>(&'a self, user: &'a str) -> Scope<'a> {
        Scope::of(user).by(By::new(self.name().map_or(Actor::Unnamed, Actor::Person)))
    }

    /// Whether the viewer may choose whose things the page shows.
    pub(super) fn may_choose(&self) -> bool {
        match self {
            Self::Holder => true,
            Self::Named(visitor) => visitor.is_operator,
        }
    }

    /// The user that a form or a link is about; 400 where none is named and none is understood, 403
    /// for another user than one's own.
    pub(super) fn user<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, ApiError> {
        let named = named.map(trimmed).filter(|named| !named.is_empty());
        let user = named.or(self.name()).unwrap_or_default();
        if !self.may_choose() && self.name() != Some(user) {
            return Err(ApiError::forbidden("the page shows you only what is yours"));
        }
        if !is_user_id(user) {
            return Err(ApiError::field("user", "must not be empty and must hold no colon"));
        }
        Ok(user)
    }

    /// The user that a page shows: the one in its address, or else the viewer.
    pub(super) fn shown<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, ApiError> {
        match self {
            Self::Holder => {
                let named = named.map(trimmed).filter(|named| is_user_id(named));
                Ok(named.unwrap_or(DEFAULT_USER))
            }
            Self::Named(_) => self.user(named),
        }
    }
}

/// A name without what somebody typed around it. Other white space than this is a part of a user's id.
fn trimmed(name: &str) -> &str {
    name.trim_matches([' ', '\t'])
}

/// What of a user's is shown: a kind such as `task`, and its id; the overview if absent.
pub(super) type Shown<'a> = Option<(&'a str, &'a str)>;

/// Records that an operator sees another user's things, before they are shown. What the page itself
/// fetches, again and again while it is open, is recorded once in [`RELOADED`]. Over plain HTTP
/// browsers do not say what they fetch a page for: then it may be that.
pub(super) async fn record_view(
    app: &App,
    viewer: &Viewer,
    user: &str,
    headers: &HeaderMap,
    shown: Shown<'_>,
) -> Result<(), ApiError> {
    if viewer.name().is_none_or(|own| own == user) {
        return Ok(());
    }
    let act = Act::new(viewer.scope(user).by, "user.viewed").of(user);
    let act = shown.map_or(act.clone(), |(kind, id)| act.about(kind, id));
    // <https://www.w3.org/TR/fetch-metadata/#sec-fetch-dest-header>
    if headers.get("sec-fetch-dest").is_some_and(|dest| dest == "document") {
        app.store.record(&act).await?;
    } else {
        app.store.record_at_most(None, &act, 1, RELOADED).await?;
    }
    Ok(())
}

impl FromRequestParts<App> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, ApiError> {
        let viewer = parts.extensions.get::<Self>().cloned();
        viewer.ok_or_else(|| ApiError::unauthorized("log in first"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, is_operator: bool) -> Viewer {
        Viewer::named(Visitor { name: name.to_owned(), is_operator }).unwrap()
    }

    #[test]
    fn a_person_sees_only_what_is_theirs() {
        let ann = named("ann", false);
        for own in [None, Some(""), Some("ann"), Some(" ann ")] {
            assert_eq!(ann.shown(own).unwrap(), "ann", "{own:?}");
            assert_eq!(ann.user(own).unwrap(), "ann", "{own:?}");
        }
        for other in ["bob", "Ann", "a:b", "demo-user", "ann,bob"] {
            assert!(ann.shown(Some(other)).is_err() && ann.user(Some(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn who_may_choose_sees_whom_they_choose() {
        let olga = named("olga", true);
        assert_eq!(olga.shown(None).unwrap(), "olga");
        assert_eq!(olga.shown(Some("bob")).unwrap(), "bob");
        assert!(olga.shown(Some("a:b")).is_err());
        assert_eq!(Viewer::Holder.shown(Some("a:b")).unwrap(), DEFAULT_USER);
        assert_eq!(Viewer::Holder.shown(Some("bob")).unwrap(), "bob");
        assert!(Viewer::Holder.user(None).is_err());
        assert!(Viewer::named(Visitor { name: "a:b".into(), is_operator: true }).is_err());
    }
}
