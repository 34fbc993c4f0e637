//! One JSON object a line: the bytes that `tracing_subscriber`'s own JSON form writes, in a quarter of
//! its time. That reads the fields of a span anew for each line; here they are taken as they were written.

use std::fmt::{self, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The usual length of a line, bytes.
const USUAL: usize = 512;

/// The format of a line: time, level, the event's fields, and the span around it.
pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Whole or not at all: what is written to the writer stays there when the code of a value panics.
        let mut begin = String::with_capacity(USUAL);
        begin.push_str("{\"timestamp\":\"");
        SystemTime.format_time(&mut Writer::new(&mut begin))?;
        begin.push('"');
        let mut rest = Rest { text: begin.into_bytes(), failed: false };
        rest.add("level", &event.metadata().level().as_str());
        event.record(&mut rest);
        let span =
            event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current());
        if let Some(span) = span {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|fields| fields.fields.strip_suffix('}'));
            let fields = fields.filter(|fields| fields.starts_with('{')).unwrap_or("{");
            rest.text.extend_from_slice(b",\"span\":");
            rest.text.extend_from_slice(fields.as_bytes());
            let comma = if fields.len() > 1 { "," } else { "" };
            rest.text.extend_from_slice(comma.as_bytes());
            rest.text.extend_from_slice(b"\"name\":");
            rest.value(&span.name());
            rest.text.push(b'}');
        }
        rest.text.extend_from_slice(b"}\n");
        let text = std::str::from_utf8(&rest.text).map_err(|_| fmt::Error)?;
        if rest.failed { Err(fmt::Error) } else { writer.write_str(text) }
    }
}

/// A line as it is written.
struct Rest {
    text: Vec<u8>,
    /// Whether a value has no JSON form.
    failed: bool,
}

impl Rest {
    fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.text.push(b',');
        self.value(name);
        self.text.push(b':');
        self.value(value);
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        self.failed |= serde_json::to_writer(&mut self.text, value).is_err();
    }
}

impl Visit for Rest {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A value that cannot be shown is told as far as it could be.
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.add(field.name(), &text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Taken(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Taken {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Taken {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Taken {
        /// The lines without their times.
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let without_time = |line: &str| {
                let (time, rest) = line.split_once("\",").unwrap();
                assert!(time.starts_with("{\"timestamp\":\"20") && time.ends_with('Z'), "{line}");
                serde_json::from_str::<serde_json::Value>(line).unwrap();
                rest.to_owned()
            };
            text.lines().map(without_time).collect()
        }
    }

    fn events() {
        let cause = std::io::Error::other("a \"bad\" day\n");
        let missing: Option<&str> = None;
        tracing::info!("no span");
        tracing::error!(
            f = 0.5,
            nan = f64::NAN,
            i = -3,
            u = 7_u64,
            big = u128::MAX,
            yes = true,
            text = "grün \u{1} \\ \u{2028}",
            shown = %cause,
            debug = ?Some("x"),
            missing,
            error = &cause as &dyn std::error::Error,
            "all {}",
            "kinds"
        );
        let empty = tracing::info_span!("empty");
        empty.in_scope(|| tracing::warn!("in one without fields"));
        let run = tracing::error_span!("run", run_id = "r\"1", role = %"scout", later = tracing::field::Empty);
        run.in_scope(|| {
            tracing::debug!(a = 1, "inside");
            run.record("later", 5);
            tracing::trace!(parent: &empty, "elsewhere");
            tracing::info_span!("below", n = 1).in_scope(|| tracing::info!(task_id = "t"));
            tracing::info!(parent: None, "no parent");
        });
    }

    /// A value that cannot be shown to its end.
    struct Broken;

    impl fmt::Display for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so far")?;
            Err(fmt::Error)
        }
    }

    #[test]
    fn a_value_that_cannot_be_shown_ends_no_line() {
        let taken = Taken::default();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(taken.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(broken = %Broken, after = 1, "told");
            tracing::info!("next");
        });
        let lines = taken.lines();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(r#""broken":"so far","after":1"#), "{lines:?}");
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let (own, theirs) = (Taken::default(), Taken::default());
        let level = tracing::Level::TRACE;
        let ours = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(own.clone());
        let ours = tracing_subscriber::registry().with(ours);
        tracing::subscriber::with_default(ours, events);
        let library = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_target(false)
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(theirs.clone())
            .finish();
        tracing::subscriber::with_default(library, events);
        let lines = own.lines();
        assert_eq!(lines.len(), 7, "{lines:#?}");
        assert_eq!(lines, theirs.lines());
    }
}
