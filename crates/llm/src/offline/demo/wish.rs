//! What a message asks for, part by part.

use super::lexicon::PROGRAMS;
use super::orders::{of_tasks, of_visits, time};
use super::reading::is_noun;
use super::schools::{WHICH_TO_KEEP, WHICH_VISIT};
use super::search::Search;
use super::thread::Thread;
use super::words::{Word, words};

/// One thing that a message asks for. Parts that name schools or tasks keep their words.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Help,
    Hello,
    Thanks,
    Plan,
    Search(Search),
    /// How many there are.
    Count(Search),
    Compare(Vec<Word>),
    Profile(Vec<Word>),
    /// A visit that nobody has asked to book.
    MayVisit(Vec<Word>),
    /// Schools near the person, of whom it is not known where they live.
    Where,
    Visit {
        words: Vec<Word>,
        when: Option<String>,
    },
    Shortlist(Vec<Word>),
    ShowShortlist,
    ListTasks {
        status: Option<&'static str>,
        only: Option<&'static str>,
    },
    CreateTasks(Vec<String>),
    MoveTask {
        status: &'static str,
        words: Vec<Word>,
    },
    /// Nothing, expressly.
    Nothing,
    /// Forgetting what is known of the person.
    CannotForget,
    /// Deleting something other than a task.
    CannotDelete,
    /// What was not understood, as it was written.
    Unknown(String),
}

/// The most parts of a message that are answered.
const MAX_PARTS: usize = 5;

/// What a message asks for, in its order; never empty.
pub(super) fn wishes(message: &str, thread: &Thread<'_>) -> Vec<Wish> {
    let mut found: Vec<Wish> = Vec::new();
    let nothing = Thread::new(&[]);
    // What is said about the schools outside of the sentence that asks for them.
    let mut aside = Search::default();
    let mut is_new = false;
    let mut unknown = Vec::new();
    for part in parts(words(message)) {
        let is_question = part.last().is_some_and(|word| word.text == "?");
        let of_part = read(message, &part);
        if !of_part.is_empty() {
            found.extend(of_part);
            continue;
        }
        let mut said = Search::all_of(&part).swap_remove(0);
        said.suburb = said.suburb.filter(|suburb| is_name(&part, suburb));
        let is_counted = said.count.is_some() && part.iter().any(is_noun);
        if (said.says_something() || is_counted)
            && is_known(&part)
            && !is_off_topic(&part)
            && !is_refusal(&part)
        {
            aside = aside.refined_by(&said);
            // “Show me the cheap ones” is about those that were found.
            is_new |= part.iter().any(|word| word.is(&["find", "show"]) || word.text == "like")
                && !part.iter().any(|word| ["one", "ones"].contains(&word.text.as_str()));
        } else if is_question && !is_refusal(&part) {
            unknown.push(Wish::Unknown(written(message, &part).to_owned()));
        }
    }
    for wish in &mut found {
        if let Wish::Search(search) | Wish::Count(search) = wish {
            *search = aside.refined_by(search);
        }
    }
    let searches = |wish: &Wish| matches!(wish, Wish::Search(_) | Wish::Count(_));
    if (aside.says_something() || aside.count.is_some()) && !found.iter().any(searches) {
        found.extend(follow_up(&aside, if is_new { &nothing } else { thread }));
    }
    found.truncate(MAX_PARTS);
    let is_no_order = |wish: &Wish| matches!(wish, Wish::Search(_) | Wish::Profile(_));
    if found.iter().all(is_no_order)
        && let Some(answer) = answered(message, thread)
    {
        return vec![answer];
    }
    let is_polite = |wish: &Wish| matches!(wish, Wish::Hello | Wish::Thanks | Wish::Nothing);
    if found.iter().any(|wish| !is_polite(wish)) {
        found.retain(|wish| !is_polite(wish));
    } else if unknown.is_empty() && found.is_empty() {
        unknown.push(Wish::Unknown(message.trim().to_owned()));
    } else if !unknown.is_empty() {
        found.clear();
    }
    found.extend(unknown);
    found.truncate(MAX_PARTS);
    found
}

