//! The index, and how it is asked.

use std::collections::HashMap;

use crate::entry::{Arguments, Entry, Parts};
use crate::words::{others, stems};

/// How many words of a question are looked up.
const MAX_WORDS: usize = 48;

/// How fast a word that stands several times in a tool stops to count.
const SATURATION: f32 = 1.2;

/// What a word of the same meaning counts, beside the very word.
const ALIKE: f32 = 0.6;

/// How much more a tool counts all of whose name is asked for than one of which nothing is.
const WHOLE_NAME: f32 = 1.5;

/// What a word counts by the field that it stands in, and how much a long field takes from it.
const FIELDS: [(f32, f32); 7] = [
    // Name, first sentence.
    (3.0, 0.75),
    (3.0, 0.75),
    // The rest of the description, method and path, tags.
    (1.0, 0.5),
    (1.0, 0.5),
    (1.0, 0.5),
    // The names and the descriptions of arguments.
    (0.6, 0.5),
    (0.25, 0.5),
];

/// Tools by their words.
#[derive(Debug, Default)]
pub struct Index {
    words: HashMap<String, u32>,
    /// By word: the tools that have it, and what it counts there.
    tools: Vec<Vec<(u32, f32)>>,
    /// By tool: the words of its name, each once.
    names: Vec<Vec<u32>>,
}

impl Index {
    /// Reads the tools; answers name them by their places.
    pub fn build<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut index = Self::default();
        let fields: Vec<_> = entries.into_iter().map(|entry| index.fields(&entry)).collect();
        let count = fields.len().max(1) as f32;
        let mut lengths = [0.0_f32; FIELDS.len()];
        for of_tool in &fields {
            for (length, words) in lengths.iter_mut().zip(of_tool) {
                *length += words.len() as f32 / count;
            }
        }
        index.tools = vec![Vec::new(); index.words.len()];
        for (at, of_tool) in (0_u32..).zip(&fields) {
            let mut counts: HashMap<u32, f32> = HashMap::new();
            for ((words, length), (weight, cut)) in of_tool.iter().zip(lengths).zip(FIELDS) {
                let long = 1.0 - cut + cut * words.len() as f32 / length.max(f32::EPSILON);
                for word in words {
                    *counts.entry(*word).or_default() += weight / long;
                }
            }
            for (word, count) in counts {
                index.tools[word as usize].push((at, count));
            }
            let mut name = of_tool[0].clone();
            name.sort_unstable();
            name.dedup();
            index.names.push(name);
        }
        index
    }

    /// How many tools it has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The tools that fit a question best, the best first: at most `most` of those to keep.
    pub fn search(&self, question: &str, most: usize, keep: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut asked = stems(question);
        let mut seen = std::collections::HashSet::new();
        asked.retain(|word| seen.insert(word.clone()));
        asked.truncate(MAX_WORDS);
        let mut scores = vec![0.0_f32; self.len()];
        let mut of_word = vec![0.0_f32; self.len()];
        let mut is_asked = vec![false; self.tools.len()];
        for word in &asked {
            of_word.fill(0.0);
            // A word of the same meaning that is rarer than the very word counts no more than that.
            let most = self.words.get(word).map_or(f32::INFINITY, |word| self.rarity(*word));
            let alike = others(word).iter().map(|other| (other, ALIKE));
            for (word, weight) in std::iter::once((word, 1.0)).chain(alike) {
                let Some(word) = self.words.get(word) else { continue };
                is_asked[*word as usize] = true;
                let rare = self.rarity(*word).min(most);
                for (tool, count) in &self.tools[*word as usize] {
                    let score = weight * rare * count * (SATURATION + 1.0) / (count + SATURATION);
                    let best = &mut of_word[*tool as usize];
                    *best = best.max(score);
                }
            }
            scores.iter_mut().zip(&of_word).for_each(|(score, of_word)| *score += of_word);
        }
        let mut found: Vec<(f32, usize)> = Vec::new();
        for (at, score) in scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0) {
            if keep(at) {
                let share = self.share(at, &is_asked);
                found.push((score * (1.0 + WHOLE_NAME * share), at));
            }
        }
        found.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
        found.into_iter().take(most).map(|(_, at)| at).collect()
    }

    /// How much of a tool's name is asked for, 0 to 1.
    fn share(&self, tool: usize, is_asked: &[bool]) -> f32 {
        let (mut asked, mut all) = (0.0, f32::EPSILON);
        for word in &self.names[tool] {
            let rare = self.rarity(*word);
            all += rare;
            if is_asked[*word as usize] {
                asked += rare;
            }
        }
        asked / all
    }

    /// What a word counts by how few tools have it.
    fn rarity(&self, word: u32) -> f32 {
        let with = self.tools[word as usize].len() as f32;
        (1.0 + (self.len() as f32 - with + 0.5) / (with + 0.5)).ln()
    }

    fn fields(&mut self, entry: &Entry<'_>) -> [Vec<u32>; FIELDS.len()] {
        let Parts { title, rest, place } = Parts::of(entry.description);
        let arguments = Arguments::of(entry.parameters);
        let tags = entry.tags.join(" ");
        let texts =
            [entry.name, title, rest, place, &tags, &arguments.names, &arguments.descriptions];
        texts.map(|text| stems(text).into_iter().map(|word| self.word(word)).collect())
    }

    fn word(&mut self, word: String) -> u32 {
        let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        *self.words.entry(word).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn index(tools: &[(&str, &str)]) -> Index {
        let entry = |at: usize| Entry { name: tools[at].0, ..Entry::of_text(tools[at].1) };
        Index::build((0..tools.len()).map(entry))
    }

    #[test]
    fn nothing_is_found_for_nothing_and_in_nothing() {
        assert!(Index::build([]).search("orders", 5, |_| true).is_empty());
        let index = index(&[("list_orders", "List orders.")]);
        assert!(index.search("", 5, |_| true).is_empty());
        assert!(index.search("the of a", 5, |_| true).is_empty());
        assert!(index.search("zebra", 5, |_| true).is_empty());
    }

    #[test]
    fn what_is_not_kept_takes_no_place() {
        let index = index(&[("list_orders", "List orders."), ("get_order", "Get an order.")]);
        assert_eq!(index.search("orders", 1, |_| true).len(), 1);
        assert_eq!(index.search("list orders", 1, |at| at != 0), [1]);
    }

    #[test]
    fn arguments_and_tags_are_found() {
        let wanted = json!({ "properties": { "body": { "properties": { "due_date": { "description": "by when" } } } } });
        let none = Value::Null;
        let (tags, no_tags) = (["billing".to_owned()], []);
        let entry = |name, tags, parameters| Entry { name, description: "", tags, parameters };
        let index = Index::build([entry("a", &no_tags[..], &none), entry("b", &tags[..], &wanted)]);
        for asked in ["due date", "billing"] {
            assert_eq!(index.search(asked, 5, |_| true), [1], "{asked}");
        }
    }
}
