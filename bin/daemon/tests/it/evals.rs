//! `wombat-daemon eval run`: cases are replayed by the run loop, with nothing called, and judged.

mod gate;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// A model that does what the message says: `call NAME JSON`, or `twice NAME JSON`; then it tells the result.
const SCRIPT: &str = r#"
rules:
  - when: {role: judge, user: "be rude"}
    say: "{\"score\": 0.2, \"reason\": \"it is rude\"}"
  - when: {role: judge, user: "be vague"}
    say: I like it.
  - when: {role: judge}
    say: "{\"score\": 0.8, \"reason\": \"it is fine\"}"
  - when: {user: "^refund", step: 0}
    call: [{name: refund, arguments: {id: 7, at: "10:00"}}]
  - when: {user: "^refund twice", step: 1, tool: refund}
    call: [{name: refund, arguments: {at: "10:01", id: 7.0}}]
  - when: {user: "^skill", step: 0}
    call: [{name: read_skill, arguments: {name: shop}}]
  - when: {user: "^orders", step: 0}
    call: [{name: call_backend, arguments: {method: GET, path: /api/orders}}, {name: list_tasks, arguments: {}}]
  - when: {user: "^wrong", step: 0}
    call: [{name: create_task, arguments: {titel: x}}]
  - when: {user: "^ask", step: 0}
    call: [{name: ask_user, arguments: {question: "Which one?"}}]
  - when: {user: "^request", step: 0}
    call: [{name: request_tool, arguments: {tool: refund, arguments: {id: 7}, reason: please}}]
  - when: {user: "^encoded", step: 0}
    call: [{name: call_backend, arguments: {method: GET, path: /api/%6frders}}]
  - when: {user: "^every", step: 0}
    call:
      - {name: post_message, arguments: {content: "@scout hello"}}
      - {name: recall, arguments: {query: tea}}
      - {name: remember, arguments: {text: tea, scope: user}}
      - {name: ask_agent, arguments: {role: scout, message: hello}}
      - {name: mention, arguments: {role: scout, message: hello}}
      - {name: save_file, arguments: {name: a.txt, media_type: text/plain, content: tea}}
      - {name: list_tasks, arguments: {}}
  - when: {user: "^unknown", step: 0}
    call: [{name: fly, arguments: {}}]
  - when: {user: "^fail"}
    fail: {status: 400}
  - when: {tool: refund}
    say: "refund says {result}"
  - say: "done, {user}"
"#;

const SKILL: &str = "---\nname: shop\ndescription: The shop.\n---\n```http\nGET /api/orders\nPOST /api/refunds\n```\n";

const AGENTS: &str = r#"{"agents": [
  {"role": "scout", "tools": {"deny": ["fly_away"], "approval": ["POST /api/refunds"], "enable": ["ask_user"]}},
  {"role": "clerk", "tools": {"deny": ["GET /api/orders"]}},
  {"role": "busy", "memory": {"read": ["user"], "write": ["user"]},
    "tools": {"enable": ["ask_agent", "mention", "save_file"]}}
]}"#;

const CATALOGUE: &str = "version: 1
catalogue:
  - name: refund
    description: Pays back.
    parameters: {type: object, properties: {id: {type: number}, at: {type: string}}, required: [id]}
    endpoint: POST /api/refunds
cases:
";

struct World(TempDir);

impl World {
    fn new() -> Self {
        let world = Self(TempDir::new().unwrap());
        world.write("workspace/skills/shop/SKILL.md", SKILL);
        world.write("workspace/agent-config.json", AGENTS);
        world.write("workspace/AGENTS.md", "Be exact.");
        world.write("model.yaml", SCRIPT);
        world
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let all = [&["eval", "run", "--workspace", "workspace"], arguments].concat();
        daemon(self.0.path(), &all, &[]).await
    }

    /// The report on these cases.
    async fn report(&self, cases: &str) -> Value {
        self.write("cases.yaml", &format!("{CATALOGUE}{cases}"));
        let output = self.run(&["cases.yaml", "--json", "report.json"]).await;
        let report = fs::read_to_string(self.0.path().join("report.json"));
        serde_json::from_str(&report.unwrap_or_else(|_| panic!("{output:?}"))).unwrap()
    }
}

