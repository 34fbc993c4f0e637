//! Which images and documents a model gets.

use std::collections::HashMap;
use std::fmt;

use super::table::{self, Limits, Reader};
use super::{Media, MediaKind, tokens};
use crate::catalog;
use crate::model::Provider;

/// The share of a model's context window that images and documents may fill, percent.
const WINDOW_PERCENT: u64 = 75;

/// The share of a request's most bytes that they may fill, percent.
const REQUEST_PERCENT: u64 = 90;

/// What is told apart of the tokens of a text: about this many bytes are one.
const BYTES_PER_TOKEN: u64 = 4;

/// What a model reads, and what its server takes.
#[derive(Debug, Clone, Copy)]
pub struct MediaSupport {
    reader: Option<&'static Reader>,
    /// What the model's provider takes, and who stands before it.
    limits: [Option<&'static Limits>; 2],
    images: bool,
    pdfs: bool,
    /// Whether anything is known of the model.
    is_known: bool,
    is_own_server: bool,
    /// The most tokens of all items.
    max_tokens: Option<u64>,
    /// Whether no model looks at them.
    is_scripted: bool,
}

/// What becomes of an item in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaUse {
    /// The model sees it.
    Sent(MediaKind),
    /// The model sees it where it came before.
    Repeated(MediaKind),
    /// Its text takes its place.
    Text,
    /// The model is told that it is there.
    Named(NotSent),
}

/// Why a model does not get an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSent {
    /// Only its hash is known.
    Gone,
    /// It is neither an image nor a PDF.
    OtherKind,
    /// Its bytes are not those of its type.
    Damaged,
    /// Nothing is known of the model.
    UnknownModel,
    /// The model does not read this kind.
    NotRead(MediaKind),
    /// The provider takes images of these types only.
    OtherType(&'static [String]),
    /// The provider takes no image with several frames.
    Animated,
    /// The provider takes no encrypted PDF.
    Encrypted,
    /// More bytes than the provider takes.
    TooLarge,
    /// More pixels than the provider takes.
    TooManyPixels,
    /// More pages than the provider takes in a request.
    TooManyPages(u32),
    /// More images than the provider takes in a request.
    TooMany(usize),
    /// Newer items fill the request, or the model's context window.
    NoRoom,
    /// The provider has refused it.
    Refused,
}

impl fmt::Display for NotSent {
    /// A clause, for people and models.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("its content is no longer there"),
            Self::OtherKind => f.write_str("it is neither an image nor a PDF"),
            Self::Damaged => f.write_str("its content is not what its type says"),
            Self::UnknownModel => f.write_str("it is not known whether this model reads files"),
            Self::NotRead(MediaKind::Image) => f.write_str("this model reads no images"),
            Self::NotRead(MediaKind::Document) => f.write_str("this model reads no PDFs"),
            Self::OtherType(types) => {
                write!(f, "images must be of the type {}", types.join(", "))
            }
            Self::Animated => f.write_str("images must have one frame"),
            Self::Encrypted => f.write_str("it is encrypted"),
            Self::TooLarge => f.write_str("it is too large for the model's provider"),
            Self::TooManyPixels => {
                f.write_str("it has more pixels than the model's provider takes")
            }
            Self::TooManyPages(most) => write!(f, "PDFs may have {most} pages together"),
            Self::TooMany(most) => write!(f, "there may be {most} images"),
            Self::NoRoom => f.write_str("there is no room left for it"),
            Self::Refused => f.write_str("the model's provider refused it"),
        }
    }
}

/// What an operator has said of a model.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) images: bool,
    pub(crate) pdfs: bool,
}

impl MediaSupport {
    /// What a model reads at its provider's own server, by the table alone.
    pub fn of(provider: Provider, model: &str) -> Self {
        Self::at(provider, model, true, Said::default())
    }

    /// What a model reads at a server.
    pub(crate) fn at(provider: Provider, model: &str, is_own_server: bool, said: Said) -> Self {
        let found = table::find(provider, model);
        let reader = found.map(|(_, reader)| reader);
        let vendor = found.map(|(vendor, _)| vendor).filter(|vendor| *vendor != provider);
        let is_named = catalog::find(provider, model).is_some();
        let own = if provider == Provider::OpenAi && !is_own_server && !is_named {
            table::other_servers()
        } else {
            table::limits(provider)
        };
        let window = catalog::find(provider, model).map(|entry| entry.context);
        Self {
            reader,
            limits: [own, vendor.and_then(table::limits)],
            images: said.images || reader.is_some_and(|reader| reader.images),
            pdfs: said.pdfs || reader.is_some_and(|reader| reader.pdfs),
            is_known: said.images || said.pdfs || reader.is_some(),
            // Behind another server a model's provider may be another one, too.
            is_own_server: is_own_server && vendor.is_none(),
            max_tokens: window.map(|window| window * WINDOW_PERCENT / 100),
            is_scripted: provider == Provider::Offline,
        }
    }

