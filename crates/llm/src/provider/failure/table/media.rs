//! What holds for every provider: an image or a document that it cannot use, or a model that reads none.

use super::Rule;
use crate::provider::failure::meaning::Meaning::MediaRefused;

const ANTHROPIC: &str = "https://platform.claude.com/docs/en/build-with-claude/vision";
const ANTHROPIC_PDF: &str = "https://platform.claude.com/docs/en/build-with-claude/pdf-support";
const OPENAI: &str = "https://developers.openai.com/api/docs/guides/images-vision";
const GEMINI: &str = "https://ai.google.dev/gemini-api/docs/image-understanding";
const LLAMA_CPP: &str = "https://github.com/ggml-org/llama.cpp/blob/master/docs/multimodal.md";
const OPEN_ROUTER: &str = "https://openrouter.ai/docs/guides/overview/multimodal/images";
const MISTRAL: &str = "https://github.com/midday-ai/ai-sdk-tools/issues/115";
const VLLM: &str = "https://docs.vllm.ai/en/latest/features/multimodal_inputs/";

/// The statuses of a request that is refused for what is attached to it.
const REFUSED: &[u16] = &[400, 404, 413, 415, 422, 500];

pub(super) const RULES: &[Rule] = &[
    Rule::new(MediaRefused, ANTHROPIC).statuses(REFUSED).outside_quotes().says(&[
        "could not process image",
        "image exceeds #",
        "image dimensions exceed",
        "image does not match the provided media type",
        "too many images",
    ]),
    Rule::new(MediaRefused, ANTHROPIC_PDF).statuses(REFUSED).outside_quotes().says(&[
        "the pdf specified",
        "pdf cannot be empty",
        "pdf pages may be provided",
        "could not process pdf",
    ]),
    Rule::new(MediaRefused, OPENAI).statuses(REFUSED).codes(&[
        "invalid_image_format",
        "image_parse_error",
        "invalid_image",
        "image_too_large",
    ]),
    Rule::new(MediaRefused, OPENAI).statuses(REFUSED).outside_quotes().says(&[
        "uploaded an unsupported image",
        "does not represent a valid image",
        "image data you provided",
        "image urls are only allowed",
        "invalid base64 image",
    ]),
    Rule::new(MediaRefused, GEMINI).statuses(REFUSED).outside_quotes().says(&[
        "unable to process input image",
        "provided image is not valid",
        "unsupported mime type",
        "the document has no pages",
        "multimodal function responses are not supported",
    ]),
    Rule::new(MediaRefused, OPEN_ROUTER).statuses(REFUSED).outside_quotes().says(&[
        "no endpoints found that support image input",
        "no endpoints found that support file input",
    ]),
    Rule::new(MediaRefused, MISTRAL).statuses(REFUSED).outside_quotes().says(&[
        "document content must be a url",
        "image input is not enabled",
        "image content is not supported",
    ]),
    Rule::new(MediaRefused, LLAMA_CPP).statuses(REFUSED).outside_quotes().says(&[
        "image input is not supported",
        "failed to load image",
        "missing data required for image input",
        "does not support image",
        "does not support vision",
        "unknown variant 'image_url'",
    ]),
    Rule::new(MediaRefused, VLLM).statuses(REFUSED).outside_quotes().says(&[
        "is not a multimodal model",
        "image(s) may be provided",
        "cannot identify image file",
    ]),
];
