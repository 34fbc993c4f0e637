//! `attachments` of a request: files by id, or with their bytes in base64. All that can be wrong with them
//! without asking the backend is found here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mc_client::files::name_problem;
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::run::attachments::Given;
use crate::run::error::{RunError, RunErrorKind};
use crate::settings::Files;

/// The field of the daemon's own requests.
const LIST: &str = "attachments";

/// The longest id of a file, bytes.
const MAX_ID_BYTES: usize = 256;

/// A file as a request brings it, not validated.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenFile {
    /// The field that holds it, for errors: `attachments.0`.
    pub(super) place: String,
    /// The id of a file of the backend.
    pub(super) file_id: Option<String>,
    /// The name of one that brings its bytes.
    pub(super) name: Option<String>,
    /// Its media type.
    pub(super) media_type: Option<String>,
    /// Its bytes in base64.
    pub(super) data: Option<String>,
}

/// Takes the files out of a body, so that their base64 is not kept. What is no file is a problem.
pub(super) fn take(
    body: &mut Map<String, Value>,
    problems: &mut BTreeMap<String, String>,
) -> Vec<GivenFile> {
    let items = match body.remove("attachments") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            problems.insert("attachments".to_owned(), "must be an array".to_owned());
            return Vec::new();
        }
    };
    let mut files = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let place = format!("attachments.{at}");
        let Value::Object(mut fields) = item else {
            problems.insert(place, "must be an object".to_owned());
            continue;
        };
        let mut text = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                problems.insert(format!("{place}.{name}"), "must be a string".to_owned());
                None
            }
        };
        let (file_id, name) = (text("file_id"), text("name"));
        let (media_type, data) = (text("media_type"), text("data"));
        files.push(GivenFile { place, file_id, name, media_type, data });
    }
    files
}

/// How long the base64 of files is.
pub(super) fn base64_bytes(files: &[GivenFile]) -> usize {
    files.iter().filter_map(|file| file.data.as_ref()).map(String::len).sum()
}

/// Checks files. What is wrong with each is a problem.
///
/// # Errors
/// 413 `payload_too_large` where nothing is wrong but that they are too large together.
pub(super) fn check(
    limits: &Files,
    files: Vec<GivenFile>,
    problems: &mut BTreeMap<String, String>,
) -> Result<Vec<Given>, ApiError> {
    let most = limits.max_attachments;
    if let Some(one_more) = files.get(most) {
        let why = format!(
            "{} files are too many: a message may bring {most} (WOMBAT_MAX_ATTACHMENTS)",
            files.len()
        );
        let is_list =
            one_more.place.starts_with(LIST) && one_more.place[LIST.len()..].starts_with('.');
        let place = if is_list { LIST } else { &one_more.place };
        problems.entry(place.to_owned()).or_insert(why);
        return Ok(Vec::new());
    }
    let given: Vec<Given> = files.into_iter().filter_map(|file| one(file, problems)).collect();
    let size = |file: &Given| match file {
        Given::Inline { bytes, .. } => bytes.len(),
        Given::Stored { .. } => 0,
    };
    if problems.is_empty() && given.iter().map(size).sum::<usize>() > limits.max_bytes {
        return Err(RunError::new(RunErrorKind::FilesTooLarge(limits.max_bytes)).into());
    }
    Ok(given)
}

/// Checks one file.
fn one(file: GivenFile, problems: &mut BTreeMap<String, String>) -> Option<Given> {
    let GivenFile { place, file_id, name, media_type, data } = file;
    let before = problems.len();
    let mut problem = |field: &str, why: &str| {
        problems.entry(format!("{place}{field}")).or_insert_with(|| why.to_owned());
    };
    if let Some(file_id) = file_id {
        if data.is_some() {
            problem("", "has both file_id and data; give one of them");
        } else if file_id.trim().is_empty() {
            problem(".file_id", "must not be empty");
        } else if file_id.len() > MAX_ID_BYTES || file_id.contains(char::is_control) {
            problem(".file_id", "is no id of a file");
        } else {
            return Some(Given::Stored { file_id });
        }
        return None;
    }
    match &name {
        None => problem(".name", "is required, or file_id"),
        Some(name) => {
            if let Some(why) = name_problem(name) {
                problem(".name", why);
            }
        }
    }
    let declared = match &media_type {
        None => {
            problem(".media_type", "is required, such as image/png");
            None
        }
        Some(text) => media_type::parse(text).or_else(|| {
            problem(".media_type", "is no media type; one is image/png");
            None
        }),
    };
    let bytes = match &data {
        None => {
            problem(".data", "is required: the file in base64");
            None
        }
        Some(data) => STANDARD.decode(data).ok().or_else(|| {
            problem(".data", "is not base64 with its padding (RFC 4648, section 4)");
            None
        }),
    };
    if problems.len() > before {
        return None;
    }
    let (name, bytes) = (name?, Bytes::from(bytes?));
    let media_type = media_type::of(declared.as_deref(), &name, &bytes);
    Some(Given::Inline { name, media_type, bytes })
}

