/** The queue that the dispatcher delivers. */

import { type Selectable, sql } from "kysely";

import { conflict, invalid, notFound } from "../errors.js";
import { type Fields, isUserId, type Paging } from "../fields.js";
import type { Call } from "../call.js";
import { json } from "../http.js";
import { now, stamp } from "../ids.js";
import { fromColumn, type JsonObject, toJson } from "../json.js";
import { serviceScope } from "../scope.js";
import type { Feature } from "../routing.js";
import { compact, PAGE_BYTES, pageOf, rowsFor } from "../store/pages.js";
import type { Mine } from "../store/mine.js";
import type { Tables } from "../store/schema.js";
import type { Tx } from "../store/tx.js";
import { noteDeadLetter, quietUsers } from "./delivery.js";
import { tellOf } from "./notifications.js";

type Row = Selectable<Tables["wombat_notifications"]>;

/** The largest number of users and of notifications in one answer. */
const MOST = 1_000;

/** The longest lease, in seconds. */
const MAX_LEASE = 3_600;

/** For how long something may have to wait for what is more urgent, in milliseconds. */
const PATIENCE_MS = 10 * 60_000;

/** How many rows of the queue one poll looks at. */
const LOOKED_AT = 5_000;

/** A notification as its dispatcher gets it. */
const deliveryOf = (row: Row) =>
  compact({
    notification_id: row.id,
    user_id: row.user_id,
    session_key: row.session_key,
    content: row.content,
    task_id: row.task_id,
    run_key: row.run_key,
    created_at: row.created_at,
    attempts: row.attempts,
    metadata: fromColumn<JsonObject>(row.metadata),
  });

interface Candidate {
  readonly seq: number;
  readonly user_id: string;
  readonly session_key: string;
}

/**
 * What may be delivered, in the queue's order: what has waited long first, then by the most urgent of each session.
 * Of a session nothing comes that is behind something leased.
 */
async function candidates(tx: Tx, quiet: string[]): Promise<Candidate[]> {
  const at = now();
  const long = stamp(Date.now() - PATIENCE_MS);
  const withheld = quiet.length === 0 ? sql`` : sql`and not (t.turn > 0 and n.user_id in (${sql.join(quiet)}))`;
  const { rows } = await sql<Candidate>`
    with waiting as (select seq, user_id, session_key, priority, created_at, leased_until
        from wombat_notifications where delivered_at is null and dead_at is null),
      sessions as (select session_key, min(priority) as turn, min(case when leased_until > ${at} then seq end) as held
        from waiting group by session_key)
    select n.seq, n.user_id, n.session_key from waiting n join sessions t on t.session_key = n.session_key
    where (n.leased_until is null or n.leased_until <= ${at}) and (t.held is null or n.seq < t.held) ${withheld}
    order by case when n.created_at <= ${long} then -1 else t.turn end, n.created_at, n.seq limit ${LOOKED_AT}
  `.execute(tx.q);
  return rows;
}

/** At most so many of so many users. */
function choose(all: Candidate[], users: number, limit: number): Candidate[] {
  const known = new Set<string>();
  const chosen: Candidate[] = [];
  for (const one of all) {
    if (chosen.length >= limit) break;
    if (!known.has(one.user_id) && known.size >= users) continue;
    known.add(one.user_id);
    chosen.push(one);
  }
  return chosen;
}

/**
 * The rows of what was chosen. On PostgreSQL they are locked; one that some other transaction is just changing is left
 * for the next poll, and so is what follows it in its session.
 */
async function rowsOf(tx: Tx, chosen: Candidate[]): Promise<Row[]> {
  const found = new Map<number, Row>();
  for (let from = 0; from < chosen.length; from += 500) {
    const seqs = chosen.slice(from, from + 500).map(({ seq }) => seq);
    const rows = tx.q.selectFrom("wombat_notifications").selectAll().where("seq", "in", seqs);
    const unchanged = rows.where("delivered_at", "is", null).where("dead_at", "is", null);
    for (const row of await (tx.postgres ? unchanged.forUpdate().skipLocked() : unchanged).execute()) found.set(row.seq, row);
  }
  const broken = new Set<string>();
  const rows: Row[] = [];
  let size = 0;
  for (const { seq, session_key } of chosen) {
    const row = found.get(seq);
    if (row === undefined) broken.add(session_key);
    if (row === undefined || broken.has(session_key)) continue;
    size += Buffer.byteLength(row.content) + Buffer.byteLength(row.metadata ?? "") + 500;
    if (size > PAGE_BYTES && rows.length > 0) break;
    rows.push(row);
  }
  return rows;
}

async function undelivered(tx: Tx, users: number, limit: number, leaseSeconds: number) {
  // Between dispatchers a session keeps its order: they choose one after the other.
  await tx.lock("wombat:queue");
  const rows = await rowsOf(tx, choose(await candidates(tx, await quietUsers(tx)), users, limit));
  if (leaseSeconds > 0) {
    const until = { leased_until: stamp(Date.now() + leaseSeconds * 1000) };
    for (let from = 0; from < rows.length; from += 500) {
      const seqs = rows.slice(from, from + 500).map(({ seq }) => seq);
      await tx.q.updateTable("wombat_notifications").set(until).where("seq", "in", seqs).execute();
    }
  }
  return rows.map(deliveryOf);
}

async function poll(call: Call) {
  await call.service();
  const users = call.query.whole("limit_users", 100, MOST);
  const limit = call.query.whole("limit_notifications", 100, MOST);
  const seconds = call.query.whole("lease_seconds", 0, MAX_LEASE);
  const deliveries = await call.plane.storage.everybody((tx) => undelivered(tx, users, limit, seconds));
  return json({ deliveries });
}

