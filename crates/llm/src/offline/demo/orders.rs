//! Orders about tasks and visits, as a person words them.

use super::wish::{Part, Wish, written};
use super::words::Word;

pub(super) fn of_tasks(message: &str, part: &Part<'_>) -> Option<Wish> {
    let words = || part.words.to_vec();
    let moves = |status| Some(Wish::MoveTask { status, words: words() });
    let points = part.has_quote() || part.words.iter().any(|word| word.ordinal.is_some());
    let is_task = part.is_about_tasks();
    if let Some(titles) = new_titles(message, part) {
        return Some(Wish::CreateTasks(titles));
    }
    let is_school =
        part.is_about_schools() && !is_task && !part.has_quote() && !part.has(&["visit"]);
    if part.orders(&["delete"]) {
        let others =
            ["document", "documents", "message", "messages", "account", "user", "shortlist"];
        if others.iter().any(|text| part.says(text)) && !is_task && !part.has_quote() {
            return Some(Wish::CannotDelete);
        }
        if !is_school {
            return moves("cancelled");
        }
    }
    let marks = part.orders(&["mark"]);
    let states = [
        ("completed", "completed"),
        ("complete", "completed"),
        ("progress", "in_progress"),
        ("blocked", "blocked"),
        ("cancelled", "cancelled"),
        ("open", "pending"),
    ];
    if marks && !is_school_list(part) {
        let state = states.iter().find(|(key, _)| part.has(&[key]));
        if let Some((_, status)) = state {
            return moves(status);
        }
    }
    let says_i = part.words.iter().any(|word| word.text == "i") || part.has(&["it"]);
    if !is_school
        && part.orders(&["complete"])
        && (is_task
            || points
            || says_i
            || part.words[0].key == "complete"
            || part.has(&["can", "please"]))
    {
        return moves("completed");
    }
    if !is_school && part.orders(&["completed"]) && !part.asks() && (is_task || points || says_i) {
        return moves("completed");
    }
    if (is_task || points) && part.orders(&["start"]) {
        return moves("in_progress");
    }
    if is_task && part.says("reopen") {
        return moves("pending");
    }
    let open_work = part.has(&["what", "any"]) && part.has(&["open"]) && !part.is_about_schools();
    if (is_task && (!part.orders(&["find", "compare", "book"]) || part.asks())) || open_work {
        let state = states.iter().find(|(key, _)| part.has(&[key])).map(|(_, status)| *status);
        let status = if part.says("to do") && state.is_none() { Some("pending") } else { state };
        return Some(Wish::ListTasks { status, only: None });
    }
    None
}

fn is_school_list(part: &Part<'_>) -> bool {
    part.words.iter().any(|word| word.text == "schools")
        && !part.is_about_tasks()
        && !part.has_quote()
}

pub(super) fn of_visits(message: &str, part: &Part<'_>) -> Option<Wish> {
    if !part.has(&["visit"]) {
        return None;
    }
    let arranges = part.orders(&["book"])
        || (part.says("set up") || part.says("make an appointment") || part.says("make a"))
            && part.orders(&["mark", "create"]);
    if arranges {
        return Some(Wish::Visit { words: part.words.to_vec(), when: time(message, part.words) });
    }
    let lists = part.asks() && !part.is_about_schools() && !part.orders(&["find"]);
    if lists {
        return Some(Wish::ListTasks { status: None, only: Some("visit") });
    }
    let is_several =
        part.words.iter().any(|word| word.text == "schools") || part.orders(&["compare"]);
    (!is_several && !part.orders(&["show"])).then(|| Wish::MayVisit(part.words.to_vec()))
}

const TIMES: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "tomorrow",
    "tonight",
    "weekend",
    "week",
    "month",
    "noon",
    "midday",
    "morning",
    "afternoon",
    "evening",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// When something shall be, as it was written.
