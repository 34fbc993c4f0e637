//! Answers about tasks, from what the tools on them say.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::play::{Play, Stop, text};
use super::slips::is_slip;
use super::thread::Thread;
use super::words::{Word, words};

/// How many tasks a page has, and the most pages that are read.
const PAGE: usize = 50;
const PAGES: usize = 5;

/// The most tasks that a reply lists, and the most that one message changes.
const SHOWN: usize = 20;
const CHANGED: usize = 10;

/// The user's tasks, oldest first; the second is whether there are more.
fn all(play: &mut Play<'_>) -> Result<(Vec<Value>, bool), Stop> {
    let mut tasks = Vec::new();
    let mut arguments = json!({ "limit": PAGE });
    for _ in 0..PAGES {
        let mut page = play.call("list_tasks", arguments.clone())?;
        if let Value::Array(items) = page["items"].take() {
            tasks.extend(items);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => arguments["cursor"] = cursor.into(),
            None => return Ok((tasks, false)),
        }
    }
    Ok((tasks, true))
}

fn is_done(task: &Value) -> bool {
    ["completed", "cancelled"].contains(&text(task, "status"))
}

fn entry(task: &Value) -> String {
    format!("“{}” ({})", text(task, "title"), text(task, "status").replace('_', " "))
}

fn numbered<'t>(tasks: impl Iterator<Item = &'t Value>) -> String {
    tasks.enumerate().fold(String::new(), |mut list, (at, task)| {
        let _ = write!(list, "\n{}. {}", at + 1, entry(task));
        list
    })
}

/// The tasks: those that are open and then the completed ones, or those of a status, or with a word.
pub(super) fn list(
    play: &mut Play<'_>,
    status: Option<&str>,
    only: Option<&str>,
) -> Result<String, Stop> {
    let (tasks, has_more) = all(play)?;
    let wanted = |task: &&Value| {
        let title = text(task, "title").to_lowercase();
        let of = text(task, "status");
        only.is_none_or(|only| title.contains(only))
            && match status {
                // “Open” is all that is left to do.
                Some("pending") => !is_done(task),
                Some(status) => of == status,
                None => of != "cancelled",
            }
    };
    let mut shown: Vec<&Value> = tasks.iter().filter(wanted).collect();
    shown.sort_by_key(|task| is_done(task));
    let what = match (status, only) {
        (Some("pending"), _) => "open task".to_owned(),
        (Some(status), _) => format!("task that is {}", status.replace('_', " ")),
        (None, Some(only)) => format!("task with “{only}” in its title"),
        (None, None) => "task".to_owned(),
    };
    if shown.is_empty() {
        return Ok(format!("You have no {what}."));
    }
    let (first, rest) = what
        .split_once(' ')
        .map_or((what.as_str(), ""), |(first, _)| (first, &what[first.len()..]));
    let plural = if shown.len() == 1 {
        what.clone()
    } else if first == "open" {
        "open tasks".to_owned()
    } else {
        format!(
            "tasks{}",
            rest.replacen("that is", "that are", 1).replacen("its title", "their titles", 1)
        )
    };
    let mut said = format!(
        "You have {} {plural}:\n{}",
        shown.len(),
        numbered(shown.iter().take(SHOWN).copied())
    );
    if shown.len() > SHOWN {
        let _ = write!(said, "\n\n… and {} more.", shown.len() - SHOWN);
    }
    if has_more {
        said += "\n\nThere are more tasks than I read.";
    }
    Ok(said)
}

pub(super) fn create(play: &mut Play<'_>, titles: &[String]) -> Result<String, Stop> {
    if titles.is_empty() {
        play.is_open = true;
        return Ok("What is the task? For example: “create a task: call Seacliff”.".to_owned());
    }
    let calls = titles
        .iter()
        .take(CHANGED)
        .map(|title| ("create_task".to_owned(), json!({ "title": title })));
    let made = play.try_all(calls.collect())?.into_iter().map(|made| match made {
        Ok(task) => format!("Done: I made the task “{}”.", text(&task, "title")),
        Err(error) => error,
    });
    Ok(made.collect::<Vec<_>>().join("\n"))
}

