//! Traces as a collector receives them, decoded with OpenTelemetry's own types: one trace from the
//! dispatcher to the backend.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Stack, StackOptions, example};
use test_support::wait_for;
use tokio::net::TcpListener;

use crate::peers::free_port;

/// Spans with the name of the service that sent them.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

impl Collector {
    fn take(&self, request: ExportTraceServiceRequest) {
        let mut all = self.0.lock().unwrap();
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let name = attributes.iter().find(|kv| kv.key == "service.name").unwrap();
            let name = format!("{:?}", name.value);
            for scope in resource.scope_spans {
                all.extend(scope.spans.into_iter().map(|span| (name.clone(), span)));
            }
        }
    }

    pub(crate) async fn http(&self) -> String {
        let collector = self.clone();
        let take = async move |body: axum::body::Bytes| {
            collector.take(ExportTraceServiceRequest::decode(body).unwrap());
        };
        let app = axum::Router::new().route("/v1/traces", axum::routing::post(take));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    async fn grpc(&self) -> String {
        let address = format!("127.0.0.1:{}", free_port());
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .serve(address.parse().unwrap());
        tokio::spawn(server);
        format!("http://{address}")
    }

    pub(crate) fn spans(&self) -> Vec<(String, Span)> {
        self.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.take(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(span: &Span) -> HashMap<String, String> {
    let pairs = span.attributes.iter();
    pairs.map(|kv| (kv.key.clone(), format!("{:?}", kv.value))).collect()
}

async fn stack(endpoint: &str, protocol: &str, llm: &ScriptedLlm, content: bool) -> Stack {
    let options = StackOptions {
        everywhere: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", content.to_string()),
        ],
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
        ],
        example: example(),
        ..StackOptions::default()
    };
    Stack::start(&options).await.unwrap()
}

fn script() -> Vec<Reply> {
    vec![Reply::call("create_task", &json!({ "title": "Secret plan" })), Reply::text("Done.")]
}

/// A message with a mention, delivered by the dispatcher: its trace as the collector has it.
async fn trace_of_a_notification(protocol: &str, content: bool) -> Vec<(String, Span)> {
    let collector = Collector::default();
    let endpoint = if protocol == "grpc" { collector.grpc().await } else { collector.http().await };
    let llm = ScriptedLlm::start(script()).await;
    let mut stack = stack(&endpoint, protocol, &llm, content).await;
    let person = stack.person("ann");
    let task = person.post("/tasks", &json!({ "title": "T" })).await.unwrap();
    let message = json!({ "task_id": task["id"], "content": "@scout make a plan" });
    person.post("/messages", &message).await.unwrap();
    let thread = format!("/messages?task_id={}", task["id"].as_str().unwrap());
    wait_for("the reply", async || (person.list(&thread).await.unwrap().len() == 2).then_some(()))
        .await;
    // What is left is sent when the programs stop.
    stack.stop().await.unwrap();
    let all = collector.spans();
    let begun = all.iter().find(|(_, span)| span.name == "deliver notification");
    let trace = begun.expect("a delivery").1.trace_id.clone();
    all.into_iter().filter(|(_, span)| span.trace_id == trace).collect()
}

fn one<'a>(spans: &'a [(String, Span)], name: &str) -> &'a (String, Span) {
    let found: Vec<_> = spans.iter().filter(|(_, span)| span.name == name).collect();
    let names: Vec<_> = spans.iter().map(|(_, span)| &span.name).collect();
    assert_eq!(found.len(), 1, "{name}: {names:?}");
    found[0]
}

fn check(spans: &[(String, Span)]) {
    let (service, delivery) = one(spans, "deliver notification");
    assert!(service.contains("wombat-dispatcher") && delivery.parent_span_id.is_empty());
    let (service, run) = one(spans, "invoke_agent scout");
    assert!(service.contains("wombat-daemon"), "{service}");
    assert_eq!(run.parent_span_id, delivery.span_id);
    let told = attributes(run);
    assert!(told["gen_ai.agent.name"].contains("scout") && told.contains_key("wombat.run_id"));
    let chats: Vec<_> = spans.iter().filter(|(_, span)| span.name.starts_with("chat ")).collect();
    assert_eq!(chats.len(), 2);
    for (_, chat) in chats {
        assert_eq!(chat.parent_span_id, run.span_id);
        let told = attributes(chat);
        assert!(told["gen_ai.provider.name"].contains("openai"), "{told:?}");
        assert!(told.contains_key("gen_ai.usage.output_tokens"), "{told:?}");
    }
    let (_, tool) = one(spans, "execute_tool create_task");
    assert_eq!(tool.parent_span_id, run.span_id);
    let below: Vec<_> =
        spans.iter().filter(|(_, span)| span.parent_span_id == tool.span_id).collect();
    assert_eq!(below.len(), 1, "the tool's own call of the backend");
    let (service, call) = below[0];
    assert!(service.contains("wombat-mission-control"), "{service}");
    assert_eq!(call.name, "POST /api/mission-control/tasks");
    assert!(attributes(call)["http.response.status_code"].contains("20"));
    // Every span but the first hangs on another of the trace.
    for (_, span) in spans.iter().filter(|(_, span)| span.span_id != delivery.span_id) {
        let parent = spans.iter().any(|(_, other)| other.span_id == span.parent_span_id);
        assert!(parent, "{}", span.name);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
}

#[tokio::test]
async fn one_trace_leads_from_the_dispatcher_to_the_tools_call_in_the_backend() {
    let spans = trace_of_a_notification("http/protobuf", false).await;
    check(&spans);
    let all = format!("{spans:?}");
    assert!(!all.contains("Secret plan") && !all.contains("make a plan"), "nobody asked for it");
}

#[tokio::test]
async fn the_same_trace_goes_over_grpc_and_holds_what_was_said_when_that_is_asked_for() {
    let spans = trace_of_a_notification("grpc", true).await;
    check(&spans);
    let (_, tool) = one(&spans, "execute_tool create_task");
    assert!(attributes(tool)["gen_ai.tool.call.arguments"].contains("Secret plan"));
    let all = format!("{spans:?}");
    assert!(all.contains("gen_ai.input.messages") && all.contains("make a plan"));
}

#[tokio::test]
async fn a_collector_that_is_gone_costs_one_line_and_holds_nothing_up() {
    let llm = ScriptedLlm::start([Reply::text("Done.")]).await;
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let mut stack = stack(&endpoint, "http/protobuf", &llm, false).await;
    let http = reqwest::Client::new();
    for n in 0..10 {
        let body = json!({ "user_id": "ann", "session_key": "user:ann:scout", "message": "Go.",
            "task_title": format!("T{n}") });
        let answer = http
            .post(format!("{}/api/agents/send", stack.daemon_url))
            .header("x-agent-daemon-key", stack.daemon_key())
            .json(&body);
        assert_eq!(answer.send().await.unwrap().status(), 200);
    }
    wait_for("the line", async || stack.daemon.log().contains("trace export failed").then_some(()))
        .await;
    stack.stop().await.unwrap();
    let log = stack.daemon.full_log().await;
    assert_eq!(log.matches("trace export failed").count(), 1, "{log}");
}
