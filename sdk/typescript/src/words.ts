/** The words of a text, as they are looked for: in any case, without accents. */

/** English words that say nothing about what is looked for. They count only where there are no others. */
const COMMON = new Set(
  `a about am an and any are as at be been but by can could did do does for from had has have he her his how i if in is it its
  me my no not of on or our please she should so some than that the their them then there they this to was we were what when
  where which who why will with would you your s`.split(/\s+/),
);

/** A text without cases: what all forms of its letters have in common. */
const folded = (text: string): string => text.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC");

/** A text after NFC, case and white-space folding: equal for texts that say the same. */
export const sameText = (text: string): string => folded(text).split(/\s+/u).filter(Boolean).join(" ");

/** Each word, in lower case and without accents; signs of writings without spaces each for itself. */
export function wordsOf(text: string | null | undefined): string[] {
  const plain = folded((text ?? "").normalize("NFKD").replace(/\p{M}/gu, ""));
  return plain.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{N}]+/gu) ?? [];
}

/** The words that a search is for: each once, and common ones only where there are no others. */
export function searchedWords(text: string): string[] {
  const all = [...new Set(wordsOf(text))];
  const telling = all.filter((word) => !COMMON.has(word));
  return telling.length === 0 ? all : telling;
}

/** The stem of an English word, roughly: without its commonest endings. */
export function stemOf(word: string): string {
  const stem = word.replace(/(ies|ied)$/, "y").replace(/(?<=[a-z]{3})(ing|ed|es|s|ly)$/, "");
  return stem.length >= 3 ? stem.replace(/(.)\1$/, "$1").replace(/e$/, "") : word;
}
