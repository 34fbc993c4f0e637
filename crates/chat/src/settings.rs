//! The chat's settings: the daemon's address, its key, and the user. No secret of the backend and no
//! key of a model provider.

use std::net::IpAddr;

use secrecy::SecretString;
use service::settings::{Layers, Reader, SettingsError};
use wombat_core::session::UserId;

/// The user when none is set.
const DEFAULT_USER: &str = "local";

/// The chat's settings.
#[derive(Debug)]
pub(super) struct ChatSettings {
    /// The daemon's address, without a slash at its end.
    pub(super) url: String,
    /// `AGENT_DAEMON_API_KEY`.
    pub(super) key: Option<SecretString>,
    /// `--user`, or `USER_ID`.
    pub(super) user: UserId,
}

impl ChatSettings {
    /// Reads the settings; flags are among the layers.
    pub(super) fn read(layers: &Layers) -> Result<Self, SettingsError> {
        let mut r = Reader::new(layers);
        let key = r.secret("AGENT_DAEMON_API_KEY");
        let named = r.optional_url("AGENT_DAEMON_URL");
        let host = r.parse("WOMBAT_HOST", "127.0.0.1", "an IP address such as 127.0.0.1");
        let port = r.number("WOMBAT_PORT", 8081_u16, 0..=u16::MAX);
        let user = r.text("USER_ID", DEFAULT_USER);
        let user = UserId::parse(&user).map_err(|error| r.problem("USER_ID", error)).ok();
        r.finish()?;
        // Without a valid user `finish` has failed.
        let user =
            user.ok_or_else(|| SettingsError(vec!["USER_ID could not be read".to_owned()]))?;
        Ok(Self { url: named.unwrap_or_else(|| url(host, port)), key, user })
    }
}

/// The address at which this machine reaches a daemon that listens as the settings say.
fn url(host: Option<IpAddr>, port: u16) -> String {
    match host {
        Some(IpAddr::V6(host)) if host.is_unspecified() => format!("http://[::1]:{port}"),
        Some(IpAddr::V6(host)) => format!("http://[{host}]:{port}"),
        Some(IpAddr::V4(host)) if !host.is_unspecified() => format!("http://{host}:{port}"),
        Some(IpAddr::V4(_)) | None => format!("http://127.0.0.1:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(pairs: &[(&str, &str)]) -> String {
        ChatSettings::read(&Layers::from_pairs(pairs.iter().copied())).unwrap().url
    }

    #[test]
    fn the_daemon_is_where_it_is_named_or_where_it_listens() {
        let named = ("AGENT_DAEMON_URL", "http://d.example/x/");
        assert_eq!(url_of(&[]), "http://127.0.0.1:8081");
        assert_eq!(
            url_of(&[("WOMBAT_HOST", "0.0.0.0"), ("WOMBAT_PORT", "9")]),
            "http://127.0.0.1:9"
        );
        assert_eq!(url_of(&[("WOMBAT_HOST", "::1")]), "http://[::1]:8081");
        assert_eq!(url_of(&[("WOMBAT_HOST", "10.0.0.1"), named]), "http://d.example/x");
    }

    #[test]
    fn a_wrong_user_is_refused_and_no_secret_is_asked_for() {
        let settings = ChatSettings::read(&Layers::from_pairs([("USER_ID", "ann")])).unwrap();
        assert_eq!((settings.user.as_str(), settings.key.is_none()), ("ann", true));
        let error = ChatSettings::read(&Layers::from_pairs([("USER_ID", "a:b")])).unwrap_err();
        assert!(error.to_string().starts_with("USER_ID: "), "{error}");
    }
}