/// The answer to a question of the agent's that names a school: “Seacliff, on Friday”.
fn answered(message: &str, thread: &Thread<'_>) -> Option<Wish> {
    let words = words(message);
    let names = |word: &Word| word.is_unknown() || word.ordinal.is_some();
    let asks = words.iter().any(|word| word.text == "?" || word.is(&["what", "which", "how"]));
    if asks || !words.iter().any(names) {
        return None;
    }
    if thread.was_asked(WHICH_VISIT) {
        let when = time(message, &words);
        return Some(Wish::Visit { words, when });
    }
    thread.was_asked(WHICH_TO_KEEP).then_some(Wish::Shortlist(words))
}

/// “And near the river?” changes the search before. Where there is none, it is one by itself.
fn follow_up(said: &Search, thread: &Thread<'_>) -> Option<Wish> {
    let of_wish = |wish| match wish {
        Wish::Search(search) | Wish::Count(search) => Some(search),
        _ => None,
    };
    let asked =
        |message: &&str| wishes(message, &Thread::new(&[])).into_iter().rev().find_map(of_wish);
    // What was found says what was looked for.
    let found = |reply: &&str| {
        let line = reply.lines().next().filter(|line| line.starts_with("I found "))?;
        let search = Search::all_of(&words(line.split([';', ':']).next()?)).swap_remove(0);
        Some(Search { count: None, ..search })
    };
    let before =
        thread.asked.iter().find_map(asked).or_else(|| thread.replies.iter().find_map(found));
    match before {
        Some(before) => Some(Wish::Search(before.refined_by(said))),
        None => (said.is_specific() || said.count.is_some()).then(|| Wish::Search(said.clone())),
    }
}

/// Whether most of a part's words are known: else it is another language, or about something else.
fn is_known(part: &[Word]) -> bool {
    let unknown = part.iter().filter(|word| word.is_unknown()).count();
    let known = part.iter().filter(|word| !word.is_unknown() && !word.is_mark()).count();
    unknown <= known
}

fn is_name(part: &[Word], text: &str) -> bool {
    part.iter().any(|word| {
        text.split(' ').next() == Some(&word.text) && word.raw.starts_with(char::is_uppercase)
    })
}

/// The words of a part as they were written.
pub(super) fn written<'m>(message: &'m str, part: &[Word]) -> &'m str {
    match (part.first(), part.last()) {
        (Some(first), Some(last)) => {
            message.get(first.span.0..last.span.1).unwrap_or_default().trim()
        }
        _ => "",
    }
}

/// Splits a message into sentences, and these where a new order begins.
fn parts(words: Vec<Word>) -> Vec<Vec<Word>> {
    let mut parts = vec![Vec::new()];
    for (at, word) in words.iter().enumerate() {
        let current = parts.last().map_or(&[][..], Vec::as_slice);
        let joins = word.key == "and"
            || word.text == ","
            || ["then", "but", "also"].contains(&word.text.as_str());
        let ends = word.is_mark() && word.text != "," && word.text != ":";
        if ends || (joins && !current.is_empty() && begins_order(&words[at + 1..], current)) {
            if word.text == "?"
                && let Some(part) = parts.last_mut()
            {
                part.push(word.clone());
            }
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(word.clone());
        }
    }
    parts.retain(|part| part.iter().any(|word| !word.is_mark()));
    parts
}