/// The parts of a `data:` URL in base64: media type and base64.
pub(super) fn data_url(url: &str) -> Option<(String, String)> {
    let rest =
        url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &url[5..])?;
    let (head, data) = rest.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = if media_type.is_empty() { "text/plain" } else { media_type };
    Some((media_type.to_owned(), data.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::attachments::name_for;

    fn read(attachments: Value) -> (Result<Vec<Given>, ApiError>, BTreeMap<String, String>) {
        let limits = Files { max_attachments: 3, max_bytes: 8, history: 0 };
        let mut problems = BTreeMap::new();
        let mut body = Map::from_iter([("attachments".to_owned(), attachments)]);
        let files = take(&mut body, &mut problems);
        let given = check(&limits, files, &mut problems);
        assert!(body.is_empty());
        (given, problems)
    }

    fn file(name: &str, media_type: &str, data: &str) -> Value {
        json!({ "name": name, "media_type": media_type, "data": data })
    }

    #[test]
    fn files_are_read_by_id_and_with_their_bytes() {
        let (given, problems) = read(json!([
            { "file_id": "f1", "data": null },
            file("a.txt", "Text/Plain; charset=utf-8", "aGk="),
            file("b.txt", "text/plain", "aGk="),
        ]));
        let inline = |name: &str, media_type: &str| Given::Inline {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            bytes: Bytes::from_static(b"hi"),
        };
        let stored = Given::Stored { file_id: "f1".to_owned() };
        let expected = [stored, inline("a.txt", "text/plain"), inline("b.txt", "text/plain")];
        assert_eq!((given.unwrap(), problems), (expected.to_vec(), BTreeMap::new()));
    }

    #[test]
    fn every_bad_field_is_named() {
        let bad = [
            (json!(7), "attachments"),
            (json!(["x"]), "attachments.0"),
            (json!([{}]), "attachments.0.name"),
            (json!([{ "file_id": 7 }]), "attachments.0.file_id"),
            (json!([{ "file_id": " " }]), "attachments.0.file_id"),
            (json!([{ "file_id": "f", "data": "aGk=" }]), "attachments.0"),
            (json!([file("", "text/plain", "aGk=")]), "attachments.0.name"),
            (json!([file(&"n".repeat(256), "text/plain", "aGk=")]), "attachments.0.name"),
            (json!([file("a/b", "text/plain", "aGk=")]), "attachments.0.name"),
            (json!([file("a\\b", "text/plain", "aGk=")]), "attachments.0.name"),
            (json!([file("a\nb", "text/plain", "aGk=")]), "attachments.0.name"),
            (json!([file("a", "text", "aGk=")]), "attachments.0.media_type"),
            (json!([file("a", "text/plain", "a-_=")]), "attachments.0.data"),
            (json!([file("a", "text/plain", "not base64")]), "attachments.0.data"),
            (json!([file("a", "text/plain", "aGk")]), "attachments.0.data"),
            (json!([file("a", "text/plain", "YQ=")]), "attachments.0.data"),
            (json!([file("a", "text/plain", "aGk="), file("b", "a/b", "?")]), "attachments.1.data"),
            (
                json!([{ "file_id": "f" }, { "file_id": "f" }, { "file_id": "f" }, { "file_id": "f" }]),
                "attachments",
            ),
        ];
        for (attachments, place) in bad {
            let (_, problems) = read(attachments.clone());
            assert!(problems.contains_key(place), "{attachments}: {problems:?}");
        }
        let (_, problems) = read(json!([{}]));
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn files_that_are_too_large_together_are_refused() {
        let text = |data: &str| file("a.txt", "text/plain", data);
        assert!(read(json!([text("MTIzNA=="), text("MTIzNA==")])).0.is_ok());
        let (given, problems) = read(json!([text("MTIzNA=="), text("MTIzNDU=")]));
        let error = given.unwrap_err();
        assert_eq!((error.status.as_u16(), &*error.body.code), (413, "payload_too_large"));
        assert!(problems.is_empty());
    }

    #[test]
    fn data_urls_and_names_for_files_without_one() {
        let parts = data_url("data:image/png;base64,AAA=").unwrap();
        assert_eq!(parts, ("image/png".to_owned(), "AAA=".to_owned()));
        assert_eq!(data_url("data:;base64,AA").unwrap().0, "text/plain");
        assert!(data_url("data:text/plain,hi").is_none() && data_url("https://x/a,b").is_none());
        for (media_type, name) in [
            ("image/jpeg", "image-1.jpg"),
            ("application/pdf", "file-1.pdf"),
            ("Audio/mpeg", "audio-1.mpeg"),
            ("application/octet-stream", "file-1.bin"),
            ("application/vnd.ms-excel", "file-1.bin"),
            ("", "file-1.bin"),
        ] {
            assert_eq!(name_for(media_type, 1), name);
        }
    }
}
