/** For how long things are kept: what of each kind is older, and its deletion, some at a time. */

import { type RawBuilder, sql } from "kysely";

import { forbidden } from "../errors.js";
import { json } from "../http.js";
import { stamp } from "../ids.js";
import type { JsonObject } from "../json.js";
import type { Plane } from "../plane.js";
import type { Feature } from "../routing.js";
import { append } from "../store/audit-log.js";
import type { Tx } from "../store/tx.js";
import type { Job } from "../upkeep.js";

const DAY_MS = 86_400_000;
const MOST_DAYS = 36_500;

/** How many rows go in one transaction, so that other writes do not wait long. */
const AT_A_TIME = 100;

/** The kinds, in the order in which they go. */
export const KINDS = [
  "runs",
  "messages",
  "documents",
  "notifications",
  "files",
  "memories",
  "feedback",
  "usage",
  "schedules",
  "tasks",
  "audit",
] as const;

type Kind = (typeof KINDS)[number];

/** Which runs are not over: one without a caller is taken up again where it was interrupted. */
const isOpen = (run: string): RawBuilder<unknown> => {
  const of = (column: string) => sql.ref(`${run}.${column}`);
  return sql`(${of("status")} in ('running', 'awaiting_approval', 'awaiting_answer')
    or (${of("status")} = 'interrupted' and ${of("detached")} = 1))`;
};

/** After how many days each kind goes, as it was set. */
export class Retention {
  readonly days: { [kind: string]: number } = {};

  constructor({ options }: Plane) {
    for (const [kind, days] of Object.entries(options.retention ?? {})) {
      if (!KINDS.some((known) => known === kind)) throw new Error(`retention: ${kind} is no kind; known ones are ${KINDS.join(", ")}`);
      if (!Number.isInteger(days) || days < 1 || days > MOST_DAYS) {
        throw new Error(`retention: ${kind} needs a whole number of days from 1 to ${MOST_DAYS}; leave ${kind} out to keep them for ever`);
      }
      this.days[kind] = days;
    }
  }

  get kinds(): Kind[] {
    return KINDS.filter((kind) => this.days[kind] !== undefined);
  }

  /** What was changed last before this moment has expired. */
  cutoff(kind: Kind): string | undefined {
    const days = this.days[kind];
    if (days === undefined) return undefined;
    const cutoff = Date.now() - days * DAY_MS;
    const today = new Date();
    // Budgets count what was spent in this month.
    const month = Date.UTC(today.getUTCFullYear(), today.getUTCMonth());
    return stamp(kind === "usage" ? Math.min(cutoff, month) : cutoff);
  }

  /** The same for what is kept with a kind: what has a longer period of its own keeps it. */
  also(kind: Kind, of: Kind): string {
    const [own, other] = [this.cutoff(kind) ?? "", this.cutoff(of)];
    return other !== undefined && other < own ? other : own;
  }

  /** Which rows of a kind's table have expired. */
  condition(kind: Kind): RawBuilder<unknown> {
    const before = this.cutoff(kind) ?? "";
    switch (kind) {
      case "runs":
        return sql`x.updated_at < ${before} and not ${isOpen("x")}
          and not exists (select 1 from wombat_runs p where p.user_id = x.user_id and p.run_key = x.parent_run_key and ${isOpen("p")})
          and not exists (select 1 from wombat_feedback f where f.run_seq = x.seq and f.updated_at >= ${this.also(kind, "feedback")})`;
      case "messages":
        return sql`x.created_at < ${before} and not exists (select 1 from wombat_runs r where r.user_id = x.user_id
          and r.task_id = x.task_id and ${isOpen("r")})`;
      case "notifications":
        return sql`(x.delivered_at is not null or x.dead_at is not null) and x.created_at < ${before}
          and coalesce(x.delivered_at, '') < ${before} and coalesce(x.read_at, '') < ${before} and coalesce(x.dead_at, '') < ${before}`;
      case "schedules":
        return sql`x.status = 'ended' and x.updated_at < ${before} and coalesce(x.last_slot, '') < ${before}`;
      case "tasks":
        return this.#tasks(before);
      case "files":
        return sql`x.put_at < ${before}`;
      case "memories":
      case "feedback":
        return sql`x.updated_at < ${before}`;
      case "documents":
      case "usage":
        return sql`x.created_at < ${before}`;
      case "audit":
        return sql`x.seq < coalesce((select min(a.seq) from wombat_audit a where a.at >= ${before}), (select max(a.seq) from wombat_audit a))`;
    }
  }

