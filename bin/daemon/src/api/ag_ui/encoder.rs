//! Encodes a run's updates as AG-UI events. A step is a turn of the model with its tool calls.

use daemon_api::{RequestKind, ToolRequest};
use serde_json::{Map, Value, json};

use super::super::run_stream::RunUpdate;
use super::input::Input;
use super::run_error;
use super::transcript::Transcript;
use crate::run::answer::RunAnswer;
use crate::run::events::RunEvent;
use crate::run::output::Output;

/// Encodes updates as events, in the order that the protocol requires.
pub(super) struct Encoder {
    thread_id: String,
    run_id: String,
    state: Map<String, Value>,
    /// Whether the client speaks version 1. Those before it reject outcomes and keys that came with it.
    is_version_1: bool,
    /// The id of the text message that is open.
    open: Option<String>,
    /// Messages so far.
    messages: u32,
    /// Turns so far.
    turns: u32,
    /// Whether tools have answered since the turn started, so that the next event starts a new turn.
    answered: bool,
    /// Whether any text was sent.
    spoke: bool,
    transcript: Transcript,
}

impl Encoder {
    /// An encoder for a run; `messages` are the client's own.
    pub(super) fn new(input: &Input, messages: Vec<Value>) -> Self {
        Self {
            thread_id: input.thread_id.clone(),
            run_id: input.run_id.clone(),
            state: input.state.clone(),
            is_version_1: input.is_version_1,
            open: None,
            messages: 0,
            turns: 0,
            answered: false,
            spoke: false,
            transcript: Transcript::new(messages),
        }
    }

    /// The events of a run that the user has cancelled.
    pub(super) fn cancelled(&mut self) -> Vec<Value> {
        vec![self.started(), self.stopped()]
    }

    /// The events of one update.
    pub(super) fn encode(&mut self, update: RunUpdate) -> Vec<Value> {
        let mut out = Vec::new();
        match update {
            RunUpdate::Event(RunEvent::Start { run_id, task_id, trace_id, .. }) => {
                out.push(self.started());
                let own = json!({ "run_id": run_id, "task_id": task_id, "trace_id": trace_id });
                out.push(self.snapshot(own));
                self.start_turn(&mut out);
            }
            RunUpdate::Event(RunEvent::Chunk { data, step }) => self.text(&data, step, &mut out),
            RunUpdate::Event(RunEvent::Restarted { step, from, .. }) => {
                self.take_back(step, from, &mut out);
            }
            RunUpdate::Event(RunEvent::ToolCall { id, name, arguments }) => {
                self.start_turn(&mut out);
                self.close(&mut out);
                out.push(
                    json!({ "type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": name }),
                );
                let delta = arguments.to_string();
                self.transcript.call(&id, &name, &delta);
                out.push(json!({ "type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": delta }));
                out.push(json!({ "type": "TOOL_CALL_END", "toolCallId": id }));
            }
            RunUpdate::Event(RunEvent::ToolResult { id, ok, duration_ms, .. }) => {
                let content = json!({ "ok": ok, "duration_ms": duration_ms }).to_string();
                let message = self.next_message();
                self.transcript.result(&message, &id, &content);
                out.push(json!({
                    "type": "TOOL_CALL_RESULT", "messageId": message, "toolCallId": id,
                    "content": content, "role": "tool",
                }));
                self.answered = true;
            }
            RunUpdate::Done(answer) => self.end(&answer, &mut out),
            RunUpdate::Failed(error) if self.is_version_1 && error.body.code == "run_cancelled" => {
                self.close(&mut out);
                self.end_step(&mut out);
                out.push(self.stopped());
            }
            RunUpdate::Failed(error) => out.push(run_error(&error)),
        }
        out
    }

    fn started(&self) -> Value {
        let mut event =
            json!({ "type": "RUN_STARTED", "threadId": self.thread_id, "runId": self.run_id });
        if self.is_version_1 {
            event["protocolVersion"] = json!("1.0");
        }
        event
    }

    /// The end of a run with this outcome.
    fn finished(&self, outcome: Value) -> Value {
        json!({
            "type": "RUN_FINISHED", "threadId": self.thread_id, "runId": self.run_id,
            "outcome": outcome,
        })
    }

    /// The end of a run that was cancelled. Earlier versions have no word for it.
    fn stopped(&self) -> Value {
        let mut event = self.finished(json!({ "type": "cancelled" }));
        if !self.is_version_1 {
            event["result"] = json!({ "status": "cancelled" });
            if let Value::Object(event) = &mut event {
                event.remove("outcome");
            }
        }
        event
    }

