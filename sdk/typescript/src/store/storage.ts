/** Transactional storage over Kysely. What a user's call may read and write is decided here, once. */

import { type Kysely, sql, type Transaction } from "kysely";

import { ContractError } from "../errors.js";
import type { Scope } from "../scope.js";
import { append } from "./audit-log.js";
import { Mine } from "./mine.js";
import type { Tables } from "./schema.js";
import { Tx } from "./tx.js";
import { WholeNumbers } from "./numbers.js";

/** What the core needs of a database: transactions that are kept as a whole or not at all. */
export interface Storage {
  /** Reads a user's objects as they are at one moment. */
  read<T>(scope: Scope, work: (mine: Mine) => Promise<T>): Promise<T>;
  /** Writes a user's objects. Writes of one user never overlap. */
  write<T>(scope: Scope, work: (mine: Mine) => Promise<T>): Promise<T>;
  /** Works on everybody's objects: for services and for the backend itself, never for an agent or a person. */
  everybody<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** The same, and changes nothing. */
  look<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Leaves nothing of what was deleted in the database's own files, as far as it can. */
  clean(): Promise<void>;
  /** Hears of each commit that made an event. */
  onChange(listener: () => void): () => void;
}

/** What is locked besides users: the numbers of the events, and the dispatcher's queue. */
const EVENTS = "wombat:events";

/** Whether the database is PostgreSQL; else it is SQLite. */
export function isPostgres(db: Kysely<any>): boolean {
  return db.getExecutor().adapter.supportsTransactionalDdl === true;
}

/** {@link Storage} in PostgreSQL or SQLite. */
export class KyselyStorage implements Storage {
  readonly #db: Kysely<Tables>;
  readonly #postgres: boolean;
  readonly #listeners = new Set<() => void>();
  readonly #checks: ((mine: Mine) => Promise<void>)[];

  /**
   * @param db your application's own Kysely instance, or one of its own
   * @param checks what every write of a user is checked for first
   */
  constructor(db: Kysely<any>, checks: ((mine: Mine) => Promise<void>)[] = []) {
    this.#db = db.withPlugin(new WholeNumbers()) as Kysely<Tables>;
    this.#postgres = isPostgres(db);
    this.#checks = checks;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async read<T>(scope: Scope, work: (mine: Mine) => Promise<T>): Promise<T> {
    return this.#transaction("read only", (tx) => work(new Mine(tx, scope)));
  }

  async write<T>(scope: Scope, work: (mine: Mine) => Promise<T>): Promise<T> {
    return this.#transaction("read write", async (tx) => {
      await tx.lock(`wombat:user:${scope.userId}`);
      const mine = new Mine(tx, scope);
      for (const check of this.#checks) await check(mine);
      return work(mine);
    });
  }

  async everybody<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#transaction("read write", work);
  }

  async look<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#transaction("read only", work);
  }

  async clean(): Promise<void> {
    // On PostgreSQL dead rows stay until VACUUM. Of SQLite's log nothing stays; its file has zeros there (secure_delete).
    if (!this.#postgres) await sql`pragma wal_checkpoint(truncate)`.execute(this.#db);
  }

  async #transaction<T>(mode: "read only" | "read write", work: (tx: Tx) => Promise<T>): Promise<T> {
    let told = false;
    const run = async (q: Transaction<Tables>) => {
      const tx = new Tx(q, this.#postgres);
      const result = await work(tx);
      told = await this.#tell(tx);
      return result;
    };
    // SQLite has one level, which is the strictest.
    const level = mode === "read only" ? "repeatable read" : "read committed";
    const begun = this.#db.transaction().setAccessMode(mode);
    const result = await (this.#postgres ? begun.setIsolationLevel(level) : begun).execute(run).catch((error: unknown) => {
      throw translated(error);
    });
    if (told) for (const listener of this.#listeners) listener();
    return result;
  }

  /** Adds to the audit log, then numbers the events last of all, one transaction after the other: a reader never sees a later one first. */
  async #tell(tx: Tx): Promise<boolean> {
    for (const act of tx.acts) await append(tx, act);
    if (tx.events.length === 0) return tx.wakes;
    await tx.lock(EVENTS);
    for (const event of tx.events) await tx.q.insertInto("wombat_events").values(event).execute();
    return true;
  }
}

/** What a database refuses that another try may get: locks, serialization, connections. */
const BUSY = /^(40001|40P01|55P03|57P0[1-3]|53300|08\w{3}|ECONN\w+|ETIMEDOUT|EPIPE|SQLITE_BUSY\w*|SQLITE_LOCKED\w*)$/;

function translated(error: unknown): unknown {
  if (error instanceof ContractError) return error;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const isBusy = (typeof code === "string" && BUSY.test(code)) || errcode === 5 || errcode === 6;
  if (!isBusy) return error;
  const unavailable = new ContractError(503, "unavailable", "the database is busy or away; try again");
  unavailable.cause = error;
  return unavailable;
}
