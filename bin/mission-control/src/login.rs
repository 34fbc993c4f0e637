//! The page's login: one password, or a reverse proxy that has authenticated people. Sessions are
//! kept in memory, by cookie.

pub(crate) mod password;
pub(crate) mod proxy;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use self::password::BoardPassword;
use self::proxy::{ProxyLogin, Visitor};
use crate::error::ApiError;

/// How long a login lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The most sessions at a time; beyond that the oldest ends.
const MAX_SESSIONS: usize = 1_000;

/// The cookie's name.
const COOKIE: &str = "wombat_board";

/// How many wrong passwords in a row are answered at once; after each further one there is a wait.
const FREE_ATTEMPTS: u32 = 5;

/// The wait after each wrong password beyond [`FREE_ATTEMPTS`].
const PENALTY: Duration = Duration::from_secs(10);

/// Wrong passwords in a row.
#[derive(Debug, Default)]
struct Wrong {
    count: u32,
    wait_until: Option<Instant>,
}

/// The page's login.
#[derive(Debug)]
pub(crate) struct Login {
    password: Option<BoardPassword>,
    proxy: Option<ProxyLogin>,
    /// Hashes of the session cookies, and when each session ends.
    sessions: Mutex<HashMap<[u8; 32], Instant>>,
    wrong: Mutex<Wrong>,
    /// Passwords are checked one at a time: each check costs memory and CPU time.
    checking: Semaphore,
}

impl Login {
    pub(crate) fn new(password: Option<BoardPassword>, proxy: Option<ProxyLogin>) -> Self {
        Self {
            password,
            proxy,
            sessions: Mutex::default(),
            wrong: Mutex::default(),
            checking: Semaphore::new(1),
        }
    }

    /// Whether people must authenticate. If not, the page answers on loopback only.
    pub(crate) fn is_required(&self) -> bool {
        self.password.is_some() || self.proxy.is_some()
    }

    /// Whether there is a password to log in with.
    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The person whom a trusted proxy has authenticated.
    pub(crate) fn visitor(
        &self,
        peer: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<Visitor>, ApiError> {
        self.proxy.as_ref().map_or(Ok(None), |proxy| proxy.visitor(peer, headers))
    }

    /// Whether a request carries the cookie of a session.
    pub(crate) fn has_session(&self, headers: &HeaderMap) -> bool {
        let Some(cookie) = cookie(headers) else { return false };
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&hash(cookie)).is_some_and(|end| *end > Instant::now())
    }

    /// Checks the password and opens a session; returns its cookie.
    pub(crate) async fn log_in(
        &self,
        password: String,
        over_tls: bool,
    ) -> Result<HeaderValue, ApiError> {
        let Some(known) = self.password.clone() else {
            return Err(ApiError::not_found("login"));
        };
        let _permit = self.checking.acquire().await.map_err(|_| ApiError::internal())?;
        if let Some(wait) = self.wait() {
            let text = "too many wrong passwords; retry later";
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", text)
                .retry_after(wait + Duration::from_secs(1)));
        }
        let fits = tokio::task::spawn_blocking(move || known.fits(&password)).await;
        if !fits.map_err(|_| ApiError::internal())? {
            self.count_wrong();
            return Err(ApiError::unauthorized("the password is wrong"));
        }
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Wrong::default();
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.remember(hash(&token));
        set_cookie(&token, SESSION, over_tls)
    }

    /// Ends a session; returns the cookie that clears the browser's.
    pub(crate) fn log_out(&self, headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
        if let Some(cookie) = cookie(headers) {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.remove(&hash(cookie));
        }
        set_cookie("", Duration::ZERO, false)
    }

    fn remember(&self, session: [u8; 32]) {
        let now = Instant::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, end| *end > now);
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, end)| **end).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(session, now + SESSION);
    }

    fn wait(&self) -> Option<Duration> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let left = wrong.wait_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn count_wrong(&self) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.count = wrong.count.saturating_add(1);
        tracing::warn!(in_a_row = wrong.count, "wrong password for the page");
        if wrong.count >= FREE_ATTEMPTS {
            wrong.wait_until = Some(Instant::now() + PENALTY);
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Our cookie among those of a request (RFC 6265, section 5.4).
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && !value.is_empty()).then_some(value))
}

/// A cookie that scripts cannot read and other sites' requests do not carry.
fn set_cookie(value: &str, age: Duration, over_tls: bool) -> Result<HeaderValue, ApiError> {
    let secure = if over_tls { "; Secure" } else { "" };
    let age = age.as_secs();
    let text =
        format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(|_| ApiError::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))])
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for text in ["wombat_board=abc", "a=b; wombat_board=abc", "wombat_board=abc; x=y"] {
            assert_eq!(cookie(&headers(text)), Some("abc"), "{text}");
        }
        for text in ["", "wombat_board=", "my_wombat_board=abc", "x=wombat_board=abc"] {
            assert_eq!(cookie(&headers(text)), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_cost_time_and_a_login_ends() {
        let login = Login::new(Some(BoardPassword::new(&"right".to_owned().into()).unwrap()), None);
        for _ in 0..FREE_ATTEMPTS {
            assert!(login.log_in("wrong".into(), false).await.is_err());
        }
        // Now even the right one has to wait.
        assert!(login.log_in("right".into(), false).await.is_err());
        tokio::time::advance(PENALTY).await;
        let set = login.log_in("right".into(), true).await.unwrap();
        let text = set.to_str().unwrap();
        assert!(text.ends_with("HttpOnly; SameSite=Strict; Secure"), "{text}");
        let pair = text.split(';').next().unwrap();
        let with = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())]);
        assert!(login.has_session(&with));
        tokio::time::advance(SESSION).await;
        assert!(!login.has_session(&with));
        assert!(!login.has_session(&HeaderMap::new()));
    }
}
