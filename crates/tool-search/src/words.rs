//! Words of a text as they are compared: in lower case, without endings, without those that say nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The longest word that is kept, bytes.
const MAX_WORD: usize = 64;

/// Words that say nothing of what a tool does.
const SILENT: &[&str] = &[
    "a", "about", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can",
    "could", "did", "do", "does", "for", "from", "given", "had", "has", "have", "her", "here",
    "his", "how", "if", "in", "into", "is", "it", "its", "may", "might", "no", "not", "of", "on",
    "one", "or", "our", "out", "should", "so", "some", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "those", "to", "two", "up", "us", "use", "used",
    "using", "via", "was", "we", "were", "what", "when", "where", "which", "who", "whom", "why",
    "will", "with", "would", "you", "your",
];

/// Words that mean the same where tools are asked for: what people say for what interfaces call it.
const ALIKE: &[&[&str]] = &[
    &[
        "create", "new", "make", "open", "start", "add", "save", "store", "publish", "post",
        "submit", "write", "register",
    ],
    &["delete", "remove", "drop", "erase", "clear", "take", "destroy", "unset"],
    &[
        "get", "show", "read", "fetch", "view", "see", "display", "retrieve", "look", "download",
        "list", "browse", "tell",
    ],
    &["update", "change", "edit", "modify", "set", "rename", "replace", "close", "put"],
    &["search", "find", "lookup", "query"],
    &["repository", "repo"],
    &["organization", "org", "organisation", "company"],
    &["person", "people", "somebody", "someone", "colleague", "user"],
    &["run", "execute", "launch", "trigger", "dispatch"],
    &["message", "reply", "answer", "respond", "comment"],
    &["bug", "issue", "ticket", "problem"],
    &["email", "mail"],
    &["label", "tag"],
    &["my", "me", "mine", "own", "current", "authenticated"],
    &["assign", "responsible", "charge"],
    &["attachment", "attach", "asset"],
    &["cancel", "stop", "abort"],
    &["lock", "block", "freeze", "prevent"],
    &["enable", "activate"],
    &["disable", "deactivate"],
    &["permission", "access", "right"],
    &["license", "licence"],
    &["customer", "client"],
    &["invoice", "bill"],
    &["picture", "image", "photo"],
    &["document", "file"],
];

/// Endings that are taken off, what is put in their place, and how many bytes must be left. The first that fits.
const ENDINGS: [(&str, &str, usize); 9] = [
    ("ization", "iz", 3),
    ("ation", "", 5),
    ("ing", "", 4),
    ("ment", "", 5),
    ("ion", "", 5),
    ("ed", "", 3),
    ("ee", "", 5),
    ("er", "", 6),
    ("or", "", 6),
];

/// For the stem of each word of [`ALIKE`]: the stems of the others.
static OTHERS: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut others: HashMap<String, Vec<String>> = HashMap::new();
    for group in ALIKE {
        let stems: Vec<String> = group.iter().map(|word| stem(word)).collect();
        for word in &stems {
            let known = others.entry(word.clone()).or_default();
            known.extend(stems.iter().filter(|other| *other != word).cloned());
        }
    }
    others
});

/// What else somebody may have said for a word, as a stem.
pub(crate) fn others(stem: &str) -> &'static [String] {
    OTHERS.get(stem).map_or(&[], Vec::as_slice)
}

/// The stems of a text, in its order.
pub(crate) fn stems(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for part in text.split(|c: char| !c.is_alphanumeric()) {
        let mut word = String::new();
        let mut before_is_small = false;
        for c in part.chars() {
            // `listOpenOrders` is three words.
            if c.is_uppercase() && before_is_small {
                keep(&mut all, &word);
                word.clear();
            }
            before_is_small = c.is_lowercase() || c.is_numeric();
            word.extend(c.to_lowercase());
        }
        keep(&mut all, &word);
    }
    all
}

fn keep(all: &mut Vec<String>, word: &str) {
    if word.len() > 1 && word.len() <= MAX_WORD && SILENT.binary_search(&word).is_err() {
        all.push(stem(word));
    }
}

/// A word without its ending, so that `reviewers` and `review` are one. Not a word of any language.
fn stem(word: &str) -> String {
    let mut word = word.to_owned();
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 4
        && ["sses", "shes", "ches", "xes"].iter().any(|end| word.ends_with(end))
    {
        word.truncate(word.len() - 2);
    } else if word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "is"].iter().any(|end| word.ends_with(end))
    {
        word.pop();
    }
    let fits = |(end, _, left): &&(&str, &str, usize)| {
        word.strip_suffix(end).is_some_and(|rest| rest.len() >= *left)
    };
    if let Some((end, instead, _)) = ENDINGS.iter().find(fits) {
        word.truncate(word.len() - end.len());
        word.push_str(instead);
    }
    let mut last = word.chars().rev();
    if let (Some(last), Some(before)) = (last.next(), last.next())
        && last == before
        && "bdgmnprt".contains(last)
        && word.len() > 3
    {
        word.pop();
    }
    if word.len() > 4 && word.ends_with('e') {
        word.pop();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_belong_together_have_one_stem() {
        for words in [
            "create creating created creates",
            "reviewers reviewer review reviewed",
            "repositories repository",
            "contributors contributed",
            "invitations invite",
            "assignees assign",
            "branches branch",
            "statuses status",
        ] {
            let stems = stems(words);
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{stems:?}");
        }
        for words in ["run runner", "number numb", "member memb"] {
            let stems = stems(words);
            assert_ne!(stems[0], stems[1]);
        }
    }

    #[test]
    fn names_of_programs_are_words() {
        assert_eq!(stems("listOpenOrders"), ["list", "open", "order"]);
        assert_eq!(stems("repos/get-by_id"), ["repo", "get", "id"]);
        assert_eq!(stems("Größe der Räume"), ["größ", "der", "räum"]);
        assert_eq!(stems("what is the of a"), [] as [&str; 0]);
        assert!(SILENT.is_sorted());
    }
}
