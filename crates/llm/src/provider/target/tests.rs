use super::*;

fn asked(provider: Provider, url: &str) -> String {
    let endpoint = Endpoint { base_url: Some(url.to_owned()), api_key: None };
    let target = Target::new(provider, &endpoint, OpenAiApi::Chat).unwrap().unwrap();
    target.url("m").into()
}

#[test]
fn addresses_are_taken_as_the_official_sdks_take_them() {
    const GEMINI: &str = "http://h:9/v1beta/models/m:streamGenerateContent?alt=sse";
    for (provider, given, used) in [
        (Provider::OpenAi, "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/chat/completions"),
        (Provider::OpenAi, "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/chat/completions"),
        (Provider::OpenAi, "http://127.0.0.1:9", "http://127.0.0.1:9/chat/completions"),
        (Provider::Anthropic, "http://h:9", "http://h:9/v1/messages"),
        (Provider::Anthropic, "http://h:9/v1", "http://h:9/v1/messages"),
        (Provider::Anthropic, "http://h:9/proxy/", "http://h:9/proxy/v1/messages"),
        (Provider::Google, "http://h:9", GEMINI),
        (Provider::Ollama, "http://h:9/v1", "http://h:9/v1/chat/completions"),
    ] {
        assert_eq!(asked(provider, given), used, "{provider} {given}");
    }
}

#[test]
fn a_key_is_wanted_by_the_providers_own_server_only() {
    let own = Target::new(Provider::OpenAi, &Endpoint::default(), OpenAiApi::Chat);
    assert_eq!(own.unwrap().unwrap().missing_key(), Some("OPENAI_API_KEY"));
    let local = Endpoint { base_url: Some("http://127.0.0.1:1/v1".into()), api_key: None };
    let local = Target::new(Provider::OpenAi, &local, OpenAiApi::Chat).unwrap().unwrap();
    assert_eq!(local.missing_key(), None);
    let ollama = Target::new(Provider::Ollama, &Endpoint::default(), OpenAiApi::Chat);
    assert_eq!(ollama.unwrap().unwrap().missing_key(), None);
}

#[test]
fn a_bad_address_or_key_is_named_without_being_repeated() {
    for url in ["ftp://user:canary@h", "canary", "http://h/v1?key=canary"] {
        let endpoint = Endpoint { base_url: Some(url.into()), api_key: None };
        let error = Target::new(Provider::OpenAi, &endpoint, OpenAiApi::Chat).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("OPENAI_BASE_URL") && !text.contains("canary"), "{text}");
    }
    let endpoint = Endpoint { base_url: None, api_key: Some("canary\n".to_owned().into()) };
    let error = Target::new(Provider::OpenAi, &endpoint, OpenAiApi::Chat).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("OPENAI_API_KEY") && !text.contains("canary"), "{text}");
}