async function deliver(mine: Mine, id: string): Promise<boolean> {
  const row = await mine.from("wombat_notifications").select(["seq", "delivered_at"]).where("id", "=", id).executeTakeFirst();
  if (row === undefined) return false;
  const done = { delivered_at: row.delivered_at ?? now(), dead_at: null, leased_until: null };
  await mine.update("wombat_notifications").set(done).where("seq", "=", row.seq).execute();
  return true;
}

/** Acknowledges many in one transaction; those that their users do not have. */
async function deliverMany(tx: Tx, all: { id: string; userId: string }[]): Promise<string[]> {
  const known = new Set<string>();
  for (let from = 0; from < all.length; from += 300) {
    const some = all.slice(from, from + 300);
    const ids = some.map(({ id }) => id);
    let rows = tx.q.selectFrom("wombat_notifications").select(["seq", "id", "user_id"]).where("id", "in", ids).orderBy("seq");
    if (tx.postgres) rows = rows.forUpdate();
    const asked = new Set(some.map(({ id, userId }) => toJson([id, userId])));
    const own = (await rows.execute()).filter(({ id, user_id }) => asked.has(toJson([id, user_id])));
    if (own.length === 0) continue;
    const seqs = own.map(({ seq }) => seq);
    await tx.q
      .updateTable("wombat_notifications")
      .set(({ fn, val }) => ({ delivered_at: fn.coalesce("delivered_at", val(now())), dead_at: null, leased_until: null }))
      .where("seq", "in", seqs)
      .execute();
    for (const { id, user_id } of own) known.add(toJson([id, user_id]));
  }
  return all.filter(({ id, userId }) => !known.has(toJson([id, userId]))).map(({ id }) => id);
}

async function fail(mine: Mine, id: string, body: Fields): Promise<string> {
  const row = await mine.from("wombat_notifications").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw notFound("notification");
  if (row.delivered_at !== null) return "delivered";
  const dead = body.bool("dead");
  const changed = { error: body.text("error", { blank: true }), attempts: body.whole("attempts"), ...(dead ? { dead_at: row.dead_at ?? now(), leased_until: null } : {}) };
  await mine.update("wombat_notifications").set(changed).where("seq", "=", row.seq).execute();
  if (dead && row.dead_at === null) await noteDeadLetter(mine);
  return dead || row.dead_at !== null ? "dead" : "failed";
}

async function requeue(mine: Mine, id: string): Promise<void> {
  const row = await mine.from("wombat_notifications").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw notFound("notification");
  if (row.delivered_at !== null) throw conflict("already_delivered", "the notification has been delivered already");
  if (row.dead_at === null) return;
  // Its text has been sent under its id: another one must not take its place.
  const again = { dead_at: null, error: null, attempts: 0, leased_until: null, collapse_key: null };
  await mine.update("wombat_notifications").set(again).where("seq", "=", row.seq).execute();
  tellOf(mine, "notification.requeued", { ...row, ...again });
  mine.record({ act: "notification.requeued", object: { type: "notification", id }, details: {} });
}

async function dead(tx: Tx, paging: Paging) {
  let rows = tx.q.selectFrom("wombat_notifications").selectAll().where("dead_at", "is not", null);
  rows = rows.orderBy("seq", "desc").limit(rowsFor(paging));
  if (paging.cursor !== undefined) rows = rows.where("seq", "<", paging.cursor);
  return pageOf(await rows.execute(), paging, (row) => ({ ...deliveryOf(row), error: row.error ?? "", failed_at: row.dead_at }));
}

/** The user that a call about one notification names. */
function userOf(call: Call): string {
  const userId = call.query.text("user_id");
  if (!isUserId(userId)) throw invalid("user_id", "is not a user id");
  return userId;
}

/** The dispatcher's endpoints. */
export const dispatch: Feature = {
  names: ["notifications_dispatch", "dispatch_leases", "dispatch_batch", "notifications_fail"],
  routes: [
    { method: "GET", path: "/dispatch/undelivered", answer: poll },
    { method: "POST", path: "/dispatch/undelivered", answer: poll },
    {
      method: "POST",
      path: "/dispatch/notifications/:id/deliver",
      answer: async (call) => {
        await call.service();
        const found = await call.plane.storage.write(serviceScope(userOf(call)), (mine) => deliver(mine, call.id()));
        if (!found) throw notFound("notification");
        return json({ status: "delivered" });
      },
    },
    {
      method: "POST",
      path: "/dispatch/deliver",
      answer: async (call) => {
        await call.service();
        const body = await call.body();
        const all = body.objects("deliveries");
        if (all.length > MOST) throw invalid("deliveries", `are more than ${MOST}`);
        const named = all.map((one) => ({ id: one.text("notification_id"), userId: one.text("user_id") }));
        const missing = await call.plane.storage.everybody((tx) => deliverMany(tx, named));
        return json({ delivered: named.length - missing.length, not_found: missing });
      },
    },
    {
      method: "POST",
      path: "/dispatch/notifications/:id/fail",
      answer: async (call) => {
        await call.service();
        const scope = serviceScope(userOf(call));
        const body = await call.body();
        return json({ status: await call.plane.storage.write(scope, (mine) => fail(mine, call.id(), body)) });
      },
    },
    {
      method: "POST",
      path: "/dispatch/notifications/:id/requeue",
      answer: async (call) => {
        await call.service();
        await call.plane.storage.write(call.serviceScope(userOf(call)), (mine) => requeue(mine, call.id()));
        return json({ status: "queued" });
      },
    },
    {
      method: "GET",
      path: "/dispatch/dead",
      answer: async (call) => {
        await call.service();
        const paging = call.query.paging();
        return json(await call.plane.storage.everybody((tx) => dead(tx, paging)));
      },
    },
  ],
};
