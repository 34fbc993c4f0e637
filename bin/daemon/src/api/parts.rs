//! The parts of a message in other protocols: text, and files that bring their bytes. Nothing is fetched from
//! the addresses that a client gives.

use serde_json::Value;

use super::attachments::{GivenFile, data_url};
use crate::run::attachments::name_for;
use crate::settings::Files;

/// What is said of an address.
const NO_URLS: &str = "is an address, from which nothing is fetched; give the bytes as a data: URL";

/// The kinds of parts, for whoever sends another one.
const KINDS: &str =
    "is a part of a kind that cannot be read; give text, images or files with their bytes";

/// The files of a conversation that a client keeps.
#[derive(Debug, Default)]
pub(super) struct ConversationFiles {
    /// By the messages that they came with, the newest last.
    turns: Vec<Vec<GivenFile>>,
}

impl ConversationFiles {
    /// The files of the next message.
    pub(super) fn add(&mut self, files: Vec<GivenFile>) {
        self.turns.push(files);
    }

    /// Those that the model gets: all of the newest message, and of earlier ones the newest that there is
    /// room for.
    pub(super) fn given(mut self, limits: &Files) -> Vec<GivenFile> {
        let mut given = self.turns.pop().unwrap_or_default();
        let size = |file: &GivenFile| file.data.as_ref().map_or(0, |data| data.len() / 4 * 3);
        let mut bytes: usize = given.iter().map(size).sum();
        for file in self.turns.into_iter().rev().flatten() {
            bytes = bytes.saturating_add(size(&file));
            if given.len() >= limits.max_attachments || bytes > limits.max_bytes {
                break;
            }
            given.push(file);
        }
        given
    }
}

/// The content of a message: its text, and its files. `place` names it in errors.
///
/// # Errors
/// Where the problem is, and what it is.
pub(super) fn content(
    place: &str,
    content: &Value,
) -> Result<(String, Vec<GivenFile>), (String, String)> {
    let parts = match content {
        Value::String(text) => return Ok((text.clone(), Vec::new())),
        Value::Array(parts) => parts,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            let why = "must be a string, or an array of parts".to_owned();
            return Err((place.to_owned(), why));
        }
    };
    let (mut words, mut files) = (String::new(), Vec::new());
    for (n, part) in parts.iter().enumerate() {
        let place = format!("{place}.{n}");
        match read(place.clone(), part, n + 1) {
            Ok(Part::Text(text)) => words.push_str(text),
            Ok(Part::File(file)) => files.push(file),
            Err(why) => return Err((place, why.to_owned())),
        }
    }
    Ok((words, files))
}

/// What a message of the past says of its files, which the model may not get again.
pub(super) fn named(text: String, files: &[GivenFile]) -> String {
    let names = files.iter().map(|file| {
        let name = file.name.as_deref().or(file.file_id.as_deref()).unwrap_or("file");
        format!("[file: {name}]")
    });
    std::iter::once(text)
        .filter(|text| !text.is_empty())
        .chain(names)
        .collect::<Vec<_>>()
        .join("\n")
}

enum Part<'a> {
    Text(&'a str),
    File(GivenFile),
}

fn read(place: String, part: &Value, n: usize) -> Result<Part<'_>, &'static str> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let kind = part["type"].as_str().unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" => {
            part["text"].as_str().map(Part::Text).ok_or("must have text")
        }
        "refusal" => part["refusal"].as_str().map(Part::Text).ok_or("must have refusal"),
        // OpenAI.
        "image_url" => of_url(place, part["image_url"]["url"].as_str(), None, n),
        "input_image" => match text(&part["file_id"]) {
            Some(id) => Ok(Part::File(by_id(place, id))),
            None => of_url(place, part["image_url"].as_str(), None, n),
        },
        "file" | "input_file" => {
            let file = if kind == "file" { &part["file"] } else { part };
            let name = text(&file["filename"]);
            match (text(&file["file_id"]), text(&file["file_data"]), text(&file["file_url"])) {
                (Some(id), ..) => Ok(Part::File(by_id(place, id))),
                (None, Some(data), _) if data.starts_with("data:") => {
                    of_url(place, Some(&data), name, n)
                }
                (None, Some(data), _) => Ok(Part::File(inline(place, None, data, name, n))),
                (None, None, url) => of_url(place, url.as_deref(), name, n),
            }
        }
        // AG-UI.
        "binary" => {
            let (media_type, name) = (text(&part["mimeType"]), text(&part["filename"]));
            match (text(&part["data"]), text(&part["id"])) {
                (Some(data), _) => Ok(Part::File(inline(place, media_type, data, name, n))),
                (None, Some(id)) => Ok(Part::File(by_id(place, id))),
                (None, None) => of_url(place, part["url"].as_str(), name, n),
            }
        }
        "image" | "audio" | "video" | "document" => {
            let source = &part["source"];
            let name = text(&part["metadata"]["filename"]);
            match source["type"].as_str() {
                Some("data") => {
                    let data = text(&source["value"]).ok_or("must have source.value")?;
                    let media_type = text(&source["mimeType"]);
                    Ok(Part::File(inline(place, media_type, data, name, n)))
                }
                Some("url") => of_url(place, source["value"].as_str(), name, n),
                Some(_) | None => Err("must have source.type data or url"),
            }
        }
        _ => Err(KINDS),
    }
}

