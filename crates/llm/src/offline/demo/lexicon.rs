//! The words that the demo's model knows, each with its other forms.

use super::slips::is_slip;

/// A meaning, and the words that have it.
type Entry = (&'static str, &'static str);

/// Longer words are recognised with a slip of the finger, too (see [`meaning`]).
const WORDS: &[Entry] = &[
    // What is looked for.
    ("school", "school schools"),
    ("college", "college colleges"),
    (
        "institution",
        "kindergarten kindergartens preschool preschools nursery nurseries daycare university \
         universities academy academies",
    ),
    ("ones", "ones options results choices suggestions candidates"),
    ("primary", "primary elementary"),
    ("secondary", "secondary highschool"),
    ("high", "high"),
    ("combined", "combined"),
    // Said of schools, and not known to be true of any: looked for as words.
    (
        "trait",
        "girls boys private public state independent religious catholic christian boarding \
         international montessori waldorf steiner bilingual special",
    ),
    ("languages", "languages language"),
    ("outdoor", "outdoor outdoors"),
    ("arts", "arts art painting"),
    ("chess", "chess"),
    ("music", "music musical"),
    ("surf", "surf surfing"),
    ("drama", "drama theatre theater acting"),
    ("robotics", "robotics robots robot"),
    ("coding", "coding programming"),
    ("gardening", "gardening"),
    // Where.
    ("beach", "beach beaches sea seaside ocean coast shore seashore waterfront"),
    ("park", "park parks"),
    ("city", "city downtown centre center urban"),
    ("river", "river riverbank"),
    ("hills", "hills hill mountain mountains"),
    ("near", "near close by around nearby beside along from"),
    ("in", "in at"),
    ("km", "km kms kilometre kilometres kilometer kilometers"),
    // How much, how many, how good.
    ("fee", "fee fees cost costs price prices tuition pay charge"),
    ("money", "dollar dollars euro euros usd eur bucks budget year"),
    ("free", "free"),
    ("cheap", "cheap cheaper affordable inexpensive"),
    ("cheapest", "cheapest"),
    ("expensive", "expensive"),
    ("best", "best top highest"),
    ("worst", "worst lowest"),
    ("most", "most"),
    ("nearest", "nearest closest"),
    ("small", "smallest small smaller"),
    ("large", "largest large larger biggest big bigger"),
    ("rated", "rated rating ratings stars star"),
    ("students", "students pupils enrolment"),
    ("under", "under below less fewer maximum max within upto"),
    ("over", "over above exceeding minimum min least"),
    ("more", "more"),
    ("than", "than"),
    ("between", "between"),
    // What to do.
    (
        "find",
        "find search searching look looking seek seeking locate recommend suggest need want get \
         pick",
    ),
    ("show", "show list display give view see"),
    ("compare", "compare comparing comparison versus vs difference differences better"),
    ("book", "book schedule arrange reserve organise organize"),
    ("visit", "visit visits tour tours appointment appointments viewing"),
    ("task", "task tasks todo todos reminder reminders chore chores"),
    ("create", "create make new"),
    ("add", "add put"),
    ("remind", "remind"),
    ("delete", "delete remove cancel drop erase discard scrap"),
    ("cancelled", "cancelled canceled deleted removed"),
    ("complete", "complete finish close tick"),
    ("completed", "completed finished done accomplished closed"),
    ("mark", "mark set move"),
    ("start", "start begin"),
    ("progress", "progress"),
    ("blocked", "blocked stuck"),
    ("open", "open reopen pending left"),
    ("shortlist", "shortlist shortlisted favourites favorites"),
    ("tell", "tell far describe about details detail info information profile contact"),
    ("offer", "with offer offers offering teach teaches teaching"),
    ("plan", "plan"),
    ("help", "help"),
    ("hello", "hello hi hey hiya morning evening afternoon howdy"),
    ("thanks", "thanks thank cheers thx"),
    ("please", "please pls kindly then also just now"),
    // Asking, and saying no.
    ("what", "what whats"),
    ("which", "which"),
    ("where", "where"),
    ("how", "how why when"),
    ("many", "many"),
    ("any", "any there"),
    ("can", "can could would will"),
    ("you", "you"),
    ("did", "did have has should was were am is are do does"),
    ("who", "who"),
    ("not", "not never without dont wont doesnt except excluding"),
    ("no", "no"),
    ("and", "and plus"),
    ("or", "or"),
    // Pointing at what was named.
    ("all", "all every everything each"),
    ("both", "both"),
    ("them", "them these those they"),
    ("it", "it this that"),
    ("last", "last"),
    // Without a meaning of their own.
    (
        "filler",
        "a an the been went teh some i me my our your us we for to of on as be so if but up off out per like \
         love good great nice kind type called named titled name title list one right available \
         suitable different other possible local really very it's done number here home area suburb \
         district yet whose son daughter child children kid kids family know let ok okay first with \
         into real actually maybe still only data back",
    ),
];

/// Words that are no slip of a word above.
const OTHERS: &str = "reach bench program programs driver bills prize learn finding older booked riverbend riverside bookings \
     creature party shows planet plant whole story store shown small class thing think there \
     their these where share sharp cancels marks money monkey mother listen carts chest press \
     greatest";

/// Numbers as words.
const NUMBERS: &[(&str, u32)] = &[
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("twelve", 12),
    ("twenty", 20),
    ("couple", 2),
    ("pair", 2),
    ("few", 3),
];

const ORDINALS: [&str; 10] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/// Programs as the demo application's search calls them.
pub(super) const PROGRAMS: [&str; 10] = [
    "languages",
    "outdoor",
    "arts",
    "chess",
    "music",
    "surf",
    "drama",
    "robotics",
    "coding",
    "gardening",
];

/// What a word means; empty where that is not known.
pub(super) fn meaning(word: &str) -> &'static str {
    let all =
        || WORDS.iter().flat_map(|(key, forms)| forms.split(' ').map(move |form| (*key, form)));
    if let Some((key, _)) = all().find(|(_, form)| *form == word) {
        return key;
    }
    if OTHERS.split(' ').any(|other| other == word)
        || ordinal(word).is_some()
        || number(word).is_some()
    {
        return "";
    }
    all().find(|(_, form)| is_slip(word, form)).map_or("", |(key, _)| key)
}

/// The number that a word is.
pub(super) fn number(word: &str) -> Option<u32> {
    NUMBERS.iter().find(|(known, _)| *known == word).map(|(_, number)| *number)
}

/// The place in a list that a word is, from 1.
pub(super) fn ordinal(word: &str) -> Option<usize> {
    ORDINALS.iter().position(|known| *known == word).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_other_forms_and_with_slips() {
        for (word, key) in [
            ("elementary", "primary"),
            ("primry", "primary"),
            ("shcools", "school"),
            ("seconadry", "secondary"),
            ("baech", "beach"),
            ("comapre", "compare"),
            ("teach", "offer"),
            ("scholen", ""),
            ("primarias", ""),
            ("bench", ""),
            ("booked", ""),
            ("second", ""),
        ] {
            assert_eq!(meaning(word), key, "{word}");
        }
    }
}
