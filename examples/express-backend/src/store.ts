// Where everything is kept: in memory here, and so gone when the application stops; your own database
// there.

import { isDeepStrictEqual } from "node:util";

import type { Response } from "express";
import { z } from "zod";

import { Problem } from "./errors.js";

export const Paging = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, "is not one of ours")
    .transform(Number)
    .optional(),
});

export interface Page<T> {
  items: T[];
  next_cursor?: string;
}

interface Made<T> {
  object: T;
  replayed: boolean;
}

/** Objects of one kind, in the order in which they were made, each with its owner. */
export class Shelf<T> {
  readonly #objects: { owner: string; object: T }[] = [];
  readonly #keys = new Map<string, { body: unknown; object: T }>();

  /**
   * Makes an object once for each key of a user. Bodies are compared as JSON values. Nothing is
   * awaited between look-up and write: of two at once, one wins and the other sees it.
   */
  create(userId: string, key: string | undefined, body: unknown, make: () => T): Made<T> {
    const name = key === undefined ? undefined : JSON.stringify([userId, key]);
    const before = name === undefined ? undefined : this.#keys.get(name);
    if (before) {
      if (isDeepStrictEqual(before.body, body)) return { object: before.object, replayed: true };
      const details = { original: before.object };
      throw new Problem(409, "idempotency_conflict", "this key was used for another request", details);
    }
    const object = make();
    this.#objects.push({ owner: userId, object });
    if (name !== undefined) this.#keys.set(name, { body, object });
    return { object, replayed: false };
  }

  find(userId: string, fits: (object: T) => boolean): T | undefined {
    return this.#objects.find(({ owner, object }) => owner === userId && fits(object))?.object;
  }

  /** What the user made under a key: nothing, or one object. */
  byKey(userId: string, key: string): T[] {
    const made = this.#keys.get(JSON.stringify([userId, key]));
    return made ? [made.object] : [];
  }

  /**
   * A page of the user's objects that fit, the oldest first. `newest` begins with the page that holds
   * the newest, and the cursor leads to older ones.
   */
  page(
    userId: string,
    { limit, cursor }: z.infer<typeof Paging>,
    fits: (object: T) => boolean = () => true,
    newest = false,
  ): Page<T> {
    const all = this.#objects.map(({ owner, object }, at) => ({ owner, object, at }));
    if (newest) all.reverse();
    const left = all.filter(
      ({ owner, object, at }) =>
        owner === userId &&
        fits(object) &&
        (cursor === undefined || (newest ? at < cursor : at > cursor)),
    );
    const page = left.slice(0, limit);
    const last = page.at(-1);
    const items = page.map(({ object }) => object);
    if (newest) items.reverse();
    return left.length > limit && last ? { items, next_cursor: String(last.at) } : { items };
  }
}

/** 201 for what was made, 200 for what was there. */
export function answer<T>(res: Response, { object, replayed }: Made<T>): void {
  if (replayed) res.set("Idempotent-Replayed", "true");
  res.status(replayed ? 200 : 201).json(object);
}