fn by_id(place: String, file_id: String) -> GivenFile {
    GivenFile { place, file_id: Some(file_id), ..GivenFile::default() }
}

/// A file that brings its bytes. Without a name it gets one of its kind.
pub(super) fn inline(
    place: String,
    media_type: Option<String>,
    data: String,
    name: Option<String>,
    n: usize,
) -> GivenFile {
    let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let name = name.unwrap_or_else(|| name_for(&media_type, n));
    GivenFile {
        place,
        file_id: None,
        name: Some(name),
        media_type: Some(media_type),
        data: Some(data),
    }
}

fn of_url(
    place: String,
    url: Option<&str>,
    name: Option<String>,
    n: usize,
) -> Result<Part<'static>, &'static str> {
    from_url(place, url, name, n).map(Part::File)
}

/// A file whose address is its bytes.
///
/// # Errors
/// What is wrong with any other address.
pub(super) fn from_url(
    place: String,
    url: Option<&str>,
    name: Option<String>,
    n: usize,
) -> Result<GivenFile, &'static str> {
    let url = url.ok_or(KINDS)?;
    if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Err(NO_URLS);
    }
    let (media_type, data) = data_url(url).ok_or("is no data: URL in base64")?;
    Ok(inline(place, Some(media_type), data, name, n))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(part: Value) -> Result<GivenFile, String> {
        let (text, mut files) =
            content("m", &json!([part])).map_err(|(at, why)| format!("{at} {why}"))?;
        assert_eq!(text, "");
        Ok(files.remove(0))
    }

    #[test]
    fn files_of_each_protocol_are_read() {
        let url = "data:image/png;base64,aGk=";
        let data = json!({ "type": "data", "value": "aGk=", "mimeType": "image/png" });
        for part in [
            json!({ "type": "image_url", "image_url": { "url": url } }),
            json!({ "type": "input_image", "image_url": url }),
            json!({ "type": "binary", "mimeType": "image/png", "data": "aGk=" }),
            json!({ "type": "image", "source": data }),
            json!({ "type": "image", "source": { "type": "url", "value": url } }),
        ] {
            let file = one(part.clone()).unwrap();
            let found = (file.name.as_deref(), file.media_type.as_deref(), file.data.as_deref());
            assert_eq!(found, (Some("image-1.png"), Some("image/png"), Some("aGk=")), "{part}");
            assert_eq!(file.place, "m.0");
        }
        for part in [
            json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk=" } }),
            json!({ "type": "input_file", "filename": "a.pdf", "file_data": "aGk=" }),
        ] {
            assert_eq!(one(part).unwrap().name.as_deref(), Some("a.pdf"));
        }
        for part in [
            json!({ "type": "file", "file": { "file_id": "f1" } }),
            json!({ "type": "input_image", "file_id": "f1" }),
            json!({ "type": "binary", "mimeType": "a/b", "id": "f1" }),
        ] {
            assert_eq!(one(part).unwrap().file_id.as_deref(), Some("f1"));
        }
    }

    #[test]
    fn nothing_is_fetched_and_what_cannot_be_read_is_named() {
        let url = "https://example.com/a.png";
        for part in [
            json!({ "type": "image_url", "image_url": { "url": url } }),
            json!({ "type": "input_file", "file_url": url }),
            json!({ "type": "binary", "mimeType": "image/png", "url": url }),
            json!({ "type": "image", "source": { "type": "url", "value": url } }),
        ] {
            let why = one(part.clone()).unwrap_err();
            assert!(why.starts_with("m.0 is an address"), "{part}: {why}");
        }
        for part in [json!({ "type": "input_audio" }), json!(7), json!({ "type": "text" })] {
            assert!(one(part.clone()).is_err(), "{part}");
        }
    }

    #[test]
    fn files_of_earlier_messages_come_as_far_as_there_is_room() {
        let file = |name: &str| {
            inline("p".to_owned(), None, "aGVsbG8=".to_owned(), Some(name.to_owned()), 1)
        };
        let mut files = ConversationFiles::default();
        files.add(vec![file("old")]);
        files.add(vec![file("newer")]);
        files.add(vec![file("own")]);
        let limits = Files { max_attachments: 2, max_bytes: 1_000, history: 0 };
        let given: Vec<_> =
            files.given(&limits).into_iter().map(|file| file.name.unwrap()).collect();
        assert_eq!(given, ["own", "newer"]);
        assert_eq!(named("See".to_owned(), &[file("a.png")]), "See\n[file: a.png]");
    }
}
