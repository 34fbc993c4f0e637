//! `hooks/{name}.md`: how a webhook of another service becomes a notification (docs/WORKSPACE.md,
//! "Webhooks").

mod condition;
mod fields;
mod template;

use std::fmt;
use std::path::Path;

use crate::loader::{Folder, Read};
use crate::session::Role;

pub use self::condition::Condition;
pub use self::template::{Event, MAX_VALUE, Template};

/// The folder within the workspace.
const FOLDER: &str = "hooks";

/// How a service signs what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks.
    Standard,
    /// GitHub.
    Github,
    /// Stripe.
    Stripe,
    /// Slack.
    Slack,
}

impl Scheme {
    /// All of them, by the names that files have for them.
    pub const ALL: [(&'static str, Self); 4] = [
        ("standard", Self::Standard),
        ("github", Self::Github),
        ("stripe", Self::Stripe),
        ("slack", Self::Slack),
    ];
}

/// How soon the notification is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// After others.
    Low,
    /// As any other.
    Normal,
    /// Before others, and in quiet hours.
    High,
}

impl Urgency {
    const ALL: [(&'static str, Self); 3] =
        [("low", Self::Low), ("normal", Self::Normal), ("high", Self::High)];
}

/// A file that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// How the service signs.
    pub scheme: Scheme,
    /// The variables with its secrets: any of them counts, so that one can replace another.
    pub secret_env: Vec<String>,
    /// Whom it is about.
    pub user: Template,
    /// Which agent is told.
    pub role: Role,
    /// The task that it belongs to.
    pub task_id: Option<Template>,
    /// What of the same key is folded into one notification.
    pub collapse_key: Option<Template>,
    /// How urgent it is.
    pub priority: Option<Urgency>,
    /// All of them have to hold, or nobody is told.
    pub when: Vec<Condition>,
    /// What the agent is told.
    pub text: Template,
}

impl Hook {
    /// Whether it wants what only a backend with `delivery_options` does.
    pub fn has_delivery_options(&self) -> bool {
        self.collapse_key.is_some() || self.priority.is_some()
    }
}

/// Something that makes a file unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookProblem {
    /// The file, within the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for HookProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

/// What there is under a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// No such file.
    Missing,
    /// A file that cannot be used, and all that is wrong with it.
    Broken(Vec<HookProblem>),
    /// A file that can be used.
    Usable(Box<Hook>),
}

/// Looks up the file of a name. One that could be no file's name is missing: no name holds a path.
pub fn read(workspace: &Path, name: &str) -> Found {
    if Role::parse(name).is_err() {
        return Found::Missing;
    }
    Folder::open(workspace).map_or(Found::Missing, |folder| of_folder(&folder, name))
}

/// The names of all files, sorted.
pub fn names(workspace: &Path) -> Vec<String> {
    Folder::open(workspace).map(|folder| listed(&folder)).unwrap_or_default()
}

fn listed(folder: &Folder) -> Vec<String> {
    let name = |file: &String| file.strip_suffix(".md").map(str::to_owned);
    let is_name = |name: &String| Role::parse(name).is_ok();
    folder.list(FOLDER).iter().filter_map(name).filter(is_name).collect()
}

fn of_folder(folder: &Folder, name: &str) -> Found {
    let file = format!("{FOLDER}/{name}.md");
    match folder.read_whole(&file) {
        Read::Missing => Found::Missing,
        Read::Text(text) => match fields::parse(&file, &text) {
            Ok(hook) => Found::Usable(Box::new(hook)),
            Err(problems) => Found::Broken(problems),
        },
        Read::Bad(what) => {
            let what = what.trim_end_matches("; save it as UTF-8").to_owned();
            let remedy = "replace it with a text file in UTF-8 that may be read".to_owned();
            Found::Broken(vec![HookProblem { file, line: None, what, remedy }])
        }
    }
}

/// All that is wrong in the folder.
pub(crate) fn problems(folder: &Folder) -> Vec<HookProblem> {
    let mut found = Vec::new();
    for file in folder.list(FOLDER) {
        let is_read = file.strip_suffix(".md").is_some_and(|name| Role::parse(name).is_ok());
        if !is_read {
            found.push(HookProblem {
                file: format!("{FOLDER}/{file}"),
                line: None,
                what: "is not read".to_owned(),
                remedy: "name it NAME.md, with letters, digits, '_' and '-' only".to_owned(),
            });
        }
    }
    for name in listed(folder) {
        if let Found::Broken(problems) = of_folder(folder, &name) {
            found.extend(problems);
        }
    }
    found
}

#[cfg(test)]
mod tests;
