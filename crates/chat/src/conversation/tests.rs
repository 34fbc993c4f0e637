use daemon_client::{RunStatus, ToolRequest};
use serde_json::{Value, json};

use super::*;

fn conversation(task: Task) -> Conversation {
    Conversation {
        client: DaemonClient::new(reqwest::Client::new(), "http://127.0.0.1:9", None),
        user: UserId::parse("ann").unwrap(),
        role: "scout".to_owned(),
        task,
        task_id: None,
        turns: Vec::new(),
        backend: None,
        shown: None,
        awaiting_approval: None,
        questions: Vec::new(),
    }
}

#[test]
fn the_first_run_makes_the_task_and_the_others_keep_to_it() {
    let mut chat = conversation(Task::Fresh("T".to_owned()));
    let body = |chat: &Conversation| serde_json::to_value(chat.request()).unwrap();
    let first = body(&chat);
    assert_eq!(
        (&first["task_title"], &first["session_key"]),
        (&json!("T"), &json!("user:ann:scout"))
    );
    chat.task_id = Some("t1".to_owned());
    assert_eq!((&body(&chat)["task_id"], &body(&chat)["task_title"]), (&json!("t1"), &Value::Null));
    chat.start_over(Some("Other"));
    assert_eq!(
        (&body(&chat)["task_id"], &body(&chat)["task_title"]),
        (&Value::Null, &json!("Other"))
    );
    assert_ne!(Task::fresh("scout"), Task::fresh("scout"));
}

#[tokio::test]
async fn turns_are_sent_where_the_daemon_loads_no_thread() {
    let turn = Turn { role: TurnRole::User, content: "x".to_owned() };
    let mut fresh = conversation(Task::Fresh("T".to_owned()));
    assert!(!fresh.sends_turns().await.unwrap());
    fresh.turns.push(turn.clone());
    assert!(fresh.sends_turns().await.unwrap());
    for (keeps, sends) in [(true, false), (false, true)] {
        let mut old = conversation(Task::Id("t".to_owned()));
        old.turns.push(turn.clone());
        let features = json!({ "messages_list": keeps });
        old.backend = Some(Compatibility { features, ..Compatibility::default() });
        assert_eq!(old.sends_turns().await.unwrap(), sends);
    }
}

#[test]
fn a_run_that_awaits_approval_names_its_calls_and_can_be_resumed() {
    let mut chat = conversation(Task::Fresh("T".to_owned()));
    let call = ToolRequest {
        id: "q1".to_owned(),
        tool: "order".to_owned(),
        arguments: json!({ "n": 1 }),
        ..ToolRequest::default()
    };
    let done = RunAnswer {
        status: RunStatus::AwaitingApproval,
        run_key: Some("k".into()),
        tool_requests: Some(vec![call].into()),
        ..RunAnswer::default()
    };
    let error = chat.remember(done).unwrap_err().to_string();
    assert!(error.contains("order {\"n\":1} [q1]; decide in the backend"), "{error}");
    // Another answer in between leaves it waiting.
    let answered = RunAnswer { response: Some("done".into()), ..RunAnswer::default() };
    chat.remember(answered).unwrap();
    assert_eq!((chat.awaiting_approval.as_deref(), chat.turns.len()), (Some("k"), 1));
}

#[tokio::test]
async fn the_page_of_a_task_is_named_once() {
    let mut chat = conversation(Task::of_today("scout"));
    let template = "http://mc/tasks/{task_id}?user={user_id}".to_owned();
    let pages = Some(daemon_client::Pages { task: Some(template) });
    chat.backend = Some(Compatibility { pages, ..Compatibility::default() });
    chat.user = UserId::parse("ann b&c").unwrap();
    assert_eq!(chat.page().await, None);
    chat.task_id = Some("a/b".to_owned());
    assert_eq!(chat.page().await.as_deref(), Some("http://mc/tasks/a%2Fb?user=ann%20b%26c"));
    assert_eq!(chat.page().await, None);
}
