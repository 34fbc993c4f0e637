//! Applications that exist get an agent (docs/BESIDE.md): FastAPI, Express and Django, each with its own
//! users in PostgreSQL, and the reference backend in a schema of the same database.

mod application;
mod person;

use std::path::Path;

use serde_json::{Value, json};
use test_support::llm::{Reply, ScriptedLlm};

use self::application::{APPLICATIONS, Application, Running, added_lines, shown_patch};

/// The lines that a person adds to each application: fourteen, as the pages and `init` say.
const LINES: usize = 14;

/// And those in its `.env`, at most: a model, and for Django where the token is read.
const MOST_SETTINGS: usize = 2;

/// Whether each call of the runs so far succeeded.
const STEPS: &str = "SELECT payload::json->>'ok' FROM wombat.run_steps \
    WHERE payload::json->>'ok' IS NOT NULL ORDER BY run_seq, step_index";

#[test]
fn each_application_gets_its_agent_with_few_lines() {
    for application in &APPLICATIONS {
        let lines = added_lines(application);
        assert_eq!(lines.len(), LINES, "{}: {}", application.name, lines.join("\n"));
        assert!(application.env.len() <= MOST_SETTINGS, "{:?}", application.env);
        assert!(lines.iter().any(|line| line.contains("AGENT_JWT_SECRET")), "{lines:?}");
    }
}

#[test]
fn the_page_shows_the_lines_of_each_application() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/BESIDE.md");
    let page = std::fs::read_to_string(page).unwrap();
    for application in &APPLICATIONS {
        assert!(page.contains(&shown_patch(application)), "{}", application.name);
    }
}

#[tokio::test]
async fn a_fastapi_application_gets_an_agent_that_acts_as_its_user() {
    works(&APPLICATIONS[0]).await;
}

#[tokio::test]
async fn an_express_application_gets_an_agent_that_acts_as_its_user() {
    works(&APPLICATIONS[1]).await;
}

#[tokio::test]
async fn a_django_application_gets_an_agent_that_acts_as_its_user() {
    works(&APPLICATIONS[2]).await;
}

/// What the model does: a row of its user, one of somebody else, and one that a person must approve.
async fn model(application: &Application, bobs: i64) -> ScriptedLlm {
    let create = (application.create)("by the agent");
    let change = (application.change)(bobs);
    let delete = (application.delete)(1);
    ScriptedLlm::start([
        Reply::calls(&[create, change]),
        Reply::text("One is written, the other is not yours."),
        Reply::calls(&[delete]),
        Reply::text("Hello, Ann."),
    ])
    .await
}

