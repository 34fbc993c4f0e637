use proptest::prelude::*;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
const PDF: &[u8] = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n";
const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0a";
const NOISE: &[u8] = &[1, 2, 3, 0, 200, 201, 5, 6, 7, 8, 9, 10];

#[track_caller]
fn check(rows: &[(&str, &str, &[u8], &str)]) {
    for (declared, name, bytes, expected) in rows {
        let declared = Some(*declared).filter(|text| !text.is_empty());
        assert_eq!(of(declared, name, bytes), *expected, "{declared:?} {name}");
    }
}

#[test]
fn what_is_declared_stays_where_the_bytes_do_not_contradict() {
    check(&[
        ("image/png", "a.png", PNG, "image/png"),
        ("IMAGE/JPG", "a", JPEG, "image/jpg"),
        ("text/csv; charset=utf-8", "a.txt", b"a,b\n1,2\n", "text/csv"),
        ("text/plain", "a.json", b"{}", "text/plain"),
        ("application/x-foo", "a.foo", b"words", "application/x-foo"),
        ("application/x-foo", "a.foo", NOISE, "application/x-foo"),
        ("application/json", "a", b"{ not json", "application/json"),
        (
            "application/vnd.oasis.opendocument.text",
            "a.odt",
            ZIP,
            "application/vnd.oasis.opendocument.text",
        ),
        ("audio/mpegurl", "a.m3u", b"#EXTM3U\n", "audio/mpegurl"),
        ("text/plain", "latin1.txt", b"caf\xe9", "text/plain"),
        ("text/plain", "wide.txt", b"\xff\xfea\0b\0", "text/plain"),
        ("application/pdf", "a.pdf", PDF, "application/pdf"),
        ("image/svg+xml", "a.svg", b"<svg xmlns='x'/>", "image/svg+xml"),
    ]);
}

#[test]
fn what_the_bytes_contradict_is_replaced() {
    check(&[
        ("text/plain", "a.txt", PNG, "image/png"),
        ("image/png", "a.png", JPEG, "image/jpeg"),
        ("image/png", "a.png", b"just words", "text/plain"),
        ("image/png", "a.png", b"<!DOCTYPE html><script>1</script>", "text/html"),
        ("image/png", "a.png", b"<?xml version='1.0'?><!-- c --><svg>", "image/svg+xml"),
        ("image/svg+xml", "a.svg", b"just words", "text/plain"),
        ("application/pdf", "a.pdf", b"a,b", "text/plain"),
        ("text/html", "a.html", PDF, "application/pdf"),
        ("image/png", "a.png", NOISE, UNKNOWN),
        ("text/plain", "a.txt", NOISE, UNKNOWN),
        ("application/pdf", "a.pdf", ZIP, "application/zip"),
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "a.docx",
            b"words",
            "text/plain",
        ),
    ]);
}

#[test]
fn what_is_not_declared_is_known_by_the_bytes_and_the_name() {
    check(&[
        ("", "a", PNG, "image/png"),
        (UNKNOWN, "a.txt", PDF, "application/pdf"),
        ("application/x-www-form-urlencoded", "a", b"hello", "text/plain"),
        ("nonsense", "a", b"hello", "text/plain"),
        ("", "a.CSV", b"a,b", "text/csv"),
        ("", "notes.md", b"# Hi", "text/markdown"),
        ("", "data", b" {\"a\": [1]}\n", "application/json"),
        ("", "data", b"{ not json", "text/plain"),
        ("", "a.xml", b"<?xml version='1.0'?><a/>", "application/xml"),
        ("", "a", b"\xef\xbb\xbf<!-- c --><html>", "text/html"),
        ("", "a", b"<svgx>", "text/plain"),
        ("", "empty", b"", "text/plain"),
        ("", "a.csv", NOISE, UNKNOWN),
        // Words that are signatures, too.
        ("", "a", b"BM is how a bitmap begins", "text/plain"),
        ("", "a", b"MZ is how a program begins", "text/plain"),
    ]);
    let large = format!("[{}", "1,".repeat(HEAD));
    assert_eq!(of(None, "data", large.as_bytes()), "application/json");
}

#[test]
fn a_media_type_is_an_essence_in_lower_case() {
    assert_eq!(parse("Text/HTML; charset=utf-8").as_deref(), Some("text/html"));
    assert_eq!(parse(" a/b+c ").as_deref(), Some("a/b+c"));
    for wrong in ["", "text", "/", "text/", "/html", "a b/c", "a/b/c", "a/\u{fc}", "a/b\r\nX: y"] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
    assert!(parse(&format!("a/{}", "b".repeat(128))).is_none());
    for text in ["text/x", "application/json", "a/b+json", "image/svg+xml", "application/yaml"] {
        assert!(is_text(text), "{text}");
    }
    for binary in ["image/png", "application/pdf", UNKNOWN, "application/zip"] {
        assert!(!is_text(binary), "{binary}");
    }
}

/// How files of many kinds begin, so that what comes after it is read, too.
const BEGINNINGS: [&[u8]; 14] = [
    b"",
    PNG,
    PDF,
    ZIP,
    b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x13\0\0\0[Content_Types].xml",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"\0\0\0\x18ftyp",
    b"RIFF\0\0\0\0WEBP",
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"<?xml",
    b"<!--",
    b"\xff\xfe",
    b"MZ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_comes_has_a_type(
        begins in 0..BEGINNINGS.len(),
        rest in proptest::collection::vec(any::<u8>(), 0..600),
        declared in proptest::option::of("[a-z]{1,9}/[a-z+.-]{1,20}|.{0,20}"),
        name in ".{0,20}",
    ) {
        let bytes = [BEGINNINGS[begins], &rest].concat();
        let kind = of(declared.as_deref(), &name, &bytes);
        prop_assert_eq!(parse(&kind), Some(kind.clone()));
        // What it is taken for stays what it is.
        prop_assert_eq!(of(Some(&kind), &name, &bytes), kind);
    }
}