pub(super) fn time(message: &str, words: &[Word]) -> Option<String> {
    let is_hour = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && ["am", "pm", "h"].iter().any(|end| text.ends_with(end))
    };
    let is_time = |word: &Word| TIMES.contains(&word.text.as_str()) || is_hour(&word.text);
    let joins = |word: &Word| {
        let text = word.text.as_str();
        word.number.is_some() && text.starts_with(|c: char| c.is_ascii_digit())
            || word.ordinal.is_some() && text.starts_with(|c: char| c.is_ascii_digit())
            || ["next", "this", "at", "of", "the", "am", "pm", "in", ":", "coming"].contains(&text)
    };
    let mut first = words.iter().position(is_time)?;
    while first > 0 && joins(&words[first - 1]) {
        first -= 1;
    }
    let mut last = first;
    for (at, word) in words.iter().enumerate().skip(first) {
        match () {
            () if is_time(word)
                || word.number.is_some()
                || ["am", "pm"].contains(&word.text.as_str()) =>
            {
                last = at
            }
            () if joins(word) || ["on", "around"].contains(&word.text.as_str()) => {}
            () => break,
        }
    }
    while first < last && ["at", "the", "of", "in"].contains(&words[first].text.as_str()) {
        first += 1;
    }
    Some(written(message, &words[first..=last]).to_owned())
}

/// The titles of the tasks that a part asks for.
fn new_titles(message: &str, part: &Part<'_>) -> Option<Vec<String>> {
    let words = part.words;
    let at_task = words.iter().position(|word| word.key == "task" || word.text == "todos");
    let to_list = [
        "to my list",
        "to my tasks",
        "to my to do",
        "on my list",
        "to my todo",
        "on my to do",
        "to my todos",
        "to the list",
        "to my task",
    ];
    let is_listed = to_list.iter().any(|text| part.says(text)) && !part.has(&["shortlist"]);
    let quotes: Vec<String> =
        words.iter().filter(|word| word.is_quote).map(|word| word.raw.clone()).collect();
    let after = if part.orders(&["remind"]) {
        words.iter().position(|word| word.key == "remind").map(|at| at + 1)
    } else if part.orders(&["add"]) && is_listed {
        let from = words.iter().position(|word| word.key == "add")? + 1;
        let to = (from..words.len()).find(|at| {
            to_list.iter().any(|text| {
                let length = text.split(' ').count();
                words.get(*at..*at + length).is_some_and(|window| {
                    window.iter().map(|word| word.text.as_str()).eq(text.split(' '))
                })
            })
        })?;
        return titles(message, &words[from..to], quotes, false);
    } else if part.orders(&["create", "add", "find"]) && at_task.is_some() {
        let at = at_task?;
        let verb = words.iter().position(|word| word.is(&["create", "add", "find"]))?;
        // “Find the task X” looks for it; “I need a task for X” makes one.
        let makes =
            words[verb].key != "find" || ["need", "want"].contains(&words[verb].text.as_str());
        let asks = words[..at].iter().any(|word| word.is(&["what", "which", "how", "show", "did"]));
        (makes && !asks && verb < at && at - verb <= 4).then_some(at + 1)
    } else {
        None
    }?;
    let is_plural = at_task.is_some_and(|at| words[at].text.ends_with('s'));
    titles(message, &words[after..], quotes, is_plural)
}

fn titles(
    message: &str,
    words: &[Word],
    quotes: Vec<String>,
    is_plural: bool,
) -> Option<Vec<String>> {
    if !quotes.is_empty() {
        return Some(quotes);
    }
    let lead = [
        "to", "called", "named", "titled", "for", "about", "that", "says", "saying", "me", ":",
        ",", "with", "the", "title", "item", "please", "of", "a", "an",
    ];
    // “the” and “a” belong to the title unless they lead to “title”.
    let names = words.iter().take(4).any(|word| word.text == "title");
    let skipped = words.iter().take_while(|word| {
        lead.contains(&word.text.as_str())
            && (names || !["the", "a", "an"].contains(&word.text.as_str()))
    });
    let words = &words[skipped.count()..];
    let end = words
        .iter()
        .rposition(|word| !word.is_mark() && word.text != "please")
        .map_or(0, |at| at + 1);
    let words = &words[..end];
    let split = |word: &Word| word.text == "," || word.key == "and";
    let parts: Vec<&[Word]> = if is_plural { words.split(split).collect() } else { vec![words] };
    let titles = parts.into_iter().map(|part| written(message, part).to_owned());
    Some(titles.filter(|title| !title.is_empty()).collect())
}
