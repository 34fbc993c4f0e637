//! Answers about schools, from what the application's search and profiles say.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::meant::{meant, named};
use super::play::{Play, Stop, text};
use super::search::{Search, line};
use super::slips::is_slip;
use super::thread::Thread;
use super::words::Word;

/// The most schools whose profiles a search opens.
const PROFILES: usize = 3;

/// The most schools that are compared, and the most visits of one message.
pub(super) const COMPARED: usize = 5;

/// Asked where a visit names no school.
pub(super) const WHICH_VISIT: &str = "Which school do you want to visit?";

/// Asked where nothing says what to keep.
pub(super) const WHICH_TO_KEEP: &str = "Which school shall I put on the shortlist?";

/// A search: the schools, a document about them.
pub(super) fn search(play: &mut Play<'_>, wanted: &Search) -> Result<String, Stop> {
    let Found { search, schools, total } = look_up(play, wanted)?;
    let what = search.describe();
    if schools.is_empty() {
        return nothing(play, &search);
    }
    let opened: Vec<_> =
        schools.iter().take(PROFILES).map(|school| Play::profile(text(school, "id"))).collect();
    let profiles: Vec<Value> = play.try_all(opened)?.into_iter().flatten().collect();
    play.named.extend(schools.iter().map(|school| text(school, "name").to_owned()));
    let first = search.first();
    let mut said = match schools.len() {
        1 if total == 1 => format!("I found one match for {what}:\n"),
        shown if shown == total => format!("I found {shown} {what}, the {first} first:\n"),
        1 => format!("I found {total} {what}; this is the {first}:\n"),
        shown => format!("I found {total} {what}; these are the {shown} {first}:\n"),
    };
    let mut content = format!(
        "# {}\n\n| school | level | suburb | rating | fees a year |\n| --- | --- | --- | --- | --- |\n",
        capital(&what)
    );
    for (at, school) in schools.iter().enumerate() {
        let _ = write!(said, "\n{}. {}", at + 1, line(school));
        let _ = writeln!(
            content,
            "| {} | {} | {} | {} | {} |",
            text(school, "name"),
            text(school, "level"),
            text(school, "suburb"),
            school["rating"],
            school["fees_per_year"]
        );
    }
    for profile in &profiles {
        let _ = write!(content, "\n## {}\n\n{}\n", text(profile, "name"), about(profile));
    }
    if let Some(count) = search.count.filter(|count| *count > total) {
        let _ = write!(said, "\n\nYou asked for {count}; there are no more than {total}.");
    }
    let notes = play.document("research", &format!("Found: {what}"), content)?;
    Ok(paragraphs(&[&said, &notes]))
}

/// How many schools there are of a kind.
pub(super) fn count(play: &mut Play<'_>, wanted: &Search) -> Result<String, Stop> {
    let Found { search, schools, total } = look_up(play, wanted)?;
    if total == 0 {
        return nothing(play, &search);
    }
    let what = search.describe();
    Ok(match &schools[..] {
        [school] if total == 1 => format!("There is one match for {what}: {}.", line(school)),
        _ => format!("There are {total} {what}."),
    })
}

pub(super) struct Found {
    /// The search that was made, with a suburb's name as the application has it.
    pub(super) search: Search,
    pub(super) schools: Vec<Value>,
    pub(super) total: usize,
}

/// Searches; where nothing is found by words that may be a suburb, or one with a slip, by that suburb.
pub(super) fn look_up(play: &mut Play<'_>, wanted: &Search) -> Result<Found, Stop> {
    let answer = play.search(wanted.body())?;
    let (schools, total) = wanted.choose(&answer);
    let mut search = wanted.clone();
    if let (Some(suburb), Some(school)) = (&mut search.suburb, schools.first()) {
        text(school, "suburb").clone_into(suburb);
    }
    let mut found = Found { search, schools, total };
    let words: Vec<&String> = wanted.suburb.iter().chain(&wanted.query).collect();
    if total > 0 || words.is_empty() {
        return Ok(found);
    }
    let known = values(&everything(play)?, |school| vec![text(school, "suburb").to_owned()]);
    let is_meant = |known: &str, words: &str| {
        let (known, words) = (known.to_lowercase(), words.to_lowercase());
        known == words
            || words.split(' ').all(|word| known.split(' ').any(|part| part == word))
            || is_slip(&words, &known)
    };
    let joined = wanted.query.join(" ");
    let said = wanted.suburb.as_deref().unwrap_or(&joined);
    if let Some(suburb) = known.iter().find(|known| is_meant(known, said)) {
        let query = if wanted.suburb.is_some() { wanted.query.clone() } else { Vec::new() };
        found.search = Search { suburb: Some(suburb.clone()), query, ..wanted.clone() };
        let answer = play.search(found.search.body())?;
        (found.schools, found.total) = found.search.choose(&answer);
    }
    Ok(found)
}

