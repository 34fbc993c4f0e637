/** Whose data were erased, and when: their agents' tokens from before are refused. */

import { createHash } from "node:crypto";

import { ContractError } from "./errors.js";
import type { Mine } from "./store/mine.js";
import type { Storage } from "./store/storage.js";

const hashOf = (...parts: string[]): string => createHash("sha256").update(parts.join("\n")).digest("hex");

/** What stands for a user whose data were erased: nothing that names anybody may stay. */
export const erasedUser = (userId: string): string => hashOf("erased user", userId);

/** What stands for a run that an erasure has cancelled. */
export const erasedRun = (userId: string, runKey: string): string => hashOf("erased run", userId, runKey);

function refuse(erasedAt: number): ContractError {
  const text = "the user's data were erased after this token was issued: begin anew with a new token";
  return new ContractError(401, "user_erased", text, { erased_ms_ago: Math.max(0, Date.now() - erasedAt) });
}

/** Refuses a write of an agent that waited for its turn while its user's data were erased, by another instance even. */
export async function checkErasedWrite(mine: Mine): Promise<void> {
  const { madeAt } = mine.scope;
  if (madeAt === undefined) return;
  const who = erasedUser(mine.userId);
  const row = await mine.shared(({ q }) => q.selectFrom("wombat_erased_users").select("erased_at").where("who", "=", who).executeTakeFirst());
  // Many a token tells the second of its issue only: one of the same moment counts as issued before.
  if (row !== undefined && madeAt <= Date.parse(row.erased_at)) throw refuse(Date.parse(row.erased_at));
}

/** What is known of erasures, in memory: no call waits for it. */
export class Erased {
  readonly #users = new Map<string, number>();
  #read: Promise<void> | undefined;

  constructor(private readonly storage: Storage) {}

  /** Takes up an erasure. */
  note(who: string, erasedAt: string): void {
    this.#users.set(who, Math.max(this.#users.get(who) ?? 0, Date.parse(erasedAt)));
  }

  /** Reads what other instances have erased. */
  async read(): Promise<void> {
    const rows = await this.storage.look(({ q }) => q.selectFrom("wombat_erased_users").selectAll().execute());
    for (const { who, erased_at } of rows) this.note(who, erased_at);
  }

  /** Refuses a token that was made before. */
  async check(userId: string, madeAt: number): Promise<void> {
    this.#read ??= this.read().catch((error: unknown) => {
      this.#read = undefined;
      throw error;
    });
    await this.#read;
    if (this.#users.size === 0) return;
    const erasedAt = this.#users.get(erasedUser(userId));
    if (erasedAt !== undefined && madeAt <= erasedAt) throw refuse(erasedAt);
  }
}
