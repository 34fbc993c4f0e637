//! What images and PDFs cost, tokens: about as the providers count, and never much less.

use serde::Deserialize;

use super::look::Look;

/// What a page of a PDF costs where its provider names nothing.
const PAGE_TOKENS: u64 = 2_000;

/// How many bytes of a PDF whose pages cannot be counted are taken for a page.
const BYTES_PER_PAGE: u64 = 100_000;

/// How an image is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ImageTokens {
    /// One for each square of so many pixels, after the longest edge was made to fit.
    Patches {
        pixels: u32,
        edge: u32,
        /// The most patches: a larger image is made smaller.
        most: u64,
        /// Tokens for a hundred patches.
        #[serde(default = "one_each")]
        percent: u64,
    },
    /// OpenAI's older way: fitted into 2,048 pixels, then the short edge to 768, in tiles of 512.
    Tiles { base: u64, tile: u64 },
    /// So many for each square, and for a small image as a whole.
    Squares {
        small: u32,
        pixels: u32,
        each: u64,
        most: u64,
        /// Squares that are added.
        #[serde(default)]
        extra: u64,
    },
    /// The same for each.
    Flat { tokens: u64 },
}

fn one_each() -> u64 {
    100
}

impl Default for ImageTokens {
    /// For models of which nothing is known: patches of 28 pixels are the most usual.
    fn default() -> Self {
        Self::Patches { pixels: 28, edge: 8_192, most: 4_784, percent: 100 }
    }
}

impl ImageTokens {
    /// What an image costs; an unknown size counts as a large one.
    pub(super) fn of(self, look: &Look) -> u64 {
        let pixels = look.pixels.filter(|(width, height)| *width > 0 && *height > 0);
        match (self, pixels) {
            (Self::Flat { tokens }, _) => tokens,
            (Self::Patches { most, percent, .. }, None) => most * percent / 100,
            (Self::Patches { pixels, edge, most, percent }, Some(size)) => {
                let patches = squares(fitted(size, edge), pixels).min(most);
                (patches * percent).div_ceil(100)
            }
            (Self::Tiles { base, tile }, size) => {
                let (width, height) = fitted(size.unwrap_or((768, 768)), 2_048);
                let short = width.min(height);
                let longest = |edge: u32| {
                    u32::try_from(u64::from(edge) * 768 / u64::from(short)).unwrap_or(2_048)
                };
                let size =
                    if short > 768 { (longest(width), longest(height)) } else { (width, height) };
                base + tile * squares(size, 512)
            }
            (Self::Squares { each, most, extra, .. }, None) => each * (most + extra),
            (Self::Squares { small, each, .. }, Some((width, height)))
                if width <= small && height <= small =>
            {
                each
            }
            (Self::Squares { pixels, each, most, extra, .. }, Some(size)) => {
                each * (squares(size, pixels).min(most) + extra)
            }
        }
    }
}

/// What a PDF costs.
pub(super) fn of_pdf(page_tokens: Option<u64>, look: &Look, bytes: u64) -> u64 {
    let pages = look.pages.map_or_else(|| bytes.div_ceil(BYTES_PER_PAGE), u64::from);
    pages.max(1) * page_tokens.unwrap_or(PAGE_TOKENS)
}

/// A size with no edge above this one.
fn fitted((width, height): (u32, u32), edge: u32) -> (u32, u32) {
    let long = width.max(height);
    if long <= edge {
        return (width, height);
    }
    let scaled = |side: u32| {
        let side = u64::from(side) * u64::from(edge) / u64::from(long);
        u32::try_from(side).unwrap_or(edge).max(1)
    };
    (scaled(width), scaled(height))
}

/// How many squares of so many pixels cover a size.
fn squares((width, height): (u32, u32), pixels: u32) -> u64 {
    let pixels = pixels.max(1);
    u64::from(width.div_ceil(pixels)) * u64::from(height.div_ceil(pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(rule: ImageTokens, width: u32, height: u32) -> u64 {
        rule.of(&Look { pixels: Some((width, height)), ..Look::default() })
    }

    /// The examples of the providers' own pages.
    #[test]
    fn images_cost_what_the_providers_say() {
        let claude = |edge, most| ImageTokens::Patches { pixels: 28, edge, most, percent: 100 };
        let (older, newer) = (claude(1_568, 1_568), claude(2_576, 4_784));
        // <https://platform.claude.com/docs/en/build-with-claude/vision>
        assert_eq!(tokens(older, 200, 200), 64);
        assert_eq!(tokens(older, 1_000, 1_000), 1_296);
        assert_eq!(tokens(older, 1_092, 1_092), 1_521);
        assert_eq!(tokens(newer, 1_920, 1_080), 2_691);
        assert_eq!(tokens(newer, 2_000, 1_500), 3_888);
        for (width, height) in [(1_920, 1_080), (2_000, 1_500), (3_840, 2_160)] {
            assert!((1_560..=1_568).contains(&tokens(older, width, height)), "{width}");
        }
        // <https://developers.openai.com/api/docs/guides/images-vision>
        let tiles = ImageTokens::Tiles { base: 85, tile: 170 };
        assert_eq!(tokens(tiles, 1_024, 1_024), 765);
        assert_eq!(tokens(tiles, 2_048, 4_096), 1_105);
        assert_eq!(tokens(tiles, 100, 100), 255);
        let patches = ImageTokens::Patches { pixels: 32, edge: 2_048, most: 1_536, percent: 162 };
        assert_eq!(tokens(patches, 1_024, 1_024), 1_659);
        // <https://ai.google.dev/gemini-api/docs/image-understanding>
        let gemini =
            ImageTokens::Squares { small: 384, pixels: 768, each: 258, most: 16, extra: 0 };
        assert_eq!(tokens(gemini, 384, 384), 258);
        assert_eq!(tokens(gemini, 960, 540), 516);
        // <https://docs.x.ai/docs/guides/image-understanding>: less than 1,792, six tiles and one.
        let grok = ImageTokens::Squares { small: 0, pixels: 448, each: 256, most: 6, extra: 1 };
        assert_eq!(tokens(grok, 4_000, 4_000), 1_792);
        assert_eq!(tokens(grok, 400, 400), 512);
    }

    #[test]
    fn an_unknown_size_counts_as_a_large_image_and_unknown_pages_by_bytes() {
        let unknown = Look::default();
        assert_eq!(ImageTokens::default().of(&unknown), 4_784);
        assert_eq!(of_pdf(Some(100), &unknown, 220_000), 300);
        assert_eq!(of_pdf(None, &Look { pages: Some(7), ..Look::default() }, 1), 14_000);
        assert_eq!(of_pdf(Some(258), &unknown, 0), 258);
    }
}
