//! Conversations with each provider's strict server: turns with tools and thoughts, and the end without
//! tools.

use llm::model::Provider;
use llm::request::{Message, ToolChoice};
use llm::{CallContext, LlmClient, LlmSettings, OpenAiApi};
use serde_json::json;
use test_support::strict::Profile;
use test_support::strict_llm::{Answer, StrictLlm};

use crate::server::{client, request, settings, weather};

/// Settings for a server of the profile.
pub(crate) fn settings_for(profile: Profile, base_url: &str) -> LlmSettings {
    let provider: Provider = profile.provider().parse().unwrap();
    let mut settings = settings(provider, profile.model(), base_url);
    if profile == Profile::Responses {
        settings.openai_api = OpenAiApi::Responses;
    }
    settings
}

fn client_of(server: &StrictLlm, profile: Profile) -> LlmClient {
    client(settings_for(profile, &server.base_url()))
}

/// Two turns of calls, both answered, then a text.
async fn converse(profile: Profile, thinks: bool) {
    let call = |place: &str| {
        let answer = Answer::calls(&[
            ("weather", json!({ "place": place })),
            ("weather", json!({ "place": "Hobart" })),
        ]);
        if thinks { answer.thinking("Let me look.") } else { answer }
    };
    let server =
        StrictLlm::start(profile, [call("Perth"), call("Darwin"), Answer::text("It is sunny.")])
            .await;
    let client = client_of(&server, profile);
    let mut asked = request(&client, vec![Message::system("Be kind."), Message::user("Rain?")]);
    asked.tools = vec![weather()].into();
    for _ in 0..2 {
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        let calls = answer.message.tool_calls.clone();
        assert_eq!(calls.len(), 2, "{}", profile.name());
        asked.messages.push(Message::Assistant(answer.message));
        asked
            .messages
            .extend(calls.into_iter().map(|call| Message::tool(call.id, call.name, "sun")));
    }
    let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "It is sunny.", "{}", profile.name());
}

#[tokio::test]
async fn tools_are_used_with_every_provider() {
    for profile in Profile::ALL {
        converse(profile, false).await;
    }
}
#[tokio::test]
async fn without_more_tools_every_provider_sums_up() {
    for profile in Profile::ALL {
        let again = Answer::call("weather", json!({})).or_else("In all: sun.");
        let server = StrictLlm::start(profile, [again]).await;
        let client = client_of(&server, profile);
        let mut asked = request(&client, vec![Message::user("Rain?")]);
        asked.tools = vec![weather()].into();
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        let call = answer.message.tool_calls[0].clone();
        asked.messages.push(Message::Assistant(answer.message));
        asked.messages.push(Message::tool(call.id, call.name, "sun"));
        asked.tool_choice = ToolChoice::None;
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        assert_eq!(answer.message.text, "In all: sun.", "{}", profile.name());
        assert!(answer.message.tool_calls.is_empty(), "{}", profile.name());
    }
}

#[tokio::test]
async fn thoughts_come_back_to_the_provider_that_had_them() {
    for profile in Profile::ALL {
        converse(profile, true).await;
    }
}
