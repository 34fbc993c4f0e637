/** A transaction. */

import { type Insertable, type Kysely, sql, type Transaction } from "kysely";

import type { FullAct } from "./audit-log.js";
import type { Tables } from "./schema.js";

/** How long a writer waits for others. */
const PATIENCE = "10s";

/** A transaction on everybody's objects. What a user's call works with is {@link Mine}. */
export class Tx {
  /** Events of the transaction, which are numbered as it ends. */
  readonly events: Insertable<Tables["wombat_events"]>[] = [];

  /** Acts for the audit log, which are added as it ends. */
  readonly acts: FullAct[] = [];

  /** Whether those who listen are to look again, though there is no event. */
  wakes = false;

  constructor(
    /** The queries. */
    readonly q: Transaction<Tables> | Kysely<Tables>,
    /** Whether the database is PostgreSQL; else it is SQLite. */
    readonly postgres: boolean,
  ) {}

  /** Waits until no other transaction holds this lock, and holds it until the end. SQLite has one writer anyway. */
  async lock(name: string): Promise<void> {
    if (!this.postgres) return;
    await sql`select set_config('lock_timeout', ${PATIENCE}, true), pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(this.q);
  }
}
