//! Values weighed against a condition's schemas, in three values.

use serde_json::Value;

use super::Verdict;
use super::form::{Kind, Rule};

/// Two that both have to be fulfilled. What is not clear counts first.
pub(super) fn both(one: Verdict, other: Verdict) -> Verdict {
    match (&one, &other) {
        (Verdict::Unclear { .. }, _) => one,
        (_, Verdict::Unclear { .. }) => other,
        (Verdict::Unfulfilled { .. }, _) => one,
        (Verdict::Fulfilled, _) => other,
    }
}

/// Several of which one is enough.
fn any(verdicts: impl Iterator<Item = Verdict>, why: impl FnOnce() -> String) -> Verdict {
    let mut unclear = None;
    for verdict in verdicts {
        match verdict {
            Verdict::Fulfilled => return Verdict::Fulfilled,
            Verdict::Unclear { .. } => unclear = unclear.or(Some(verdict)),
            Verdict::Unfulfilled { .. } => {}
        }
    }
    unclear.unwrap_or_else(|| Verdict::Unfulfilled { why: why() })
}

impl Rule {
    /// Weighs a value; `place` is where it stands. In an alternative (`guarded`) a `type` that the value is
    /// not of decides before its other words, which are then for another alternative's values.
    pub(super) fn weigh(&self, value: &Value, place: &str, guarded: bool) -> Verdict {
        match self.always {
            Some(true) => return Verdict::Fulfilled,
            Some(false) => {
                return Verdict::Unfulfilled { why: format!("{place}: must not be there") };
            }
            None => {}
        }
        let of_type =
            self.types.as_ref().map_or(Verdict::Fulfilled, |types| plain(types, value, place));
        if guarded && matches!(of_type, Verdict::Unfulfilled { .. }) {
            return of_type;
        }
        let kind = Kind::of(value);
        if let Some((word, kinds)) = self.kinds.iter().find(|(_, kinds)| !kinds.contains(&kind)) {
            let for_what = kinds.first().map_or("nothing", |kind| kind.name());
            let why = format!("{place}: {word} is for {for_what}, and this is {}", kind.name());
            return Verdict::Unclear { why };
        }
        let of_plain =
            self.plain.as_ref().map_or(Verdict::Fulfilled, |schema| plain(schema, value, place));
        [self.parts(value, place, guarded), self.alternatives(value, place, guarded)]
            .into_iter()
            .fold(both(of_type, of_plain), both)
    }

    /// Its properties and items.
    fn parts(&self, value: &Value, place: &str, guarded: bool) -> Verdict {
        let mut verdict = Verdict::Fulfilled;
        let mut add = |judged| {
            let known = std::mem::replace(&mut verdict, Verdict::Fulfilled);
            verdict = both(known, judged);
        };
        if let Value::Object(fields) = value {
            for (name, rule) in &self.properties {
                let place = format!("{place}.{name}");
                add(match fields.get(name) {
                    Some(value) => rule.weigh(value, &place, guarded),
                    None => Verdict::Unclear { why: format!("{place}: is missing") },
                });
            }
            for (name, value) in fields {
                self.named(name, value, &format!("{place}.{name}"), guarded).for_each(&mut add);
            }
            for (_, rule) in self.dependent.iter().filter(|(name, _)| fields.contains_key(name)) {
                add(rule.weigh(value, place, guarded));
            }
        }
        if let Value::Array(items) = value {
            for (at, item) in items.iter().enumerate() {
                if let Some(rule) = self.prefix_items.get(at).or(self.items.as_deref()) {
                    add(rule.weigh(item, &format!("{place}.{at}"), guarded));
                }
            }
            if let Some(rule) = &self.contains {
                let each = items.iter().map(|item| rule.weigh(item, place, true));
                add(some(each, self.how_many, place));
            }
        }
        verdict
    }

