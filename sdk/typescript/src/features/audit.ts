/** The audit log. */

import { sql } from "kysely";

import type { Call } from "../call.js";
import { ContractError, forbidden, invalid, notFound } from "../errors.js";
import { type Fields, isUserId, type Paging, type Query } from "../fields.js";
import { created, json } from "../http.js";
import { stamp } from "../ids.js";
import { canonical, fromColumn, isObject, isRaw, type JsonObject } from "../json.js";
import type { Feature } from "../routing.js";
import { type Act, append, knownSubject } from "../store/audit-log.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tx } from "../store/tx.js";
import type { Job } from "../upkeep.js";

const HOUR_MS = 3_600_000;

/** How many acts a role of a user may have recorded in an hour: of the daemon's own one, and of all others. */
const MAX_ACTS = 60;
const OWN_ACT = "daemon.journal_rejected";

/** How many denied calls of a role and endpoint are recorded in an hour. */
const MAX_DENIED = 10;

const MAX_DETAILS = 8 * 1024;

interface Filter {
  readonly act?: string | undefined;
  readonly userId?: string | undefined;
  readonly actorUserId?: string | undefined;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

async function list(tx: Tx, filter: Filter, paging: Paging): Promise<Page<object>> {
  let rows = tx.q
    .selectFrom("wombat_audit as a")
    .leftJoin("wombat_subjects as s", "s.subject", "a.subject")
    .leftJoin("wombat_subjects as t", "t.subject", "a.actor_subject")
    .selectAll("a")
    .select(["s.user_id", "t.user_id as actor_user_id"])
    .orderBy("a.seq")
    .limit(rowsFor(paging));
  for (const [column, userId] of [["a.subject", filter.userId], ["a.actor_subject", filter.actorUserId]] as const) {
    if (userId === undefined) continue;
    const subject = await knownSubject(tx, userId);
    if (subject === undefined) return { items: [] };
    rows = rows.where(column, "=", subject);
  }
  const family = filter.act?.endsWith(".*") ? filter.act.slice(0, -1) : undefined;
  if (family !== undefined) rows = rows.where(sql<boolean>`substr(a.act, 1, ${sql.lit(family.length)}) = ${family}`);
  else if (filter.act !== undefined) rows = rows.where("a.act", "=", filter.act);
  if (filter.from !== undefined) rows = rows.where("a.at", ">=", stamp(filter.from));
  if (filter.to !== undefined) rows = rows.where("a.at", "<", stamp(filter.to));
  if (paging.cursor !== undefined) rows = rows.where("a.seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, (row) => ({
    seq: row.seq,
    at: row.at,
    actor: compact({ type: row.actor_type, subject: row.actor_subject, role: row.actor_role }),
    act: row.act,
    ...compact({
      subject: row.subject,
      object: row.object_type === null ? null : { type: row.object_type, id: row.object_id },
      trace_id: row.trace_id,
      user_id: row.user_id,
      actor_user_id: row.actor_user_id === row.user_id ? null : row.actor_user_id,
      reason: row.reason,
    }),
    details: fromColumn<JsonObject>(row.details) ?? {},
    prev: row.prev,
    hash: row.hash,
  }));
}

/** Numbers that no double holds cannot be hashed by everybody alike. */
function checkNumbers(value: unknown): void {
  if (isRaw(value)) throw invalid("details", "holds a number that is not exact as a double");
  if (Array.isArray(value)) value.forEach(checkNumbers);
  else if (isObject(value)) Object.values(value).forEach(checkNumbers);
}

function newAct(body: Fields): Act {
  const act = body.text("act", { most: 200 });
  if (!/^daemon\.[a-z][a-z0-9_]*$/.test(act)) throw invalid("act", "must be daemon. and a name in snake_case");
  const object = body.maybeFields("object");
  const details = body.object("details");
  checkNumbers(details);
  if (Buffer.byteLength(canonical(details)) > MAX_DETAILS) throw invalid("details", `must have at most ${MAX_DETAILS} bytes as JSON`);
  return {
    act,
    details,
    object: object && { type: object.text("type", { most: 200 }), id: object.text("id", { most: 200 }) },
    reason: body.maybeText("reason", { most: 2000, blank: true }),
  };
}

