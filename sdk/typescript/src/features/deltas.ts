/** What runs tell while they work: batches of events, kept for an hour after the run's last write. */

import { ContractError, conflict, forbidden, invalid, runFinished, staleFence } from "../errors.js";
import type { Fields } from "../fields.js";
import { json } from "../http.js";
import { now, stamp } from "../ids.js";
import { canonical, isObject, type JsonObject, parseJson } from "../json.js";
import { systemScope } from "../scope.js";
import type { Feature } from "../routing.js";
import { heldLease } from "../store/fences.js";
import type { Mine } from "../store/mine.js";
import { PAGE_BYTES } from "../store/pages.js";
import type { Job } from "../upkeep.js";
import { changeRun, checkRunKey, findRun, isFinal, mustFindRun, type RunRow, scopeOfRole } from "./run-rows.js";

/** How many ids each lease has. */
const IDS_PER_FENCE = 1_000_000;
const MAX_EVENTS = 256;
const MAX_BYTES = 1024 * 1024;
const MOST = 1_000;

/** How many bytes of one run are kept, and for how long after its last write. */
const MAX_KEPT = 16 * 1024 * 1024;
const TTL_MS = 3_600_000;

/** A call every 50 ms, and twenty at once. */
const PACE_MS = 50;
const AHEAD_MS = 1_000;

/** Events that a run tells: the id of the first, and each without its id, always written the same way. */
interface Batch {
  readonly first: number;
  readonly events: string[];
}

function batchOf(body: Fields): Batch {
  const events = body.list("events");
  if (events.length > MAX_EVENTS) throw invalid("events", `are more than ${MAX_EVENTS}`);
  const first = body.whole("seq", 1, Number.MAX_SAFE_INTEGER - MAX_EVENTS);
  const texts = events.map((event, at) => {
    if (!isObject(event)) throw invalid("events", "must be objects");
    const { id, ...fields } = event;
    if (id !== undefined && id !== first + at) throw invalid("events", "must have the ids that follow from seq, or none");
    return canonical(fields);
  });
  return { first, events: texts };
}

function checkIds({ first, events }: Batch, fence: number): void {
  const before = fence * IDS_PER_FENCE;
  const isOwn = (id: number) => id > before && id <= before + IDS_PER_FENCE;
  if (events.length > 0 && !(isOwn(first) && isOwn(first + events.length - 1))) {
    throw invalid("seq", "must be an id of the lease, from fence * 1000000 + 1 on");
  }
}

/** Refuses more than so many calls in a second; when the next may come. */
function paced(run: RunRow): number {
  const at = Date.now();
  const next = Math.max(run.paced_ms, at) + PACE_MS;
  if (next - at > AHEAD_MS) throw new ContractError(429, "too_many_deltas", "a run may tell something 20 times a second");
  return next;
}

/** Whether what a run told is too old to be read. */
function isOver({ delta_bytes, deltas_at, updated_at }: RunRow): boolean {
  const last = deltas_at !== null && deltas_at > updated_at ? deltas_at : updated_at;
  return delta_bytes > 0 && Date.parse(last) + TTL_MS < Date.now();
}

/** What a run has told after an id. */
async function after(mine: Mine, run: RunRow, id: number) {
  const rows = mine.from("wombat_deltas").selectAll().where("run_seq", "=", run.seq);
  return rows.where("last_id", ">", id).orderBy("first_id").execute();
}

/** How many events of a batch are known already; refuses others under known ids, and any before the newest. */
async function knownOf(mine: Mine, run: RunRow, { first, events }: Batch): Promise<number> {
  if (first > run.last_delta || events.length === 0) return 0;
  const there = new Map<number, string>();
  for (const row of await after(mine, run, first - 1)) {
    (parseJson(row.events) as JsonObject[]).forEach((event, at) => there.set(row.first_id + at, canonical(event)));
  }
  const old = events.slice(0, run.last_delta - first + 1);
  if (old.some((event, at) => there.get(first + at) !== event)) {
    throw conflict("seq_conflict", "another event is known under this id", { last_seq: run.last_delta });
  }
  return old.length;
}

