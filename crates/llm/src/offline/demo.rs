//! The built-in script: a model for the demo on the example workspace, which needs no key and no network.
//!
//! It reads a message by its words (`words.rs`, `lexicon.rs`), finds out what is asked for, part by part
//! (`wish.rs`, `search.rs`), and answers each part from what the tools return (`schools.rs`, `tasks.rs`). What it
//! does not understand it says.

mod lexicon;
mod meant;
mod orders;
mod play;
mod reading;
mod schools;
mod search;
mod slips;
mod tasks;
mod thread;
mod wish;
mod words;

#[cfg(test)]
mod tests;

use serde_json::Value;

use self::play::{Play, Stop};
use self::search::Search;
use self::thread::Thread;
use self::wish::Wish;
use crate::request::{Message, ToolList};

/// What the model does in a turn: what it says, and the tools that it calls.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) text: String,
    pub(super) calls: Vec<(String, Value)>,
}

/// What a turn rests on.
pub(super) struct Asked<'a> {
    pub(super) role: &'a str,
    /// The person's newest message.
    pub(super) message: &'a str,
    /// The conversation before it.
    pub(super) earlier: &'a [Message],
    pub(super) tools: &'a ToolList,
    /// Whether the prompt names the role of the example workspace that searches schools.
    pub(super) has_scout: bool,
    /// Of the calls since, in their order.
    pub(super) results: Vec<Value>,
}

const EXAMPLES_OF_SCHOOLS: &str = "\
1. “find two primary schools near the beach”
2. “compare Seacliff and Banksia”
3. “show my tasks”";

/// What every workspace can do.
const EXAMPLES_OF_TASKS: &str = "\
1. “remind me to buy milk”
2. “create a task: write the report”
3. “show my tasks”";

const PLAN: &str = "\
# Plan

1. **Listen**: write down what matters most, and what would be a reason to say no.
2. **Search**: a first list from the backend, three to five candidates.
3. **Compare**: one document with the candidates side by side.
4. **Decide**: the next step becomes a task with a date.";

pub(super) fn turn(asked: Asked<'_>) -> Turn {
    if is_heartbeat(asked.message) {
        return Turn { text: "HEARTBEAT_OK".to_owned(), calls: Vec::new() };
    }
    let thread = Thread::new(asked.earlier);
    let wishes = wish::wishes(asked.message, &thread);
    let mut play = Play::new(&asked);
    let mut said: Vec<String> = Vec::new();
    for wish in &wishes {
        match answer(&mut play, wish, &thread) {
            Ok(text) | Err(Stop::Say(text)) => said.push(text),
            Err(Stop::Calls(calls)) => return Turn { text: said.join("\n\n"), calls },
        }
    }
    match play.finish() {
        Ok(text) | Err(Stop::Say(text)) => said.push(text),
        Err(Stop::Calls(calls)) => return Turn { text: said.join("\n\n"), calls },
    }
    said.retain(|text| !text.is_empty());
    Turn { text: said.join("\n\n"), calls: Vec::new() }
}

/// Whether nobody asks, but `wombat-heartbeat`, or a schedule of one's own that words it likewise.
fn is_heartbeat(message: &str) -> bool {
    let message = message.trim();
    let begin = message.get(.."heartbeat".len()).unwrap_or_default();
    let rest = || message["heartbeat".len()..].trim_start();
    message.contains("HEARTBEAT_OK")
        || (begin.eq_ignore_ascii_case("heartbeat")
            && (rest().is_empty() || rest().starts_with([':', '.', '!', ','])))
}