/// All schools, as the search lists them.
pub(super) fn everything(play: &mut Play<'_>) -> Result<Vec<Value>, Stop> {
    let mut answer = play.search(json!({ "limit": 50 }))?;
    Ok(match answer["schools"].take() {
        Value::Array(schools) => schools,
        _ => Vec::new(),
    })
}

fn values(schools: &[Value], of: impl Fn(&Value) -> Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = schools.iter().flat_map(of).collect();
    all.sort();
    all.dedup();
    all
}

/// That there is nothing, and what there is instead.
fn nothing(play: &mut Play<'_>, search: &Search) -> Result<String, Stop> {
    play.is_open = true;
    let said = format!("I found no such school: there are no {}.", search.describe());
    if search.suburb.is_none() && search.query.is_empty() {
        return Ok(format!("{said} Shall I look more widely?"));
    }
    let all = everything(play)?;
    let hint = if search.query.is_empty() {
        let suburbs = values(&all, |school| vec![text(school, "suburb").to_owned()]);
        format!("The suburbs with schools are {}.", suburbs.join(", "))
    } else {
        let programs = values(&all, |school| {
            let programs = school["programs"].as_array().into_iter().flatten();
            programs.filter_map(Value::as_str).map(str::to_owned).collect()
        });
        format!("The search knows names, descriptions and these programs: {}.", programs.join(", "))
    };
    Ok(format!("{said} {hint}"))
}

/// Schools beside each other, with a document.
pub(super) fn compare(
    play: &mut Play<'_>,
    words: &[Word],
    thread: &Thread<'_>,
) -> Result<String, Stop> {
    let mut schools = meant(play, words, thread, 2)?;
    if schools.len() < 2 {
        play.is_open = true;
        let one = schools.first().map(|school| format!(" with {}", text(school, "name")));
        return Ok(format!(
            "Which schools shall I compare{}? For example: “compare Seacliff and Banksia” or “compare the two best primary schools”.",
            one.unwrap_or_default()
        ));
    }
    let left_out = schools.len().saturating_sub(COMPARED);
    schools.truncate(COMPARED);
    let calls = schools.iter().map(|school| Play::profile(text(school, "id"))).collect();
    let profiles = if play.has("compare_schools") {
        let ids: Vec<&str> = schools.iter().map(|school| text(school, "id")).collect();
        let mut compared = play.call("compare_schools", json!({ "school_ids": ids }))?;
        match compared["schools"].take() {
            Value::Array(schools) => schools,
            _ => Vec::new(),
        }
    } else {
        play.call_all(calls)?
    };
    let names: Vec<&str> = profiles.iter().map(|school| text(school, "name")).collect();
    play.named.extend(names.iter().map(|name| (*name).to_owned()));
    let mut said = format!("Compared: {}.\n", names.join(", "));
    let mut content = "# Comparison\n\n| school | rating | fees a year | to the beach | students | programs |\n| --- | --- | --- | --- | --- | --- |\n".to_owned();
    for (at, school) in profiles.iter().enumerate() {
        let _ = write!(
            said,
            "\n{}. {}, {} students, {}",
            at + 1,
            line(school),
            school["enrolment"],
            programs(school)
        );
        let _ = writeln!(
            content,
            "| {} | {} | {} | {} km | {} | {} |",
            text(school, "name"),
            school["rating"],
            school["fees_per_year"],
            school["distance_to_beach_km"],
            school["enrolment"],
            programs(school)
        );
    }
    let leads = [
        ("rating", -1.0, "best rated"),
        ("fees_per_year", 1.0, "lowest fees"),
        ("distance_to_beach_km", 1.0, "nearest to the beach"),
    ];
    let leads =
        leads.map(|(field, sign, what)| format!("{what}: {}", leaders(&profiles, field, sign)));
    let leads = format!("{}.", capital(&leads.join("; ")));
    let _ = write!(content, "\n{leads}\n");
    let rest = if left_out == 0 {
        String::new()
    } else {
        format!("I compare at most {COMPARED}; {left_out} more are left out.")
    };
    let notes =
        play.document("deliverable", &format!("Comparison: {}", names.join(", ")), content)?;
    Ok(paragraphs(&[&said, &leads, &rest, &notes]))
}

/// Who has the least of a field, or with the sign -1 the most; all of them where several are equal.
fn leaders(schools: &[Value], field: &str, sign: f64) -> String {
    let of = |school: &Value| school[field].as_f64().unwrap_or_default() * sign;
    let least = schools.iter().map(of).fold(f64::INFINITY, f64::min);
    let names = schools.iter().filter(|school| of(school).total_cmp(&least).is_eq());
    names.map(|school| text(school, "name")).collect::<Vec<_>>().join(" and ")
}