    /// Whether the model reads this kind at all.
    pub fn reads(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Image => self.images,
            MediaKind::Document => self.pdfs,
        }
    }

    /// What becomes of an item that is alone in its request.
    pub fn use_of(&self, media: &Media) -> MediaUse {
        self.uses([media]).pop().unwrap_or(MediaUse::Named(NotSent::NoRoom))
    }

    /// What becomes of all items of a request, the oldest first. Each is sent once; where there is no
    /// room for all, the newest are.
    pub fn uses<'a>(&self, media: impl IntoIterator<Item = &'a Media>) -> Vec<MediaUse> {
        let all: Vec<&Media> = media.into_iter().collect();
        let mut uses: Vec<Option<MediaUse>> = vec![None; all.len()];
        let mut room = Room::of(self);
        // The first place of each; its last one says how new it is.
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (at, media) in all.iter().enumerate() {
            first.entry(media.sha256()).or_insert(at);
        }
        for media in all.iter().rev() {
            let at = first[media.sha256()];
            if uses[at].is_none() {
                let judged = self.judge(all[at]).and_then(|kind| room.take(all[at], kind));
                uses[at] = Some(match judged {
                    Ok(kind) => MediaUse::Sent(kind),
                    Err(_) if all[at].text().is_some() => MediaUse::Text,
                    Err(why) => MediaUse::Named(why),
                });
            }
        }
        let of = |(at, media): (usize, &&Media)| {
            let place = first[media.sha256()];
            match uses[place].clone() {
                Some(MediaUse::Sent(kind)) if place != at => MediaUse::Repeated(kind),
                Some(used) => used,
                None => MediaUse::Named(NotSent::NoRoom),
            }
        };
        all.iter().enumerate().map(of).collect()
    }

    /// About how many tokens an item costs: by its provider's rule, or as the text in its place.
    pub fn tokens(&self, media: &Media) -> u64 {
        let of_text = |text: &str| (text.len() as u64).div_ceil(BYTES_PER_TOKEN);
        match self.use_of(media) {
            MediaUse::Sent(kind) | MediaUse::Repeated(kind) => self.cost(media, kind),
            MediaUse::Text => media.text().map_or(0, of_text),
            MediaUse::Named(why) => of_text(&media.line(&why)),
        }
    }

    fn cost(&self, media: &Media, kind: MediaKind) -> u64 {
        let image = self.reader.map(|reader| reader.tokens).unwrap_or_default();
        let page = self.reader.and_then(|reader| reader.page_tokens);
        match kind {
            MediaKind::Image => image.of(media.look()),
            MediaKind::Document => tokens::of_pdf(page, media.look(), media.size()),
        }
    }

    /// Whether an item can be sent at all.
    fn judge(&self, media: &Media) -> Result<MediaKind, NotSent> {
        let kind = media.kind().ok_or(NotSent::OtherKind)?;
        if media.bytes().is_none() {
            return Err(NotSent::Gone);
        }
        if !self.is_known {
            return Err(NotSent::UnknownModel);
        }
        if !self.reads(kind) {
            return Err(NotSent::NotRead(kind));
        }
        let look = media.look();
        if look.media_type.is_none() && !self.is_scripted && !self.is_other(media) {
            return Err(NotSent::Damaged);
        }
        match kind {
            MediaKind::Image => {
                let other = self.each().find(|limits| !limits.takes(media.media_type()));
                if let Some(limits) = other {
                    return Err(NotSent::OtherType(limits.image_types()));
                }
                if look.is_animated && self.each().any(|limits| !limits.animated) {
                    return Err(NotSent::Animated);
                }
                let most = self.each().filter_map(|limits| limits.max_image(self.is_own_server));
                if most.min().is_some_and(|most| base64_size(media.size()) > most) {
                    return Err(NotSent::TooLarge);
                }
                let edges = self.each().filter_map(|limits| limits.max_edge);
                let pixels = self.each().filter_map(|limits| limits.max_pixels);
                let pixels = pixels.chain(self.reader.and_then(|reader| reader.max_pixels));
                let (edges, pixels) = (edges.min(), pixels.min());
                let is_over = |(width, height): (u32, u32)| {
                    edges.is_some_and(|most| width.max(height) > most)
                        || pixels.is_some_and(|most| u64::from(width) * u64::from(height) > most)
                };
                if look.pixels.is_some_and(is_over) {
                    return Err(NotSent::TooManyPixels);
                }
            }
            MediaKind::Document if look.is_encrypted => {
                if self.each().any(|limits| !limits.encrypted) {
                    return Err(NotSent::Encrypted);
                }
            }
            MediaKind::Document => {}
        }
        Ok(kind)
    }

    /// Whether it is an image of a type that is not taken anyway.
    fn is_other(&self, media: &Media) -> bool {
        media.kind() == Some(MediaKind::Image)
            && self.each().any(|limits| !limits.takes(media.media_type()))
    }

    fn each(&self) -> impl Iterator<Item = &'static Limits> {
        self.limits.into_iter().flatten()
    }

    /// The smallest of a limit, or the model's own.
    fn least<T: Ord>(
        &self,
        own: impl Fn(&Reader) -> Option<T>,
        of: impl Fn(&Limits) -> Option<T>,
    ) -> Option<T> {
        self.reader.and_then(own).or_else(|| self.each().filter_map(of).min())
    }
}

