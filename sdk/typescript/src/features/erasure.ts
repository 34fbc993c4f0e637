/** What is kept of a user, and its erasure. */

import { createHash } from "node:crypto";

import { sql } from "kysely";

import type { Call } from "../call.js";
import { erasedRun, erasedUser } from "../erased.js";
import { invalid, notFound } from "../errors.js";
import { isUserId, sessionRole } from "../fields.js";
import { json, type Outgoing } from "../http.js";
import { newId, now, stamp } from "../ids.js";
import { type JsonObject, parseJson, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import type { Actor } from "../scope.js";
import { append, knownSubject } from "../store/audit-log.js";
import type { Mine } from "../store/mine.js";
import type { Tx } from "../store/tx.js";
import type { Job } from "../upkeep.js";

/** For how long the keys of erased runs are known. */
const KEPT_MS = 48 * 3_600_000;

interface Owned {
  readonly table: string;
  /** Its name in counts and exports. */
  readonly kind: string;
  /** Whether it stays where messages are kept. */
  readonly isThread?: boolean;
  /** Whether a row may have megabytes: few are read at a time, each with the key of its run. */
  readonly isLarge?: boolean;
}

const own = (kind: string, table = kind): Owned => ({ table: `wombat_${table}`, kind });

/** The tables with rows of users. The audit log is not among them: it is kept, and names nobody afterwards. */
const OWNED: readonly Owned[] = [
  { ...own("artifacts"), isLarge: true },
  own("deltas"),
  own("steps"),
  own("feedback"),
  own("runs"),
  own("approval_rule_uses", "rule_uses"),
  own("approval_rules", "rules"),
  own("tool_requests"),
  own("session_leases", "leases"),
  own("notifications"),
  { ...own("documents"), isThread: true },
  own("files"),
  own("memories"),
  { ...own("messages"), isThread: true },
  { ...own("tasks"), isThread: true },
  own("heartbeats", "slots"),
  own("wakes"),
  own("budgets"),
  own("budget_warnings"),
  own("quiet_hours"),
  own("dead_letter_digests", "digests"),
  own("reservations"),
  own("usage"),
  own("idempotency", "keys"),
  own("schedule_slots"),
  own("schedules"),
  own("profiles"),
  own("events"),
];

/** Whether an erasure has taken a run of this key. */
export async function isErasedRun(mine: Mine, runKey: string): Promise<boolean> {
  const who = erasedRun(mine.userId, runKey);
  const since = stamp(Date.now() - KEPT_MS);
  return mine.shared(async ({ q }) => {
    const rows = q.selectFrom("wombat_erased_runs").select("who").where("who", "=", who).where("erased_at", ">", since);
    return (await rows.executeTakeFirst()) !== undefined;
  });
}

/** Entries of the audit log that concern a user, or are of that user's acts; exports are no part of what is exported. */
const auditOf = (subject: string) => sql`from wombat_audit where (subject = ${subject} or actor_subject = ${subject}) and act <> 'data.exported'`;

interface Counted {
  readonly counts: { [kind: string]: number };
  readonly kept: { [kind: string]: number };
}

async function counted(tx: Tx, userId: string, keep: boolean): Promise<Counted> {
  const found: Counted = { counts: {}, kept: {} };
  const count = async (from: ReturnType<typeof sql>) => Number((await sql<{ count: number }>`select count(*) as count ${from}`.execute(tx.q)).rows[0]?.count ?? 0);
  for (const { table, kind, isThread } of OWNED) {
    const of = keep && isThread ? found.kept : found.counts;
    of[kind] = await count(sql`from ${sql.table(table)} where user_id = ${userId}`);
  }
  const subject = await knownSubject(tx, userId);
  found.kept.audit = subject === undefined ? 0 : await count(auditOf(subject));
  return found;
}

/** The key that our daemon gives the run of a notification. */
function notifiedRun(userId: string, role: string, id: string): string {
  const hash = createHash("sha256");
  for (const part of ["run in", "notification", userId, role, id]) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(Buffer.byteLength(part)));
    hash.update(length).update(part);
  }
  return hash.digest("hex");
}

const OPEN = ["running", "interrupted", "awaiting_approval", "awaiting_answer"];