  #tasks(before: string): RawBuilder<unknown> {
    const has = (table: string, condition: RawBuilder<unknown>) =>
      sql`exists (select 1 from ${sql.table(table)} o where o.user_id = x.user_id and o.task_id = x.id and ${condition})`;
    return sql`x.status in ('completed', 'cancelled') and x.updated_at < ${before}
      and not ${has("wombat_messages", sql`o.created_at >= ${this.also("tasks", "messages")}`)}
      and not ${has("wombat_documents", sql`o.created_at >= ${this.also("tasks", "documents")}`)}
      and not ${has("wombat_memories", sql`o.updated_at >= ${this.also("tasks", "memories")}`)}
      and not ${has("wombat_runs", sql`(${isOpen("o")} or o.updated_at >= ${before})`)}
      and not ${has("wombat_notifications", sql`o.delivered_at is null and o.dead_at is null`)}
      and not ${has("wombat_tool_requests", sql`o.status = 'pending'`)}
      and not ${has("wombat_schedules", sql`o.status <> 'ended'`)}`;
  }
}

const tableOf = (kind: Kind) => sql.table(`wombat_${kind}`);

async function counts(tx: Tx, retention: Retention): Promise<{ [kind: string]: number }> {
  const found: { [kind: string]: number } = {};
  for (const kind of retention.kinds) {
    const { rows } = await sql<{ count: number }>`select count(*) as count from ${tableOf(kind)} x where ${retention.condition(kind)}`.execute(tx.q);
    found[kind] = Number(rows[0]?.count ?? 0);
  }
  return found;
}

/** What belongs to a task, and goes with it. */
const OF_TASK = ["messages", "documents", "notifications", "tool_requests", "leases", "memories"];

async function drop(tx: Tx, kind: Kind, seqs: number[]): Promise<JsonObject> {
  const some = sql.join(seqs);
  const gone = (table: string, where: RawBuilder<unknown>) => sql`delete from ${sql.table(`wombat_${table}`)} where ${where}`.execute(tx.q);
  if (kind === "runs") for (const part of ["artifacts", "deltas", "steps", "feedback"]) await gone(part, sql`run_seq in (${some})`);
  if (kind === "tasks") {
    const of = sql`(user_id, task_id) in (select user_id, id from wombat_tasks where seq in (${some}))`;
    await sql`update wombat_runs set task_id = null where ${of}`.execute(tx.q);
    for (const table of OF_TASK) await gone(table, of);
  }
  if (kind === "schedules") await gone("schedule_slots", sql`schedule_id in (select id from wombat_schedules where seq in (${some}))`);
  let more: JsonObject = {};
  if (kind === "audit") {
    const through = Math.max(...seqs);
    const last = await tx.q.selectFrom("wombat_audit").select("hash").where("seq", "=", through).executeTakeFirst();
    more = { through, hash: last?.hash ?? "" };
  }
  const runs = kind === "feedback" ? await tx.q.selectFrom("wombat_feedback").select("run_seq").where("seq", "in", seqs).execute() : [];
  await gone(kind, sql`seq in (${some})`);
  for (const { run_seq } of runs) await recount(tx, run_seq);
  return more;
}

/** Counts what is left of a run's ratings and labels. */
async function recount(tx: Tx, runSeq: number): Promise<void> {
  const left = await tx.q.selectFrom("wombat_feedback").select(["rating", "labels"]).where("run_seq", "=", runSeq).execute();
  const rated = (wanted: string) => left.filter(({ rating }) => rating === wanted).length;
  const labels = [...new Set(left.flatMap((row) => JSON.parse(row.labels) as string[]))].sort();
  const counted = { up_count: rated("up"), down_count: rated("down"), labels: JSON.stringify(labels) };
  await tx.q.updateTable("wombat_runs").set(counted).where("seq", "=", runSeq).execute();
}

/** Deletes some of what has expired, and says so in the same transaction; how many. */
async function expireSome(tx: Tx, retention: Retention, kind: Kind): Promise<number> {
  if (kind === "audit") await tx.lock("wombat:audit");
  const lock = tx.postgres ? sql`for update of x skip locked` : sql``;
  const { rows } = await sql<{ seq: number }>`select x.seq from ${tableOf(kind)} x where ${retention.condition(kind)}
    order by x.seq limit ${AT_A_TIME} ${lock}`.execute(tx.q);
  if (rows.length === 0) return 0;
  const more = await drop(tx, kind, rows.map(({ seq }) => Number(seq)));
  const details = { kind, before: retention.cutoff(kind) ?? "", count: rows.length, ...more };
  await append(tx, { act: "data.expired", details, actor: { type: "system" } });
  return rows.length;
}

/** Deletes hourly what has expired. */
export const expiry: Job = {
  everyMs: 3_600_000,
  work: async (plane) => {
    const retention = new Retention(plane);
    for (const kind of retention.kinds) {
      while ((await plane.storage.everybody((tx) => expireSome(tx, retention, kind))) === AT_A_TIME);
    }
  },
};

/** The endpoint of retention. */
export const retention: Feature = {
  names: ["retention"],
  routes: [
    {
      method: "GET",
      path: "/retention",
      answer: async (call) => {
        const who = await call.serviceOrPerson();
        if (who.type === "person") throw forbidden("only a service may do this, on behalf of nobody");
        const retention = new Retention(call.plane);
        return json({ days: retention.days, counts: await call.plane.storage.look((tx) => counts(tx, retention)) });
      },
    },
  ],
};
