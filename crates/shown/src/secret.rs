//! A secret that is known as a whole, such as a service's token or the key of a header.

use std::fmt;

use crate::encoded::{self, Needle};

/// A shorter secret is not looked for: an answer may contain such a text by chance.
const MIN_BYTES: usize = 8;

/// A secret that was sent, to be cut from what comes back.
#[derive(Clone)]
pub struct Secret {
    text: Vec<u8>,
    /// Where its longest run of letters and digits begins, which is looked for.
    from: usize,
    needle: Needle,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Nothing for a text that is too short to be looked for.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() < MIN_BYTES {
            return None;
        }
        let (mut from, mut longest, mut run) = (0, 0, 0);
        for (at, byte) in text.iter().enumerate() {
            run = if byte.is_ascii_alphanumeric() { run + 1 } else { 0 };
            if run > longest {
                (from, longest) = (at + 1 - run, run);
            }
        }
        let needle = Needle::new(if longest < 4 { text } else { &text[from..from + longest] });
        let from = if longest < 4 { 0 } else { from };
        Some(Self { text: text.to_owned(), from, needle })
    }

    /// The answer without the secret; `None` when it is not in there.
    pub fn cut(&self, body: &[u8]) -> Option<Vec<u8>> {
        let candidates = self.needle.find(body);
        let spans = candidates.iter().filter_map(|candidate| {
            let is_rest = |start: usize, from: usize| {
                let mut bytes = if candidate.is_escaped() {
                    // Just as it is, whatever its own characters would mean as escapes.
                    if body[start..].starts_with(&self.text[from..]) {
                        return Some(start + self.text.len() - from);
                    }
                    candidate.at(start).bytes(body)
                } else {
                    candidate.bytes(body)
                };
                let mut end = start;
                for expected in &self.text[from..] {
                    let (byte, after) = bytes.next()?;
                    if byte != *expected {
                        return None;
                    }
                    end = after;
                }
                Some(end)
            };
            // In base64, and where nothing stands before it, what was found is cut with the rest.
            let end = is_rest(candidate.start, self.from)?;
            if self.from == 0 || !candidate.is_escaped() {
                return Some((candidate.start, end));
            }
            // An escaped byte takes up to seven.
            let nearest = candidate.start.checked_sub(self.from)?;
            let farthest = candidate.start.saturating_sub(self.from * 7);
            let start = (farthest..=nearest).rev().find(|start| is_rest(*start, 0) == Some(end));
            start.map(|start| (start, end))
        });
        encoded::without(body, spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(secret: &str, body: &str) -> Option<String> {
        Secret::new(secret)
            .unwrap()
            .cut(body.as_bytes())
            .map(|clean| String::from_utf8(clean).unwrap())
    }

    #[test]
    fn a_secret_is_cut_as_it_is_and_in_the_encodings_of_servers() {
        let secret = r#"a%25"b\c&d-0123456789=="#;
        let body = format!("x {secret} y {secret}");
        assert_eq!(cut(secret, &body).as_deref(), Some("x [token] y [token]"));
        let secret = "a+/b=c-0123456789==";
        for (body, expected) in [
            ("?key=a%2B%2Fb%3Dc-0123456789%3D%3D&x", "?key=[token]&x"),
            ("?key=a%2b%2fb%3dc-0123456789%3d%3d&x", "?key=[token]&x"),
            (r#"{"k":"a+\/b=c-0123456789=="}"#, r#"{"k":"[token]"}"#),
            (r#"{"k":"a\u002b\u002Fb=c-0123456789\u003d="}"#, r#"{"k":"[token]"}"#),
            ("%61%2B%2F%62%3D%63%2D%30%31%32%33%34%35%36%37%38%39%3D%3D", "[token]"),
        ] {
            assert_eq!(cut(secret, body).as_deref(), Some(expected), "{body}");
        }
        assert_eq!(
            cut("0123456789abcdef", "dXNlcjowMTIzNDU2Nzg5YWJjZGVm").as_deref(),
            Some("dXNlcjo[token]")
        );
        assert_eq!(cut("0123456789abcdef", "0123456789abcde"), None);
        assert_eq!(cut(".-.-.-.-.-", "a .-.-.-.-.- b").as_deref(), Some("a [token] b"));
        assert!(Secret::new("secret").is_none());
    }
}