/** Cancels what goes on, and notes the runs that somebody may work on still, or send again. */
async function endRuns(tx: Tx, userId: string, actor: Actor): Promise<void> {
  const since = stamp(Date.now() - KEPT_MS);
  const runs = await tx.q.selectFrom("wombat_runs").select(["run_key", "role", "status", "updated_at"]).where("user_id", "=", userId).execute();
  for (const { run_key, role } of runs.filter(({ status }) => OPEN.includes(status))) {
    await append(tx, { act: "run.cancelled", object: { type: "run", id: run_key }, details: { role, status: "cancelled" }, actor, userId });
  }
  const waiting = await tx.q
    .selectFrom("wombat_notifications")
    .select(["id", "session_key"])
    .where("user_id", "=", userId)
    .where("delivered_at", "is", null)
    .where("dead_at", "is", null)
    .execute();
  const keys = [
    ...runs.filter(({ status, updated_at }) => updated_at >= since || OPEN.includes(status) || status === "failed").map(({ run_key }) => run_key),
    ...waiting.map(({ id, session_key }) => notifiedRun(userId, sessionRole(userId, session_key) ?? "", id)),
  ];
  for (const key of keys) {
    const row = { who: erasedRun(userId, key), erased_at: now() };
    const into = tx.q.insertInto("wombat_erased_runs").values(row);
    await into.onConflict((on) => on.column("who").doUpdateSet({ erased_at: row.erased_at })).execute();
  }
}

/** Keeps what the user's agents have spent as sums of a day, which name nobody: budgets of roles and tenants count on. */
async function foldUsage(tx: Tx, userId: string): Promise<void> {
  const rows = await tx.q.selectFrom("wombat_usage").selectAll().where("user_id", "=", userId).execute();
  const days = new Map<string, (typeof rows)[number]>();
  for (const row of rows) {
    const day = `${row.created_at.slice(0, 10)}T00:00:00.000Z`;
    const key = toJson([day, row.role, row.model, row.tenant_id, row.estimated]);
    const known = days.get(key);
    if (known === undefined) days.set(key, { ...row, created_at: day });
    else {
      known.cost_nano += row.cost_nano;
      known.prompt_tokens += row.prompt_tokens;
      known.completion_tokens += row.completion_tokens;
    }
  }
  for (const { seq: _, ...row } of days.values()) {
    await tx.q.insertInto("wombat_usage").values({ ...row, id: newId(), user_id: "", run_id: "", reservation_id: null }).execute();
  }
}

/** Erases a user's data in one transaction: a crash leaves all of it or nothing. */
async function erase(tx: Tx, userId: string, keep: boolean, actor: Actor, traceId: string | undefined) {
  await tx.lock(`wombat:user:${userId}`);
  const found = await counted(tx, userId, keep);
  const hasSome = Object.values(found.counts).some((many) => many > 0) || (await knownSubject(tx, userId)) !== undefined;
  if (hasSome) {
    await endRuns(tx, userId, actor);
    const counts = Object.fromEntries(Object.entries(found.counts).filter(([, many]) => many > 0));
    await append(tx, { act: "data.erased", details: { messages: keep ? "keep" : "delete", counts }, actor, userId, traceId });
    await foldUsage(tx, userId);
    for (const { table, isThread } of OWNED) {
      if (!(keep && isThread)) await sql`delete from ${sql.table(table)} where user_id = ${userId}`.execute(tx.q);
    }
    await forgetSubject(tx, userId);
  }
  // Taken last: who has a token from before must not have got it while this waited.
  const row = { who: erasedUser(userId), erased_at: now() };
  const into = tx.q.insertInto("wombat_erased_users").values(row);
  await into.onConflict((on) => on.column("who").doUpdateSet({ erased_at: row.erased_at })).execute();
  return { found, ...row };
}

/** Forgets who a subject of the audit log is, and what was written in words. */
async function forgetSubject(tx: Tx, userId: string): Promise<void> {
  const subject = await knownSubject(tx, userId);
  if (subject === undefined) return;
  const of = tx.q.updateTable("wombat_audit").set({ reason: null });
  await of.where(({ or, eb }) => or([eb("subject", "=", subject), eb("actor_subject", "=", subject)])).execute();
  await tx.q.deleteFrom("wombat_subjects").where("user_id", "=", userId).execute();
}

/** Columns that are there for the database only. */
const DERIVED = new Set(["seq", "run_seq", "rule_seq", "folded", "owner", "words", "bytes"]);

