//! How the names of a server's tools begin.

use sha2::{Digest as _, Sha256};

/// The longest beginning: with `__` and a tool's name, providers take 64 characters.
const MAX: usize = 40;

/// How many digits of a hash keep names apart.
const HASH_DIGITS: usize = 8;

/// What the names of a server's tools begin with, before `__`. A name of letters, digits, `-` and single
/// `_` stays as it is; other characters become `_`, and a name that is too long, or is not ASCII, ends
/// with a part of its hash. The same for the same name, whatever else is in the file.
pub fn tool_prefix(server: &str) -> String {
    let mut prefix = String::new();
    for c in server.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' => prefix.push(c),
            // `__` ends the server's part of a tool's name.
            _ if prefix.ends_with('_') => {}
            _ => prefix.push('_'),
        }
    }
    let is_plain = prefix == server && !prefix.ends_with('_');
    let prefix = if is_plain { prefix.as_str() } else { prefix.trim_matches('_') };
    if prefix.len() <= MAX && !prefix.is_empty() && server.is_ascii() {
        return prefix.to_owned();
    }
    let hash: String = Sha256::digest(server).iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = prefix[..prefix.len().min(MAX - HASH_DIGITS - 1)].trim_end_matches('_');
    let kept = if kept.is_empty() { "server" } else { kept };
    format!("{kept}_{}", &hash[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_begin_the_names_of_tools() {
        for (server, prefix) in [
            ("files", "files"),
            ("_files", "_files"),
            ("my-server_2", "my-server_2"),
            ("3f2b8c1a-0000-4000-8000-0123456789ab", "3f2b8c1a-0000-4000-8000-0123456789ab"),
            ("github.com/owner/repo", "github_com_owner_repo"),
            ("@scope/server", "scope_server"),
            ("My Server", "My_Server"),
            ("a__b", "a_b"),
            ("a_", "a"),
            ("a.b.", "a_b"),
        ] {
            assert_eq!(tool_prefix(server), prefix);
        }
        for server in ["", "...", "поиск", "größe", &"x".repeat(41), &"io.github.".repeat(9)]
        {
            let prefix = tool_prefix(server);
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            assert!(
                prefix.len() <= MAX && prefix.chars().all(plain) && !prefix.contains("__"),
                "{prefix}"
            );
            assert_ne!(prefix, tool_prefix(&format!("{server}x")));
        }
    }
}