async fn daemon(dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wombat-daemon"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs([("LLM_PROVIDER", "offline"), ("LLM_OFFLINE_SCRIPT", "model.yaml")])
        .envs(settings.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The status of each case, by its id.
fn statuses(report: &Value) -> Value {
    let cases = report["cases"].as_array().unwrap().iter();
    cases.map(|case| (case["id"].as_str().unwrap().to_owned(), case["status"].clone())).collect()
}

#[tokio::test]
async fn calls_are_answered_by_journal_fixture_and_workspace_and_else_the_case_diverges() {
    let world = World::new();
    let report = world
        .report(
            r#"
  - {id: journal, role: clerk, message: refund twice, ignore: {refund: [/at]},
     answers: [{tool: refund, arguments: {id: 7.0, at: old}, nth: 1, ok: true, content: first},
               {tool: refund, arguments: {id: 7, at: older}, nth: 1, ok: false, content: second}],
     expect: {calls: [{tool: refund, min: 2, max: 2}], response: {contains: second}, max_turns: 3}}
  - {id: exact, role: clerk, message: refund, answers: [{tool: refund, arguments: {id: 7, at: old}, content: x}]}
  - {id: fixture, role: clerk, message: refund, fixtures: [{tool: ref*, arguments: {id: {$gte: 8}}, content: no},
     {tool: POST /api/refunds, content: {paid: true}}], expect: {response: {contains: '{"paid":true}'}}}
  - {id: workspace, role: scout, message: skill, expect: {calls: [read_skill]}}
  - {id: nothing, role: clerk, message: refund}
  - {id: schema, role: scout, message: wrong, fixtures: [{tool: "*", content: x}], expect: {refused: [create_task]}}
  - {id: rule, role: clerk, message: orders, fixtures: [{tool: "*", content: x}],
     expect: {refused: [GET /api/orders], no_calls: [call_backend], calls: [list_tasks]}}
  - {id: undeclared, role: scout, message: unknown, fixtures: [{tool: "*", content: x}], expect: {refused: [fly]}}
"#,
        )
        .await;
    let expected = json!({ "journal": "passed", "exact": "diverged", "fixture": "passed",
        "workspace": "passed", "nothing": "diverged", "schema": "passed", "rule": "passed", "undeclared": "passed" });
    assert_eq!(statuses(&report), expected, "{report:#}");
    let calls = |at: usize| -> Vec<&str> {
        let calls = report["cases"][at]["calls"].as_array().unwrap();
        calls.iter().map(|call| call["answered"].as_str().unwrap()).collect()
    };
    assert_eq!(calls(0), ["journal", "journal"]);
    assert_eq!(
        (calls(2), calls(3), calls(4)),
        (vec!["fixture"], vec!["workspace"], vec!["diverged"])
    );
    assert_eq!((calls(5), calls(6)), (vec!["refused"], vec!["refused", "fixture"]));
    let failure = &report["cases"][4]["failures"][0];
    assert!(failure["actual"].as_str().unwrap().starts_with("refund {\"id\":7"), "{failure}");
    assert_eq!(report["totals"]["diverged"], 2);
    assert_eq!((&report["version"], &report["model"]), (&json!(1), &json!("offline/offline")));
    assert_eq!(report["workspace_digest"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn people_decide_as_the_journal_has_it() {
    let world = World::new();
    let report = world
        .report(
            r#"
  - {id: approved, role: scout, message: refund, answers: [{tool: refund, arguments: {id: 7, at: "10:00"}, content: paid}],
     expect: {calls: [refund], response: {contains: paid}}}
  - {id: still, role: scout, message: refund, answers: [{tool: refund, arguments: {id: 7, at: "10:00"}, approval: true, content: paid}]}
  - {id: denied, role: scout, message: refund,
     answers: [{tool: refund, arguments: {id: 7, at: "10:00"}, ok: false, content: '{"error":"a person denied it"}'}],
     expect: {response: {contains: a person denied it}}}
  - {id: waits, role: scout, message: refund, expect: {status: awaiting_approval, no_calls: [refund]},
     fixtures: [{tool: "*", content: paid}]}
  - {id: waited, role: scout, message: refund, answers: [{tool: refund, arguments: {id: 7, at: "10:00"}, content: null}],
     expect: {status: awaiting_approval}}
  - {id: answered, role: scout, message: ask, answers: [{tool: ask_user, arguments: {question: "Which one?"},
     content: '{"answer":"the red one"}'}], expect: {calls: [ask_user]}}
  - {id: asks, role: scout, message: ask, expect: {status: awaiting_answer}}
  - {id: profile, role: clerk, message: refund, fixtures: [{tool: refund, content: paid}],
     profile: {tools: {deny: [refund]}, workspace: elsewhere}, expect: {refused: [refund]}}
  - {id: bounded, role: clerk, message: refund, limits: {max_steps: 0}, fixtures: [{tool: refund, content: paid}],
     expect: {no_calls: [refund]}}
  - {id: limited, role: clerk, message: skill, profile: {prompt_append: Be polite., timezone: Europe/Vienna, locale: de-AT},
     now: "2026-07-01T10:00:00Z", memories: [likes tea], expect: {prompt: {contains: [Customer, Be polite.]}}}
"#,
        )
        .await;
    let all = statuses(&report);
    assert!(all.as_object().unwrap().values().all(|status| status == "passed"), "{report:#}");
    // No fixture approves, and what waited with other arguments, or waits no more, is another call.
    let report = world
        .report(
            r#"
  - {id: fixture, role: scout, message: refund, fixtures: [{tool: "*", content: paid}]}
  - {id: other, role: scout, message: refund, answers: [{tool: refund, arguments: {id: 8, at: "10:00"}, content: null}],
     expect: {status: awaiting_approval}}
  - {id: unasked, role: clerk, message: refund, answers: [{tool: refund, arguments: {id: 7, at: "10:00"}, content: null}],
     expect: {status: awaiting_approval}}
  - {id: freed, role: clerk, message: refund,
     answers: [{tool: refund, arguments: {id: 7, at: "10:00"}, approval: true, content: paid}]}
  - {id: requested, role: clerk, message: request, fixtures: [{tool: "*", content: x}],
     expect: {status: awaiting_approval, no_calls: [refund]}}
  - {id: path, role: scout, message: encoded, fixtures: [{tool: GET /api/orders, content: x}],
     expect: {calls: [GET /api/orders]}}
"#,
        )
        .await;
    let expected = json!({ "fixture": "diverged", "other": "diverged", "unasked": "diverged", "freed": "failed",
        "requested": "passed", "path": "passed" });
    assert_eq!(statuses(&report), expected, "{report:#}");
    // A rule that is gone is told, although the journal answers.
    assert_eq!(report["cases"][3]["failures"][0]["expectation"], "approval", "{report:#}");
}

#[tokio::test]
async fn the_model_is_told_what_it_was_told() {
    let world = World::new();
    let case = r#"
  - {id: told, role: scout, message: hello, now: "2026-07-01T10:00:00Z", metadata: {timezone: Europe/Vienna},
     memories: [She likes tea.], history: [{role: user, content: Good morning}, {role: assistant, content: Good morning!}],
     profile: {locale: de-AT, prompt_append: Be polite.}}
"#;
    world.write("cases.yaml", &format!("{CATALOGUE}{case}"));
    let output = world.run(&["cases.yaml", "--record", "recordings"]).await;
    assert!(output.status.success(), "{}", told(&output));
    let file = fs::read_dir(world.0.path().join("recordings")).unwrap().next().unwrap().unwrap();
    let exchange: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
    let messages = exchange["request"]["messages"].as_array().unwrap();
    let newest = messages.last().unwrap()["content"].as_str().unwrap();
    for part in ["12:00", "She likes tea.", "Locale: de-AT", "hello"] {
        assert!(newest.contains(part), "{part}: {newest}");
    }
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(messages[0]["content"].as_str().unwrap().ends_with("## Customer\n\nBe polite."));
    let tools = exchange["request"]["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "refund"), "{tools:?}");
}

#[tokio::test]
async fn a_run_that_fails_is_told_and_may_be_expected() {
    let world = World::new();
    let report = world
        .report(
            r#"
  - {id: unexpected, role: scout, message: fail}
  - {id: expected, role: scout, message: fail, expect: {status: llm_invalid_request}}
  - {id: role, role: nobody, message: hello}
  - {id: bad-profile, role: scout, message: hello, profile: {tools: {denies: []}}}
  - {id: bad-zone, role: scout, message: hello, metadata: {timezone: Nowhere/There}}
  - {id: judged, role: scout, message: hello, expect: {judge: {rubric: be polite}}}
  - {id: condemned, role: scout, message: hello, expect: {judge: {rubric: be rude}}}
  - {id: lenient, role: scout, message: hello, expect: {judge: {rubric: be rude, min: 0.1}}}
  - {id: vague, role: scout, message: hello, expect: {judge: {rubric: be vague}}}
"#,
        )
        .await;
    let expected = json!({ "unexpected": "error", "expected": "passed",
        "role": "error", "bad-profile": "error", "bad-zone": "error", "judged": "passed", "condemned": "failed",
        "lenient": "passed", "vague": "error" });
    assert_eq!(statuses(&report), expected, "{report:#}");
    // A judge that says nothing that can be read has its price.
    for case in [6, 8] {
        assert!(report["cases"][case]["judging"]["tokens"].as_u64() > Some(0), "{report:#}");
    }
    assert_eq!(report["cases"][6]["score"], 0.2);
    let why = report["cases"][3]["failures"][0]["actual"].as_str().unwrap();
    assert!(why.contains("denies"), "{why}");
}

#[tokio::test]
async fn exit_codes_and_broken_files() {
    let world = World::new();
    world.write("good.yaml", "version: 1\ncases:\n  - {id: a, role: scout, message: hello}\n");
    world.write(
        "bad.yaml",
        "version: 1\ncases:\n  - {id: b, role: scout, message: hello, expect: {status: x}}\n",
    );
    world.write("twice.yaml", "version: 1\ncases:\n  - {id: a, role: scout, message: hello}\n");
    world.write("broken.yaml", "version: 1\ncases:\n  - {id: a, role: scout, mesage: hello}\n");
    world.write("empty.yaml", "version: 1\ncases: []\n");
    world.write(
        "tool.yaml",
        "version: 1\ncatalogue: [{name: create_task}]\ncases: [{id: z, role: scout, message: x}]\n",
    );
    for (arguments, code, said) in [
        (&["good.yaml"][..], 0, "1 case: 1 passed"),
        (&["good.yaml", "bad.yaml"], 1, "status: expected x, got ok"),
        (&["good.yaml", "bad.yaml", "--case", "a*"], 0, "1 case: 1 passed"),
        (&["good.yaml", "--case", "nothing"], 2, "there is no case \"nothing\""),
        (&["empty.yaml"], 2, "there is no case"),
        (&["missing.yaml"], 2, "missing.yaml cannot be read"),
        (&["broken.yaml"], 2, "broken.yaml:3: unknown field `mesage`"),
        (&["good.yaml", "twice.yaml"], 2, "twice.yaml: the case \"a\" stands in good.yaml, too"),
        (&["tool.yaml"], 2, "tool.yaml: catalogue: \"create_task\" is a built-in tool"),
        (&["good.yaml", "--replay", "nowhere"], 78, "nowhere"),
        (&[], 2, "FILE"),
    ] {
        let output = world.run(arguments).await;
        let told = told(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {told}");
        assert!(told.contains(said), "{arguments:?} {told}");
    }
}

#[tokio::test]
async fn reports_and_a_baseline() {
    let world = World::new();
    world.write(
        "cases.yaml",
        "version: 1\ncases:\n  - {id: a, role: scout, message: hello}\n  - {id: b, role: scout, message: hello, expect: {status: x}}\n",
    );
    let files = [
        "--json",
        "out/r.json",
        "--junit",
        "out/r.xml",
        "--markdown",
        "out/r.md",
        "--html",
        "out/r.html",
    ];
    let output = world.run(&[&["cases.yaml"], &files[..]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(world.read("out/r.xml").contains("<testcase classname=\"scout\" name=\"a\""));
    assert!(world.read("out/r.md").contains("| b | scout | failed |"));
    assert!(world.read("out/r.html").contains("<td class=\"failed\">"));
    let report: Value = serde_json::from_str(&world.read("out/r.json")).unwrap();
    assert_eq!(statuses(&report), json!({ "a": "passed", "b": "failed" }));
    // What failed before does not count; what passed before, and what is new, does.
    let output = world.run(&["cases.yaml", "--baseline", "out/r.json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("0 regressed, 0 fixed, 1 failing as before, 0 new"));
    world.write(
        "before.json",
        &world.read("out/r.json").replace("\"status\": \"failed\"", "\"status\": \"passed\""),
    );
    let output = world.run(&["cases.yaml", "--baseline", "before.json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("1 regressed"), "{}", told(&output));
    let output = world.run(&["cases.yaml", "--baseline", "cases.yaml"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
}

#[tokio::test]
async fn nothing_is_connected_to_but_the_model() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let started = world.0.path().join("started");
    let server = json!({ "mcpServers": { "files": { "command": "touch", "args": [started.display().to_string()] } } });
    world.write("workspace/mcp.json", &server.to_string());
    world.write(
        "cases.yaml",
        &format!("{CATALOGUE}  - {{id: a, role: clerk, message: refund, memories: [tea], fixtures: [{{tool: '*', content: x}}]}}\n  \
             - {{id: b, role: busy, message: every tool, fixtures: [{{tool: '*', content: x}}], expect: {{calls: [post_message, \
             recall, remember, ask_agent, mention, save_file, list_tasks]}}}}\n"),
    );
    let settings = [
        ("BACKEND_URL", url.as_str()),
        ("WOMBAT_CONTROL_PLANE_URL", url.as_str()),
        ("WOMBAT_BACKEND_OPENAPI", "/openapi.json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
    ];
    let replayed = async {
        let arguments = ["eval", "run", "--workspace", "workspace", "cases.yaml"];
        daemon(world.0.path(), &arguments, &settings).await
    };
    let output = tokio::select! {
        output = replayed => output,
        connected = listener.accept() => panic!("{connected:?}"),
    };
    assert!(output.status.success(), "{}", told(&output));
    assert!(!started.exists(), "a server of the workspace was started");
}