/// Gives tasks another status.
pub(super) fn set_status(
    play: &mut Play<'_>,
    status: &str,
    words: &[Word],
    thread: &Thread<'_>,
) -> Result<String, Stop> {
    let (tasks, _) = all(play)?;
    // What is done needs no other status, unless it is to be opened again or is no longer wanted.
    let can_change = |task: &&Value| {
        let of = text(task, "status");
        of != status
            && (of != "cancelled" || status == "pending")
            && (status != "in_progress" || !is_done(task))
    };
    let open: Vec<&Value> = tasks.iter().filter(can_change).collect();
    let verb = match status {
        "cancelled" => "delete",
        "completed" => "complete",
        _ => "change",
    };
    let is_all =
        words.iter().any(|word| word.key == "all") && !words.iter().any(|word| word.is_quote);
    let found = if is_all { open.clone() } else { meant(&open, words, thread) };
    if is_all && status == "cancelled" && found.len() > 1 || found.len() > CHANGED {
        play.is_open = true;
        return Ok(format!(
            "That would {verb} {}; nothing is changed yet. Name them one by one, for example: “{verb} the task {}”.",
            shown::counted(found.len(), "task"),
            text(found[0], "title")
        ));
    }
    if found.is_empty() || (found.len() > 1 && !is_several(words)) {
        play.is_open = true;
        let same = tasks.iter().filter(|task| text(task, "status") == status).collect::<Vec<_>>();
        if let [task] = meant(&same, words, &Thread::new(&[]))[..] {
            let status = status.replace('_', " ");
            return Ok(format!("“{}” is already {status}.", text(task, "title")));
        }
        return Ok(which(verb, &open, &found, words));
    }
    let calls = found
        .iter()
        .map(|task| ("update_task".to_owned(), json!({ "task_id": task["id"], "status": status })));
    let changed = play.try_all(calls.collect())?.into_iter().map(|changed| match changed {
        Ok(task) if status == "cancelled" => format!(
            "Deleted: “{}” is {} and off your list. (This backend keeps deleted tasks as cancelled.)",
            text(&task, "title"),
            text(&task, "status")
        ),
        Ok(task) => format!("Done: “{}” is {}.", text(&task, "title"), text(&task, "status").replace('_', " ")),
        Err(error) => error,
    });
    Ok(changed.collect::<Vec<_>>().join("\n"))
}

fn is_several(words: &[Word]) -> bool {
    let quotes = words.iter().filter(|word| word.is_quote).count();
    let places = words.iter().filter(|word| word.ordinal.is_some()).count();
    quotes > 1
        || places > 1
        || words.iter().any(|word| word.is(&["all", "both", "them"]) || word.text == "tasks")
}

/// That it is not clear which task is meant.
fn which(verb: &str, open: &[&Value], found: &[&Value], words: &[Word]) -> String {
    if open.is_empty() {
        return format!("There is no task to {verb}.");
    }
    let is_named = words.iter().any(|word| word.is_quote || !is_command(word));
    let lacks = if is_named && found.is_empty() { "I found no such task. " } else { "" };
    let choices = if found.is_empty() { open } else { found };
    let list = numbered(choices.iter().take(SHOWN).copied());
    format!("{lacks}Which task shall I {verb}? Nothing is changed yet.\n{list}")
}