/// What is known of the schools that are named; nothing where none is.
pub(super) fn profile(
    play: &mut Play<'_>,
    words: &[Word],
    thread: &Thread<'_>,
) -> Result<Option<String>, Stop> {
    let schools = named(play, words, thread)?;
    if schools.is_empty() {
        return Ok(None);
    }
    let calls =
        schools.iter().take(COMPARED).map(|school| Play::profile(text(school, "id"))).collect();
    let profiles = play.call_all(calls)?;
    play.named.extend(profiles.iter().map(|school| text(school, "name").to_owned()));
    let told = profiles.iter().map(|school| format!("{}.\n{}", line(school), about(school)));
    Ok(Some(told.collect::<Vec<_>>().join("\n\n")))
}

/// What is known of a school that the person may visit.
pub(super) fn may_visit(
    play: &mut Play<'_>,
    words: &[Word],
    thread: &Thread<'_>,
) -> Result<String, Stop> {
    let told = profile(play, words, thread)?.unwrap_or_default();
    let name = play.named.last().map_or("Seacliff", String::as_str);
    let how = format!(
        "Nothing is booked. For a visit write, for example: “book a visit to {name} on Friday”."
    );
    Ok(paragraphs(&[&told, &how]))
}

/// A visit: the demo application takes no bookings, so it is a task.
pub(super) fn visit(
    play: &mut Play<'_>,
    words: &[Word],
    when: Option<&str>,
    thread: &Thread<'_>,
) -> Result<String, Stop> {
    let schools = meant(play, words, thread, 1)?;
    if schools.is_empty() {
        play.is_open = true;
        return Ok(format!(
            "{WHICH_VISIT} For example: “book a visit to Seacliff on Friday”. Nothing is booked yet."
        ));
    }
    let mut said = Vec::new();
    for school in schools.iter().take(COMPARED) {
        let (tool, arguments) = Play::profile(text(school, "id"));
        let profile = play.call(&tool, arguments)?;
        let (name, contact) = (text(&profile, "name"), text(&profile, "contact"));
        let day = when.map(|when| format!(", {when}")).unwrap_or_default();
        let task = json!({ "title": format!("Visit {name}{day}"), "description": format!("Confirm with the school: {contact}") });
        let task = play.call("create_task", task)?;
        let no_day = if when.is_some() { "" } else { " You named no day." };
        said.push(format!(
            "The visit to **{name}** is booked on your list, as the task “{}”.{no_day} Please confirm it with the school, {contact}: this demo cannot write to it.",
            text(&task, "title")
        ));
    }
    // What is left is the visit itself.
    play.is_open = true;
    Ok(said.join("\n"))
}

/// Puts schools on the shortlist.
pub(super) fn shortlist(
    play: &mut Play<'_>,
    words: &[Word],
    thread: &Thread<'_>,
) -> Result<String, Stop> {
    let schools = meant(play, words, thread, 1)?;
    if schools.is_empty() {
        play.is_open = true;
        return Ok(format!("{WHICH_TO_KEEP} For example: “shortlist Seacliff”."));
    }
    let calls = schools
        .iter()
        .take(COMPARED)
        .map(|school| ("shortlist_school".to_owned(), json!({ "school_id": school["id"] })));
    let added = play.call_all(calls.collect())?;
    let name = |entry: &Value| {
        let school = schools.iter().find(|school| school["id"] == entry["school_id"]);
        format!("**{}**", school.map_or(text(entry, "school_id"), |school| text(school, "name")))
    };
    let names: Vec<_> = added.iter().map(name).collect();
    Ok(format!("On your shortlist: {}.", names.join(", ")))
}

pub(super) fn show_shortlist(play: &mut Play<'_>) -> Result<String, Stop> {
    let list = play.call("list_shortlist", json!({}))?;
    let entries = list["schools"].as_array().cloned().unwrap_or_default();
    if entries.is_empty() {
        return Ok("Your shortlist is empty.".to_owned());
    }
    let all = if play.has_schools() { everything(play)? } else { Vec::new() };
    let mut said = "On your shortlist:\n".to_owned();
    for (at, entry) in entries.iter().enumerate() {
        let school = all.iter().find(|school| school["id"] == entry["school_id"]);
        let shown = school.map_or_else(|| text(entry, "school_id").to_owned(), line);
        let _ = write!(said, "\n{}. {shown}", at + 1);
    }
    Ok(said)
}

/// What a profile says beyond the line of a list.
fn about(profile: &Value) -> String {
    format!(
        "{} Programs: {}. Students: {}. Contact: {}",
        text(profile, "description"),
        programs(profile),
        profile["enrolment"],
        text(profile, "contact")
    )
}

fn programs(school: &Value) -> String {
    let programs = school["programs"].as_array().into_iter().flatten();
    programs.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

pub(super) fn paragraphs(parts: &[&str]) -> String {
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts.copied().collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_schools_both_lead() {
        let schools = [("A", 0), ("B", 5), ("C", 0)]
            .map(|(name, fees)| json!({ "name": name, "fees_per_year": fees }));
        assert_eq!(leaders(&schools, "fees_per_year", 1.0), "A and C");
    }
}
