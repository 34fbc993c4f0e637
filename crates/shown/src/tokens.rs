//! Signed tokens that were issued one after the other: each is known again, also after its renewal.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::encoded::{self, Needle};

/// How many tokens are remembered, the newest ones.
const MAX_TOKENS: usize = 16_384;

/// The longest beginning of a token (its header and its claims) that is read, bytes.
const MAX_BYTES: usize = 16 * 1024;

/// The tokens of one issuer (JWT, RFC 7519), of which answers may repeat any. All have the same header,
/// by which they are found in one search, however many there are.
#[derive(Default)]
pub struct Tokens {
    head: OnceLock<(Vec<u8>, Needle)>,
    hasher: RandomState,
    issued: Mutex<Issued>,
}

/// By the hash of what is signed: how long the signature is, characters.
#[derive(Default)]
struct Issued {
    signatures: HashMap<u64, usize>,
    order: VecDeque<u64>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Remembers a token.
    pub fn note(&self, token: &str) {
        let Some((signed, signature)) = token.rsplit_once('.') else { return };
        let Some((head, _)) = signed.split_once('.') else { return };
        self.head.get_or_init(|| (head.as_bytes().to_owned(), Needle::new(head.as_bytes())));
        let hash = self.hasher.hash_one(signed.as_bytes());
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.signatures.insert(hash, signature.len()).is_none() {
            issued.order.push_back(hash);
        }
        if issued.order.len() > MAX_TOKENS
            && let Some(oldest) = issued.order.pop_front()
        {
            issued.signatures.remove(&oldest);
        }
    }

    /// The answer without these tokens; `None` when there is none in it. A token of somebody else stays:
    /// it is data.
    pub fn cut(&self, body: &[u8]) -> Option<Vec<u8>> {
        let (head, needle) = self.head.get()?;
        let candidates = needle.find(body);
        let spans = candidates.iter().filter_map(|candidate| {
            let mut bytes = candidate.bytes(body);
            let (mut signed, mut dots) = (Vec::with_capacity(512), 0);
            while dots < 2 && signed.len() < MAX_BYTES {
                let (byte, _) = bytes.next()?;
                // Ends at once where the header does, so that no hostile answer is read many times.
                if dots == 0 && head.get(signed.len()).unwrap_or(&b'.') != &byte {
                    return None;
                }
                dots += usize::from(byte == b'.');
                signed.push(byte);
            }
            signed.pop();
            let hash = self.hasher.hash_one(signed.as_slice());
            let length = {
                let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
                *issued.signatures.get(&hash)?
            };
            // Also of a signature that is cut off at the answer's end.
            let is_signature =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let signature = bytes.take(length).take_while(|(byte, _)| is_signature(*byte));
            signature.last().map(|(_, end)| (candidate.start, end))
        });
        encoded::without(body, spans)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";

    fn token(n: u32) -> String {
        let claims = format!(r#"{{"user_id":"ann","jti":"{n}"}}"#);
        let signature = format!("Cw_KzSbg2o-{n:032}");
        format!("{HEAD}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims))
    }

    fn tokens(n: u32) -> Tokens {
        let tokens = Tokens::default();
        (0..n).for_each(|n| tokens.note(&token(n)));
        tokens
    }

    fn each(text: &str, write: impl Fn(u8) -> String) -> String {
        text.bytes().map(write).collect()
    }

    /// The ways in which an answer may repeat a text.
    fn encodings(text: &str) -> Vec<String> {
        let percent = |byte: u8| format!("%{byte:02X}");
        let json = |byte: u8| format!("\\u{byte:04x}");
        let some = |byte: u8| {
            if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { percent(byte) }
        };
        let some_json = |byte: u8| {
            if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { json(byte) }
        };
        let mut all = vec![
            text.to_owned(),
            each(text, percent),
            each(text, percent).to_lowercase().replace("%", "%25"),
            each(text, json),
            each(text, json).replace('\\', "\\\\"),
            each(text, some),
            each(text, some).to_owned(),
            each(text, some_json),
        ];
        for before in ["", "a", "ab", "Bearer "] {
            let blob = format!("{before}{text} and more");
            all.extend([STANDARD.encode(&blob), URL_SAFE_NO_PAD.encode(&blob)]);
            all.push(STANDARD.encode(&blob).replace('+', "%2B").replace('/', "\\/"));
        }
        all
    }

    #[test]
    fn every_token_that_was_issued_is_cut_in_every_encoding() {
        let tokens = tokens(3);
        for n in 0..3 {
            for encoded in encodings(&token(n)) {
                let body = format!("<pre>X-Agent-Token: {encoded}</pre>");
                let clean =
                    String::from_utf8(tokens.cut(body.as_bytes()).expect(&encoded)).unwrap();
                assert!(
                    clean.starts_with("<pre>X-Agent-Token: ") && clean.ends_with("</pre>"),
                    "{clean}"
                );
                assert!(clean.contains(crate::HIDDEN) && clean.len() < 80, "{encoded}: {clean}");
            }
        }
    }

    #[test]
    fn a_token_of_others_is_data_and_a_cut_off_one_is_still_a_token() {
        let tokens = tokens(2);
        assert_eq!(tokens.cut(token(2).as_bytes()), None);
        assert_eq!(tokens.cut(b""), None);
        assert_eq!(Tokens::default().cut(token(1).as_bytes()), None);
        let whole = token(1);
        let body = format!("{whole}. {} {HEAD} {HEAD}.x", token(9));
        let clean = String::from_utf8(tokens.cut(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(clean, format!("[token]. {} {HEAD} {HEAD}.x", token(9)));
        let clean = tokens.cut(&whole.as_bytes()[..whole.len() - 3]).unwrap();
        assert_eq!(clean, b"[token]");
    }

    #[test]
    fn the_newest_are_remembered_and_no_more_than_the_bound() {
        let tokens = tokens(u32::try_from(MAX_TOKENS).unwrap() + 1);
        assert_eq!(tokens.cut(token(0).as_bytes()), None);
        assert!(tokens.cut(token(1).as_bytes()).is_some());
        assert_eq!(tokens.issued.lock().unwrap().signatures.len(), MAX_TOKENS);
    }

    proptest! {
        #[test]
        fn nothing_but_tokens_is_changed(before in ".{0,40}", after in ".{0,40}", way in 0..20_usize) {
            let tokens = tokens(1);
            let plain = format!("{before}{after}");
            prop_assert_eq!(tokens.cut(plain.as_bytes()), None);
            let encoded = &encodings(&token(0))[way];
            let body = format!("{before} {encoded} {after}");
            let clean = String::from_utf8(tokens.cut(body.as_bytes()).unwrap()).unwrap();
            let start = format!("{} ", before.trim_end_matches('\\'));
            prop_assert!(clean.starts_with(start.trim_end()) && clean.ends_with(&format!(" {after}")), "{}", clean);
        }

        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            tokens(1).cut(&body);
            crate::Secret::new("a\\b%c-0123456789").unwrap().cut(&body);
        }
    }
}