async function record(mine: Mine, act: Act): Promise<object> {
  const since = stamp(Date.now() - HOUR_MS);
  const own = await mine.countActs(OWN_ACT, since);
  const others = await mine.countActs("daemon.%", since);
  const isOwn = act.act === OWN_ACT;
  const count = isOwn ? own.count : others.count - own.count;
  if (count < MAX_ACTS) return mine.recordNow(act);
  const oldest = (isOwn ? own : others).oldest;
  const wait = oldest === undefined ? 1 : Math.max(1, Math.ceil((Date.parse(oldest) + HOUR_MS - Date.now()) / 1000));
  throw new ContractError(429, "audit_limit", `this role has had ${MAX_ACTS} acts recorded within an hour`, undefined, wait);
}

/** Records that an agent was denied a call, as it acts as another role or a person, unless that was recorded often enough. */
export async function recordDenied(call: Call, path: string): Promise<void> {
  if (call.incoming.header("x-internal-token") !== undefined) return;
  const scope = call.scope(await call.anyAgent());
  const details = { method: call.incoming.method, path: path.startsWith("/api/") ? path : `/api/mission-control${path}` };
  await call.plane.storage.write(scope, async (mine) => {
    const { count } = await mine.countActs("access.denied", stamp(Date.now() - HOUR_MS), details);
    if (count < MAX_DENIED) await mine.recordNow({ act: "access.denied", details });
  });
}

/** Records that the control plane has started. */
export const started: Job = {
  everyMs: 0,
  once: true,
  work: ({ storage }) => storage.everybody(async (tx) => void (await append(tx, { act: "backend.started", details: {}, actor: { type: "system" } }))),
};

async function recordLimited(mine: Mine): Promise<void> {
  const { count } = await mine.countActs("audit.limited", stamp(Date.now() - HOUR_MS));
  if (count === 0) await mine.recordNow({ act: "audit.limited", details: {} });
}

function userOf(query: Query, name: string): string | undefined {
  const userId = query.get(name);
  if (userId !== undefined && !isUserId(userId)) throw invalid(name, "is not a user id");
  return userId;
}

/** The endpoints of the audit log. */
export const audit: Feature = {
  names: ["audit"],
  routes: [
    {
      method: "GET",
      path: "/audit",
      answer: async (call) => {
        const who = await call.serviceOrPerson();
        const { query } = call;
        const paging = query.paging();
        let userId = userOf(query, "user_id");
        if (who.type === "person") {
          // A person sees what concerns them, whoever did it.
          if (userId !== undefined && userId !== who.userId) throw notFound("user");
          userId = who.userId;
        }
        const filter = { userId, actorUserId: userOf(query, "actor_user_id"), act: query.get("act"), from: query.time("from"), to: query.time("to") };
        return json(await call.plane.storage.look((tx) => list(tx, filter, paging)));
      },
    },
    {
      method: "POST",
      path: "/audit",
      answer: async (call) => {
        // Our daemon records as nobody in particular, too, whom no table of users has.
        if (call.incoming.header("x-internal-token") !== undefined) {
          await call.service();
          throw forbidden("only an agent token records acts of the daemon");
        }
        const who = await call.anyAgent();
        const body = await call.body();
        const act = newAct(body);
        const key = body.key();
        const scope = call.scope(who);
        const { storage } = call.plane;
        try {
          return created(await storage.write(scope, (mine) => createOnce(mine, "audit", key, body.raw, () => record(mine, act))));
        } catch (error) {
          if (error instanceof ContractError && error.code === "audit_limit") await storage.write(scope, recordLimited);
          throw error;
        }
      },
    },
  ],
};
