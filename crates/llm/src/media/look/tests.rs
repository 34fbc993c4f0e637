use proptest::prelude::*;

use super::*;

fn pixels(bytes: &[u8]) -> (Option<&'static str>, Option<(u32, u32)>) {
    let look = Look::at(bytes);
    (look.media_type, look.pixels)
}

/// A JPEG's beginning: an application's segment, a table, and the frame's header.
fn jpeg() -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc4\0\x03x".to_vec();
    bytes.extend(b"\xff\xc2\0\x11\x08\x01\x2c\x02\x58\x03");
    bytes
}

fn gif(frames: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a\x0a\0\x14\0\x80\0\0abcdef".to_vec();
    bytes.extend(b"\x21\xf9\x04\0\0\0\0\0");
    for _ in 0..frames {
        bytes.extend(b"\x2c\0\0\0\0\x0a\0\x14\0\0\x02\x02xy\0");
    }
    bytes.push(0x3b);
    bytes
}

#[test]
fn images_show_their_types_and_sizes() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\0\x03";
    assert_eq!(pixels(png), (Some("image/png"), Some((256, 3))));
    assert_eq!(pixels(&png[..12]), (Some("image/png"), None));
    assert_eq!(pixels(&jpeg()), (Some("image/jpeg"), Some((600, 300))));
    assert_eq!(pixels(b"\xff\xd8\xff\xd9"), (Some("image/jpeg"), None));
    assert_eq!(pixels(&gif(1)), (Some("image/gif"), Some((10, 20))));
    let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xf0\0";
    assert_eq!(pixels(lossy), (Some("image/webp"), Some((320, 240))));
    let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x3f\x01\0\xef\0\0";
    assert_eq!(pixels(extended), (Some("image/webp"), Some((320, 240))));
    assert!(Look::at(extended).is_animated);
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0....ispe\0\0\0\0\0\0\x02\0\0\0\x01\0";
    assert_eq!(pixels(heic), (Some("image/heic"), Some((512, 256))));
    assert_eq!(pixels(b"plain words"), (None, None));
}

#[test]
fn more_than_one_frame_is_an_animation() {
    assert_eq!([1, 2, 3].map(|frames| Look::at(&gif(frames)).is_animated), [false, true, true]);
}

#[test]
fn pages_are_counted_where_they_are_in_sight() {
    let pdf = |body: &str| Look::at(format!("%PDF-1.4\n{body}").as_bytes());
    let two = pdf("<</Type /Pages /Count 2>> <</Type/Page>> <</Type /Page /Contents 4 0 R>>");
    assert_eq!((two.media_type, two.pages), (Some("application/pdf"), Some(2)));
    assert_eq!(pdf("<</Type /Pages /Count 17 >>").pages, Some(17));
    assert_eq!(pdf("<</PageMode /UseOutlines>>").pages, None);
    assert!(pdf("<</Encrypt 5 0 R>>").is_encrypted && !pdf("/Encryption").is_encrypted);
    let before = Look::at(b"\xff\0\x01 %PDF-1.7 /Type /Page ");
    assert_eq!(before.pages, Some(1));
    assert_eq!(Look::at(b"see %PDF-1.7 in the text").media_type, None);
}

proptest! {
    #[test]
    fn any_bytes_behind_any_beginning_can_be_looked_at(
        begin in prop::sample::select(vec![
            b"\x89PNG\r\n\x1a\n".to_vec(), b"\xff\xd8\xff".to_vec(), b"GIF89a".to_vec(), gif(2),
            b"RIFF....WEBPVP8X".to_vec(), b"RIFF....WEBPVP8L".to_vec(), b"%PDF-".to_vec(),
            b"....ftypheic....ispe".to_vec(), jpeg(),
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..80),
        cut in 0_usize..120,
    ) {
        let mut bytes = [begin, rest].concat();
        bytes.truncate(cut);
        Look::at(&bytes);
    }
}
