//! The identity of a conversation: [`UserId`], [`Role`] and [`SessionKey`].
//!
//! Each is parsed once at the boundary and cannot be built any other way, so code that has one never
//! checks it again. In particular a [`Role`] can never be a path.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest role name, in bytes.
pub const MAX_ROLE_LEN: usize = 64;

/// Why a session key, user id or role was rejected. The text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The key is not of the form `user:{userId}:{role}`.
    #[error("a session key must have the form user:{{userId}}:{{role}}")]
    Shape,
    /// The user id is empty or contains a `:`.
    #[error("a user id must not be empty or contain ':'")]
    UserId,
    /// The role is not `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
    #[error(
        "a role must be 1 to 64 letters, digits, '_' or '-' (ASCII) and start with a letter or a digit"
    )]
    Role,
}

/// A user of the backend: the tenant that everything in a run is scoped to.
/// Any non-empty text without `:`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(Arc<str>);

/// The name of an agent, such as `scout`: `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Role(Arc<str>);

/// `user:{userId}:{role}`: one user's conversation with one agent.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionKey {
    user: UserId,
    role: Role,
}

impl UserId {
    /// Parses a user id.
    pub fn parse(text: &str) -> Result<Self, SessionError> {
        if text.is_empty() || text.contains(':') {
            return Err(SessionError::UserId);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Role {
    /// Parses a role name.
    pub fn parse(text: &str) -> Result<Self, SessionError> {
        let mut bytes = text.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_ok = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !first_ok || !rest_ok || text.len() > MAX_ROLE_LEN {
            return Err(SessionError::Role);
        }
        Ok(Self(text.into()))
    }

    /// The role as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SessionKey {
    /// Parses `user:{userId}:{role}`.
    pub fn parse(text: &str) -> Result<Self, SessionError> {
        let rest = text.strip_prefix("user:").ok_or(SessionError::Shape)?;
        let (user, role) = rest.split_once(':').ok_or(SessionError::Shape)?;
        Ok(Self { user: UserId::parse(user)?, role: Role::parse(role)? })
    }

    /// The key of a user's conversation with a role.
    pub fn new(user: UserId, role: Role) -> Self {
        Self { user, role }
    }

    /// The user, which is the tenant.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The agent's role.
    pub fn role(&self) -> &Role {
        &self.role
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user:{}:{}", self.user, self.role)
    }
}

impl From<SessionKey> for String {
    fn from(key: SessionKey) -> Self {
        key.to_string()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({self})")
    }
}

impl FromStr for SessionKey {
    type Err = SessionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for SessionKey {
    type Error = SessionError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

/// The conversions that [`UserId`] and [`Role`] share.
macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &self.0)
            }
        }
        impl FromStr for $name {
            type Err = SessionError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = SessionError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.as_ref().to_owned()
            }
        }
    };
}
text_type!(UserId);
text_type!(Role);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_key_splits_into_user_and_role() {
        let key = SessionKey::parse("user:5f3a@example.org/ü:scout").unwrap();
        assert_eq!(key.user().as_str(), "5f3a@example.org/ü");
        assert_eq!(key.role().as_str(), "scout");
        assert_eq!(key.to_string(), "user:5f3a@example.org/ü:scout");
    }

    #[test]
    fn what_is_no_session_key_is_refused_with_its_reason() {
        for (text, why) in [
            ("", SessionError::Shape),
            ("agent:u:scout", SessionError::Shape),
            ("user:u", SessionError::Shape),
            ("user::scout", SessionError::UserId),
            ("user:u:", SessionError::Role),
            ("user:u:a:b", SessionError::Role),
            ("user:u:../x", SessionError::Role),
            ("user:u:a/b", SessionError::Role),
            ("user:u:%2e", SessionError::Role),
            ("user:u:-a", SessionError::Role),
            ("user:u:_a", SessionError::Role),
            ("user:u:rôle", SessionError::Role),
            ("user:u:a\0", SessionError::Role),
            ("user:u:a\n", SessionError::Role),
        ] {
            assert_eq!(SessionKey::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_role_is_at_most_64_bytes() {
        assert!(Role::parse(&"a".repeat(64)).is_ok());
        assert_eq!(Role::parse(&"a".repeat(65)), Err(SessionError::Role));
    }

    proptest::proptest! {
        #[test]
        fn every_key_that_parses_prints_as_itself(text in "user:[^:]{0,8}:.{0,12}") {
            if let Ok(key) = SessionKey::parse(&text) {
                proptest::prop_assert_eq!(key.to_string(), text);
                proptest::prop_assert!(!key.role().as_str().contains(['/', '.', '%', '\\', '\0']));
            }
        }
    }
}
