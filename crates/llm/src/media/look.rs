//! What the bytes of a file show: its type, the pixels of an image, the pages of a PDF. Nothing is
//! decoded, and what cannot be read is not known.

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The type that the first bytes show.
    pub(super) media_type: Option<&'static str>,
    /// Width and height of an image.
    pub(super) pixels: Option<(u32, u32)>,
    /// Whether an image has more than one frame.
    pub(super) is_animated: bool,
    /// The pages of a PDF.
    pub(super) pages: Option<u32>,
    /// Whether a PDF is encrypted.
    pub(super) is_encrypted: bool,
}

impl Look {
    /// Looks at a file.
    pub(super) fn at(bytes: &[u8]) -> Self {
        let image =
            |media_type, pixels| Self { media_type: Some(media_type), pixels, ..Self::default() };
        match bytes {
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => {
                image("image/png", pair(bytes, 16, be32))
            }
            [0xff, 0xd8, 0xff, ..] => image("image/jpeg", jpeg_pixels(bytes)),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => {
                let pixels = le16(bytes, 6).zip(le16(bytes, 8));
                let is_animated = gif_frames(bytes).is_some_and(|frames| frames > 1);
                Self { is_animated, ..image("image/gif", pixels) }
            }
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if is_heif(brand) => {
                image("image/heic", heif_pixels(bytes))
            }
            _ if is_pdf(bytes) => pdf(bytes),
            _ => Self::default(),
        }
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|two| u32::from(u16::from_be_bytes(*two)))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|two| u32::from(u16::from_le_bytes(*two)))
}

fn pair(bytes: &[u8], at: usize, read: fn(&[u8], usize) -> Option<u32>) -> Option<(u32, u32)> {
    read(bytes, at).zip(read(bytes, at + 4))
}

/// The size in the frame's header, behind any number of other segments.
fn jpeg_pixels(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while *bytes.get(at)? == 0xff && *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        let (0xff, marker) = (*bytes.get(at)?, *bytes.get(at + 1)?) else { return None };
        // All but those of tables (DHT, JPG, DAC).
        if (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            return be16(bytes, at + 7).zip(be16(bytes, at + 5));
        }
        let has_length = !matches!(marker, 0x01 | 0xd0..=0xd9);
        at += 2 + if has_length { be16(bytes, at + 2)? as usize } else { 0 };
    }
}

/// The number of frames, as far as it matters: at most two.
fn gif_frames(bytes: &[u8]) -> Option<u32> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + table(*bytes.get(10)?);
    let mut frames = 0;
    while frames < 2 {
        match *bytes.get(at)? {
            0x21 => at += 2,
            0x2c => {
                frames += 1;
                at += 11 + table(*bytes.get(at + 9)?);
            }
            _ => break,
        }
        // Blocks, the last one empty.
        while let Some(length @ 1..) = bytes.get(at) {
            at += 1 + usize::from(*length);
        }
        at += 1;
    }
    Some(frames)
}

/// <https://developers.google.com/speed/webp/docs/riff_container>
fn webp(bytes: &[u8]) -> Look {
    let le24 = |at: usize| {
        let three = bytes.get(at..at + 3)?;
        Some(u32::from_le_bytes([three[0], three[1], three[2], 0]))
    };
    let (pixels, is_animated) = match bytes.get(12..16) {
        Some(b"VP8X") => {
            let pixels = le24(24).zip(le24(27)).map(|(width, height)| (width + 1, height + 1));
            (pixels, bytes.get(20).is_some_and(|flags| flags & 2 != 0))
        }
        Some(b"VP8L") => {
            let bits =
                bytes.get(21..).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b));
            (bits.map(|bits| ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)), false)
        }
        Some(b"VP8 ") => {
            let size = le16(bytes, 26).zip(le16(bytes, 28));
            (size.map(|(width, height)| (width & 0x3fff, height & 0x3fff)), false)
        }
        _ => (None, false),
    };
    Look { media_type: Some("image/webp"), pixels, is_animated, ..Look::default() }
}

fn is_heif(brand: &[u8]) -> bool {
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1"].iter().any(|of| brand.starts_with(*of))
}

/// The largest of the sizes: an image may consist of tiles.
fn heif_pixels(bytes: &[u8]) -> Option<(u32, u32)> {
    let head = &bytes[..bytes.len().min(64 * 1024)];
    let sizes = head.windows(4).enumerate().filter(|(_, four)| *four == b"ispe");
    sizes
        .filter_map(|(at, _)| pair(bytes, at + 8, be32))
        .max_by_key(|(w, h)| u64::from(*w) * u64::from(*h))
}

/// Readers look for the header within the first kilobyte.
fn is_pdf(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    head.starts_with(b"%PDF-") || head.windows(5).any(|five| five == b"%PDF-") && !is_text(head)
}

/// Whether a text only speaks of PDFs: theirs hold bytes that no text has, or have nothing before the
/// header.
fn is_text(head: &[u8]) -> bool {
    std::str::from_utf8(head).is_ok()
}

/// The pages as far as they stand in plain sight: newer files may compress the list of them.
fn pdf(bytes: &[u8]) -> Look {
    let (mut pages, mut count, mut is_encrypted) = (0_u32, 0_u32, false);
    for name in bytes.split(|byte| *byte == b'/').skip(1) {
        if let Some(rest) = name.strip_prefix(b"Page") {
            // `/Type /Page`, not `/Pages` or `/PageMode`.
            let ends = rest.first().is_none_or(|next| !next.is_ascii_alphanumeric());
            pages += u32::from(ends);
        } else if let Some(rest) = name.strip_prefix(b"Count ") {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).take(6);
            count = count.max(digits.fold(0, |n, digit| n * 10 + u32::from(digit - b'0')));
        } else if let Some(rest) = name.strip_prefix(b"Encrypt") {
            is_encrypted |= rest.first().is_some_and(|next| !next.is_ascii_alphanumeric());
        }
    }
    // Without pages in sight, the size of the list; outlines have such counts, too.
    let pages = [pages, count].into_iter().find(|known| *known > 0);
    Look { media_type: Some(super::PDF), pages, is_encrypted, ..Look::default() }
}

#[cfg(test)]
mod tests;