/// What a request has room for.
struct Room<'a> {
    support: &'a MediaSupport,
    images: usize,
    max_images: Option<usize>,
    pages: u32,
    max_pages: Option<u32>,
    /// Bytes of PDFs.
    pdfs: Option<u64>,
    /// Bytes as base64.
    bytes: u64,
    tokens: Option<u64>,
    /// Whether an image has more pixels than all may have where there are many.
    has_large: bool,
}

impl<'a> Room<'a> {
    fn of(support: &'a MediaSupport) -> Self {
        let bytes = support.each().map(|limits| limits.max_request).min().unwrap_or_default();
        Self {
            support,
            images: 0,
            max_images: support.least(|reader| reader.max_images, |limits| limits.max_images),
            pages: 0,
            max_pages: support.least(|reader| reader.max_pages, |limits| limits.max_pages),
            pdfs: support.each().filter_map(|limits| limits.max_pdf_bytes).min(),
            bytes: bytes * REQUEST_PERCENT / 100,
            tokens: support.max_tokens,
            has_large: false,
        }
    }

    /// Takes an item in.
    fn take(&mut self, media: &Media, kind: MediaKind) -> Result<MediaKind, NotSent> {
        let size = base64_size(media.size());
        if size > self.bytes {
            return Err(if self.is_empty() { NotSent::TooLarge } else { NotSent::NoRoom });
        }
        let tokens = self.support.cost(media, kind);
        // Where the pages cannot be counted, it may be less.
        let is_sure = kind == MediaKind::Image || media.look().pages.is_some();
        if is_sure && self.tokens.is_some_and(|left| tokens > left) {
            return Err(if self.is_empty() { NotSent::TooLarge } else { NotSent::NoRoom });
        }
        match kind {
            MediaKind::Image => self.take_image(media)?,
            MediaKind::Document => self.take_pdf(media)?,
        }
        self.bytes -= size;
        self.tokens = self.tokens.map(|left| left.saturating_sub(tokens));
        Ok(kind)
    }

    fn take_image(&mut self, media: &Media) -> Result<(), NotSent> {
        if let Some(most) = self.max_images.filter(|most| self.images >= *most) {
            return Err(NotSent::TooMany(most));
        }
        let many =
            self.support.each().find_map(|limits| limits.many_images.zip(limits.many_max_edge));
        if let Some((many, edge)) = many {
            let pixels = media.look().pixels;
            let is_large = pixels.is_none_or(|(width, height)| width.max(height) > edge);
            // One large image more, or one image more beside a large one, would be refused.
            if self.images >= many && (is_large || self.has_large) {
                return Err(NotSent::TooMany(many));
            }
            self.has_large |= is_large;
        }
        self.images += 1;
        Ok(())
    }

    fn take_pdf(&mut self, media: &Media) -> Result<(), NotSent> {
        if self.pdfs.is_some_and(|left| media.size() > left) {
            return Err(NotSent::TooLarge);
        }
        let pages = self.pages.saturating_add(media.look().pages.unwrap_or(1));
        if let Some(most) = self.max_pages.filter(|most| pages > *most) {
            return Err(NotSent::TooManyPages(most));
        }
        self.pages = pages;
        self.pdfs = self.pdfs.map(|left| left - media.size());
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.images == 0 && self.pages == 0
    }
}

/// How many bytes as base64.
fn base64_size(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests;
