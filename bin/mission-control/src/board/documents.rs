//! Documents: the list and the page of one.

use std::fmt::{self, Write as _};

use mc_client::types::Document;

use super::markup::{Esc, Short, Time, header, link, list, page, prose, section};

/// The list of documents.
pub(super) fn list_of(out: &mut String, user: &str, documents: &[Document]) -> fmt::Result {
    section(out, "documents", "Documents", |out| {
        list(out, documents, "None.", |out, document| {
            let path = format!("/documents/{}", document.id);
            write!(
                out,
                "<a href=\"{}\">{}</a> <span class=\"tag\">{}</span>",
                Esc(&link(&path, user)),
                Short(&document.title),
                Short(document.doc_type.as_deref().unwrap_or("document"))
            )
        })
    })
}

/// One document.
pub(super) fn document(user: &str, document: &Document) -> String {
    page(&document.title, |out| {
        header(out, user, &document.title)?;
        writeln!(
            out,
            "<section><p><span class=\"tag\">{}</span> {} <span class=\"id\">{}</span></p>\n<div class=\"text\">{}</div></section>\n</main>",
            Short(document.doc_type.as_deref().unwrap_or("document")),
            Time(document.created_at),
            Esc(&document.id),
            prose(document.content.as_deref().unwrap_or_default())
        )
    })
}