    /// What is said of a property by its name alone, but for `properties`.
    fn named<'a>(
        &'a self,
        name: &str,
        value: &'a Value,
        place: &'a str,
        guarded: bool,
    ) -> impl Iterator<Item = Verdict> + 'a {
        let as_value = Value::String(name.to_owned());
        let of_name =
            self.property_names.as_ref().map(|rule| rule.weigh(&as_value, place, guarded));
        let mut is_known = self.properties.iter().any(|(known, _)| known == name);
        let mut verdicts: Vec<_> = of_name.into_iter().collect();
        for (pattern, rule) in &self.pattern_properties {
            match plain(pattern, &as_value, place) {
                Verdict::Fulfilled => {
                    is_known = true;
                    verdicts.push(rule.weigh(value, place, guarded));
                }
                Verdict::Unfulfilled { .. } => {}
                unclear @ Verdict::Unclear { .. } => verdicts.push(unclear),
            }
        }
        let other = self.additional.as_ref().filter(|_| !is_known);
        verdicts.extend(other.map(|rule| rule.weigh(value, place, guarded)));
        verdicts.into_iter()
    }

    /// What its schemas for the same value say.
    fn alternatives(&self, value: &Value, place: &str, guarded: bool) -> Verdict {
        let all = self.all_of.iter().map(|rule| rule.weigh(value, place, guarded));
        let mut verdict = all.fold(Verdict::Fulfilled, both);
        if let Some(rules) = &self.any_of {
            let each = rules.iter().map(|rule| rule.weigh(value, place, true));
            verdict = both(verdict, any(each, || format!("{place}: fits none of anyOf")));
        }
        if let Some(rules) = &self.one_of {
            verdict = both(verdict, one_of(rules, value, place));
        }
        if let Some(rule) = &self.not {
            let other = match rule.weigh(value, place, true) {
                Verdict::Fulfilled => {
                    Verdict::Unfulfilled { why: format!("{place}: fits what not excludes") }
                }
                Verdict::Unfulfilled { .. } => Verdict::Fulfilled,
                unclear @ Verdict::Unclear { .. } => unclear,
            };
            verdict = both(verdict, other);
        }
        if let Some(parts) = &self.if_then_else {
            let [condition, then, otherwise] = &**parts;
            let chosen = match condition.weigh(value, place, true) {
                Verdict::Fulfilled => then.weigh(value, place, guarded),
                Verdict::Unfulfilled { .. } => otherwise.weigh(value, place, guarded),
                unclear @ Verdict::Unclear { .. } => unclear,
            };
            verdict = both(verdict, chosen);
        }
        verdict
    }
}

/// Items of which so many have to be fulfilled, one at least where nothing is said.
fn some(
    verdicts: impl Iterator<Item = Verdict>,
    (from, to): (Option<usize>, Option<usize>),
    place: &str,
) -> Verdict {
    let (mut fits, mut unclear, mut why) = (0_usize, 0_usize, None);
    for verdict in verdicts {
        match verdict {
            Verdict::Fulfilled => fits += 1,
            Verdict::Unfulfilled { .. } => {}
            Verdict::Unclear { .. } => {
                unclear += 1;
                why = why.or(Some(verdict));
            }
        }
    }
    let (from, to) = (from.unwrap_or(1), to.unwrap_or(usize::MAX));
    match why {
        // Whatever they are, it comes to the same.
        Some(unclear_one) if fits <= to && fits + unclear >= from => {
            if fits >= from && fits + unclear <= to { Verdict::Fulfilled } else { unclear_one }
        }
        _ if fits >= from && fits <= to => Verdict::Fulfilled,
        _ if from == 1 && fits == 0 => {
            Verdict::Unfulfilled { why: format!("{place}: has no such item") }
        }
        _ => Verdict::Unfulfilled { why: format!("{place}: has {fits} such items") },
    }
}

/// Exactly one has to be fulfilled.
fn one_of(rules: &[Rule], value: &Value, place: &str) -> Verdict {
    let mut fits = 0;
    for rule in rules {
        match rule.weigh(value, place, true) {
            Verdict::Fulfilled => fits += 1,
            Verdict::Unfulfilled { .. } => {}
            unclear @ Verdict::Unclear { .. } => return unclear,
        }
    }
    match fits {
        1 => Verdict::Fulfilled,
        _ => Verdict::Unfulfilled { why: format!("{place}: fits {fits} of oneOf") },
    }
}

/// What a schema without others inside says.
fn plain(schema: &crate::Schema, value: &Value, place: &str) -> Verdict {
    match schema.fits(value) {
        Ok(true) => Verdict::Fulfilled,
        Ok(false) => {
            let errors = schema.check_here(value, 1).err().unwrap_or_default();
            let what = errors.into_iter().next().unwrap_or_else(|| "does not fit".to_owned());
            Verdict::Unfulfilled { why: format!("{place}: {what}") }
        }
        // What is too large to be judged is nobody's to wave through.
        Err(why) => Verdict::Unclear { why: format!("{place}: {why}") },
    }
}