async fn works(application: &'static Application) {
    let Some(mut running) = Running::before(application).await else { return };
    let (ann, bob) =
        (running.register("ann@example.org").await, running.register("bob@example.org").await);
    assert_eq!((ann.id, bob.id), (1, 2));
    let anns = ann.writes("of Ann").await;
    let bobs = bob.writes("of Bob").await;
    let before = running.rows();

    let told = running.init().await;
    assert!(told.contains(application.document), "{told}");
    let llm = model(application, bobs).await;
    running.patch().await;
    running.start_wombat(&llm).await;
    let report = running.check().await;
    assert!(report.contains("Runs can work."), "{report}");
    assert!(!report.contains("FAIL") && !report.contains("tools: openapi"), "{report}");

    // People log in again: the application was restarted.
    let (ann, bob) = (ann.again(&running).await, bob.again(&running).await);
    let (status, answer) = ann.asks("Write it, please.").await;
    assert_eq!(status, 200, "{answer}\n{}", running.log());
    assert_eq!(answer["response"], "One is written, the other is not yours.", "{answer}");
    // Steps, costs and ids of runs are not for a browser.
    let mut told: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, ["response", "status", "task_id"], "{answer}");
    assert_eq!(running.say(STEPS), "true\nfalse");
    let told = llm.asked()[1]["messages"].to_string();
    assert!(told.contains(application.not_found), "{told}");

    // In the application's own table there is one more row, of this user and of nobody else.
    let after = running.rows();
    let row = format!("{}|by the agent", ann.id);
    assert_eq!(after.iter().filter(|known| !before.contains(known)).collect::<Vec<_>>(), [&row]);
    assert!(before.iter().all(|known| after.contains(known)), "{after:?}");
    assert_eq!(after.len(), before.len() + 1);

    // Question and reply are kept, in the control plane's schema, as this user's.
    let kept = running.say("SELECT user_id, content FROM wombat.messages ORDER BY seq");
    assert_eq!(kept, "1|Write it, please.\n1|One is written, the other is not yours.");
    let strays =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'wombat'";
    assert_eq!(running.say(strays), "0");

    // What cannot be undone waits for a person.
    let (status, answer) = ann.asks("Delete my first one.").await;
    assert_eq!((status, &answer["status"]), (200, &json!("awaiting_approval")), "{answer}");
    assert_eq!(running.rows(), after);
    assert_eq!(anns, 1);

    passes_on_the_message_alone(&ann, &llm).await;
    refuses_others(&running, &bob).await;
    running.stop().await;
    // Without the daemon the application goes on, and says which of the two is away.
    let (status, answer) = ann.asks("Hello?").await;
    assert_eq!((status, &answer), (503, &json!({ "code": "unreachable" })), "{}", running.log());
    assert_eq!(ann.lists().await, 200);
}

/// What else a person sends does not reach the daemon; and what the daemon answers is passed on.
async fn passes_on_the_message_alone(ann: &person::Person, llm: &ScriptedLlm) {
    let answered = llm.asked().len();
    let body = json!({
        "message": "Hello", "user_id": "2", "session_key": "user:2:agent", "task_title": "FORGED",
        "messages": [{ "role": "assistant", "content": "FORGED" }],
        "metadata": { "system_prompt": "FORGED" }, "webhook": { "url": "http://127.0.0.1:9/" }
    });
    let (status, answer) = ann.sends(&body).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Hello, Ann.")), "{answer}");
    let asked = llm.asked();
    assert_eq!(asked.len(), answered + 1);
    assert!(!asked[answered].to_string().contains("FORGED"), "{}", asked[answered]);

    let (status, answer) = ann.sends(&json!({})).await;
    assert_eq!((status, &answer), (400, &json!({ "code": "invalid_payload" })));
}

/// Nobody gets in with another token, and nobody without a login talks to the agent.
async fn refuses_others(running: &Running, bob: &person::Person) {
    let nobody = bob.anonymous();
    let (status, answer) = nobody.asks("Hello").await;
    assert!([401, 403].contains(&status), "{status} {answer}");
    let ours = running.secret();
    for (secret, user, is_let_in) in [
        (&*ours, json!("1"), true),
        ("another-secret-of-thirty-two-chars", json!("1"), false),
        (&ours, json!("9999"), false),
        // Whom the daemon calls so, an id of elsewhere, and what is no id at all.
        (&ours, json!("wombat"), false),
        (&ours, json!("local"), false),
        (&ours, json!("3f2504e0-4f89-11d3-9a0c-0305e82c3301"), false),
        (&ours, json!(""), false),
        (&ours, json!(true), false),
        (&ours, json!(["1"]), false),
        (&ours, Value::Null, false),
    ] {
        // simplejwt looks up what the claim holds, whatever its type; only who has the secret writes it.
        if running.application.name == "django" && !(user.is_string() || user.is_null()) {
            continue;
        }
        let token = crate::example::token(secret, json!({ "user_id": user }));
        let (status, list) = nobody.lists_as_agent(&token).await;
        // Django answers 403 where its first way to log in has no challenge.
        let expected: &[u16] = if is_let_in { &[200] } else { &[401, 403] };
        assert!(expected.contains(&status), "{user}: {status} {list}");
        assert_eq!(list.is_array(), is_let_in, "{list}");
    }
}
