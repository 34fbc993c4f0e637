//! Spans.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId as OtelTraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor as _};

use super::exporter::EXPORTER;
use crate::trace::{TraceId, new_span_id};

/// Which thread of messages a span belongs to.
const CONVERSATION: &str = "gen_ai.conversation.id";

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It handles a call.
    Server,
    /// It makes a call.
    Client,
    /// Neither.
    Internal,
    /// It enqueues a message.
    Producer,
}

/// A span of a trace. It ends when it is dropped; one without [`Span::succeed`] or [`Span::fail`] was
/// abandoned.
#[derive(Debug)]
pub struct Span {
    trace: u128,
    id: u64,
    record: Option<Box<Record>>,
}

#[derive(Debug)]
struct Record {
    parent: Option<u64>,
    parent_is_remote: bool,
    side: Side,
    name: String,
    begun: SystemTime,
    attributes: Vec<KeyValue>,
    status: Option<Status>,
    /// The conversation, once it is known; until then what stands for it.
    conversation: OnceLock<Arc<str>>,
    before: Option<Arc<str>>,
}

impl Record {
    fn conversation(&self) -> Option<&Arc<str>> {
        self.conversation.get().or(self.before.as_ref())
    }
}

impl Span {
    /// A child of the caller's span, or the root of the trace. The name is only built when the span is
    /// recorded.
    pub fn of_request(trace: &TraceId, side: Side, name: impl FnOnce() -> String) -> Self {
        Self::begin((trace.bytes(), new_span_id()), trace.parent(), true, side, name)
    }

    /// The span of the run that answers a request, of which there is one.
    pub fn of_run(trace: &TraceId, name: impl FnOnce() -> String) -> Self {
        Self::begin((trace.bytes(), trace.run()), trace.parent(), true, Side::Internal, name)
    }

    /// What is done for a request before its run: below the caller's span or, where there is none, the run's.
    pub fn before_run(trace: &TraceId, name: impl FnOnce() -> String) -> Self {
        let parent = trace.parent();
        let above = parent.or(Some(trace.run())).filter(|id| *id != 0);
        let ids = (trace.bytes(), new_span_id());
        Self::begin(ids, above, parent.is_some(), Side::Internal, name)
    }

    /// A child of this span, in the same conversation.
    pub fn child(&self, side: Side, name: impl FnOnce() -> String) -> Self {
        let mut child = Self::begin((self.trace, new_span_id()), Some(self.id), false, side, name);
        if let (Some(record), Some(own)) = (&mut child.record, &self.record) {
            record.before = own.conversation().cloned();
        }
        child
    }

    fn begin(
        (trace, id): (u128, u64),
        parent: Option<u64>,
        parent_is_remote: bool,
        side: Side,
        name: impl FnOnce() -> String,
    ) -> Self {
        let record = EXPORTER.get().map(|_| {
            Box::new(Record {
                parent,
                parent_is_remote,
                side,
                name: name(),
                begun: SystemTime::now(),
                attributes: Vec::new(),
                status: None,
                conversation: OnceLock::new(),
                before: None,
            })
        });
        Self { trace, id, record }
    }

    /// The `traceparent` of calls within this span (W3C Trace Context).
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.id)
    }

    /// Whether the span is recorded. Where it is not, nothing that is set on it is kept.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Whether the span is recorded with message content, which the operator has to enable.
    pub fn has_content(&self) -> bool {
        self.record.is_some() && EXPORTER.get().is_some_and(|exporter| exporter.content)
    }

    /// Sets an attribute of the semantic conventions.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let Some(record) = &mut self.record else { return };
        let value = value.into();
        match record.attributes.iter_mut().find(|known| known.key.as_str() == key) {
            Some(known) => known.value = value,
            None => record.attributes.push(KeyValue::new(key, value)),
        }
    }

    /// Sets an attribute that is a list with this one text.
    pub fn set_list(&mut self, key: &'static str, only: &'static str) {
        if self.record.is_some() {
            self.set(key, Value::Array(Array::String(vec![only.into()])));
        }
    }

    /// Sets message content as an attribute, if the operator has enabled that.
    pub fn set_content(&mut self, key: &'static str, text: impl FnOnce() -> String) {
        if self.has_content() {
            self.set(key, text());
        }
    }

    /// Says what stands for the conversation until that is known.
    pub fn set_session(&mut self, session: impl FnOnce() -> String) {
        if let Some(record) = &mut self.record {
            record.before = Some(session().into());
        }
    }

    /// Says which conversation the span belongs to, and those below it that begin from now on; the first word
    /// counts.
    pub fn set_conversation(&self, id: &str) {
        if let Some(record) = &self.record {
            record.conversation.get_or_init(|| id.into());
        }
    }

    /// Marks the span as successful.
    pub fn succeed(&mut self) {
        if let Some(record) = &mut self.record {
            record.status = Some(Status::Unset);
        }
    }

    /// Marks the span as failed; `kind` is one of few values.
    pub fn fail(&mut self, kind: impl Into<Cow<'static, str>>) {
        let kind = kind.into();
        self.set("error.type", kind.clone().into_owned());
        if let Some(record) = &mut self.record {
            record.status = Some(Status::Error { description: kind });
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(id) = self.record.as_ref().and_then(|record| record.conversation().cloned()) {
            self.set(CONVERSATION, Value::String(id.into()));
        }
        let (Some(record), Some(exporter)) = (self.record.take(), EXPORTER.get()) else { return };
        let Record { parent, parent_is_remote, side, name, begun, attributes, status, .. } =
            *record;
        exporter.processor.on_end(SpanData {
            span_context: SpanContext::new(
                OtelTraceId::from(self.trace),
                SpanId::from(self.id),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: parent_is_remote,
            span_kind: match side {
                Side::Server => SpanKind::Server,
                Side::Client => SpanKind::Client,
                Side::Internal => SpanKind::Internal,
                Side::Producer => SpanKind::Producer,
            },
            name: name.into(),
            start_time: begun,
            end_time: SystemTime::now(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: status.unwrap_or_else(|| Status::error("abandoned")),
            instrumentation_scope: scope().clone(),
        });
    }
}

fn scope() -> &'static InstrumentationScope {
    static SCOPE: OnceLock<Arc<InstrumentationScope>> = OnceLock::new();
    SCOPE.get_or_init(|| {
        let scope = InstrumentationScope::builder("wombat");
        Arc::new(scope.with_version(env!("CARGO_PKG_VERSION")).build())
    })
}
