//! How a person words a search.

use super::lexicon::PROGRAMS;
use super::search::{LEVELS, Order, PLACES, Search};
use super::words::Word;

impl Search {
    /// The searches of a clause: two where it asks for “two primary and one secondary school”.
    pub(super) fn all_of(words: &[Word]) -> Vec<Self> {
        let whole = Self::of(words);
        let pair = |pair: &[Word]| {
            let level = level(&pair[1])?;
            Some((level, as_count(pair[0].number?)?))
        };
        let pairs: Vec<_> = words.windows(2).filter_map(pair).collect();
        if pairs.len() < 2 {
            return vec![whole];
        }
        let part = |(level, count): &(&'static str, usize)| Self {
            levels: vec![level],
            count: Some(*count),
            ..whole.clone()
        };
        pairs.iter().map(part).collect()
    }

    fn of(words: &[Word]) -> Self {
        let mut search = Self::default();
        for (at, word) in words.iter().enumerate() {
            let before = &words[..at];
            if let Some(key) = level(word).or_else(|| PLACES.into_iter().find(|p| *p == word.key)) {
                // “3 km from the beach” is a distance, and says of no school that it is there.
                let is_measured =
                    key == "beach" && words.iter().any(|word| word.is(&["km", "nearest"]));
                match () {
                    () if is_excluded(before) => search.not.push(key),
                    () if LEVELS.contains(&key) => push(&mut search.levels, key),
                    () if is_measured => {}
                    () => push(&mut search.places, key),
                }
            } else if PROGRAMS.contains(&word.key) && !is_excluded(before) {
                push(&mut search.query, word.key.to_owned());
            } else if word.is(&["trait", "institution", "college"]) || word.is_quote {
                push(&mut search.query, word.text.clone());
            } else if word.key == "free" || (word.key == "fee" && is_excluded(before)) {
                search.fees.max = Some(0.0);
            }
            search.count = search.count.or_else(|| count_at(words, at));
            search.amount(words, at);
            search.order_by(words, at);
        }
        search.any = words.iter().any(|word| word.key == "or");
        search.all = words.iter().any(|word| word.key == "all");
        search.unknown_words(words);
        if search.levels.len() <= 1 && asks_for_one(words) {
            search.count = search.count.or(Some(1));
        }
        search
    }

    /// A number with what it measures.
    fn amount(&mut self, words: &[Word], at: usize) {
        let Some(number) = words[at].number.filter(|_| count_at(words, at).is_none()) else {
            return;
        };
        let before = &words[at.saturating_sub(4)..at];
        let after = &words[at + 1..words.len().min(at + 3)];
        let has = |keys: &[&str]| before.iter().chain(after).any(|word| word.is(keys));
        let texts =
            |a: &str, b: &str| before.windows(2).any(|pair| pair[0].text == a && pair[1].text == b);
        let said = |keys: &[&str]| before.iter().any(|word| word.is(keys));
        let more = texts("more", "than") || texts("at", "least") || said(&["over"]);
        let is_negated = texts("no", "more") || texts("not", "more") || texts("not", "over");
        let below = said(&["under"])
            || texts("up", "to")
            || texts("at", "most")
            || texts("cheaper", "than")
            || (more && is_negated);
        let above = (more && !is_negated) || words[at].raw.ends_with('+');
        let is_second = at >= 2 && words[at - 1].key == "and" && words[at - 2].number.is_some();
        let is_first = words.get(at + 1).is_some_and(|word| word.key == "and")
            && words.get(at + 2).is_some_and(|word| word.number.is_some());
        let between =
            words[..at].iter().any(|word| word.key == "between") && (is_first || is_second);
        let is_age = is_age(words, at);
        let is_rating = has(&["rated"]) || (number <= 5.0 && number.fract() != 0.0);
        let range = if is_age {
            return push(&mut self.levels, if number < 12.0 { "primary" } else { "secondary" });
        } else if words[at].key == "km" || has(&["km"]) {
            &mut self.km
        } else if has(&["students"]) {
            &mut self.students
        } else if is_rating {
            &mut self.rating
        } else if between || below || above || has(&["fee", "money"]) {
            &mut self.fees
        } else {
            return;
        };
        if between && is_first {
            range.min = Some(number);
        } else if between || below {
            range.max = Some(number);
        } else if above || is_rating {
            range.min = Some(number);
        } else {
            range.max = Some(number);
        }
        let named_end = texts("at", "most") || texts("at", "least") || texts("up", "to");
        let is_strict = said(&["than"])
            || before
                .iter()
                .any(|w| ["under", "below", "over", "above"].contains(&w.text.as_str()));
        range.is_open = is_strict && !named_end && !is_negated && !between;
    }