/** Columns whose text is JSON. */
const JSON_COLUMNS = new Set(
  `metadata attachments data extra payload events arguments parameters edited answer decided_by asked_by decided_body fits author
  labels source created_by body response used details`.split(/\s+/),
);

function itemOf(row: JsonObject): JsonObject {
  const item: JsonObject = {};
  for (const [name, value] of Object.entries(row)) {
    if (value === null || value === undefined || DERIVED.has(name)) continue;
    item[name] = typeof value === "string" && JSON_COLUMNS.has(name) ? parsed(value) : value;
  }
  return item;
}

function parsed(text: string) {
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

/** All items of a user, a line each. They are read at one moment, and told as fast as they are taken. */
async function* exported(call: Call, userId: string): AsyncGenerator<string> {
  for (const { table, kind, isLarge } of OWNED) {
    const run = isLarge ? sql`, (select run_key from wombat_runs r where r.seq = t.run_seq) as run_key` : sql``;
    const some = isLarge ? 4 : 100;
    // A part at a time: files and journals are large.
    for (let offset = 0; ; offset += some) {
      const { rows } = await call.plane.storage.look((tx) =>
        sql<JsonObject>`select t.*${run} from ${sql.table(table)} t where user_id = ${userId} order by 1, 2, 3 limit ${some} offset ${offset}`.execute(tx.q),
      );
      for (const row of rows) yield `${toJson({ kind, item: itemOf(row) })}\n`;
      if (rows.length < some) break;
    }
  }
  const entries = await call.plane.storage.look(async (tx) => {
    const subject = await knownSubject(tx, userId);
    return subject === undefined ? [] : (await sql<JsonObject>`select * ${auditOf(subject)} order by seq`.execute(tx.q)).rows;
  });
  for (const row of entries) yield `${toJson({ kind: "audit", item: { ...itemOf(row), seq: Number(row.seq) } })}\n`;
}

/** The user of the path; a person may name nobody else. */
async function userOf(call: Call): Promise<{ userId: string; actor: Actor }> {
  const who = await call.serviceOrPerson();
  const userId = call.id();
  if (!isUserId(userId) || (who.type === "person" && who.userId !== userId)) throw notFound("user");
  return { userId, actor: who.type === "person" ? who : { type: "service" } };
}

function isDryRun({ query }: Call): boolean {
  const text = query.get("dry_run");
  if (text === undefined || text === "false" || text === "0") return false;
  if (text === "" || text === "true" || text === "1") return true;
  throw invalid("dry_run", "must be true or false");
}

async function remove(call: Call): Promise<Outgoing> {
  const { userId, actor } = await userOf(call);
  const messages = call.query.get("messages");
  if (messages !== "keep" && messages !== "delete") {
    throw invalid("messages", "must be keep or delete: what becomes of tasks, messages and documents");
  }
  const { storage, erased } = call.plane;
  const keep = messages === "keep";
  if (isDryRun(call)) return json(await storage.look((tx) => counted(tx, userId, keep)));
  const { found, who, erased_at } = await storage.everybody((tx) => erase(tx, userId, keep, actor, call.traceId));
  erased.note(who, erased_at);
  await storage.clean();
  return json(found);
}

/** Learns of what other instances erase. */
export const followErasures: Job = { everyMs: 1_000, work: ({ erased }) => erased.read() };

/** Forgets the keys of runs that were erased long ago. */
export const oldErasures: Job = {
  everyMs: 3_600_000,
  work: async ({ storage }) => {
    const before = stamp(Date.now() - KEPT_MS);
    await storage.everybody(({ q }) => q.deleteFrom("wombat_erased_runs").where("erased_at", "<", before).execute());
  },
};

/** The endpoints of what is kept of a user. */
export const erasure: Feature = {
  names: ["erasure"],
  routes: [
    {
      method: "GET",
      path: "/users/:id/agent-data",
      answer: async (call) => {
        const { userId, actor } = await userOf(call);
        await call.plane.storage.everybody((tx) => append(tx, { act: "data.exported", details: {}, actor, userId, traceId: call.traceId }));
        const headers = { "content-type": "application/x-ndjson", "cache-control": "no-store" };
        return { status: 200, headers, body: exported(call, userId) };
      },
    },
    { method: "DELETE", path: "/users/:id/agent-data", answer: remove },
  ],
};
