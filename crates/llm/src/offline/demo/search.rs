//! A search for schools, as a person words it.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::lexicon::PROGRAMS;
use super::play::text;

pub(super) const LEVELS: [&str; 3] = ["primary", "secondary", "combined"];
pub(super) const PLACES: [&str; 5] = ["beach", "park", "city", "river", "hills"];

/// The most schools that the application lists at once.
const MAX_LIMIT: usize = 50;

/// How many schools are shown where all that fit are at most this many.
const SHORT_LIST: usize = 10;

/// How many are shown otherwise.
const LONG_LIST: usize = 5;

/// What to look for; everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Search {
    pub(super) levels: Vec<&'static str>,
    pub(super) places: Vec<&'static str>,
    /// Whether one of the places or programs is enough.
    pub(super) any: bool,
    /// Levels and places that it must not have.
    pub(super) not: Vec<&'static str>,
    pub(super) suburb: Option<String>,
    /// A suburb where it must not be.
    pub(super) not_in: Option<String>,
    /// Programs, and words of which nothing else is known.
    pub(super) query: Vec<String>,
    pub(super) fees: Range,
    pub(super) rating: Range,
    pub(super) km: Range,
    pub(super) students: Range,
    pub(super) order: Option<Order>,
    /// How many to show.
    pub(super) count: Option<usize>,
    /// Whether to show all.
    pub(super) all: bool,
}

/// From and to; the ends belong to it unless they are open.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Range {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) is_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    Cheapest,
    Dearest,
    Best,
    Worst,
    Nearest,
    Smallest,
    Largest,
}

impl Range {
    fn holds(self, value: Option<f64>) -> bool {
        let Some(value) = value else { return self == Self::default() };
        let within = |end: Option<f64>, side: Ordering| {
            end.is_none_or(|end| {
                let at = value.total_cmp(&end);
                at == side || (at == Ordering::Equal && !self.is_open)
            })
        };
        within(self.min, Ordering::Greater) && within(self.max, Ordering::Less)
    }

    /// In words; with `of`, such as “at most 5 km”, they follow a noun.
    fn describe(self, of: &str, unit: &str) -> Option<String> {
        let (below, above) = if self.is_open {
            ("under".to_owned(), "over".to_owned())
        } else {
            (format!("{of}at most"), format!("{of}at least"))
        };
        Some(match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}{unit}"),
            (None, Some(max)) => format!("{below} {max}{unit}"),
            (Some(min), None) => format!("{above} {min}{unit}"),
            (None, None) => return None,
        })
    }
}

impl Search {
    /// This search, changed by what a later message says of it.
    pub(super) fn refined_by(&self, later: &Self) -> Self {
        let list = |new: &[&'static str], old: &[&'static str]| {
            if new.is_empty() { old.to_vec() } else { new.to_vec() }
        };
        let range = |new: Range, old: Range| if new == Range::default() { old } else { new };
        Self {
            levels: list(&later.levels, &self.levels),
            places: list(&later.places, &self.places),
            any: self.any || later.any,
            not: list(&later.not, &self.not),
            suburb: later.suburb.clone().or_else(|| self.suburb.clone()),
            not_in: later.not_in.clone().or_else(|| self.not_in.clone()),
            query: if later.query.is_empty() { self.query.clone() } else { later.query.clone() },
            fees: range(later.fees, self.fees),
            rating: range(later.rating, self.rating),
            km: range(later.km, self.km),
            students: range(later.students, self.students),
            order: later.order.or(self.order),
            count: later.count.or(self.count),
            all: later.all,
        }
    }

    /// Whether it says anything about the schools.
    pub(super) fn says_something(&self) -> bool {
        Self { count: None, all: false, any: false, ..self.clone() } != Self::default()
    }