    fn order_by(&mut self, words: &[Word], at: usize) {
        let next = |key: &str| words[at + 1..].iter().take(2).any(|word| word.key == key);
        let last = at.checked_sub(1).map_or("", |at| words[at].key);
        let order = match words[at].key {
            "cheapest" | "cheap" => Order::Cheapest,
            "expensive" if last == "most" => Order::Dearest,
            "worst" if next("fee") => Order::Cheapest,
            "best" if next("fee") => Order::Dearest,
            "best" => Order::Best,
            "worst" => Order::Worst,
            "nearest" if words.iter().any(|word| word.key == "beach") => Order::Nearest,
            "fee" if sorts(&words[..at]) => Order::Cheapest,
            "small" => Order::Smallest,
            "large" => Order::Largest,
            _ => return,
        };
        self.order = Some(order);
        // “The best school” is one.
        let is_superlative = words[at].text.ends_with("st")
            || matches!(words[at].text.as_str(), "top" | "expensive");
        let mut nouns = words.iter().filter(|word| is_noun(word));
        let is_one = nouns.all(|noun| noun.text == "school" || noun.text == "one")
            && words.get(at + 1).is_none_or(|next| next.ordinal.is_none());
        if is_superlative && is_one {
            self.count = self.count.or(Some(1));
        }
    }

    /// What stands where a place, a program or a kind of school does, and is no known word.
    fn unknown_words(&mut self, words: &[Word]) {
        for (at, word) in words.iter().enumerate() {
            if word.is(&["in", "near"]) {
                let place = place_after(words, at);
                let is_not = is_excluded(&words[..at]);
                let known = if is_not { &mut self.not_in } else { &mut self.suburb };
                *known = known.take().or(place);
            } else if word.key == "offer" || ["has", "have", "having"].contains(&word.text.as_str())
            {
                for word in unknown_after(words, at) {
                    push(&mut self.query, word.text.clone());
                }
            } else if is_noun(word) && word.key != "ones" {
                let before = words[..at].iter().rposition(|word| {
                    !word.is_unknown() && level(word).is_none() && !PLACES.contains(&word.key)
                });
                let kinds = &words[before.map_or(0, |before| before + 1)..at];
                for word in kinds.iter().filter(|word| word.is_unknown() && !word.is_quote) {
                    push(&mut self.query, word.text.clone());
                }
            }
        }
        if let Some(suburb) = &self.suburb {
            let parts: Vec<String> = suburb.split(' ').map(str::to_lowercase).collect();
            self.query.retain(|word| !parts.contains(word));
        }
    }
}

/// The unknown words after a word, beyond “the” and its like.
fn unknown_after(words: &[Word], at: usize) -> &[Word] {
    let rest = &words[at + 1..];
    let skipped = rest.iter().take_while(|word| word.is(&["filler", "in", "near", "any"])).count();
    let rest = &rest[skipped..];
    &rest[..rest.iter().take_while(|word| word.is_unknown() && !word.is_quote).count()]
}

/// What comes after “in” and is no place.
const NOT_PLACES: &str = "january february march april june july august september october november december \
     spring summer autumn winter fall english general total detail future town mind advance order case";

/// A place after “in” or “near” that is no known word, such as a suburb.
fn place_after(words: &[Word], at: usize) -> Option<String> {
    let place = unknown_after(words, at);
    let end = place.last()?.span.1;
    let next = words.iter().find(|word| word.span.0 >= end);
    let is_thing = ["a", "an", "my"].contains(&words[at + 1].text.as_str());
    // “Near the lovely beach”.
    let is_said_of_place = next.is_some_and(|next| PLACES.contains(&next.key));
    let is_none = place.iter().all(|word| NOT_PLACES.split(' ').any(|not| not == word.text));
    let texts: Vec<&str> = place.iter().map(|word| word.raw.as_str()).collect();
    (!is_thing && !is_said_of_place && !is_none).then(|| texts.join(" "))
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn level(word: &Word) -> Option<&'static str> {
    if word.key == "high" {
        return Some("secondary");
    }
    LEVELS.into_iter().find(|level| *level == word.key)
}

