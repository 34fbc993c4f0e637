//! The front matter of a hook.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::template::Template;
use super::{Hook, HookProblem, Scheme, Urgency};
use crate::frontmatter;
use crate::nearest::nearest;
use crate::session::{Role, UserId};

/// The fields that there are.
const FIELDS: [&str; 8] =
    ["scheme", "secret_env", "user", "role", "task_id", "collapse_key", "priority", "when"];

/// The most bytes of a hook: it becomes a message.
const MAX_BYTES: usize = 64 * 1024;

/// Reads a file, or tells all that is wrong with it.
pub(super) fn parse(file: &str, text: &str) -> Result<Hook, Vec<HookProblem>> {
    let mut reader = Reader { file, text, problems: Vec::new() };
    if text.len() > MAX_BYTES {
        reader.problem(None, format!("is larger than {} KiB", MAX_BYTES >> 10), "shorten it");
        return Err(reader.problems);
    }
    let matter = match frontmatter::parse(text) {
        Ok(matter) => matter,
        Err(error) => {
            let remedy = "correct the YAML between the --- lines; a value with a colon or that begins with a brace needs quotes";
            reader.problem(error.line, error.reason, remedy);
            return Err(reader.problems);
        }
    };
    reader.unknown(&matter.fields);
    let scheme = reader.scheme(&matter.fields);
    let secret_env = reader.secrets(&matter.fields);
    let user = reader.user(&matter.fields);
    let role = reader.role(&matter.fields);
    let task_id = reader.named(&matter.fields, "task_id");
    let collapse_key = reader.named(&matter.fields, "collapse_key");
    let priority = reader.priority(&matter.fields);
    let when = reader.when(&matter.fields);
    let text = reader.body(matter.body);
    match (scheme, user, role, text) {
        (Some(scheme), Some(user), Some(role), Some(text)) if reader.problems.is_empty() => {
            Ok(Hook { scheme, secret_env, user, role, task_id, collapse_key, priority, when, text })
        }
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<HookProblem>,
}

impl Reader<'_> {
    fn problem(&mut self, line: Option<usize>, what: impl Into<String>, remedy: impl Into<String>) {
        let (file, what, remedy) = (self.file.to_owned(), what.into(), remedy.into());
        self.problems.push(HookProblem { file, line, what, remedy });
    }

    /// The line on which a field begins.
    fn line(&self, field: &str) -> Option<usize> {
        let is_field = |line: &str| {
            let line = line.trim_start_matches(['"', '\'']);
            let rest = line.strip_prefix(field).map(|rest| rest.trim_start_matches(['"', '\'']));
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        self.text.lines().position(is_field).map(|at| at + 1)
    }

    fn of_field(&mut self, field: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let line = self.line(field).or(Some(1));
        self.problem(line, what, remedy);
    }

    fn unknown(&mut self, fields: &Map<String, Value>) {
        for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            let remedy = match nearest(name, FIELDS) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("there are {}", FIELDS.join(", ")),
            };
            self.of_field(name, format!("there is no field {name:?}"), remedy);
        }
    }

    fn scheme(&mut self, fields: &Map<String, Value>) -> Option<Scheme> {
        let given = fields.get("scheme").and_then(Value::as_str);
        let found = Scheme::ALL.into_iter().find(|(name, _)| Some(*name) == given);
        if found.is_none() {
            let what = given.map_or_else(
                || "scheme is missing".to_owned(),
                |given| format!("there is no scheme {given:?}"),
            );
            self.of_field("scheme", what, "write standard, github, stripe or slack");
        }
        found.map(|(_, scheme)| scheme)
    }

    fn secrets(&mut self, fields: &Map<String, Value>) -> Vec<String> {
        let given: Vec<&Value> = match fields.get("secret_env") {
            Some(Value::Array(several)) => several.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        // Small letters are a secret's own, as in `whsec_…`, more often than a variable's.
        let is_name = |name: &&str| {
            let is_one =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(is_one)
        };
        let names: Vec<String> = given
            .iter()
            .filter_map(|one| one.as_str().filter(is_name))
            .map(str::to_owned)
            .collect();
        // What stands there may be the secret itself, and is not repeated.
        if names.is_empty() || names.len() != given.len() {
            let what = if given.is_empty() {
                "secret_env is missing"
            } else {
                "secret_env is not the name of a variable, or a list of names"
            };
            let remedy =
                "write the name of the variable that holds the secret, such as SHOP_WEBHOOK_SECRET";
            self.of_field("secret_env", what, remedy);
        }
        names
    }

    fn user(&mut self, fields: &Map<String, Value>) -> Option<Template> {
        let user = self.named(fields, "user");
        if !fields.contains_key("user") {
            self.of_field("user", "user is missing", "write an id, or \"{body.path}\"");
        }
        if let Some(fixed) = user.as_ref().and_then(Template::fixed)
            && let Err(error) = UserId::parse(fixed)
        {
            self.of_field("user", error.to_string(), "write an id, or \"{body.path}\"");
        }
        user
    }

    fn role(&mut self, fields: &Map<String, Value>) -> Option<Role> {
        let given = fields.get("role").map(|role| role.as_str().unwrap_or_default());
        let role = given.map(Role::parse);
        let what = match &role {
            None => "role is missing".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(_)) => return role?.ok(),
        };
        self.of_field("role", what, "write the name of a role of the workspace");
        None
    }

    /// A text that names something, with values of the body only: headers are not signed, so that
    /// whoever has seen one event could have it told to another.
    fn named(&mut self, fields: &Map<String, Value>, field: &str) -> Option<Template> {
        let text = match fields.get(field)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            // `user: {body.customer}` without quotes.
            Value::Object(unquoted) if unquoted.len() == 1 => {
                let (name, value) = unquoted.iter().next()?;
                if value.is_null() { format!("{{{name}}}") } else { String::new() }
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        };
        let remedy = "write a text in quotes, with {body.path} for what the event says";
        if text.trim().is_empty() {
            self.of_field(field, format!("{field} is no text"), remedy);
            return None;
        }
        match Template::parse(text.trim()) {
            Ok(template) if template.has_header() => {
                let what = format!("{field} has a header, and headers are not signed");
                self.of_field(field, what, "use {body.path}");
                None
            }
            Ok(template) => Some(template),
            Err(bad) => {
                self.of_field(field, format!("{field}: {}", bad.what), remedy);
                None
            }
        }
    }

    fn priority(&mut self, fields: &Map<String, Value>) -> Option<Urgency> {
        let given = fields.get("priority")?;
        let found = Urgency::ALL.into_iter().find(|(name, _)| Some(*name) == given.as_str());
        if found.is_none() {
            let what = format!("there is no priority {given}");
            self.of_field("priority", what, "write low, normal or high");
        }
        found.map(|(_, urgency)| urgency)
    }

    fn when(&mut self, fields: &Map<String, Value>) -> Vec<Condition> {
        let remedy = "write when: {path: [values]}, such as when: {type: [invoice.paid]}";
        let lines = match fields.get("when") {
            None => return Vec::new(),
            Some(Value::Object(lines)) => lines,
            Some(_) => {
                self.of_field("when", "when is no list of paths with their values", remedy);
                return Vec::new();
            }
        };
        let mut when = Vec::new();
        for (path, values) in lines {
            match Condition::parse(path, values) {
                Ok(condition) => when.push(condition),
                Err(what) => self.of_field("when", what, remedy),
            }
        }
        when
    }

    fn body(&mut self, body: &str) -> Option<Template> {
        let above = &self.text[..self.text.len() - body.trim_start().len()];
        let first = above.matches('\n').count() + 1;
        if body.trim().is_empty() {
            self.problem(
                None,
                "has no text",
                "write below the front matter what the agent is told",
            );
            return None;
        }
        match Template::parse(body.trim()) {
            Ok(text) => Some(text),
            Err(bad) => {
                let remedy = "write {body.path} or {header.name}";
                self.problem(Some(first + bad.line), bad.what, remedy);
                None
            }
        }
    }
}
