/** Whom a text mentions. */

import { isRole } from "./fields.js";

/** The roles that a text mentions, each once, in order. A mention begins a word; code between backticks is none. */
export function mentionedRoles(text: string): string[] {
  const roles = new Set<string>();
  // A backtick that is never closed does not open code.
  const plain = text.replace(/`[^`]*`/gs, "` ");
  for (const found of plain.matchAll(/(?<![\p{L}\p{N}_.@-])@([A-Za-z0-9_-]+)/gu)) {
    const role = (found[1] ?? "").replace(/[-_]+$/, "");
    if (isRole(role)) roles.add(role);
  }
  return [...roles];
}