fn answer(play: &mut Play<'_>, wish: &Wish, thread: &Thread<'_>) -> Result<String, Stop> {
    match wish {
        Wish::Search(search) => schools::search(play, search),
        Wish::Count(search) => schools::count(play, search),
        Wish::Compare(words) => schools::compare(play, words, thread),
        Wish::Profile(words) => {
            if let Some(told) = schools::profile(play, words, thread)? {
                return Ok(told);
            }
            let search = Search::all_of(words).swap_remove(0);
            if search.is_specific() {
                return schools::search(play, &search);
            }
            play.is_open = true;
            Ok(unknown(play, &written(words)))
        }
        Wish::Visit { words, when } => schools::visit(play, words, when.as_deref(), thread),
        Wish::MayVisit(words) => schools::may_visit(play, words, thread),
        Wish::Where => {
            play.is_open = true;
            Ok("I do not know where you live. Name a suburb, or one of: beach, park, city, river, hills."
                .to_owned())
        }
        Wish::Shortlist(words) => schools::shortlist(play, words, thread),
        Wish::ShowShortlist => schools::show_shortlist(play),
        Wish::ListTasks { status, only } => tasks::list(play, *status, *only),
        Wish::CreateTasks(titles) => tasks::create(play, titles),
        Wish::MoveTask { status, words } => tasks::set_status(play, status, words, thread),
        Wish::CannotForget => {
            play.is_open = true;
            Ok("I cannot: I keep nothing myself, and of what the backend keeps of you I can delete tasks only. \
                An operator erases the rest with one call (docs/HOWTO.md, “Delete a user's data”)."
                .to_owned())
        }
        Wish::CannotDelete => {
            play.is_open = true;
            Ok("I can delete tasks, and nothing else: there is no tool here for it.".to_owned())
        }
        Wish::Plan => Ok(PLAN.to_owned()),
        Wish::Nothing => Ok("All right: nothing is changed.".to_owned()),
        Wish::Thanks => Ok("You are welcome.".to_owned()),
        Wish::Hello => Ok(format!(
            "Hello, I am {}, played by a scripted model. Try for example:\n\n{}",
            play.role,
            examples(play)
        )),
        Wish::Help => Ok(help(play)),
        Wish::Unknown(text) => {
            play.is_open = true;
            Ok(unknown(play, text))
        }
    }
}

fn written(words: &[words::Word]) -> String {
    words.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" ")
}

/// What the agent can do with the tools that it has.
fn help(play: &Play<'_>) -> String {
    let schools = play.has_schools();
    let can = [
        (
            schools,
            "search schools by level, place, suburb, fees, rating and programs, and write what I find into a document",
        ),
        (schools, "compare schools, and tell what is known of one"),
        (
            schools && play.has("create_task"),
            "put a visit on your list of tasks, when you ask for it",
        ),
        (schools && play.has("shortlist_school"), "keep your shortlist"),
        (play.has("list_tasks"), "list your tasks"),
        (play.has("create_task"), "create tasks"),
        (play.has("update_task"), "complete and delete tasks"),
    ];
    let can: Vec<_> =
        can.iter().filter(|(can, _)| *can).map(|(_, what)| format!("- {what}")).collect();
    let not = if !schools && play.names_scout() {
        "Searching schools is Scout's work here: write “@scout …”."
    } else {
        ""
    };
    let list = if can.is_empty() { String::new() } else { format!("I can:\n\n{}", can.join("\n")) };
    let what = format!(
        "I am {}, played by a scripted model: it understands a few kinds of sentences in English, and needs no key and no network. All facts come from the backend.",
        play.role
    );
    schools::paragraphs(&[&what, &list, not, &format!("Try for example:\n\n{}", examples(play))])
}

/// What can be asked here.
fn examples(play: &Play<'_>) -> &'static str {
    if play.has_schools() { EXAMPLES_OF_SCHOOLS } else { EXAMPLES_OF_TASKS }
}

fn unknown(play: &Play<'_>, text: &str) -> String {
    let said: String = text.chars().take(300).collect();
    format!(
        "I am a scripted model, built in for the demo (no key needed), and I did not understand this. You \
         wrote: {said}\n\nTry for example:\n\n{}\n\nFor a real model, set its key (docs/REAL_MODELS.md).",
        examples(play)
    )
}
