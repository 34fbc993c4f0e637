/** Pages of a list. */

import { cursorOf, type Paging } from "../fields.js";
import { toJson } from "../json.js";

/** A page, and the cursor that leads on. */
export interface Page<T> {
  readonly items: T[];
  readonly next_cursor?: string;
}

/** The most bytes that the items of a page have as JSON, unless one alone has more. */
export const PAGE_BYTES = 4 * 1024 * 1024;

/** How many rows to ask for, so that {@link pageOf} sees whether there are more than fit. */
export const rowsFor = ({ limit }: Paging): number => limit + 1;

/** The page that rows make, of which there may be one more than fits. */
export function pageOf<R extends { seq: number }, T>(rows: R[], { limit }: Paging, item: (row: R) => T): Page<T> {
  const items: T[] = [];
  let size = 0;
  let last = 0;
  for (const row of rows) {
    const next = item(row);
    size += Buffer.byteLength(toJson(next));
    if (items.length >= limit || (size > PAGE_BYTES && items.length > 0)) return { items, next_cursor: cursorOf(last) };
    items.push(next);
    last = Number(row.seq);
  }
  return { items };
}

/** An object without the fields that it has not. */
export function compact<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const filled = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(filled) as { [K in keyof T]?: NonNullable<T[K]> };
}
