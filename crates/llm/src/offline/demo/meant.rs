//! Which schools a part of a message means.

use serde_json::Value;

use super::play::{Play, Stop, text};
use super::reading::is_noun;
use super::schools::{COMPARED, everything, look_up};
use super::search::Search;
use super::slips::is_slip;
use super::thread::Thread;
use super::words::Word;

/// The schools that a part means: by name, by their place in what was listed, or by a search.
pub(super) fn meant(
    play: &mut Play<'_>,
    words: &[Word],
    thread: &Thread<'_>,
    usual: usize,
) -> Result<Vec<Value>, Stop> {
    let schools = named(play, words, thread)?;
    let search = Search::all_of(words).swap_remove(0);
    if !schools.is_empty()
        || words.iter().any(|word| word.is_unknown() && word.raw.starts_with(char::is_uppercase))
            && search.suburb.is_none()
            && search.levels.is_empty()
    {
        return Ok(schools);
    }
    if search.says_something() || (search.count.is_some() && words.iter().any(is_noun)) {
        let search = Search { count: search.count.or(Some(usual)), ..search };
        return Ok(look_up(play, &search)?.schools);
    }
    // “Find two schools and compare them”, “and book a visit”.
    let listed = match usual {
        _ if !play.named.is_empty() => play.named.clone(),
        // What is written down must not be a guess from long ago.
        1 => thread.schools_at_hand(),
        _ => thread.schools(1),
    };
    let several = words.iter().any(|word| word.is(&["them", "both"]));
    if !listed.is_empty() && !several && (usual > 1 || listed.len() == 1 || !play.named.is_empty())
    {
        let all = everything(play)?;
        let count = if usual > 1 { COMPARED } else { 1 };
        return Ok(by_name(&all, listed.iter().take(count)));
    }
    Ok(Vec::new())
}

fn by_name<'n>(all: &[Value], names: impl Iterator<Item = &'n String>) -> Vec<Value> {
    names.filter_map(|name| all.iter().find(|school| school["name"] == **name)).cloned().collect()
}

/// The schools that a part names, or points at in what was listed.
pub(super) fn named(
    play: &mut Play<'_>,
    words: &[Word],
    thread: &Thread<'_>,
) -> Result<Vec<Value>, Stop> {
    let mut places: Vec<usize> = words.iter().filter_map(|word| word.ordinal).collect();
    let number = |pair: &[Word]| (pair[0].text == "number").then_some(pair[1].number? as usize);
    places.extend(words.windows(2).filter_map(number));
    let several = words.iter().any(|word| word.is(&["them", "both", "all"]));
    let is_last = words.iter().any(|word| word.key == "last");
    // “And one to the second”: the list is further back than the reply about the first.
    let least =
        places.iter().copied().max().unwrap_or(1).max(if several || is_last { 2 } else { 1 });
    let listed = if play.named.is_empty() { thread.schools(least) } else { play.named.clone() };
    if is_last {
        places.push(listed.len());
    }
    // “Find a school and compare it with Elm”: the first of those that were found.
    let is_single = listed.len() == 1 || !play.named.is_empty();
    if words.iter().any(|word| word.key == "it") && is_single && places.is_empty() {
        places.push(1);
    }
    let is_list = listed.len() > 1 && several;
    // “The first two”: a place and a count.
    let count =
        words.windows(2).find(|pair| pair[0].ordinal == Some(1)).and_then(|pair| pair[1].number);
    if let Some(count) = count {
        places = (1..=listed.len().min(count as usize)).collect();
    }
    let may_name = words.iter().any(|word| word.is_unknown() || word.is_quote);
    let points = !listed.is_empty() && (is_list || !places.is_empty());
    if !points && !may_name {
        return Ok(Vec::new());
    }
    let all = everything(play)?;
    let found =
        all.iter().filter_map(|school| Some((place_of(text(school, "name"), words)?, school)));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(at, _)| *at);
    let mut found: Vec<Value> = found.into_iter().map(|(_, school)| school.clone()).collect();
    if found.is_empty() && is_list && places.is_empty() {
        found = by_name(&all, listed.iter());
    } else if !listed.is_empty() {
        let pointed = places.iter().filter_map(|place| listed.get(place.checked_sub(1)?));
        for school in by_name(&all, pointed) {
            if !found.contains(&school) {
                found.push(school);
            }
        }
    }
    Ok(found)
}

/// Where a school is named: by the first word of its name.
fn place_of(name: &str, words: &[Word]) -> Option<usize> {
    let known = name.split(' ').next().unwrap_or_default().to_lowercase();
    words.iter().position(|word| {
        let texts: Vec<&str> = word.text.split(' ').collect();
        texts.contains(&known.as_str()) || (word.is_unknown() && is_slip(&word.text, &known))
    })
}