/// The tasks that a part means: by their titles, by their place in the list, or as those that were named.
fn meant<'t>(tasks: &[&'t Value], words: &[Word], thread: &Thread<'_>) -> Vec<&'t Value> {
    let quotes: Vec<&Word> = words.iter().filter(|word| word.is_quote).collect();
    if !quotes.is_empty() {
        let by_quote = |quote: &&Word| {
            let is = |test: &dyn Fn(&str) -> bool| {
                tasks
                    .iter()
                    .copied()
                    .filter(|task| test(&text(task, "title").to_lowercase()))
                    .collect::<Vec<_>>()
            };
            let same = is(&|title| title == quote.text);
            if same.is_empty() {
                is(&|title| title.contains(&quote.text))
            } else {
                same.into_iter().take(1).collect()
            }
        };
        return quotes.iter().flat_map(by_quote).collect();
    }
    let by_title = by_title(tasks, words);
    if !by_title.is_empty() {
        return by_title;
    }
    let listed = thread.titles();
    let at = |place: usize| match listed.get(place) {
        Some(title) => tasks.iter().find(|task| text(task, "title") == title).copied(),
        None if listed.is_empty() => tasks.get(place).copied(),
        None => None,
    };
    let mut places: Vec<usize> =
        words.iter().filter_map(|word| word.ordinal?.checked_sub(1)).collect();
    let number = |pair: &[Word]| {
        (pair[0].key == "task" || pair[0].text == "number")
            .then(|| (pair[1].number? as usize).checked_sub(1))
            .flatten()
    };
    places.extend(words.windows(2).filter_map(number));
    if words.iter().any(|word| word.key == "last") {
        places.push(if listed.is_empty() { tasks.len() } else { listed.len() }.saturating_sub(1));
    }
    let points = words.iter().any(|word| word.is(&["them", "both"]))
        || (words.iter().any(|word| word.key == "it") && listed.len() == 1);
    if places.is_empty() && points {
        places = (0..listed.len()).collect();
    }
    places.into_iter().filter_map(at).collect()
}

/// The tasks whose titles are said: the longest whole title, else the titles that have all that is said.
fn by_title<'t>(tasks: &[&'t Value], said: &[Word]) -> Vec<&'t Value> {
    let has = |words: &[Word], wanted: &Word| words.iter().any(|word| is_same(word, wanted));
    let title_of = |task: &Value| {
        words(text(task, "title")).into_iter().filter(|word| !word.is_mark()).collect::<Vec<_>>()
    };
    let telling = |word: &&Word| !is_command(word);
    let end = said.iter().rposition(|word| !word.is_mark() && word.key != "please");
    let said_to_end = &said[..end.map_or(0, |end| end + 1)];
    let whole = tasks.iter().copied().filter_map(|task| {
        let title = title_of(task);
        let told = title.iter().filter(telling).count();
        let is_said = title.iter().all(|word| word.key == "filler" || has(said, word));
        // “Task A” has no word of its own, but may be the last words of “complete task A”.
        let texts = title.iter().map(|word| word.text.as_str()).rev();
        let said = said_to_end.iter().map(|word| word.text.as_str()).rev();
        let is_end = !title.is_empty() && texts.eq(said.take(title.len()));
        ((told > 0 && is_said) || is_end).then_some((told, task))
    });
    let whole: Vec<_> = whole.collect();
    if let Some(longest) = whole.iter().map(|(told, _)| *told).max() {
        return whole
            .into_iter()
            .filter(|(told, _)| *told == longest)
            .map(|(_, task)| task)
            .collect();
    }
    let wanted: Vec<&Word> =
        said.iter().filter(|word| word.ordinal.is_none() && telling(word)).collect();
    let part = |task: &&&Value| wanted.iter().all(|word| has(&title_of(task), word));
    if wanted.is_empty() { Vec::new() } else { tasks.iter().filter(part).copied().collect() }
}

/// Whether two words are the same, but for a slip or an ending (“buy”, “buying”).
fn is_same(a: &Word, b: &Word) -> bool {
    let begins = |a: &str, b: &str| b.len() >= 3 && a.len() <= b.len() + 3 && a.starts_with(b);
    a.text == b.text
        || begins(&a.text, &b.text)
        || begins(&b.text, &a.text)
        || is_slip(&a.text, &b.text)
}

/// Whether a word is more likely a part of the order than of a title.
fn is_command(word: &Word) -> bool {
    word.is_mark()
        || word.is(&[
            "filler",
            "task",
            "delete",
            "cancelled",
            "complete",
            "completed",
            "mark",
            "please",
            "can",
            "you",
            "did",
            "it",
            "all",
            "both",
            "them",
            "last",
            "help",
            "tell",
            "and",
            "progress",
            "in",
            "find",
            "open",
            "start",
            "blocked",
            "hello",
            "any",
            "thanks",
            "ones",
            "not",
            "no",
        ])
}
