//! What Phoenix and MLflow show of runs, as their own interfaces tell it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use test_support::{free_port, lacks, wait_within};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::traced_runs::{self, ANSWERED, ASKED, CALLS, DETACHED, EARLY, FAILS, WAITS};

/// How long a viewer may take to start, and to show what it got.
const PATIENCE: Duration = Duration::from_secs(120);

/// The Python of each viewer.
fn installed() -> Option<(PathBuf, PathBuf)> {
    let folder = std::env::var_os("WOMBAT_TEST_VIEWERS").map(PathBuf::from);
    let python = |viewer: &str| {
        let python = folder.as_ref()?.join(viewer).join("bin/python");
        python.exists().then_some(python)
    };
    let found = python("phoenix").zip(python("mlflow"));
    if found.is_none() {
        lacks("Phoenix or MLflow", "viewers");
    }
    found
}

struct Viewers {
    phoenix: String,
    mlflow: String,
    _programs: [Group; 2],
    _dir: tempfile::TempDir,
}

/// A program with those that it starts, MLflow's workers say: dropping it kills all of them.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.id() {
            let all = format!("kill -s KILL -- -{id}");
            let _gone = std::process::Command::new("sh").args(["-c", &all]).status();
        }
    }
}

fn start(python: &Path, dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Group {
    let log = |name: &str| std::fs::File::create(dir.join(name)).unwrap();
    let program = Command::new(python)
        .args(arguments)
        .envs(settings.iter().copied())
        .env("HOME", dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log("out"))
        .stderr(log("err"))
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    Group(program.unwrap())
}

impl Viewers {
    async fn start((phoenix, mlflow): &(PathBuf, PathBuf)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (phoenix_dir, mlflow_dir) = (dir.path().join("phoenix"), dir.path().join("mlflow"));
        std::fs::create_dir(&phoenix_dir).unwrap();
        std::fs::create_dir(&mlflow_dir).unwrap();
        let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
        let settings = [
            ("PHOENIX_HOST", "127.0.0.1"),
            ("PHOENIX_PORT", &*ports[0]),
            ("PHOENIX_GRPC_PORT", &*ports[1]),
            ("PHOENIX_WORKING_DIR", phoenix_dir.to_str().unwrap()),
            ("PHOENIX_TELEMETRY_ENABLED", "false"),
            ("PHOENIX_ALLOW_EXTERNAL_RESOURCES", "false"),
        ];
        let first =
            start(phoenix, &phoenix_dir, &["-m", "phoenix.server.main", "serve"], &settings);
        let settings = [
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"),
            // Its own list of prices, as without the internet.
            ("MLFLOW_MODEL_CATALOG_URI", ""),
        ];
        let arguments = [
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            &*ports[2],
            "--workers",
            "1",
            "--backend-store-uri",
            "sqlite:///mlflow.db",
        ];
        let second = start(mlflow, &mlflow_dir, &arguments, &settings);
        let viewers = Self {
            phoenix: format!("http://127.0.0.1:{}", ports[0]),
            mlflow: format!("http://127.0.0.1:{}", ports[2]),
            _programs: [first, second],
            _dir: dir,
        };
        for (url, dir) in [
            (format!("{}/healthz", viewers.phoenix), &phoenix_dir),
            (format!("{}/health", viewers.mlflow), &mlflow_dir),
        ] {
            let is_up = async || reqwest::get(&url).await.ok()?.error_for_status().ok().map(drop);
            let said = || std::fs::read_to_string(dir.join("err")).unwrap_or_default();
            let up = tokio::time::timeout(PATIENCE, async {
                while is_up().await.is_none() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
            assert!(up.await.is_ok(), "{url}: {}", said());
        }
        viewers
    }

    /// Where programs export to: what comes here goes to both, as it is.
    async fn collector(&self) -> String {
        let targets = [self.phoenix.clone(), self.mlflow.clone()];
        let forward = async move |headers: HeaderMap, body: Bytes| {
            for target in &targets {
                let call = reqwest::Client::new().post(format!("{target}/v1/traces"));
                let headers = headers.iter().filter(|(name, _)| *name != "host");
                let headers = headers.map(|(n, v)| (n.clone(), v.clone())).collect();
                let answer = call.headers(headers).body(body.clone()).send().await.unwrap();
                let status = answer.status();
                assert!(status.is_success(), "{target}: {status} {}", answer.text().await.unwrap());
            }
            StatusCode::OK
        };
        let app = axum::Router::new().route("/v1/traces", axum::routing::post(forward));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    /// The spans of a trace as Phoenix has them, oldest first, once the run's own is there, which ends last.
    async fn phoenix_spans(&self, trace: &str) -> Vec<Value> {
        let query = format!("sort=start_time&order=asc&trace_id={trace}");
        let url = format!("{}/v1/projects/default/spans?{query}", self.phoenix);
        wait_within(PATIENCE, "Phoenix to show the trace", async || {
            let found: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
            let spans = found["data"].as_array().unwrap_or_else(|| panic!("{found}"));
            (!named(spans, "invoke_agent scout").is_empty()).then(|| spans.clone())
        })
        .await
    }

    /// What Phoenix adds up of a trace.
    async fn phoenix_trace(&self, trace: &str) -> Value {
        let query = "query($id: String!) { getTraceByOtelId(traceId: $id) { session { sessionId }
            costSummary { total { tokens cost } }
            rootSpan { cumulativeTokenCountTotal cumulativeTokenCountPrompt input { value } output { value } } } }";
        let call = reqwest::Client::new()
            .post(format!("{}/graphql", self.phoenix))
            .json(&json!({ "query": query, "variables": { "id": trace } }));
        let answer: Value = call.send().await.unwrap().json().await.unwrap();
        assert!(answer["errors"].is_null(), "{answer}");
        answer["data"]["getTraceByOtelId"].clone()
    }
}

fn named<'s>(spans: &'s [Value], name: &str) -> Vec<&'s Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

async fn phoenix(viewers: &Viewers, task: &str) {
    let spans = viewers.phoenix_spans(CALLS).await;
    let agent = named(&spans, "invoke_agent scout")[0];
    assert_eq!((&agent["span_kind"], &agent["status_code"]), (&json!("AGENT"), &json!("UNSET")));
    let told = &agent["attributes"];
    assert_eq!(told["gen_ai.agent.name"], "scout");
    assert_eq!((&told["user.id"], &told["session.id"]), (&json!("ann"), &json!(task)));
    assert_eq!((&told["input.value"], &told["output.value"]), (&json!(ASKED), &json!(ANSWERED)));
    let chats = named(&spans, "chat gpt-4o-mini");
    let [first, second] = chats[..] else { panic!("{spans:?}") };
    for chat in [first, second] {
        let told = &chat["attributes"];
        assert_eq!(chat["span_kind"], "LLM");
        assert_eq!(
            (&told["llm.model_name"], &told["llm.provider"]),
            (&json!("gpt-4o-mini"), &json!("openai"))
        );
        assert_eq!(told["llm.token_count.prompt"], 1000);
        assert_eq!(told["llm.token_count.completion"], 200);
        assert_eq!(told["llm.token_count.prompt_details.cache_read"], 400);
        assert_eq!(told["llm.input_messages.0.message.role"], "system");
        assert!(told["llm.input_messages.1.message.content"].as_str().unwrap().contains(ASKED));
        assert!(told["llm.tools.0.tool.json_schema"].is_string());
    }
    let called = "llm.output_messages.0.message.tool_calls.0.tool_call.function";
    assert_eq!(first["attributes"][format!("{called}.name")], "create_task");
    assert!(first["attributes"][format!("{called}.arguments")].to_string().contains("Buy bread"));
    assert_eq!(first["attributes"]["llm.finish_reason"], "tool_call");
    assert_eq!(second["attributes"]["llm.output_messages.0.message.content"], ANSWERED);
    let tool = named(&spans, "execute_tool create_task")[0];
    assert_eq!(
        (&tool["span_kind"], &tool["attributes"]["tool.name"]),
        (&json!("TOOL"), &json!("create_task"))
    );
    assert_eq!(tool["attributes"]["tool.parameters.title"], "Buy bread", "{tool}");
    assert!(tool["attributes"]["output.value"].to_string().contains("Buy bread"));

    // What it adds up: each token once, although the run has them, too.
    let costs = wait_within(PATIENCE, "Phoenix to know the costs", async || {
        let trace = viewers.phoenix_trace(CALLS).await;
        (trace["costSummary"]["total"]["cost"].as_f64() > Some(0.0)).then_some(trace)
    })
    .await;
    assert_eq!(costs["costSummary"]["total"]["tokens"], 2400.0, "{costs}");
    assert_eq!(costs["rootSpan"]["cumulativeTokenCountTotal"], 2400.0, "{costs}");
    assert_eq!(costs["session"]["sessionId"], task, "{costs}");
    assert_eq!(costs["rootSpan"]["input"]["value"], ASKED, "{costs}");

    for (trace, is_error) in [(FAILS, true), (WAITS, false), (EARLY, true), (DETACHED, false)] {
        let spans = viewers.phoenix_spans(trace).await;
        let agent = named(&spans, "invoke_agent scout")[0];
        let errors = spans.iter().filter(|span| span["status_code"] == "ERROR").count();
        assert_eq!(errors > 0, is_error, "{trace}: {spans:?}");
        let told = &agent["attributes"];
        assert_eq!((&agent["span_kind"], &told["user.id"]), (&json!("AGENT"), &json!("ann")));
        let session = if trace == EARLY { "user:ann:scout" } else { task };
        assert_eq!(told["session.id"], session, "{trace}");
    }
}

async fn mlflow(viewers: &Viewers, python: &Path, task: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mlflow_traces.py");
    let output = Command::new(python)
        .arg(script)
        .env("MLFLOW_TRACKING_URI", &viewers.mlflow)
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    let traces: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trace = |id: &str| &traces[format!("tr-{id}")];
    let own = trace(CALLS);
    assert_eq!(
        (&own["state"], &own["user"], &own["session"]),
        (&json!("OK"), &json!("ann"), &json!(task)),
        "{own}"
    );
    let tokens = &own["tokens"];
    assert_eq!(
        (&tokens["input_tokens"], &tokens["output_tokens"]),
        (&json!(2000), &json!(400)),
        "{own}"
    );
    assert_eq!(tokens["cache_read_input_tokens"], 800, "{own}");
    assert!(own["cost"]["total_cost"].as_f64() > Some(0.0), "{own}");
    assert!(own["request"].to_string().contains(ASKED), "{own}");
    assert!(own["response"].to_string().contains(ANSWERED), "{own}");
    let spans = own["spans"].as_array().unwrap();
    let agent = named(spans, "invoke_agent scout")[0];
    assert_eq!((&agent["type"], &agent["inputs"]), (&json!("AGENT"), &json!(ASKED)));
    let chats = named(spans, "chat gpt-4o-mini");
    let [first, second] = chats[..] else { panic!("{spans:?}") };
    for chat in [first, second] {
        assert_eq!((&chat["type"], &chat["model"]), (&json!("CHAT_MODEL"), &json!("gpt-4o-mini")));
        assert_eq!(chat["tokens"]["total_tokens"], 1200, "{chat}");
        assert!(chat["cost"]["total_cost"].as_f64() > Some(0.0), "{chat}");
        assert_eq!(chat["inputs"][0]["role"], "user", "{chat}");
        assert!(chat["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "{chat}");
    }
    assert_eq!(first["outputs"][0]["parts"][0]["name"], "create_task", "{first}");
    assert_eq!(second["outputs"][0]["parts"][0]["content"], ANSWERED, "{second}");
    let tool = named(spans, "execute_tool create_task")[0];
    assert_eq!(
        (&tool["type"], &tool["inputs"]),
        (&json!("TOOL"), &json!({ "title": "Buy bread" })),
        "{tool}"
    );
    assert!(tool["outputs"].to_string().contains("Buy bread"), "{tool}");

    for (id, state) in [(FAILS, "ERROR"), (WAITS, "OK"), (EARLY, "ERROR"), (DETACHED, "OK")] {
        let session = if id == EARLY { "user:ann:scout" } else { task };
        let shown = trace(id);
        assert_eq!(
            (&shown["state"], &shown["user"], &shown["session"]),
            (&json!(state), &json!("ann"), &json!(session)),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn phoenix_and_mlflow_show_what_runs_did() {
    let Some(pythons) = installed() else { return };
    let viewers = Viewers::start(&pythons).await;
    let experiment = "x-mlflow-experiment-id=0";
    let traced = traced_runs::traced(viewers.collector().await, experiment).await;
    phoenix(&viewers, &traced.task_id).await;
    mlflow(&viewers, &pythons.1, &traced.task_id).await;
}