async function tell(mine: Mine, runKey: string, batch: Batch) {
  const { fence } = mine.scope;
  let run = await mustFindRun(mine, runKey);
  // One that has failed may go on: it is running then.
  if (isFinal(run.status) || run.status === "failed") throw runFinished("the run is over, and tells nothing any more", run.status);
  if (fence === undefined) throw staleFence();
  const lease = await heldLease(mine, fence);
  const isOwn = (run.session_key ?? lease.session_key) === lease.session_key && (run.task_id ?? lease.task_id) === lease.task_id;
  if (!isOwn) throw staleFence();
  const paced_ms = paced(run);
  if (isOver(run)) run = await forget(mine, run);
  const known = await knownOf(mine, run, batch);
  const fresh = batch.events.slice(known);
  let { last_delta, delta_bytes } = run;
  if (fresh.length > 0) {
    const first = batch.first + known;
    const events = `[${fresh.join(",")}]`;
    delta_bytes += Buffer.byteLength(events);
    if (delta_bytes > MAX_KEPT) {
      throw new ContractError(413, "deltas_full", "the run has told more than is kept", { max_bytes: MAX_KEPT });
    }
    last_delta = first + fresh.length - 1;
    await mine.add("wombat_deltas", { run_seq: run.seq, first_id: first, last_id: last_delta, events });
  }
  const taken = run.lease_id === fence.leaseId ? {} : { lease_id: fence.leaseId, orphan_until: null };
  await changeRun(mine, run, { last_delta, delta_bytes, paced_ms, deltas_at: now(), ...taken });
  if (fresh.length > 0) mine.wake();
  return { last_seq: last_delta, cancel_requested: run.cancel_requested === 1 };
}

/** Deletes what a run told, and keeps that it did. */
async function forget(mine: Mine, run: RunRow): Promise<RunRow> {
  await mine.remove("wombat_deltas").where("run_seq", "=", run.seq).execute();
  return changeRun(mine, run, { delta_bytes: 0, deltas_expired: 1 });
}

/** What a run has told after an id, at most so many events. */
export async function told(mine: Mine, run: RunRow, id: number, limit: number) {
  const found: JsonObject[] = [];
  const isGone = isOver(run);
  let size = 0;
  for (const row of isGone ? [] : await after(mine, run, id)) {
    size += row.events.length;
    if (size > PAGE_BYTES && found.length > 0) break;
    const events = (parseJson(row.events) as JsonObject[]).map((event, at) => ({ id: row.first_id + at, ...event }));
    found.push(...events.filter((event) => event.id > id));
  }
  return { events: found.slice(0, limit), last_seq: run.last_delta, expired: isGone || run.deltas_expired === 1 };
}

/** The same for whoever listens; `undefined` where the run is no more. */
export async function toldSince(mine: Mine, runKey: string, id: number) {
  const run = await findRun(mine, runKey);
  return run === undefined ? undefined : told(mine, run, id, MAX_EVENTS);
}

/** Deletes what runs told that were last written long ago. */
export const oldDeltas: Job = {
  everyMs: 60_000,
  work: async ({ storage }) => {
    const before = stamp(Date.now() - TTL_MS);
    const old = await storage.look((tx) =>
      tx.q
        .selectFrom("wombat_runs")
        .select(["seq", "user_id"])
        .where("delta_bytes", ">", 0)
        .where("deltas_at", "<", before)
        .where("updated_at", "<", before)
        .limit(100)
        .execute(),
    );
    for (const { seq, user_id } of old) {
      await storage.write(systemScope(user_id), async (mine) => {
        const run = await mine.from("wombat_runs").selectAll().where("seq", "=", seq).executeTakeFirst();
        if (run !== undefined && isOver(run)) await forget(mine, run);
      });
    }
  },
};

/** The endpoints of what runs tell. */
export const runStream: Feature = {
  names: ["run_stream"],
  routes: [
    {
      method: "POST",
      path: "/runs/:run_key/deltas",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = scopeOfRole(call.writeScope(who), call.query);
        if (who.type === "person") throw forbidden("only the agent that runs it tells what a run says");
        const body = await call.body(MAX_BYTES);
        const runKey = call.id("run_key");
        checkRunKey(runKey);
        if (scope.fence === undefined) throw invalid("X-Session-Fence", "is required");
        const named = body.whole("fence");
        const batch = batchOf(body);
        if (named !== scope.fence.fence) throw staleFence();
        checkIds(batch, named);
        return json(await call.plane.storage.write(scope, (mine) => tell(mine, runKey, batch)));
      },
    },
    {
      method: "GET",
      path: "/runs/:run_key/deltas",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = scopeOfRole(call.scope(who), call.query);
        const text = call.query.get("after") ?? "0";
        const id = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
        if (!Number.isSafeInteger(id)) throw invalid("after", "must be a whole number from 0");
        const limit = call.query.whole("limit", MAX_EVENTS, MOST, 1);
        const read = async (mine: Mine) => told(mine, await mustFindRun(mine, call.id("run_key")), id, limit);
        return json(await call.plane.storage.read(scope, read));
      },
    },
  ],
};

