//! Removing a token from an answer that repeats it.

use bytes::{Bytes, BytesMut};

/// Shorter tokens are not looked for: an answer may contain such a text by chance.
const SECRET_LEN: usize = 16;

/// What replaces the token.
const HIDDEN: &[u8] = b"[token]";

/// An answer with [`HIDDEN`] wherever it repeats the token.
pub(crate) fn redact(body: Bytes, token: &[u8]) -> Bytes {
    if token.len() < SECRET_LEN {
        return body;
    }
    let Some(mut at) = find(token, &body) else { return body };
    let mut clean = BytesMut::with_capacity(body.len());
    let mut rest = &body[..];
    loop {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(HIDDEN);
        rest = &rest[at + token.len()..];
        match find(token, rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    clean.extend_from_slice(rest);
    clean.freeze()
}

/// The position of a token in an answer. It is hardly ever there, and a search that preprocesses each
/// token costs more than going from dot to dot: a JWT has two, and most answers have few.
fn find(token: &[u8], answer: &[u8]) -> Option<usize> {
    let mark = token.iter().position(|byte| *byte == b'.').unwrap_or_default();
    memchr::memchr_iter(*token.get(mark)?, answer)
        .filter_map(|at| at.checked_sub(mark))
        .find(|at| answer[*at..].starts_with(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_hidden_wherever_it_stands_and_nothing_else_is() {
        let token = "eyJhbGciOi.eyJzdWIiOiJ1.c2lnbmF0dXJl";
        for (body, expected) in [
            (format!("{token} and {token}"), "[token] and [token]".to_owned()),
            (format!("a.b{token}"), "a.b[token]".to_owned()),
            ("eyJhbGciOi.eyJzdWIiOiJ1.".to_owned(), "eyJhbGciOi.eyJzdWIiOiJ1.".to_owned()),
            (String::new(), String::new()),
        ] {
            assert_eq!(redact(body.into(), token.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn a_token_without_a_dot_is_hidden_and_a_short_one_is_not_looked_for() {
        let plain = redact("x 0123456789abcdef y".into(), b"0123456789abcdef");
        assert_eq!(plain, "x [token] y");
        assert_eq!(redact("a secret".into(), b"secret"), "a secret");
    }
}
