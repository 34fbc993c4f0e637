//! The page's login: one password, or a reverse proxy that has authenticated people. Sessions are
//! kept in memory, by cookie.

pub(crate) mod password;
pub(crate) mod proxy;
mod throttle;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mc_client::tool_requests::DecidedBy;
use service::forwarded::TrustedProxies;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use self::password::BoardPassword;
use self::proxy::{ProxyLogin, Visitor};
pub(crate) use self::throttle::Source;
use self::throttle::Throttle;
use crate::error::ApiError;

/// How long a login lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The most sessions at a time; beyond that the oldest ends.
const MAX_SESSIONS: usize = 1_000;

/// The cookie's name.
const COOKIE: &str = "wombat_board";

/// The cookie of a browser that has logged in before.
const DEVICE: &str = "wombat_device";

/// How long a browser is known.
const DEVICE_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The page's login.
#[derive(Debug)]
pub(crate) struct Login {
    password: Option<BoardPassword>,
    proxy: Option<ProxyLogin>,
    /// The proxies that say whom a request is from.
    proxies: TrustedProxies,
    /// Hashes of the session cookies, and when each session ends.
    sessions: Mutex<HashMap<[u8; 32], Instant>>,
    throttle: Throttle,
    /// Passwords are checked one at a time: each check costs memory and CPU time. Browsers that have
    /// logged in before do not queue behind everybody else.
    checking: Semaphore,
    checking_known: Semaphore,
}

impl Login {
    pub(crate) fn new(
        password: Option<BoardPassword>,
        proxy: Option<ProxyLogin>,
        proxies: TrustedProxies,
    ) -> Self {
        Self {
            password,
            proxy,
            proxies,
            sessions: Mutex::default(),
            throttle: Throttle::default(),
            checking: Semaphore::new(1),
            checking_known: Semaphore::new(1),
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

    /// Whether somebody who wrote a rule for a user may decide for that user still, as far as the settings say.
    pub(crate) fn may_decide_for(&self, author: &DecidedBy, user_id: &str) -> bool {
        match author.id.as_deref() {
            Some(name) if name == user_id => true,
            Some(name) => self.proxy.as_ref().is_some_and(|proxy| proxy.may_operate(name)),
            // Who knew the password, or sat at this machine.
            None => self.has_password() || !self.is_required(),
        }
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
        let now = Instant::now();
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        cookies(headers, COOKIE)
            .any(|token| sessions.get(&hash(token)).is_some_and(|end| *end > now))
    }

    /// Where an attempt to log in comes from.
    pub(crate) fn source(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Source {
        if let Some(nonce) = cookies(headers, DEVICE).find_map(|device| self.known_device(device)) {
            return Source::Device(hash(nonce));
        }
        let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        Source::of(self.proxies.client(peer, headers))
    }

    /// The random part of a device's cookie, if we made it.
    fn known_device<'c>(&self, device: &'c str) -> Option<&'c str> {
        let (nonce, signature) = device.split_once('.')?;
        let known = self.signature(nonce)?;
        bool::from(signature.as_bytes().ct_eq(known.as_bytes())).then_some(nonce)
    }

    fn signature(&self, nonce: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.password.as_ref()?.device_key()).ok()?;
        mac.update(nonce.as_bytes());
        Some(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Checks the password: 401 if it is wrong, 429 for a source that has tried too often.
    pub(crate) async fn check(&self, password: String, from: Source) -> Result<(), ApiError> {
        let Some(known) = self.password.clone() else {
            return Err(ApiError::not_found("login"));
        };
        self.throttle.begin(from).map_err(|wait| {
            let text = "too many wrong passwords from here; retry later";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", text)
                .retry_after(wait + Duration::from_secs(1))
        })?;
        let queue = match from {
            Source::Network(_) => &self.checking,
            Source::Device(_) => &self.checking_known,
        };
        let _permit = queue.acquire().await.map_err(|_| ApiError::internal())?;
        let fits = tokio::task::spawn_blocking(move || known.fits(&password)).await;
        if !fits.map_err(|_| ApiError::internal())? {
            tracing::warn!(source = %from, "wrong password for the page");
            return Err(ApiError::unauthorized("the password is wrong"));
        }
        self.throttle.forget(from);
        Ok(())
    }

    /// Opens a session for the page below a path; returns its cookie, and the one by which the browser is known later.
    pub(crate) fn open(&self, path: &str, over_tls: bool) -> Result<[HeaderValue; 2], ApiError> {
        let (token, nonce) = (random(), random());
        self.remember(hash(&token));
        let signature = self.signature(&nonce).ok_or_else(ApiError::internal)?;
        let device = format!("{nonce}.{signature}");
        Ok([
            set_cookie(COOKIE, &token, path, SESSION, over_tls)?,
            set_cookie(DEVICE, &device, path, DEVICE_AGE, over_tls)?,
        ])
    }

    /// Ends every session that a browser names; returns the cookie that clears its own of this path.
    pub(crate) fn log_out(&self, headers: &HeaderMap, path: &str) -> Result<HeaderValue, ApiError> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for token in cookies(headers, COOKIE) {
            sessions.remove(&hash(token));
        }
        drop(sessions);
        set_cookie(COOKIE, "", path, Duration::ZERO, false)
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
}

/// A text that nobody can guess.
fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The cookies of one name among those of a request (RFC 6265, section 5.4). There may be one for each path
/// under which a browser knows the page.
fn cookies<'h>(headers: &'h HeaderMap, ours: &str) -> impl Iterator<Item = &'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(move |(name, value)| (name == ours && !value.is_empty()).then_some(value))
}