/// Whether a new order begins with these words.
fn begins_order(rest: &[Word], before: &[Word]) -> bool {
    let polite = |word: &&Word| {
        word.is(&["please", "can", "you", "and"])
            || word.text == ","
            || ["i", "me", "to", "like", "d", "also", "want", "need"].contains(&word.text.as_str())
    };
    let rest: Vec<&Word> = rest.iter().skip_while(polite).take(3).collect();
    let Some(first) = rest.first() else { return false };
    // The title of a task may be any order but one about tasks or searches.
    let in_title = before.iter().any(|word| word.is(&["remind"]))
        || before.iter().any(|word| word.is(&["create", "add"]))
            && before.iter().any(|word| word.key == "task");
    if in_title {
        return first.is(&["show", "delete", "mark", "what", "which"]);
    }
    let denies = first.text == "do" && rest.get(1).is_some_and(|word| word.key == "not");
    let is_order = denies
        || first.is(&[
            "find",
            "show",
            "compare",
            "book",
            "create",
            "delete",
            "complete",
            "mark",
            "remind",
            "add",
            "shortlist",
            "what",
            "which",
            "how",
            "start",
            "not",
            "tell",
        ]);
    // “with music and show jumping”, “not in the city”.
    let is_filter = first.key == "not" && !rest.iter().any(|word| is_verb(word));
    // “Seacliff or Banksia, which is better?”
    let is_rest =
        first.is(&["what", "which", "how"]) && rest.iter().any(|word| word.key == "compare");
    is_order && !is_filter && !is_rest && first.text != "about"
}

fn is_verb(word: &Word) -> bool {
    word.is(&[
        "find",
        "compare",
        "book",
        "create",
        "delete",
        "complete",
        "mark",
        "remind",
        "add",
        "shortlist",
    ])
}

/// Whether it says only what should not be done.
fn is_refusal(part: &[Word]) -> bool {
    let no = part.iter().position(|word| word.is(&["not", "no"]));
    no.is_some_and(|no| {
        part[no..].iter().any(is_verb) || part[no..].iter().any(|word| word.key == "visit")
    })
}

/// A part of a message with what it says.
pub(super) struct Part<'a> {
    pub(super) words: &'a [Word],
}

impl Part<'_> {
    pub(super) fn has(&self, keys: &[&str]) -> bool {
        self.words.iter().any(|word| word.is(keys))
    }

    pub(super) fn says(&self, text: &str) -> bool {
        let wanted: Vec<&str> = text.split(' ').collect();
        self.words
            .windows(wanted.len())
            .any(|window| window.iter().map(|word| word.text.as_str()).eq(wanted.iter().copied()))
    }

    /// Whether the verb is there, and neither denied nor only asked about.
    pub(super) fn orders(&self, keys: &[&str]) -> bool {
        let first = self.words.iter().find(|word| !word.is(&["please", "hello", "and", "mark"]));
        let is_asked_about = first.is_some_and(|word| word.is(&["did", "how", "who"]));
        let is_order = |at: usize| {
            let before = &self.words[at.saturating_sub(4)..at];
            self.words[at].is(keys) && !before.iter().any(|word| word.is(&["not", "no"]))
        };
        !is_asked_about && (0..self.words.len()).any(is_order)
    }

    pub(super) fn asks(&self) -> bool {
        self.has(&["what", "which", "where", "how", "show", "many", "any", "did", "tell"])
    }

    pub(super) fn has_quote(&self) -> bool {
        self.words.iter().any(|word| word.is_quote)
    }

    pub(super) fn is_about_tasks(&self) -> bool {
        self.has(&["task"]) || self.says("to do") || self.says("my list") || self.says("to dos")
    }

    pub(super) fn is_about_schools(&self) -> bool {
        self.words.iter().any(|word| word.is(&["school", "college", "institution"]))
    }
}

/// What no tool here is for, although the words are known.
const OFF_TOPIC: &[&str] =
    &["poem", "joke", "song", "story", "essay", "weather", "translate", "recipe", "news", "write"];

fn is_off_topic(words: &[Word]) -> bool {
    words.iter().any(|word| OFF_TOPIC.contains(&word.text.as_str()))
}

