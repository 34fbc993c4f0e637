use serde_json::json;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03";

#[test]
fn what_is_written_down_has_a_hash_and_no_bytes() {
    let media = Media::new("cat.png", "image/png", PNG);
    let written = serde_json::to_value(&media).unwrap();
    assert_eq!(written["name"], "cat.png");
    assert_eq!((&written["media_type"], &written["size"]), (&json!("image/png"), &json!(24)));
    assert_eq!(written["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(written.as_object().unwrap().len(), 4);
    let read: Media = serde_json::from_value(written).unwrap();
    assert_eq!((read.clone(), read.bytes()), (media.clone(), None));
    assert!(!format!("{media:?}").contains("PNG\\r"), "{media:?}");
}

#[test]
fn the_bytes_say_what_type_it_is() {
    for (said, is) in [
        ("image/png", "image/png"),
        ("image/jpeg", "image/png"),
        ("application/octet-stream", "image/png"),
    ] {
        assert_eq!(Media::new("x", said, PNG).media_type(), is);
    }
    let text = Media::new("x", "Text/CSV; charset=utf-8", &b"a,b"[..]);
    assert_eq!((text.media_type(), text.kind()), ("text/csv", None));
    assert_eq!(Media::gone("x", "image/jpg", 1, "h").media_type(), "image/jpeg");
}

#[test]
fn a_name_begins_and_ends_no_line() {
    let media = Media::new("a]\n[image b", "image/png", PNG);
    assert_eq!(media.mark(), "[image a___image b]");
    let line = media.line(&NotSent::NotRead(MediaKind::Image));
    assert!(!line.contains('\n') && line.ends_with("this model reads no images.]"), "{line}");
    assert!(line.contains("image/png, 24 bytes"), "{line}");
}

#[test]
fn sizes_are_shown_in_tenths() {
    for (size, shown) in [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 KB"),
        (12_345, "12.3 KB"),
        (20 << 20, "21.0 MB"),
    ] {
        assert_eq!(shown_size(size), shown);
    }
}
