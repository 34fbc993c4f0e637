/** Detached runs that no instance works on: leased to whoever lets another instance take them up. */

import { sql } from "kysely";

import { invalid } from "../errors.js";
import { json } from "../http.js";
import { now, stamp } from "../ids.js";
import { fromColumn, type JsonObject, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import { systemScope } from "../scope.js";
import { endRun, follow } from "./children.js";
import { changeRun, isAnswered, type RunRow } from "./run-rows.js";
import { Mine } from "../store/mine.js";
import type { Tx } from "../store/tx.js";

/** For how long a run and the lease of its session must have been quiet, in milliseconds. */
const QUIET_MS = 5_000;

/** How many runs one call looks at, so that other writes do not wait long. */
const LOOKED_AT = 2_000;
const MOST = 1_000;
const MAX_LEASE = 3_600;
const MAX_ATTEMPTS = 5;
const ABANDONED = "run_abandoned";

interface Orphan {
  readonly run_key: string;
  readonly user_id: string;
  readonly session_key: string;
  readonly task_id: string;
  readonly attempts: number;
}

/**
 * Detached runs that nobody works on, oldest first: of an interrupted one that is known; a running one has been quiet
 * for a while, and so has the lease of its session and task. An interrupted one waits while another has the session.
 */
async function orphansOf(tx: Tx, limit: number): Promise<RunRow[]> {
  const at = now();
  const quiet = stamp(Date.now() - QUIET_MS);
  const lock = tx.postgres && limit > 1 ? sql`for update of r skip locked` : sql``;
  const { rows } = await sql<RunRow>`
    select r.* from wombat_runs r where r.detached = 1 and r.status in ('running', 'interrupted')
      and r.parent_run_key is null and r.session_key is not null and r.task_id is not null
      and ((r.status = 'running' and r.updated_at <= ${quiet} and not exists (select 1 from wombat_leases l
          where l.session_key = r.session_key and l.task_id = r.task_id and l.expires_at > ${quiet}
            and coalesce(l.freed_at, l.expires_at) > ${quiet}))
        or (r.status = 'interrupted' and not exists (select 1 from wombat_runs o join wombat_leases l on l.id = o.lease_id
          where o.session_key = r.session_key and o.task_id = r.task_id and o.status = 'running' and o.seq <> r.seq
            and l.session_key = r.session_key and l.task_id = r.task_id and l.freed_at is null and l.expires_at > ${at})))
    order by r.seq limit ${limit} ${lock}`.execute(tx.q);
  return rows;
}

/** Ends a lease of a run that no instance took, unless it has run out and somebody else has it. */
async function giveBack(tx: Tx, run: Orphan): Promise<void> {
  await tx.q
    .updateTable("wombat_runs")
    .set(({ eb }) => ({ orphan_until: null, orphan_attempts: eb("orphan_attempts", "-", 1) }))
    .where("user_id", "=", run.user_id)
    .where("run_key", "=", run.run_key)
    .where("session_key", "=", run.session_key)
    .where("task_id", "=", run.task_id)
    .where("orphan_attempts", "=", run.attempts)
    .where("orphan_attempts", ">", 0)
    .where("orphan_until", "is not", null)
    .execute();
}

const orphanOf = (run: RunRow, attempts: number): Orphan => ({
  run_key: run.run_key,
  user_id: run.user_id,
  session_key: run.session_key ?? "",
  task_id: run.task_id ?? "",
  attempts,
});

/** What is kept of a run that was given up. */
function abandoned(run: RunRow): string {
  const attempts = run.orphan_attempts;
  const error = `the run was given up: ${attempts} instances of the daemon took it up, and none got a step further; look at the daemons' logs, then send its key again`;
  const failure = { status: 500, error, code: ABANDONED, details: { attempts } };
  return toJson({ ...fromColumn<JsonObject>(run.extra), error: ABANDONED, failure });
}

async function end(mine: Mine, run: RunRow, status: "cancelled" | "failed"): Promise<void> {
  await endRun(mine, run, status, status === "failed" ? abandoned(run) : undefined);
  await follow(mine, run, status, false);
}

async function lease(tx: Tx, seconds: number, limit: number, most: number, returned: Orphan[]) {
  // What nobody waits for needs no write, and most of the time nobody does.
  if ((await orphansOf(tx, 1)).length === 0) return { runs: [], ended: [] };
  await tx.lock("wombat:orphans");
  for (const run of returned) await giveBack(tx, run);
  const rows = await orphansOf(tx, LOOKED_AT);
  // One without a step, whose instance died before it answered, comes after those that have one.
  rows.sort((one, other) => Number(one.step_count === 0) - Number(other.step_count === 0));
  const [runs, ended, sessions] = [[] as Orphan[], [] as Orphan[], new Set<string>()];
  for (const run of rows) {
    const session = toJson([run.session_key, run.task_id]);
    if (runs.length >= limit || sessions.has(session)) continue;
    const mine = new Mine(tx, systemScope(run.user_id));
    if (run.cancel_requested === 1 && !(await isAnswered(mine, run))) {
      ended.push(orphanOf(run, run.orphan_attempts));
      await end(mine, run, "cancelled");
      continue;
    }
    if (run.orphan_until !== null && run.orphan_until > now()) {
      sessions.add(session);
      continue;
    }
    const attempts = run.orphan_steps === run.step_count ? run.orphan_attempts + 1 : 1;
    if (attempts > most) {
      ended.push(orphanOf(run, attempts - 1));
      await end(mine, run, "failed");
      continue;
    }
    const until = stamp(Date.now() + seconds * 1000);
    await changeRun(mine, run, { orphan_until: until, orphan_attempts: attempts, orphan_steps: run.step_count });
    sessions.add(session);
    runs.push(orphanOf(run, attempts));
  }
  return { runs, ended };
}

/** The endpoint of orphans. */
export const orphans: Feature = {
  names: ["orphans"],
  routes: [
    {
      method: "POST",
      path: "/dispatch/orphans",
      answer: async (call) => {
        await call.service();
        const body = await call.body();
        const seconds = body.whole("lease_seconds", 1, MAX_LEASE);
        const limit = Math.min(body.whole("limit", 1), MOST);
        const returned = body.has("returned") ? body.objects("returned") : [];
        if (returned.length > MOST) throw invalid("returned", `are more than ${MOST}`);
        const back = returned.map((one) => ({
          run_key: one.text("run_key"),
          user_id: one.text("user_id"),
          session_key: one.text("session_key"),
          task_id: one.text("task_id"),
          attempts: one.whole("attempts"),
        }));
        const most = call.plane.options.orphanMaxAttempts ?? MAX_ATTEMPTS;
        return json(await call.plane.storage.everybody((tx) => lease(tx, seconds, limit, most, back)));
      },
    },
  ],
};
