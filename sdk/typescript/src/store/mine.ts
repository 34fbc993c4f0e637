/** The tables of one user: no query can be made here that does not name the user. */

import type { DeleteQueryBuilder, DeleteResult, Insertable, Kysely, Selectable, SelectQueryBuilder, UpdateQueryBuilder, UpdateResult } from "kysely";

import { type JsonObject, toJson } from "../json.js";
import { now } from "../ids.js";
import type { Scope } from "../scope.js";
import { type Act, actorOf, append } from "./audit-log.js";
import type { OwnTable, Tables } from "./schema.js";
import type { Tx } from "./tx.js";

/** The longest field of an event, in bytes of JSON. A reader gets the object itself where one is left out. */
const MAX_FIELD = 4_000;

/** The compiler cannot follow a table that is a type parameter; what is returned has its exact type again. */
const loose = (tx: Tx): Kysely<any> => tx.q as Kysely<any>;

/** A user's part of a transaction. */
export class Mine {
  readonly #tx: Tx;

  constructor(
    tx: Tx,
    /** Whose objects, and who touches them. */
    readonly scope: Scope,
  ) {
    this.#tx = tx;
  }

  /** Whether the database is PostgreSQL. */
  get postgres(): boolean {
    return this.#tx.postgres;
  }

  /** The user. */
  get userId(): string {
    return this.scope.userId;
  }

  /** The same transaction, with another scope of the same user. */
  as(scope: Scope): Mine {
    if (scope.userId !== this.userId) throw new Error("a transaction of one user cannot become another's");
    return new Mine(this.#tx, scope);
  }

  /** The user's rows of a table. */
  from<T extends OwnTable>(table: T): SelectQueryBuilder<Tables, T, {}> {
    const query = loose(this.#tx).selectFrom(table as never).where("user_id" as never, "=", this.userId as never);
    return query as unknown as SelectQueryBuilder<Tables, T, {}>;
  }

  /** Changes the user's rows. */
  update<T extends OwnTable>(table: T): UpdateQueryBuilder<Tables, T, T, UpdateResult> {
    const query = loose(this.#tx).updateTable(table as never).where("user_id" as never, "=", this.userId as never);
    return query as unknown as UpdateQueryBuilder<Tables, T, T, UpdateResult>;
  }

  /** Deletes the user's rows. */
  remove<T extends OwnTable>(table: T): DeleteQueryBuilder<Tables, T, DeleteResult> {
    const query = loose(this.#tx).deleteFrom(table as never).where("user_id" as never, "=", this.userId as never);
    return query as unknown as DeleteQueryBuilder<Tables, T, DeleteResult>;
  }

  /** Adds a row of the user's. */
  async add<T extends OwnTable>(table: T, row: Omit<Insertable<Tables[T]>, "user_id">): Promise<Selectable<Tables[T]>> {
    const values = { ...row, user_id: this.userId };
    const made = await loose(this.#tx).insertInto(table as never).values(values as never).returningAll().executeTakeFirstOrThrow();
    return made as Selectable<Tables[T]>;
  }

  /** Adds a row of the user's unless there is one with its key; whether it did. */
  async addNew<T extends OwnTable>(table: T, row: Omit<Insertable<Tables[T]>, "user_id">): Promise<boolean> {
    const values = { ...row, user_id: this.userId };
    const into = loose(this.#tx).insertInto(table as never).values(values as never);
    const done = await into.onConflict((conflict) => conflict.doNothing()).executeTakeFirst();
    return Number(done.numInsertedOrUpdatedRows ?? 0) > 0;
  }

  /**
   * What several users have in common, such as a tenant's budget. Nothing of another user may be told of it but sums.
   */
  shared<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return work(this.#tx);
  }

  /** Waits for a lock that others than this user's calls take, too. */
  lock(name: string): Promise<void> {
    return this.#tx.lock(name);
  }

  /** Wakes whoever listens, where no event is told. */
  wake(): void {
    this.#tx.wakes = true;
  }

  /** Records an act about this user in the audit log, in the transaction that does it. */
  record(act: Act): void {
    const { actor, traceId } = this.scope;
    this.#tx.acts.push({ ...act, actor, userId: this.userId, traceId });
  }

  /** The same for an act that concerns no user, such as one about a tenant. */
  recordOfNobody(act: Act): void {
    const { actor, traceId } = this.scope;
    this.#tx.acts.push({ ...act, actor, traceId });
  }

  /** Records an act at once; its entry. */
  recordNow(act: Act): ReturnType<typeof append> {
    const { actor, traceId } = this.scope;
    return append(this.#tx, { ...act, actor, userId: this.userId, traceId });
  }

  /** How many entries of this actor and act there are since a time, and the oldest of them. */
  async countActs(act: string, since: string, details?: JsonObject): Promise<{ count: number; oldest: string | undefined }> {
    const { subject, role } = await actorOf(this.#tx, this.scope.actor);
    let rows = this.#tx.q
      .selectFrom("wombat_audit")
      .select(({ fn }) => [fn.countAll<number>().as("count"), fn.min("at").as("oldest")])
      .where("actor_subject", "=", subject)
      .where("at", ">", since)
      .where("act", "like", act);
    if (role !== undefined) rows = rows.where("actor_role", "=", role);
    if (details !== undefined) rows = rows.where("details", "=", toJson(details));
    const found = await rows.executeTakeFirstOrThrow();
    return { count: Number(found.count), oldest: found.oldest ?? undefined };
  }

  /**
   * Tells of a change, in the transaction that makes it.
   *
   * @param idName the name of the object's id in other objects, such as `task_id`
   * @param role whose agents hear of it; all of the user's if absent
   */
  tell(kind: string, idName: string, object: { [name: string]: unknown }, role?: string): void {
    const data: { [name: string]: unknown } = {};
    for (const [name, value] of Object.entries(object)) {
      if (value !== undefined && isShort(value)) data[name] = value;
    }
    if (object.id !== undefined) data[idName] = object.id;
    Object.assign(data, { type: kind, user_id: this.userId });
    this.#tx.events.push({ user_id: this.userId, role: role ?? null, kind, data: toJson(data), created_at: now() });
  }
}

function isShort(value: unknown): boolean {
  if (typeof value === "string") return Buffer.byteLength(value) <= MAX_FIELD;
  return typeof value !== "object" || value === null || Buffer.byteLength(toJson(value)) <= MAX_FIELD;
}