    /// Whether it says something in words that are known, beyond a number.
    pub(super) fn is_specific(&self) -> bool {
        let known = |word: &String| PROGRAMS.contains(&word.as_str());
        let bare = Self { suburb: None, query: Vec::new(), ..self.clone() };
        bare.says_something() || self.query.iter().any(known)
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// What is first in its order: `best rated`.
    pub(super) fn first(&self) -> &'static str {
        match self.order {
            None | Some(Order::Best) => "best rated",
            Some(Order::Cheapest) => "cheapest",
            Some(Order::Dearest) => "most expensive",
            Some(Order::Worst) => "lowest rated",
            Some(Order::Nearest) => "nearest to the beach",
            Some(Order::Smallest) => "smallest",
            Some(Order::Largest) => "largest",
        }
    }

    /// The body of the application's search. What it cannot say is left to [`Search::choose`].
    pub(super) fn body(&self) -> Value {
        let one = |list: &[&'static str]| (list.len() == 1).then(|| list[0]);
        let mut body = json!({
            "level": one(&self.levels), "near": one(&self.places), "suburb": self.suburb,
            "query": (!self.query.is_empty() && !self.is_choice()).then(|| self.query.join(" ")),
            "max_fees": self.most_fees(), "min_rating": self.least_rating(),
            "limit": if self.is_exact() { self.count.unwrap_or(SHORT_LIST).clamp(1, MAX_LIMIT) } else { MAX_LIMIT },
        });
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        body
    }

    /// The most fees, where the application takes them: whole numbers, from none on.
    fn most_fees(&self) -> Option<u64> {
        let max = self.fees.max.filter(|_| self.fees.min.is_none())?;
        let most = if self.fees.is_open { max.ceil() - 1.0 } else { max.floor() };
        (most >= 0.0).then_some(most as u64)
    }

    /// The least rating, where the application takes it.
    fn least_rating(&self) -> Option<f64> {
        self.rating.min.filter(|min| (0.0..=5.0).contains(min))
    }

    /// Whether one of several words is enough.
    fn is_choice(&self) -> bool {
        self.any && self.query.len() > 1
    }

    /// Whether the application's search says all of it, and in its own order: the best rated first.
    fn is_exact(&self) -> bool {
        let bare = Self {
            levels: Vec::new(),
            places: Vec::new(),
            suburb: None,
            query: Vec::new(),
            count: None,
            fees: Range { max: None, is_open: false, ..self.fees },
            rating: Range { min: None, ..self.rating },
            order: self.order.filter(|order| *order != Order::Best),
            any: false,
            ..self.clone()
        };
        let is_one = self.levels.len() <= 1 && self.places.len() <= 1 && !self.is_choice();
        // An end that the application does not take is not in the body.
        let has_ends = self.fees.max.is_some() == self.most_fees().is_some()
            && self.rating.min.is_some() == self.least_rating().is_some();
        is_one && has_ends && !self.rating.is_open && bare == Self::default()
    }

    /// The schools of an answer that fit, in the order that was asked for, and how many there are.
    pub(super) fn choose(&self, answer: &Value) -> (Vec<Value>, usize) {
        let found = answer["schools"].as_array().map_or(&[][..], Vec::as_slice);
        let mut fitting: Vec<Value> =
            found.iter().filter(|school| self.fits(school)).cloned().collect();
        if let Some(order) = self.order {
            let by =
                |field: &str, a: &Value, b: &Value| number(a, field).total_cmp(&number(b, field));
            fitting.sort_by(|a, b| match order {
                Order::Cheapest => by("fees_per_year", a, b),
                Order::Dearest => by("fees_per_year", b, a),
                Order::Best => by("rating", b, a),
                Order::Worst => by("rating", a, b),
                Order::Nearest => by("distance_to_beach_km", a, b),
                Order::Smallest => by("enrolment", a, b),
                Order::Largest => by("enrolment", b, a),
            });
        }
        let listed = answer["total"].as_u64().and_then(|total| usize::try_from(total).ok());
        let total = if self.is_exact() { listed.unwrap_or(fitting.len()) } else { fitting.len() };
        let short = if total <= SHORT_LIST || self.all { MAX_LIMIT } else { LONG_LIST };
        fitting.truncate(self.count.unwrap_or(short));
        (fitting, total)
    }

    fn fits(&self, school: &Value) -> bool {
        let level = text(school, "level");
        let near = |place: &str| {
            school["near"].as_array().is_some_and(|near| near.iter().any(|n| n == place))
        };
        let has = |word: &String| {
            let programs = school["programs"].as_array().into_iter().flatten();
            programs.filter_map(Value::as_str).any(|program| program.contains(word.as_str()))
        };
        let is = |field: &str| school[field].as_f64();
        (self.levels.is_empty() || self.levels.contains(&level))
            && (self.places.is_empty()
                || if self.any {
                    self.places.iter().any(|place| near(place))
                } else {
                    self.places.iter().all(|place| near(place))
                })
            && self
                .not_in
                .as_ref()
                .is_none_or(|suburb| !suburb.eq_ignore_ascii_case(text(school, "suburb")))
            && !self.not.iter().any(|not| *not == level || near(not))
            && (!self.is_choice() || self.query.iter().any(has))
            && self.fees.holds(is("fees_per_year"))
            && self.rating.holds(is("rating"))
            && self.km.holds(is("distance_to_beach_km"))
            && self.students.holds(is("enrolment"))
    }

    /// What is looked for, in words: `primary schools near the beach, no fees`.
    pub(super) fn describe(&self) -> String {
        let join = if self.any { " or " } else { " and " };
        let mut text = if self.levels.is_empty() {
            "schools".to_owned()
        } else {
            [self.levels.join(" or "), "schools".to_owned()].join(" ")
        };
        if !self.places.is_empty() {
            let places: Vec<_> = self.places.iter().map(|place| place_words(place)).collect();
            text += &format!(" {}", places.join(join));
        }
        if let Some(suburb) = &self.suburb {
            text += &format!(" in {suburb}");
        }
        let words: Vec<_> = self.query.iter().map(|word| format!("“{word}”")).collect();
        let fees = match self.fees {
            Range { max: Some(0.0), .. } => Some("with no fees".to_owned()),
            fees => fees.describe("of ", "").map(|fees| format!("with fees {fees}")),
        };
        let not = self.not.iter().map(|not| format!("not {}", place_words(not)));
        let not = not.chain(self.not_in.iter().map(|suburb| format!("not in {suburb}")));
        let more = [
            (!words.is_empty()).then(|| format!("with {}", words.join(join))),
            fees,
            self.rating.describe("", "").map(|rating| format!("rated {rating}")),
            self.km.describe("", " km").map(|km| format!("{km} from the beach")),
            self.students.describe("", " students").map(|students| format!("with {students}")),
        ];
        let more: Vec<_> = not.chain(more.into_iter().flatten()).collect();
        if !more.is_empty() {
            text += &format!(" {}", more.join(", "));
        }
        text
    }
}

/// A school as a line of a list.
pub(super) fn line(school: &Value) -> String {
    let text = |field: &str| school[field].as_str().unwrap_or("?").to_owned();
    format!(
        "**{}**, {} in {}: rated {}, {}, {} km from the beach",
        text("name"),
        text("level"),
        text("suburb"),
        school["rating"],
        fees(school),
        school["distance_to_beach_km"]
    )
}

/// The fees of a school in words.
pub(super) fn fees(school: &Value) -> String {
    match school["fees_per_year"].as_u64() {
        Some(0) => "no fees".to_owned(),
        Some(fees) => format!("fees {fees} a year"),
        None => "fees unknown".to_owned(),
    }
}

fn place_words(key: &str) -> String {
    match key {
        "city" | "hills" => format!("in the {key}"),
        "primary" | "secondary" | "combined" => key.to_owned(),
        _ => format!("near the {key}"),
    }
}

fn number(school: &Value, field: &str) -> f64 {
    school[field].as_f64().unwrap_or_default()
}
