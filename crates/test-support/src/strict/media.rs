//! Images and documents: where they may be, of which types, how large and how many.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::view::{list, text};
use super::{Call, Profile, Rule};
use Profile::{
    Anthropic, Gemini, Groq, Kimi, Mistral, Ollama, OpenAi, OpenRouter, Responses, Template, Xai,
};

const VISION: &str = "https://developers.openai.com/api/docs/guides/images-vision";
const FILES: &str = "https://developers.openai.com/api/docs/guides/file-inputs";
const CLAUDE: &str = "https://platform.claude.com/docs/en/build-with-claude/vision";
const CLAUDE_PDF: &str = "https://platform.claude.com/docs/en/build-with-claude/pdf-support";
const GEMINI: &str = "https://ai.google.dev/gemini-api/docs/image-understanding";
const GEMINI_CALLS: &str = "https://ai.google.dev/gemini-api/docs/function-calling#multimodal";
const GROK: &str = "https://docs.x.ai/docs/guides/image-understanding";
const GROQ: &str = "https://console.groq.com/docs/vision";
const MISTRAL: &str = "https://docs.mistral.ai/capabilities/vision";

const CHAT: &[Profile] = &[OpenAi, Xai, Groq, Mistral, OpenRouter, Kimi, Ollama, Template];

/// An item in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it stands: `user`, `tool` (within a result), or another role.
    pub place: String,
    /// Whether it is sent as an image and not as a document.
    pub is_image: bool,
    /// The media type.
    pub media_type: String,
    /// The base64; empty where it is none.
    pub data: String,
    /// The name of a document.
    pub name: String,
}

impl Sent {
    /// The bytes; `None` when the base64 is not valid.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.data).ok().filter(|bytes| !bytes.is_empty())
    }

    /// Whether the bytes begin as the type does.
    fn is_what_it_says(&self) -> bool {
        let Some(bytes) = self.bytes() else { return false };
        match self.media_type.as_str() {
            "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
            "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
            "image/gif" => bytes.starts_with(b"GIF8"),
            "image/webp" => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
            "image/heic" | "image/heif" => bytes.get(4..8) == Some(b"ftyp"),
            "application/pdf" => bytes.starts_with(b"%PDF-"),
            _ => false,
        }
    }
}

/// A data URL's type and base64.
fn of_url(url: &str) -> (String, String) {
    let parts = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    parts.map_or_else(Default::default, |(kind, data)| (kind.to_owned(), data.to_owned()))
}

/// All images and documents in a request's body, in order.
pub fn sent(profile: Profile, body: &Value) -> Vec<Sent> {
    match profile {
        Gemini => list(body, "/contents").iter().flat_map(of_gemini).collect(),
        Anthropic => list(body, "/messages").iter().flat_map(of_claude).collect(),
        Responses => list(body, "/input").iter().flat_map(of_responses).collect(),
        _ => list(body, "/messages").iter().flat_map(of_chat).collect(),
    }
}

fn of_chat(message: &Value) -> Vec<Sent> {
    let place = text(message, "/role").to_owned();
    let item = |part: &Value| {
        let url = |pointer: &str| match part.pointer(pointer) {
            Some(Value::String(url)) => url.clone(),
            Some(other) => text(other, "/url").to_owned(),
            None => String::new(),
        };
        let (is_image, url, name) = match text(part, "/type") {
            "image_url" => (true, url("/image_url"), ""),
            "document_url" => (false, url("/document_url"), text(part, "/document_name")),
            "file" => (false, url("/file/file_data"), text(part, "/file/filename")),
            _ => return None,
        };
        let (media_type, data) = of_url(&url);
        Some(Sent { place: place.clone(), is_image, media_type, data, name: name.to_owned() })
    };
    list(message, "/content").iter().filter_map(item).collect()
}

fn of_responses(item: &Value) -> Vec<Sent> {
    let is_output = item["type"] == "function_call_output";
    let place = if is_output { "tool" } else { text(item, "/role") };
    let parts = list(item, if is_output { "/output" } else { "/content" });
    let item = |part: &Value| {
        let (is_image, url) = match text(part, "/type") {
            "input_image" => (true, text(part, "/image_url")),
            "input_file" => (false, text(part, "/file_data")),
            _ => return None,
        };
        let ((media_type, data), name) = (of_url(url), text(part, "/filename").to_owned());
        Some(Sent { place: place.to_owned(), is_image, media_type, data, name })
    };
    parts.iter().filter_map(item).collect()
}

