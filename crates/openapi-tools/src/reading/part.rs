//! Which parts of a document are kept.

/// Components that only answers, examples and callbacks refer to.
const UNUSED_COMPONENTS: [&str; 4] = ["callbacks", "examples", "headers", "links"];

/// A place in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The document itself.
    Root,
    /// `paths`.
    Paths,
    /// One path.
    PathItem,
    /// One operation.
    Operation,
    /// The answers of an operation.
    Answers,
    /// One answer, of which only the media types are kept.
    Answer,
    /// The media types of an answer.
    Content,
    /// One media type.
    Media,
    /// `components`.
    Components,
    /// Its answers.
    SharedAnswers,
    /// Anything else, which is kept as a whole.
    Whole,
}

impl Part {
    /// The document itself; as a whole where references lead into what would be left out.
    pub(super) fn of_document(text: &str) -> Self {
        // PHP writes a slash in JSON with a backslash before it.
        let plain = text.contains("#\\/").then(|| text.replace("\\/", "/"));
        let text = plain.as_deref().unwrap_or(text);
        let into_paths = text.contains("#/paths/") || text.contains("#/webhooks/");
        let into_parts = ["#/components/", "#/responses/"].iter().any(|begin| {
            text.match_indices(begin).any(|(at, _)| leads_into_unused(&text[at + 2..]))
        });
        if into_paths || into_parts { Self::Whole } else { Self::Root }
    }

    /// The part below this one, by its key; `None` when it is left out.
    pub(super) fn below(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Root, "paths") => Some(Self::Paths),
            (Self::Root, "components") => Some(Self::Components),
            // `responses` of Swagger 2.0.
            (Self::Root, "webhooks" | "x-webhooks" | "tags" | "responses") => None,
            (Self::Paths, path) if path.starts_with('/') => Some(Self::PathItem),
            (Self::PathItem, "get" | "post" | "put" | "patch" | "delete") => Some(Self::Operation),
            (Self::PathItem, "options" | "head" | "trace") => None,
            (Self::Operation, "responses") => Some(Self::Answers),
            (Self::Answers, status) if status.starts_with('2') => Some(Self::Answer),
            (Self::SharedAnswers, _) => Some(Self::Answer),
            (Self::Answer, "content") => Some(Self::Content),
            (Self::Answer, "$ref") => Some(Self::Whole),
            (Self::Content, _) => Some(Self::Media),
            (Self::Answers | Self::Answer | Self::Media, _) => None,
            (Self::Operation, "callbacks" | "externalDocs") => None,
            (Self::Operation, key) if key.starts_with("x-") => None,
            (Self::Components, "responses") => Some(Self::SharedAnswers),
            (Self::Components, key) if UNUSED_COMPONENTS.contains(&key) => None,
            (
                Self::Root
                | Self::Paths
                | Self::PathItem
                | Self::Operation
                | Self::Components
                | Self::Whole,
                _,
            ) => Some(Self::Whole),
        }
    }
}

/// Whether a reference, from its first name on, leads into a part that is left out, and not only to it:
/// an answer or an example refers to such a part as a whole, a schema to one in it.
fn leads_into_unused(reference: &str) -> bool {
    let end = reference.find(|c: char| matches!(c, '"' | '\'' | ',' | '}') || c.is_whitespace());
    let mut names = reference[..end.unwrap_or(reference.len())].split('/');
    let first = names.next();
    let kind = if first == Some("components") { names.next() } else { first };
    let is_unused = |kind: &str| kind == "responses" || UNUSED_COMPONENTS.contains(&kind);
    kind.is_some_and(is_unused) && names.count() > 1
}
