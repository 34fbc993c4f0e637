//! The tool calls of an answer. The model keeps nothing between its turns: each turn plays the answer from
//! the beginning, with the results that are in the conversation, up to the first call that has none.

use serde_json::{Value, json};

use super::Asked;
use crate::request::ToolList;

/// The most calls of one message: its wishes are few.
const MAX_CALLS: usize = 40;

/// A tool with its arguments.
pub(super) type Call = (String, Value);

/// Why an answer does not go on here.
#[derive(Debug)]
pub(super) enum Stop {
    /// These calls come first.
    Calls(Vec<Call>),
    /// This is all there is to say.
    Say(String),
}

/// An answer in the making.
pub(super) struct Play<'a> {
    tools: &'a ToolList,
    pub(super) role: &'a str,
    has_scout: bool,
    message: &'a str,
    /// Of the calls so far, in their order.
    results: Vec<Value>,
    /// How many of them have been used.
    at: usize,
    /// The schools that this answer has named, in their order.
    pub(super) named: Vec<String>,
    /// The task in which work was finished.
    pub(super) finished: Option<String>,
    /// Whether something could not be done, or has to be asked.
    pub(super) is_open: bool,
}

impl<'a> Play<'a> {
    pub(super) fn new(asked: &Asked<'a>) -> Self {
        Self {
            tools: asked.tools,
            role: asked.role,
            has_scout: asked.has_scout,
            message: asked.message,
            results: asked.results.clone(),
            at: 0,
            named: Vec::new(),
            finished: None,
            is_open: false,
        }
    }

    pub(super) fn has(&self, tool: &str) -> bool {
        self.tools.iter().any(|spec| spec.name == tool)
    }

    /// Whether the schools of the demo application can be searched.
    pub(super) fn has_schools(&self) -> bool {
        let of_schools = |text: &str| text.contains(SEARCH);
        self.tools.iter().any(|spec| {
            spec.name == "call_backend"
                && (of_schools(&spec.description) || of_schools(&spec.parameters.to_string()))
        })
    }

    /// Whether another role is there that searches them.
    pub(super) fn names_scout(&self) -> bool {
        self.has_scout && self.role != "scout"
    }

    /// The results of calls, where all of them succeeded.
    pub(super) fn call_all(&mut self, calls: Vec<Call>) -> Result<Vec<Value>, Stop> {
        let results = self.try_all(calls)?;
        results.into_iter().map(|result| result.map_err(Stop::Say)).collect()
    }

    pub(super) fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, Stop> {
        let result = self.try_all(vec![(tool.to_owned(), arguments)])?.pop();
        result.unwrap_or_else(|| Ok(Value::Null)).map_err(Stop::Say)
    }

    /// The results of calls; of one that failed, the sentence that says so.
    pub(super) fn try_all(&mut self, calls: Vec<Call>) -> Result<Vec<Result<Value, String>>, Stop> {
        if let Some((tool, _)) = calls.iter().find(|(tool, _)| !self.has(tool)) {
            self.is_open = true;
            return Err(Stop::Say(self.lacks(tool)));
        }
        let end = self.at + calls.len();
        if end > MAX_CALLS {
            return Err(Stop::Say("That takes more steps than I make for one message.".to_owned()));
        }
        if end > self.results.len() {
            return Err(Stop::Calls(calls));
        }
        let results = self.results[self.at..end].iter().zip(&calls);
        let results = results.map(|(result, (tool, _))| outcome(tool, result)).collect::<Vec<_>>();
        self.at = end;
        self.is_open |= results.iter().any(Result::is_err);
        Ok(results)
    }

    fn lacks(&self, tool: &str) -> String {
        format!("That takes the tool {tool}, which the agent {} does not have here.", self.role)
    }

    /// An answer of the search for schools.
    pub(super) fn search(&mut self, body: Value) -> Result<Value, Stop> {
        if !self.has_schools() {
            self.is_open = true;
            if !self.names_scout() {
                return Err(Stop::Say(NO_SEARCH.to_owned()));
            }
            let words = self.message.split_whitespace().skip_while(|word| word.starts_with('@'));
            let message: String = words.collect::<Vec<_>>().join(" ").chars().take(200).collect();
            return Err(Stop::Say(format!(
                "The agent {} has no access to a search for schools here. In the example workspace it is \
                 Scout who searches: write “@scout {message}”.",
                self.role
            )));
        }
        let arguments = json!({ "method": "POST", "path": SEARCH, "body": body });
        self.call("call_backend", arguments)
    }

    /// The call that reads a school's profile.
    pub(super) fn profile(id: &str) -> Call {
        let path = format!("/api/schools/{id}/profile");
        ("call_backend".to_owned(), json!({ "method": "GET", "path": path }))
    }

    /// Writes a document into the task of the reply; what to say of it.
    pub(super) fn document(
        &mut self,
        kind: &str,
        title: &str,
        content: String,
    ) -> Result<String, Stop> {
        if !self.has("create_document") {
            return Ok(String::new());
        }
        let arguments = json!({ "doc_type": kind, "title": title, "content": content });
        let written = self.try_all(vec![("create_document".to_owned(), arguments)])?.pop();
        Ok(match written {
            Some(Ok(document)) => {
                self.finished = document["task_id"].as_str().map(str::to_owned);
                format!("The notes are in the document “{}”.", text(&document, "title"))
            }
            Some(Err(error)) => error,
            None => String::new(),
        })
    }

    /// Completes the task in which work was finished, unless something is left to do or to ask; what to say
    /// of it.
    pub(super) fn finish(&mut self) -> Result<String, Stop> {
        let Some(task) = self.finished.take().filter(|_| !self.is_open) else {
            return Ok(String::new());
        };
        if !self.has("update_task") {
            return Ok(String::new());
        }
        let arguments = json!({ "task_id": task, "status": "completed" });
        let updated = self.try_all(vec![("update_task".to_owned(), arguments)])?.pop();
        Ok(match updated {
            Some(Ok(task)) => format!("The task “{}” is completed.", text(&task, "title")),
            Some(Err(error)) => error,
            None => String::new(),
        })
    }
}

/// The endpoint of the demo application's search.
const SEARCH: &str = "/api/schools/search";

const NO_SEARCH: &str = "This workspace has no search for schools; the demo's has (make demo). \
     docs/QUICKSTART.md, step 7, adds one.";

/// A field that is a text.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn outcome(tool: &str, result: &Value) -> Result<Value, String> {
    match result {
        Value::Object(fields) => match fields.get("error") {
            None => Ok(result.clone()),
            Some(Value::String(error)) => Err(format!("{tool} did not work: {error}")),
            Some(error) => Err(format!("{tool} did not work: {error}")),
        },
        _ => Err(format!("The answer to {tool} cannot be read; it may be too long.")),
    }
}