    /// The client's state, with ours under `wombat`.
    fn snapshot(&mut self, own: Value) -> Value {
        self.state.insert("wombat".to_owned(), own);
        json!({ "type": "STATE_SNAPSHOT", "snapshot": self.state })
    }

    /// Starts a new turn if one is due.
    fn start_turn(&mut self, out: &mut Vec<Value>) {
        if self.turns > 0 && !self.answered {
            return;
        }
        self.close(out);
        self.end_step(out);
        self.answered = false;
        self.turns += 1;
        out.push(json!({ "type": "STEP_STARTED", "stepName": self.step() }));
    }

    fn end_step(&self, out: &mut Vec<Value>) {
        if self.turns > 0 {
            out.push(json!({ "type": "STEP_FINISHED", "stepName": self.step() }));
        }
    }

    fn step(&self) -> String {
        format!("turn {}", self.turns)
    }

    fn next_message(&mut self) -> String {
        self.messages += 1;
        format!("{}-{}", self.run_id, self.messages)
    }

    fn text(&mut self, delta: &str, step: Option<u32>, out: &mut Vec<Value>) {
        if delta.is_empty() {
            return;
        }
        self.start_turn(out);
        self.spoke = true;
        self.transcript.text(delta, step);
        let message = match &self.open {
            Some(message) => message.clone(),
            None => {
                let message = self.next_message();
                out.push(json!({
                    "type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant",
                }));
                self.open = Some(message.clone());
                message
            }
        };
        out.push(json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": delta }));
    }

    fn close(&mut self, out: &mut Vec<Value>) {
        if let Some(message) = self.open.take() {
            out.push(json!({ "type": "TEXT_MESSAGE_END", "messageId": message }));
            self.transcript.close(&message);
        }
    }

    /// Takes text back: the client gets all its messages anew, without it. What is left of the message
    /// begins another one, which the turn goes on in.
    fn take_back(&mut self, step: u32, from: u64, out: &mut Vec<Value>) {
        let Some(left) = self.transcript.take_back(step, from) else { return };
        if let Some(message) = self.open.take() {
            out.push(json!({ "type": "TEXT_MESSAGE_END", "messageId": message }));
        }
        self.spoke = false;
        out.push(self.transcript.snapshot());
        self.text(&left, Some(step), out);
    }

    fn end(&mut self, answer: &RunAnswer, out: &mut Vec<Value>) {
        if !self.spoke {
            self.text(&answer.response, None, out);
        }
        self.close(out);
        self.end_step(out);
        let mut own = json!({
            "run_id": answer.run_id, "task_id": answer.task_id, "trace_id": answer.trace_id,
            "message_id": answer.message_id(),
        });
        match &answer.output {
            Some(Output::Fits(output)) => own["output"] = output.clone(),
            Some(Output::Misfits(errors)) => {
                own["output"] = Value::Null;
                own["output_errors"] = json!(errors);
            }
            None => {}
        }
        out.push(self.snapshot(own));
        let interrupts: Vec<_> =
            answer.tool_requests().iter().map(|asked| interrupt(asked, &answer.run_key)).collect();
        let outcome = if interrupts.is_empty() {
            json!({ "type": "success" })
        } else {
            json!({ "type": "interrupt", "interrupts": interrupts })
        };
        let mut finished = self.finished(outcome);
        finished["result"] = serde_json::to_value(answer).unwrap_or_default();
        out.push(finished);
    }
}

/// What a run waits for: a person's approval, or the answer to a question, which the client may give.
fn interrupt(asked: &ToolRequest, run_key: &str) -> Value {
    let metadata = json!({ "tool": asked.tool, "arguments": asked.arguments, "run_key": run_key });
    let Some(question) = asked.question.as_ref().filter(|_| asked.kind == RequestKind::Question)
    else {
        return json!({ "id": asked.id, "reason": "tool_approval", "metadata": metadata,
            "message": format!("A person has to approve {}.", asked.tool) });
    };
    let schema = asked.parameters.clone().unwrap_or_else(|| json!({ "type": "string" }));
    let mut interrupt = json!({ "id": asked.id, "reason": "input_required", "message": question,
        "responseSchema": schema, "metadata": metadata });
    if let Some(expires_at) = &asked.expires_at {
        interrupt["expiresAt"] = json!(expires_at);
    }
    interrupt
}
