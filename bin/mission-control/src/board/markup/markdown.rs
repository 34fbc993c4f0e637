//! Markdown as safe HTML.
//!
//! What agents and people write is untrusted: raw HTML becomes text, an image becomes its description
//! (nothing is fetched), and links lead to http, https and mailto addresses only. The page's
//! Content-Security-Policy enforces the same again.

use std::fmt::Write as _;

use pulldown_cmark::{Alignment, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

use super::Esc;

/// The schemes that a link may have.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// How many bytes are parsed; the rest is shown as plain text.
const MAX: usize = 512 * 1024;

/// Whether a link may have this target: an absolute address of an allowed scheme. A relative one
/// would lead to our own pages.
fn is_allowed(target: &str) -> bool {
    url::Url::parse(target).is_ok_and(|url| SCHEMES.contains(&url.scheme()))
}

/// The opening tag of a link.
fn begin(kind: LinkType, target: &str) -> Event<'static> {
    let mut tag = String::from("<a rel=\"noopener noreferrer nofollow\" href=\"");
    let prefix = if kind == LinkType::Email { "mailto:" } else { "" };
    // Writing to a string cannot fail.
    let _infallible = write!(tag, "{prefix}{}\">", Esc(target));
    Event::InlineHtml(tag.into())
}

/// The text as HTML.
pub(crate) fn render(text: &str) -> String {
    let mut end = text.len().min(MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut open = Vec::new();
    let safe = Parser::new_ext(&text[..end], options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Link { link_type, dest_url, .. }) => {
            let is_mail = link_type == LinkType::Email;
            let leads = is_mail || is_allowed(&dest_url);
            open.push(leads);
            if leads { begin(link_type, &dest_url) } else { Event::Text(CowStr::Borrowed("")) }
        }
        Event::End(TagEnd::Link) => match open.pop() {
            Some(true) => Event::InlineHtml(CowStr::Borrowed("</a>")),
            Some(false) | None => Event::Text(CowStr::Borrowed("")),
        },
        Event::Start(Tag::Image { .. }) => Event::Text(CowStr::Borrowed("[image: ")),
        Event::End(TagEnd::Image) => Event::Text(CowStr::Borrowed("]")),
        // An alignment would be an inline style, which the page's policy refuses.
        Event::Start(Tag::Table(columns)) => {
            Event::Start(Tag::Table(vec![Alignment::None; columns.len()]))
        }
        other => other,
    });
    let mut out = String::with_capacity(end + end / 4);
    html::push_html(&mut out, safe);
    if end < text.len() {
        // Writing to a string cannot fail.
        let _infallible = write!(out, "<pre>{}</pre>", Esc(&text[end..]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the writer may write, with all that may stand in it.
    const TAGS: [&str; 31] = [
        "p",
        "/p",
        "em",
        "/em",
        "strong",
        "/strong",
        "del",
        "/del",
        "code",
        "/code",
        "pre",
        "/pre",
        "ul",
        "/ul",
        "ol",
        "/ol",
        "li",
        "/li",
        "blockquote",
        "/blockquote",
        "hr /",
        "br /",
        "table",
        "/table",
        "thead",
        "/thead",
        "tbody",
        "/tbody",
        "tr",
        "/tr",
        "/a",
    ];

    /// The tags of a text that are none of ours.
    fn foreign(html: &str) -> Vec<String> {
        let tags = html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or(rest));
        let known = |tag: &str| {
            TAGS.contains(&tag)
                || (1..=6).any(|n| tag == format!("h{n}") || tag == format!("/h{n}"))
                || ["th", "td", "/th", "/td"].contains(&tag)
                || tag.starts_with("ol start=\"") && tag.matches('"').count() == 2
                || tag.starts_with("code class=\"language-") && tag.matches('"').count() == 2
                || tag.starts_with("input disabled=\"\" type=\"checkbox\"")
                || ["http:", "https:", "mailto:"].iter().any(|scheme| {
                    let begin = format!("a rel=\"noopener noreferrer nofollow\" href=\"{scheme}");
                    tag.to_ascii_lowercase().starts_with(&begin) && tag.matches('"').count() == 4
                })
        };
        tags.filter(|tag| !known(tag)).map(str::to_owned).collect()
    }

    #[test]
    fn what_markdown_is_for_is_there() {
        let text = "# Plan\n\nA *good* **one**, `x`.\n\n- [x] done\n- two\n\n| a | b |\n| - | -: |\n| 1 | 2 |\n\n\
                    [site](https://example.org/?a=1&b=2) <mail@example.org>\n\n```rust\nlet a = 1 < 2;\n```\n";
        let html = render(text);
        for part in [
            "<h1>Plan</h1>",
            "<em>good</em>",
            "<strong>one</strong>",
            "<code>x</code>",
            "type=\"checkbox\"",
            "<table>",
            "href=\"https://example.org/?a=1&amp;b=2\">site</a>",
            "href=\"mailto:mail@example.org\"",
            "let a = 1 &lt; 2;",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert_eq!(foreign(&html), Vec::<String>::new());
    }

    #[test]
    fn what_is_hostile_does_nothing() {
        for text in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div onclick=\"x()\">\n\n*a*\n</div>",
            "[a](javascript:alert(1))",
            "[a](JaVaScRiPt:alert(1))",
            "[a](java\nscript:alert(1))",
            "[a](data:text/html;base64,PHNjcmlwdD4=)",
            "[a](vbscript:x) [b](file:///etc/passwd) [c](/requeue) [d](//evil.example)",
            "![a](https://evil.example/pixel.png)",
            "[![a](javascript:x)](javascript:y)",
            "<javascript:alert(1)>",
            "[a](https://e.org/\"onmouseover=\"alert(1))",
            "[a]: javascript:alert(1)\n\n[a]",
            "```\"><script>alert(1)</script>\nx\n```",
            "| <script> | \n| - |\n| [x](javascript:1) |",
            "<svg/onload=alert(1)>\n<iframe src=//e>\n<!-- <b> -->\n<![CDATA[x]]>\n<?php ?>",
        ] {
            let html = render(text);
            assert_eq!(foreign(&html), Vec::<String>::new(), "{text}: {html}");
            assert!(!html.to_lowercase().contains("href=\"javascript"), "{html}");
        }
    }

    #[test]
    fn a_very_long_text_is_there_to_its_end() {
        let html = render(&("ü".repeat(MAX) + "<b>end"));
        assert!(html.ends_with("&lt;b&gt;end</pre>"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_tag_of_its_own(
            text in proptest::collection::vec(
                proptest::sample::select(vec![
                    "<", ">", "\"", "'", "[", "]", "(", ")", "!", "`", "\n", "\n\n", " ", "#", "* ", "|", "-", "&",
                    "script", "a href=", "javascript:", "https://e.org", "onx=", "=", "/", ":", "\\", "ü", "```", "&lt;",
                ]),
                0..60,
            )
        ) {
            let html = render(&text.concat());
            proptest::prop_assert_eq!(foreign(&html), Vec::<String>::new(), "{}", html);
        }
    }
}