fn of_claude(message: &Value) -> Vec<Sent> {
    let blocks = list(message, "/content").iter().flat_map(|block| {
        let inner = list(block, "/content").iter().map(|inner| ("tool", inner));
        [(text(message, "/role"), block)].into_iter().chain(inner)
    });
    let item = |(place, block): (&str, &Value)| {
        let is_image = match text(block, "/type") {
            "image" => true,
            "document" => false,
            _ => return None,
        };
        Some(Sent {
            place: place.to_owned(),
            is_image,
            media_type: text(block, "/source/media_type").to_owned(),
            data: text(block, "/source/data").to_owned(),
            name: text(block, "/title").to_owned(),
        })
    };
    blocks.filter_map(item).collect()
}

fn of_gemini(turn: &Value) -> Vec<Sent> {
    let parts = list(turn, "/parts").iter().flat_map(|part| {
        let inner = list(part, "/functionResponse/parts").iter().map(|inner| ("tool", inner));
        [(text(turn, "/role"), part)].into_iter().chain(inner)
    });
    let item = |(place, part): (&str, &Value)| {
        let blob = part.get("inlineData")?;
        let media_type = text(blob, "/mimeType").to_owned();
        Some(Sent {
            place: place.to_owned(),
            is_image: media_type.starts_with("image/"),
            media_type,
            data: text(blob, "/data").to_owned(),
            name: String::new(),
        })
    };
    parts.filter_map(item).collect()
}

impl Call<'_> {
    fn media(&self) -> Vec<Sent> {
        sent(self.profile, self.body)
    }

    /// The first complaint about an item.
    fn each_item(&self, complaint: impl Fn(&Sent) -> Option<String>) -> Option<String> {
        self.media().iter().find_map(complaint)
    }

    fn images(&self) -> usize {
        self.media().iter().filter(|item| item.is_image).count()
    }

    /// A complaint about a request of more bytes.
    fn larger_than(&self, most: usize) -> bool {
        !self.media().is_empty() && self.body.to_string().len() > most
    }

    /// The whole body's size does not matter where it holds no image or document.
    fn pdf_bytes(&self) -> usize {
        let pdfs = self.media().into_iter().filter(|item| !item.is_image);
        pdfs.map(|item| item.data.len() / 4 * 3).sum()
    }
}

/// Models that read no image, by a part of their names.
const TEXT_ONLY: &[&str] = &[
    "gpt-3.5",
    "gpt-4-0",
    "o3-mini",
    "gpt-oss",
    "kimi-k2",
    "devstral",
    "codestral",
    "grok-3",
    "grok-code",
    "llama-3.1",
    "llama-3.3",
    "mistral-large-2411",
    "some-model",
];

fn is_text_only(call: &Call<'_>) -> bool {
    let model = call.model();
    TEXT_ONLY.iter().any(|name| model.contains(name)) || ["gpt-4", "qwen3"].contains(&model)
}

/// Width and height of a PNG.
fn png_edges(item: &Sent) -> Option<(u32, u32)> {
    let bytes = item.bytes().filter(|_| item.media_type == "image/png")?;
    let edge = |at: usize| bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four));
    edge(16).zip(edge(20))
}

/// A rule for the types of images.
fn only(call: &Call<'_>, types: &[&str], complaint: &str) -> Option<String> {
    call.each_item(|item| {
        (item.is_image && !types.contains(&item.media_type.as_str())).then(|| complaint.to_owned())
    })
}

