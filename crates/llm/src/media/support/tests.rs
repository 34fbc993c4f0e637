use super::*;

fn png(name: &str, width: u32, height: u32, filler: usize) -> Media {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(name.bytes());
    bytes.resize(bytes.len() + filler, 0);
    Media::new(name, "image/png", bytes)
}

fn pdf(name: &str, pages: usize) -> Media {
    let body = format!("%PDF-1.4 {name} {}", "<</Type /Page>>".repeat(pages));
    Media::new(name, "application/pdf", body.into_bytes())
}

fn claude() -> MediaSupport {
    MediaSupport::of(Provider::Anthropic, "claude-sonnet-4-5")
}

const IMAGE: MediaUse = MediaUse::Sent(MediaKind::Image);
const DOCUMENT: MediaUse = MediaUse::Sent(MediaKind::Document);

#[test]
fn what_a_model_reads_is_sent_and_all_else_is_named_with_the_reason() {
    use Provider::{Anthropic, Google, Groq, OpenAi, Xai};
    let gif = Media::new("g", "image/gif", &b"GIF89a\x01\0\x01\0\0\0\0"[..]);
    for (provider, model, media, used) in [
        (OpenAi, "gpt-4o", png("a", 9, 9, 0), IMAGE),
        (OpenAi, "gpt-4o", pdf("a", 1), DOCUMENT),
        (OpenAi, "gpt-4o", gif.clone(), IMAGE),
        (
            OpenAi,
            "gpt-4-turbo",
            pdf("a", 1),
            MediaUse::Named(NotSent::NotRead(MediaKind::Document)),
        ),
        (OpenAi, "a-model", png("a", 9, 9, 0), MediaUse::Named(NotSent::UnknownModel)),
        (
            Groq,
            "openai/gpt-oss-20b",
            png("a", 9, 9, 0),
            MediaUse::Named(NotSent::NotRead(MediaKind::Image)),
        ),
        (
            Anthropic,
            "claude-sonnet-4-5",
            png("a", 8_001, 9, 0),
            MediaUse::Named(NotSent::TooManyPixels),
        ),
        (
            Anthropic,
            "claude-sonnet-4-5",
            png("a", 9, 9, 8_000_000),
            MediaUse::Named(NotSent::TooLarge),
        ),
        (Google, "gemini-3-pro", png("a", 9_000, 9, 8_000_000), IMAGE),
    ] {
        assert_eq!(MediaSupport::of(provider, model).use_of(&media), used, "{model} {media:?}");
    }
    let of_xai = MediaSupport::of(Xai, "grok-4").use_of(&gif);
    assert!(matches!(&of_xai, MediaUse::Named(NotSent::OtherType(types)) if types.len() == 2));
    let csv = Media::new("a.csv", "text/csv", &b"a,b"[..]);
    assert_eq!(claude().use_of(&csv), MediaUse::Named(NotSent::OtherKind));
    let gone = Media::gone("a.png", "image/png", 9, "h");
    assert_eq!(claude().use_of(&gone), MediaUse::Named(NotSent::Gone));
    let locked = Media::new("a", "application/pdf", &b"%PDF-1.4 <</Encrypt 5 0 R>>"[..]);
    assert_eq!(claude().use_of(&locked), MediaUse::Named(NotSent::Encrypted));
}

#[test]
fn a_text_takes_the_place_of_what_is_not_sent() {
    let file = pdf("a", 1).with_text("its words");
    let groq = MediaSupport::of(Provider::Groq, "llama-3.3-70b-versatile");
    assert_eq!((groq.use_of(&file), claude().use_of(&file)), (MediaUse::Text, DOCUMENT));
    assert_eq!(groq.tokens(&file), 3);
}

#[test]
fn equal_bytes_are_sent_once_and_the_newest_where_there_is_no_room_for_all() {
    let mistral = MediaSupport::of(Provider::Mistral, "mistral-large-latest");
    let mut all: Vec<Media> = (0..9).map(|n| png(&n.to_string(), 9, 9, 0)).collect();
    all.push(all[0].clone());
    let uses = mistral.uses(&all);
    // The oldest came again, and so it is among the newest.
    assert_eq!((&uses[0], &uses[9]), (&IMAGE, &MediaUse::Repeated(MediaKind::Image)));
    assert_eq!(uses[1], MediaUse::Named(NotSent::TooMany(8)));
    assert!(uses[2..9].iter().all(|used| *used == IMAGE), "{uses:?}");
}

#[test]
fn many_images_must_be_smaller_and_pages_count_together() {
    let mut all: Vec<Media> = (0..21).map(|n| png(&n.to_string(), 100, 100, 0)).collect();
    assert!(claude().uses(&all).iter().all(|used| *used == IMAGE));
    all.insert(0, png("large", 3_000, 100, 0));
    assert_eq!(claude().uses(&all)[0], MediaUse::Named(NotSent::TooMany(20)));
    let long = [pdf("a", 60), pdf("b", 40), pdf("c", 12)];
    let opus = MediaSupport::of(Provider::Anthropic, "claude-opus-5");
    assert_eq!(opus.uses(&long), [DOCUMENT, DOCUMENT, DOCUMENT]);
    // 50 pages fill three quarters of 200,000 tokens.
    assert_eq!(
        claude().uses(&long),
        [MediaUse::Named(NotSent::NoRoom), MediaUse::Named(NotSent::NoRoom), DOCUMENT]
    );
}

#[test]
fn a_message_and_the_files_before_it_fit_a_small_window() {
    // An image costs 8,500 of the model's 128,000 tokens.
    let mini = MediaSupport::of(Provider::OpenAi, "gpt-4o-mini");
    let all: Vec<Media> = (0..11).map(|n| png(&n.to_string(), 9, 9, 0)).collect();
    assert!(mini.uses(&all).iter().all(|used| *used == IMAGE));
}

#[test]
fn another_server_takes_less_and_an_operator_knows_more() {
    let at = |model, said| MediaSupport::at(Provider::OpenAi, model, false, said);
    let image = png("a", 9, 9, 0);
    assert_eq!(at("gpt-4o", Said::default()).use_of(&pdf("a", 1)), DOCUMENT);
    assert_eq!(at("a-model", Said { images: true, pdfs: false }).use_of(&image), IMAGE);
    let webp = Media::new("w", "image/webp", &b"RIFF....WEBPVP8 "[..]);
    let used = at("qwen3-vl-8b", Said::default()).use_of(&webp);
    assert!(matches!(used, MediaUse::Named(NotSent::OtherType(_))), "{used:?}");
    let large = png("a", 9, 9, 5_000_000);
    let bedrock = MediaSupport::at(Provider::Anthropic, "claude-opus-5", false, Said::default());
    assert_eq!(bedrock.use_of(&large), MediaUse::Named(NotSent::TooLarge));
    assert_eq!(claude().use_of(&large), IMAGE);
    let router = MediaSupport::of(Provider::OpenRouter, "anthropic/claude-opus-5");
    assert_eq!(router.use_of(&large), MediaUse::Named(NotSent::TooLarge));
}
