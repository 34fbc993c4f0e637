//! Files on the page: what is attached to a message, and how a person attaches something.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use mc_client::types::{FileMeta, Message};

use super::markup::{Esc, Short, hidden, link, post};

/// The files of a thread, and those of them that are there no more.
pub(super) struct Attachments<'a> {
    pub(super) user: &'a str,
    pub(super) token: &'a str,
    pub(super) gone: &'a HashSet<String>,
}

impl Attachments<'_> {
    /// The files of a message, each to be saved or deleted.
    pub(super) fn of(&self, out: &mut String, message: &Message) -> fmt::Result {
        if message.files().next().is_none() {
            return Ok(());
        }
        out.push_str("<ul class=\"files\">\n");
        for file in message.files() {
            self.file(out, &message.task_id, file)?;
        }
        out.push_str("</ul>\n");
        Ok(())
    }

    fn file(&self, out: &mut String, task_id: &str, file: &FileMeta) -> fmt::Result {
        let (name, id) = (Short(&file.name), &file.file_id);
        let about = format!("{}, {}", file.media_type, size(file.size));
        if self.gone.contains(id) {
            let about = Esc(&about);
            return writeln!(
                out,
                "<li>{name} <span class=\"count\">{about}; it was deleted</span></li>"
            );
        }
        let address = link(&format!("/files/{id}"), self.user);
        write!(
            out,
            "<li><a href=\"{}\" download>{name}</a> <span class=\"count\">{}</span> ",
            Esc(&address),
            Esc(&about)
        )?;
        post(out, "/delete-file")?;
        hidden(out, self.token, self.user, id)?;
        let task = Esc(task_id);
        write!(out, "<input type=\"hidden\" name=\"task\" value=\"{task}\">")?;
        out.push_str("<button>Delete</button></form></li>\n");
        Ok(())
    }
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return shown_bytes(bytes);
    }
    // In tenths, which no rounding of floats changes.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1_024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

fn shown_bytes(bytes: u64) -> String {
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_by_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1_023, "1023 bytes"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (20 * 1_024 * 1_024, "20.0 MiB"),
            (1_024 * 1_024 - 1, "1023.9 KiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }
}