/// A cookie that scripts cannot read and other sites' requests do not carry.
fn set_cookie(
    name: &str,
    value: &str,
    path: &str,
    age: Duration,
    over_tls: bool,
) -> Result<HeaderValue, ApiError> {
    let secure = if over_tls { "; Secure" } else { "" };
    let age = age.as_secs();
    let text =
        format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(|_| ApiError::internal())
}

#[cfg(test)]
mod tests {
    use argon2::Argon2;
    use argon2::password_hash::PasswordHasher as _;

    use super::*;

    fn headers(cookie: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))])
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for text in ["wombat_board=abc", "a=b; wombat_board=abc", "wombat_board=abc; x=y"] {
            assert_eq!(cookies(&headers(text), COOKIE).collect::<Vec<_>>(), ["abc"], "{text}");
        }
        for text in ["", "wombat_board=", "my_wombat_board=abc", "x=wombat_board=abc"] {
            assert_eq!(cookies(&headers(text), COOKIE).next(), None, "{text}");
        }
    }

    fn login() -> Login {
        let password = BoardPassword::new(&"right".to_owned().into()).unwrap();
        Login::new(Some(password), None, TrustedProxies::default())
    }

    /// What a browser sends back.
    fn pair(set: &HeaderValue) -> HeaderMap {
        let pair = set.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())])
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_cost_time_where_they_come_from() {
        let login = login();
        let from = |address: [u8; 4]| login.source(Some(address.into()), &HeaderMap::new());
        let (here, there) = (from([192, 0, 2, 1]), from([192, 0, 2, 2]));
        for _ in 0..throttle::FREE {
            assert!(login.check("wrong".into(), here).await.is_err());
        }
        // Now even the right one has to wait here, and nowhere else.
        assert!(login.check("right".into(), here).await.is_err());
        login.check("right".into(), there).await.unwrap();
        tokio::time::advance(throttle::FIRST_WAIT).await;
        login.check("right".into(), here).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_that_was_here_before_does_not_wait_for_others() {
        let login = login();
        let peer = Some(IpAddr::from([192, 0, 2, 1]));
        let [_, device] = login.open("/", true).unwrap();
        let known = login.source(peer, &pair(&device));
        let unknown = login.source(peer, &HeaderMap::new());
        assert!(known != unknown);
        let mut forged = pair(&device);
        let text = forged[header::COOKIE].to_str().unwrap().replace("device=", "device=0");
        forged.insert(header::COOKIE, HeaderValue::from_str(&text).unwrap());
        assert!(login.source(peer, &forged) == unknown);
        for _ in 0..throttle::FREE {
            assert!(login.check("wrong".into(), unknown).await.is_err());
        }
        assert!(login.check("right".into(), unknown).await.is_err());
        login.check("right".into(), known).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_is_known_after_a_restart_and_not_under_another_password() {
        let of = |given: &str| {
            let password = BoardPassword::new(&given.to_owned().into()).unwrap();
            Login::new(Some(password), None, TrustedProxies::default())
        };
        let is_known = |login: &Login, device: &HeaderValue| {
            matches!(login.source(None, &pair(device)), Source::Device(_))
        };
        let hash = Argon2::default().hash_password(b"right").unwrap().to_string();
        for given in ["right", &hash] {
            let [_, device] = of(given).open("/", true).unwrap();
            assert!(is_known(&of(given), &device));
            assert!(!is_known(&of("other"), &device));
            assert!(!is_known(&Login::new(None, None, TrustedProxies::default()), &device));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_cookies_of_a_browser_count_and_all_its_logins_end() {
        let login = login();
        let [below, _] = login.open("/board/", true).unwrap();
        let [above, _] = login.open("/", true).unwrap();
        let [below, above] = [pair(&below), pair(&above)];
        let text = |headers: &HeaderMap| headers[header::COOKIE].to_str().unwrap().to_owned();
        let both = format!("wombat_board=ended; {}; {}", text(&below), text(&above));
        let both = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&both).unwrap())]);
        assert!(login.has_session(&both));
        login.log_out(&both, "/board/").unwrap();
        for one in [&both, &below, &above] {
            assert!(!login.has_session(one));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_ends() {
        let login = login();
        let [set, _] = login.open("/", true).unwrap();
        let text = set.to_str().unwrap();
        assert!(text.ends_with("HttpOnly; SameSite=Strict; Secure"), "{text}");
        let with = pair(&set);
        assert!(login.has_session(&with));
        tokio::time::advance(SESSION).await;
        assert!(!login.has_session(&with));
        assert!(!login.has_session(&HeaderMap::new()));
    }
}