/// A word for schools, or for some of those that were named.
pub(super) fn is_noun(word: &Word) -> bool {
    word.is(&["school", "college", "institution", "ones"]) || word.text == "one"
}

/// Whether what follows is what the schools must not be or have.
fn is_excluded(before: &[Word]) -> bool {
    let skipped =
        before.iter().rev().skip_while(|word| word.is(&["near", "in", "filler", "please"]));
    skipped.take(1).any(|word| word.is(&["not", "no"]))
}

/// Whether a field by which to sort follows: “sorted by”.
fn sorts(before: &[Word]) -> bool {
    let sort = ["sorted", "sort", "ordered", "order", "ranked"];
    before.last().is_some_and(|word| word.text == "by")
        && before.iter().any(|word| sort.contains(&word.text.as_str()))
}

/// Whether a number is how old a child is: “7 years old”, “aged 7 and 14”, “she is 13”.
fn is_age(words: &[Word], at: usize) -> bool {
    let says = |words: &[Word], texts: &[&str]| {
        words.iter().any(|word| texts.contains(&word.text.as_str()))
    };
    let after = &words[at + 1..words.len().min(at + 3)];
    let before = &words[at.saturating_sub(3)..at];
    let child = ["he", "she", "son", "daughter", "child", "kid"];
    (says(after, &["year", "years"]) && says(after, &["old"]))
        || says(before, &["aged", "age", "ages"])
        || (at > 0 && words[at - 1].text == "is" && says(words, &child))
}

fn as_count(number: f64) -> Option<usize> {
    (number.fract() == 0.0 && (1.0..=1000.0).contains(&number)).then_some(number as usize)
}

/// “Find me a secondary school”.
fn asks_for_one(words: &[Word]) -> bool {
    let Some(noun) = words.iter().position(is_noun) else { return false };
    let before = &words[..noun];
    let article = before.iter().rposition(|word| ["a", "an"].contains(&word.text.as_str()));
    let verb = article.and_then(|at| {
        before[..at].iter().rev().find(|word| !["me", "us"].contains(&word.text.as_str()))
    });
    let verbs = ["find", "show", "give", "suggest", "recommend"];
    ["school", "college"].contains(&words[noun].text.as_str())
        && verb.is_some_and(|verb| verbs.contains(&verb.text.as_str()))
}

/// The number of schools that is asked for at this place: “two primary schools”, “top 3”, “give me 4”.
fn count_at(words: &[Word], at: usize) -> Option<usize> {
    let count = as_count(words[at].number?)?;
    let before = at.checked_sub(1).map(|at| &words[at]);
    let is_written_out = words[at].text == "one" || words[at].text == "few";
    let describes = |word: &&Word| {
        word.is_unknown()
            || level(word).is_some()
            || PLACES.contains(&word.key)
            || PROGRAMS.contains(&word.key)
            || word.is(&[
                "trait",
                "best",
                "cheapest",
                "cheap",
                "most",
                "expensive",
                "nearest",
                "small",
                "large",
                "free",
                "rated",
                "worst",
            ])
            || [
                "of",
                "the",
                "good",
                "great",
                "nice",
                "other",
                "different",
                "more",
                "suitable",
                "really",
            ]
            .contains(&word.text.as_str())
    };
    let mut rest = words[at + 1..].iter().skip_while(describes);
    let counts_noun = rest.next().is_some_and(is_noun);
    let after_best = before
        .is_some_and(|word| word.is(&["best", "cheapest", "nearest", "worst", "large", "small"]));
    let before_best =
        words.get(at + 1).is_some_and(|word| word.is(&["best", "cheapest", "nearest", "worst"]));
    let after_verb = before.is_some_and(|word| word.is(&["find", "show"]) || word.text == "me")
        && words[at + 1..].first().is_none_or(|word| !word.is(&["km", "students", "money", "fee"]));
    let is_measure =
        before.is_some_and(|word| word.is(&["under", "over", "than", "rated", "between", "fee"]));
    (counts_noun || (!is_written_out && !is_measure && (after_best || before_best || after_verb)))
        .then_some(count)
}