/// The parts that a message may hold.
fn parts_of(profile: Profile, role: &str) -> &'static [&'static str] {
    match (profile, role) {
        (Mistral, "user") => &["text", "image_url", "document_url", "reference", "thinking"],
        (Mistral, _) => &["text", "reference", "thinking", "image_url", "document_url"],
        (OpenAi | OpenRouter, "user") => &["text", "image_url", "input_audio", "file"],
        (_, "user") => &["text", "image_url"],
        (OpenAi, "assistant") => &["text", "refusal"],
        (_, "assistant") => &["text", "refusal", "thinking"],
        _ => &["text"],
    }
}

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "images are in messages of the user",
        &[OpenAi, Xai, Groq, OpenRouter, Kimi, Ollama, Template],
        "https://github.com/strands-agents/sdk-python/issues/320",
        |call| {
            call.each_item(|item| (item.place != "user").then(|| format!("Invalid 'messages'. Image URLs are only allowed for messages with role 'user', but this message with role '{}' contains an image URL.", item.place)))
        },
    ),
    Rule::new("images at Mistral are in messages of the user", &[Mistral], MISTRAL, |call| {
        call.each_item(|item| (item.place != "user").then(|| "Image and document chunks are only allowed in user messages.".into()))
    }),
    Rule::new("parts are of the types of their role", CHAT, "https://platform.openai.com/docs/api-reference/chat/create", |call| {
        call.each_message(|n, message| {
            let known = parts_of(call.profile, text(message, "/role"));
            let odd = list(message, "/content").iter().find(|part| !known.contains(&text(part, "/type")))?;
            Some(format!("Invalid value: '{}'. Supported values are: {known:?} at messages[{n}].content", text(odd, "/type")))
        })
    }),
    Rule::new("a part of text has a text", CHAT, "https://platform.openai.com/docs/api-reference/chat/create", |call| {
        call.each_message(|n, message| {
            let bare = list(message, "/content").iter().any(|part| part["type"] == "text" && text(part, "/text").is_empty());
            bare.then(|| format!("Missing required parameter: 'messages[{n}].content[0].text'."))
        })
    }),
    Rule::new("a model that reads no image gets none", &[OpenAi, Xai, Mistral, Kimi, OpenRouter, Responses], "https://openrouter.ai/docs/guides/overview/multimodal/images", |call| {
        (is_text_only(call) && !call.media().is_empty()).then(|| "Invalid content type. image_url is only supported by certain models.".into())
    }),
    Rule::new("Groq's models of text want a text", &[Groq], GROQ, |call| {
        (is_text_only(call) && !call.media().is_empty()).then(|| "'messages.1' : for 'role:user' the following must be satisfied[('messages.1.content' : value must be a string)]".into())
    }),
    Rule::new("a server without a projector takes no image", &[Template, Ollama], "https://github.com/ggml-org/llama.cpp/blob/master/docs/multimodal.md", |call| {
        (is_text_only(call) && !call.media().is_empty()).then(|| "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj".into())
    })
    .status(500),
    Rule::new("the data is base64 of its type", CHAT, VISION, |call| {
        call.each_item(|item| (!item.is_what_it_says()).then(|| "You uploaded an unsupported image. Please make sure your image is valid.".into()))
    }),
    Rule::new("images are PNG, JPEG, WebP or GIF", &[OpenAi, OpenRouter, Responses, Mistral], VISION, |call| {
        only(call, &["image/png", "image/jpeg", "image/webp", "image/gif"], "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg', 'gif', 'webp'].")
    }),
    Rule::new("images are PNG or JPEG", &[Xai, Ollama, Template, Kimi], GROK, |call| {
        only(call, &["image/png", "image/jpeg"], "Failed to load image or audio file")
    }),
    Rule::new("documents are PDFs with a name", &[OpenAi, OpenRouter, Responses], FILES, |call| {
        call.each_item(|item| {
            let fits = item.is_image || item.media_type == "application/pdf" && item.name.ends_with(".pdf");
            (!fits).then(|| "Invalid file data. Expected a file with an application/pdf MIME type, and its name.".into())
        })
    }),
    Rule::new("documents at Mistral are PDFs", &[Mistral], "https://github.com/midday-ai/ai-sdk-tools/issues/115", |call| {
        call.each_item(|item| (!item.is_image && item.media_type != "application/pdf").then(|| "Document content must be a URL (starting with 'https') or base64 encoded document (starting with 'data:application/pdf;base64,')".into()))
    }),
    Rule::new("documents have 50 MB together", &[OpenAi, Responses, Mistral, Gemini], FILES, |call| {
        (call.pdf_bytes() > 50_000_000).then(|| "The files are too large: at most 50 MB.".into())
    }),
    Rule::new("at most 500 images", &[OpenAi, Responses], VISION, |call| {
        (call.images() > 500).then(|| "Too many images in request.".into())
    }),
    Rule::new("at most 8 images at Mistral", &[Mistral], MISTRAL, |call| {
        (call.images() > 8).then(|| "Too many images: at most 8 per request.".into())
    }),
    Rule::new("images at Mistral have 10 MB", &[Mistral], MISTRAL, |call| {
        call.each_item(|item| (item.is_image && item.data.len() / 4 * 3 > 10_000_000).then(|| "Image is too large: at most 10 MB.".into()))
    }),
    Rule::new("at most 5 images at Groq", &[Groq], GROQ, |call| {
        (call.images() > 5).then(|| "Too many images provided. This model supports up to 5 images".into())
    }),
    Rule::new("a request with an image has 4 MB at Groq", &[Groq], GROQ, |call| {
        call.larger_than(4_000_000).then(|| "Request Entity Too Large".into())
    })
    .status(413),
    Rule::new("images at xAI have 20 MiB", &[Xai], GROK, |call| {
        call.each_item(|item| (item.data.len() / 4 * 3 > 20 * 1024 * 1024).then(|| "Image is too large: at most 20 MiB.".into()))
    }),
    Rule::new("parts of an item are of known types", &[Responses], FILES, |call| {
        list(call.body, "/input").iter().find_map(|item| {
            let known: &[&str] = match (text(item, "/type"), text(item, "/role")) {
                (_, "assistant") => &["output_text", "refusal"],
                (_, "system" | "developer") => &["input_text"],
                _ => &["input_text", "input_image", "input_file"],
            };
            let parts = list(item, "/content").iter().chain(list(item, "/output"));
            let odd = parts.filter(|_| item["type"] != "reasoning").find(|part| !known.contains(&text(part, "/type")))?;
            Some(format!("Invalid value: '{}'. Supported values are: {known:?}", text(odd, "/type")))
        })
    }),
    Rule::new("responses: the data is base64 of its type", &[Responses], VISION, |call| {
        call.each_item(|item| (!item.is_what_it_says()).then(|| "Invalid 'input': Expected a base64-encoded data URL with an image or a PDF.".into()))
    }),
    Rule::new("an image's detail is known", &[Responses], VISION, |call| {
        list(call.body, "/input").iter().flat_map(|item| list(item, "/content")).find_map(|part| {
            let odd = part["type"] == "input_image" && !["low", "high", "auto", "original"].contains(&text(part, "/detail"));
            odd.then(|| "Invalid value for 'detail'".into())
        })
    }),
    Rule::new("results of Messages hold texts, images and documents", &[Anthropic], "https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls", |call| {
        call.each_message(|n, message| {
            let inner = list(message, "/content").iter().filter(|block| block["type"] == "tool_result").flat_map(|block| list(block, "/content"));
            let odd = inner.into_iter().find(|block| !["text", "image", "document", "search_result"].contains(&text(block, "/type")))?;
            Some(format!("messages.{n}.content.0.tool_result.content: Input tag '{}' found using 'type' does not match any of the expected tags", text(odd, "/type")))
        })
    }),
    Rule::new("a source is base64 with its type", &[Anthropic], CLAUDE, |call| {
        call.each_message(|n, message| {
            let inner = |block| list(block, "/content").iter();
            let all = list(message, "/content").iter().flat_map(|block| [block].into_iter().chain(inner(block)));
            let odd = all.filter(|block| ["image", "document"].contains(&text(block, "/type"))).any(|block| {
                let fields = block["source"].as_object().map_or(0, serde_json::Map::len);
                block["source"]["type"] != "base64" || fields != 3 || block.get("title").is_some_and(|title| title == "")
            });
            odd.then(|| format!("messages.{n}.content.0.image.source: Input should be a valid source"))
        })
    }),
    Rule::new("images of Messages are JPEG, PNG, GIF or WebP", &[Anthropic], CLAUDE, |call| {
        only(call, &["image/jpeg", "image/png", "image/gif", "image/webp"], "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")
    }),
    Rule::new("documents of Messages are PDFs", &[Anthropic], CLAUDE_PDF, |call| {
        call.each_item(|item| (!item.is_image && item.media_type != "application/pdf").then(|| "messages.0.content.0.document.source.base64.media_type: Input should be 'application/pdf'".into()))
    }),
    Rule::new("images of Messages can be processed", &[Anthropic], CLAUDE, |call| {
        call.each_item(|item| (item.is_image && !item.is_what_it_says()).then(|| "messages.0.content.0.image.source.base64: Could not process image".into()))
    }),
    Rule::new("documents of Messages can be processed", &[Anthropic], CLAUDE_PDF, |call| {
        call.each_item(|item| {
            let encrypted = || item.bytes().is_some_and(|bytes| bytes.windows(9).any(|nine| nine == b"/Encrypt "));
            (!item.is_image && (!item.is_what_it_says() || encrypted())).then(|| "messages.0.content.0.pdf.source.base64.data: The PDF specified was not valid.".into())
        })
    }),
    Rule::new("images of Messages have 10 MB as base64", &[Anthropic], CLAUDE, |call| {
        call.each_item(|item| (item.is_image && item.data.len() > 10 * 1024 * 1024).then(|| format!("messages.0.content.0.image.source.base64: image exceeds 10 MB maximum: {} bytes > 10485760 bytes", item.data.len())))
    }),
    Rule::new("images of Messages have 8,000 pixels on an edge, 2,000 where there are many", &[Anthropic], CLAUDE, |call| {
        let most = if call.images() > 20 { 2_000 } else { 8_000 };
        call.each_item(|item| png_edges(item).is_some_and(|(width, height)| width.max(height) > most).then(|| format!("messages.0.content.0.image.source.base64.data: At least one of the image dimensions exceed max allowed size: {most} pixels")))
    }),
    Rule::new("at most 100 images in Messages", &[Anthropic], CLAUDE, |call| {
        (call.images() > 100).then(|| "Too many images and documents: at most 100".into())
    }),
    Rule::new("a request of Messages has 32 MB", &[Anthropic], "https://platform.claude.com/docs/en/api/overview#request-size-limits", |call| {
        call.larger_than(32 * 1024 * 1024).then(|| "Request exceeds the maximum size".into())
    })
    .status(413),
    Rule::new("gemini: the data is base64 of its type", &[Gemini], GEMINI, |call| {
        call.each_item(|item| (!item.is_what_it_says()).then(|| "Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting".into()))
    }),
    Rule::new("gemini: media types are known", &[Gemini], GEMINI, |call| {
        call.each_item(|item| {
            let known = ["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "application/pdf"].contains(&item.media_type.as_str());
            (!known).then(|| format!("Unsupported MIME type: {}", item.media_type))
        })
    }),
    Rule::new("gemini: inline data is in turns of the user", &[Gemini], GEMINI, |call| {
        call.each_item(|item| (item.place == "model").then(|| "inline_data is not supported in turns of the model".into()))
    }),
    Rule::new("a response holds media since Gemini 3", &[Gemini], GEMINI_CALLS, |call| {
        let older = ["gemini-1", "gemini-2"].iter().any(|old| call.model().starts_with(old));
        call.each_item(|item| (older && item.place == "tool").then(|| "Multimodal function responses are not supported for this model".into()))
    }),
    Rule::new("a response holds fewer types", &[Gemini], GEMINI_CALLS, |call| {
        call.each_item(|item| {
            let known = ["image/png", "image/jpeg", "image/webp", "application/pdf"].contains(&item.media_type.as_str());
            (item.place == "tool" && !known).then(|| format!("Unsupported MIME type in a function response: {}", item.media_type))
        })
    }),
    Rule::new("gemini: a request with inline data has 20 MB", &[Gemini], GEMINI, |call| {
        call.larger_than(20 * 1024 * 1024).then(|| "Request payload size exceeds the limit: 20971520 bytes.".into())
    }),
];