fn read(message: &str, words: &[Word]) -> Vec<Wish> {
    let part = Part { words };
    if is_off_topic(words) && !part.is_about_tasks() {
        return if part.orders(&["plan"]) { vec![Wish::Plan] } else { Vec::new() };
    }
    if ["how do i", "how can i", "how to"].iter().any(|text| part.says(text)) {
        return vec![Wish::Help];
    }
    if is_refusal(words) && !part.orders(&["find", "show", "what", "which"]) && !part.has_quote() {
        return vec![Wish::Nothing];
    }
    if part.words.iter().any(|word| word.text == "forget") {
        let is_all = ["me", "everything", "all", "my", "data"];
        let is_all = part.words.iter().any(|word| is_all.contains(&word.text.as_str()));
        return vec![if is_all { Wish::CannotForget } else { Wish::Nothing }];
    }
    if let Some(wish) = of_tasks(message, &part).or_else(|| of_visits(message, &part)) {
        return vec![wish];
    }
    if part.has(&["shortlist"]) {
        let adds = part.orders(&["add"])
            || (part.orders(&["shortlist"]) && !part.asks() && !part.says("my shortlist"));
        return vec![if adds { Wish::Shortlist(words.to_vec()) } else { Wish::ShowShortlist }];
    }
    if part.orders(&["compare"]) && !part.says("or better") {
        return vec![Wish::Compare(words.to_vec())];
    }
    let about = part.words.iter().any(|word| word.key == "tell");
    let searches = Search::all_of(words);
    let says_something = searches.iter().any(Search::says_something);
    let is_several = part.words.iter().any(|word| word.text == "schools")
        || searches.iter().any(|search| search.count.is_some());
    // “Which of them is cheaper?”
    let is_ordered = searches.iter().any(Search::is_ordered);
    if is_ordered && part.has(&["which", "what"]) && part.has(&["them", "both"]) {
        return vec![Wish::Compare(words.to_vec())];
    }
    // “Tell me about Elm College”, “what does Elm cost?”, but not “tell me about schools near the beach”.
    let asks_of_one = part.has(&["fee", "students", "rated", "expensive", "cheap", "offer"])
        || part.says("programs")
        || part.words.iter().any(|word| PROGRAMS.contains(&word.key));
    let is_question =
        begins(words, |word| word.is(&["what", "which", "where", "how", "did", "who", "can"]));
    let is_one = about || (asks_of_one && is_question && !part.has(&["under", "over"]));
    let points = |word: &Word| {
        let names = word.is_unknown()
            && (about || !part.is_about_schools() || word.raw.starts_with(char::is_uppercase));
        names || word.ordinal.is_some() || word.is(&["it", "last", "them"])
    };
    if is_one && !is_several && part.words.iter().any(points) {
        return vec![Wish::Profile(words.to_vec())];
    }
    let is_asked = part.has(&["find"])
        || part.asks()
        || says_something
        || is_short(words)
        || begins(words, is_noun);
    let is_search = part.is_about_schools() && is_asked && !part.says("work");
    let is_near_person = ["near me", "near us", "near my", "around here", "near here", "nearby"];
    if is_search && !says_something && is_near_person.iter().any(|text| part.says(text)) {
        return vec![Wish::Where];
    }
    if is_search {
        let counts = part.says("how many");
        let wish = |search| if counts { Wish::Count(search) } else { Wish::Search(search) };
        return searches.into_iter().map(wish).collect();
    }
    simple(&part)
}

/// Whether the first word with a meaning is such a one: “schools for girls”.
fn begins(words: &[Word], is: impl Fn(&Word) -> bool) -> bool {
    words.iter().find(|word| !word.is(&["filler", "please", "hello"])).is_some_and(is)
}

/// Whether it is nothing but the noun with little around it.
fn is_short(words: &[Word]) -> bool {
    words.iter().filter(|word| !word.is_mark()).count() <= 3
}

fn simple(part: &Part<'_>) -> Vec<Wish> {
    let helps = part.has(&["help"])
        || part.has(&["who"]) && part.has(&["you"])
        || part.says("can you do")
        || part.says("do you do")
        || part.says("you can do")
        || part.says("are you")
        || part.says("does this work")
        || part.says("what can i")
        || part.says("can i ask")
        || ["capabilities", "commands", "abilities", "your name"]
            .iter()
            .any(|text| part.says(text));
    let wish = if helps {
        Wish::Help
    } else if part.has(&["plan"]) {
        Wish::Plan
    } else if part.has(&["thanks"]) {
        Wish::Thanks
    } else if part.words.iter().take(2).any(|word| word.key == "hello") {
        Wish::Hello
    } else {
        return Vec::new();
    };
    vec![wish]
}
