/** The words of a text, as they are looked for: in any case, without accents. */

/** Each word, in lower case and without its accents. */
export function wordsOf(text: string | null | undefined): string[] {
  const plain = (text ?? "").normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.match(/[\p{L}\p{N}]+/gu) ?? [];
}
