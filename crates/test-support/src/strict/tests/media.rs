//! Images and documents.

use super::*;

/// A PNG's beginning, and a text that is none, as base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAkAAAAJ";
const TEXT: &str = "bm8gaW1hZ2U=";

fn image_url(url: &str) -> Value {
    json!([{ "type": "text", "text": "See:" }, { "type": "image_url", "image_url": { "url": url } }])
}

fn png_url() -> String {
    format!("data:image/png;base64,{PNG}")
}

#[test]
fn images_in_chats_are_where_and_what_they_should_be() {
    for profile in Profile::CHAT {
        let seeing = |change: &dyn Fn(&mut Value)| {
            broken(profile, |body| {
                body["model"] = json!("llava");
                change(body);
            })
        };
        let name = profile.name();
        let user = |body: &mut Value, content: Value| body["messages"][1]["content"] = content;
        assert_eq!(seeing(&|body| user(body, image_url(&png_url()))), None, "{name}");
        for url in [
            format!("data:image/png;base64,{TEXT}"),
            "data:image/png;base64,@@".to_owned(),
            PNG.to_owned(),
        ] {
            let found = seeing(&|body| user(body, image_url(&url)));
            assert_eq!(found, Some("the data is base64 of its type"), "{name} {url}");
        }
        let in_result = seeing(&|body| body["messages"][3]["content"] = image_url(&png_url()));
        assert!(
            in_result.is_some_and(|rule| rule.contains("messages of the user")),
            "{name} {in_result:?}"
        );
        let wrong = json!([{ "type": "input_image", "image_url": png_url() }]);
        assert_eq!(
            seeing(&|body| user(body, wrong.clone())),
            Some("parts are of the types of their role"),
            "{name}"
        );
        let many = Value::Array(vec![image_url(&png_url())[1].clone(); 9]);
        let limit = match profile {
            Profile::Mistral => Some("at most 8 images at Mistral"),
            Profile::Groq => Some("at most 5 images at Groq"),
            _ => None,
        };
        assert_eq!(seeing(&|body| user(body, many.clone())), limit, "{name}");
        let blind = broken(profile, |body| user(body, image_url(&png_url())));
        assert!(blind.is_some(), "{name}: some-model reads no images");
    }
    let pdf = |part: Value| {
        move |body: &mut Value| {
            body["model"] = json!("gpt-4o");
            body["messages"][1]["content"] = json!([part]);
        }
    };
    let data = "data:application/pdf;base64,JVBERi0xLjQ=";
    let file =
        |name: &str| json!({ "type": "file", "file": { "filename": name, "file_data": data } });
    assert_eq!(broken(Profile::OpenAi, pdf(file("a.pdf"))), None);
    refused(Profile::OpenAi, "documents are PDFs with a name", pdf(file("")));
    let url = json!({ "type": "document_url", "document_url": data });
    assert_eq!(broken(Profile::Mistral, pdf(url.clone())), None);
    refused(Profile::OpenAi, "parts are of the types of their role", pdf(url));
    refused(Profile::Mistral, "parts are of the types of their role", pdf(file("a.pdf")));
}

#[test]
fn images_in_the_other_protocols_are_where_and_what_they_should_be() {
    let block = |media_type: &str, data: &str| json!({ "type": "image", "source": { "type": "base64", "media_type": media_type, "data": data } });
    let claude =
        |part: Value| move |body: &mut Value| body["messages"][0]["content"] = json!([part]);
    assert_eq!(broken(Profile::Anthropic, claude(block("image/png", PNG))), None);
    let rule = "images of Messages are JPEG, PNG, GIF or WebP";
    refused(Profile::Anthropic, rule, claude(block("image/heic", PNG)));
    refused(
        Profile::Anthropic,
        "images of Messages can be processed",
        claude(block("image/png", TEXT)),
    );
    let mut url = block("image/png", PNG);
    url["source"]["type"] = json!("url");
    refused(Profile::Anthropic, "a source is base64 with its type", claude(url));
    let within = |part: Value| {
        move |body: &mut Value| body["messages"][2]["content"][0]["content"] = json!([part])
    };
    assert_eq!(broken(Profile::Anthropic, within(block("image/png", PNG))), None);
    refused(
        Profile::Anthropic,
        "results of Messages hold texts, images and documents",
        within(json!({ "type": "tool_use" })),
    );

    let inline = |media_type: &str, data: &str| json!({ "inlineData": { "mimeType": media_type, "data": data } });
    let gemini = |part: Value| move |body: &mut Value| body["contents"][0]["parts"] = json!([part]);
    assert_eq!(broken(Profile::Gemini, gemini(inline("image/png", PNG))), None);
    refused(
        Profile::Gemini,
        "gemini: the data is base64 of its type",
        gemini(inline("image/png", TEXT)),
    );
    let within = |part: Value| {
        move |body: &mut Value| {
            body["contents"][2]["parts"][0]["functionResponse"]["parts"] = json!([part])
        }
    };
    assert_eq!(broken(Profile::Gemini, within(inline("image/png", PNG))), None);
    let heic = "AAAAGGZ0eXBoZWlj";
    assert_eq!(broken(Profile::Gemini, gemini(inline("image/heic", heic))), None);
    refused(Profile::Gemini, "a response holds fewer types", within(inline("image/heic", heic)));

    let input = |part: Value| move |body: &mut Value| body["input"][0]["content"] = json!([part]);
    let image = json!({ "type": "input_image", "detail": "auto", "image_url": png_url() });
    assert_eq!(broken(Profile::Responses, input(image.clone())), None);
    let output = |body: &mut Value| body["input"][3]["output"] = json!([image]);
    assert_eq!(broken(Profile::Responses, output), None);
    refused(
        Profile::Responses,
        "parts of an item are of known types",
        input(json!({ "type": "image_url", "image_url": png_url() })),
    );
    refused(
        Profile::Responses,
        "an image's detail is known",
        input(json!({ "type": "input_image", "image_url": png_url() })),
    );
}
