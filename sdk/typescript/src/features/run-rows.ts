/** Runs as they are stored, and whose they are. */

import type { Selectable } from "kysely";

import { conflict, invalid, notFound } from "../errors.js";
import type { Query } from "../fields.js";
import { isRole } from "../fields.js";
import { now } from "../ids.js";
import { fromColumn, type JsonObject } from "../json.js";
import { ownRole, type Scope } from "../scope.js";
import type { Mine } from "../store/mine.js";
import { compact } from "../store/pages.js";
import type { Tables } from "../store/schema.js";

/** Where a run can stand. */
export const RUN_STATUSES = [
  "running",
  "completed",
  "failed",
  "interrupted",
  "cancelled",
  "awaiting_approval",
  "awaiting_answer",
] as const;

/** Where a run stands. */
export type RunStatus = (typeof RUN_STATUSES)[number];

/** A run's row. */
export type RunRow = Selectable<Tables["wombat_runs"]>;

/** Whether nothing changes a status any more. */
export const isFinal = (status: string): boolean => status === "completed" || status === "cancelled";

/** A run as it is answered, without its steps. */
export const runOf = (row: RunRow) => ({
  ...fromColumn<JsonObject>(row.extra),
  run_key: row.run_key,
  status: row.status,
  ...compact({
    session_key: row.session_key,
    task_id: row.task_id,
    workspace_digest: row.workspace_digest,
    workspace: row.workspace,
    profile_digest: row.profile_digest,
    parent_run_key: row.parent_run_key,
    created_at: row.created_at,
    updated_at: row.updated_at,
  }),
  detached: row.detached === 1,
  cancel_requested: row.cancel_requested === 1,
});

/** What is answered to a write about a run. */
export const noteOf = ({ run_key, status, cancel_requested }: Pick<RunRow, "run_key" | "status" | "cancel_requested">) => ({
  run_key,
  status,
  cancel_requested: cancel_requested === 1 || status === "cancelled",
});

/** The user's runs with this key: one of each role that has one. */
const all = (mine: Mine, runKey: string): Promise<RunRow[]> =>
  mine.from("wombat_runs").selectAll().where("run_key", "=", runKey).orderBy("seq").execute();

/**
 * The run of this key that the caller means, if there is one: its own role's; for a lead or a person another role's
 * where it has none. Of several roles' none is taken for the one that is meant.
 */
export async function findRun(mine: Mine, runKey: string): Promise<RunRow | undefined> {
  const found = await all(mine, runKey);
  const { role } = mine.scope;
  if (role !== undefined) return found.find((run) => run.role === role);
  const own = ownRole(mine.scope);
  const mineOwn = found.find((run) => run.role === own);
  if (mineOwn !== undefined) return mineOwn;
  if (found.length > 1) {
    const roles = found.map((run) => run.role);
    throw conflict("run_ambiguous", "several roles have a run with this key: name one with ?role=", { roles });
  }
  return found[0];
}

/** The same; 404 where there is none. */
export async function mustFindRun(mine: Mine, runKey: string): Promise<RunRow> {
  const found = await findRun(mine, runKey);
  if (found === undefined) throw notFound("run");
  return found;
}

/** The run of a role, for a write that names it: also one that has no role yet. */
export async function findRunOf(mine: Mine, role: string, runKey: string): Promise<RunRow | undefined> {
  const found = await all(mine, runKey);
  return found.find((run) => run.role === role) ?? found.find((run) => run.role === "");
}

/** Whether any role of the user has a run with this key. */
export const isKnownRun = async (mine: Mine, runKey: string): Promise<boolean> => (await all(mine, runKey)).length > 0;

/** Refuses what is about a run that was cancelled, or that only other roles have. */
export async function checkWaits(mine: Mine, role: string, runKey: string): Promise<void> {
  const found = await all(mine, runKey);
  const own = found.find((run) => run.role === role || run.role === "");
  if (own === undefined && found.length > 0) throw notFound("run");
  if (own?.status === "cancelled") throw conflict("run_cancelled", "the run was cancelled");
}

/** Begins a run. */
export function beginRun(mine: Mine, role: string, runKey: string): Promise<RunRow> {
  const at = now();
  return mine.add("wombat_runs", {
    role,
    run_key: runKey,
    status: "running",
    detached: 0,
    cancel_requested: 0,
    extra: "{}",
    step_count: 0,
    step_bytes: 0,
    orphan_attempts: 0,
    orphan_steps: 0,
    last_delta: 0,
    delta_bytes: 0,
    deltas_expired: 0,
    paced_ms: 0,
    words: "",
    up_count: 0,
    down_count: 0,
    labels: "[]",
    created_at: at,
    updated_at: at,
  });
}

/** Changes a run. */
export async function changeRun(mine: Mine, row: RunRow, changed: Partial<Omit<RunRow, "seq" | "user_id">>): Promise<RunRow> {
  await mine.update("wombat_runs").set(changed).where("seq", "=", row.seq).execute();
  return { ...row, ...changed };
}

/** Tells of a run, without its steps. */
export function tellRun(mine: Mine, row: RunRow, what: string = row.status): void {
  const { run_key, status, session_key, task_id } = row;
  const data = { run_key, status, session_key, task_id, cancel_requested: row.cancel_requested === 1 };
  mine.tell(`run.${what}`, "run_key", data, row.role);
}

/** Whether the reply of a run stands: then it is completed, whoever wants it cancelled. */
export async function isAnswered(mine: Mine, { role, run_key }: Pick<RunRow, "role" | "run_key">): Promise<boolean> {
  let rows = mine.from("wombat_messages").select("seq").where("idempotency_key", "=", `run:${run_key}:reply`);
  rows = rows.where("actor_type", "=", "agent").limit(1);
  if (role !== "") rows = rows.where(({ or, eb }) => or([eb("agent_role", "is", null), eb("agent_role", "=", role)]));
  return (await rows.executeTakeFirst()) !== undefined;
}

const MAX_KEY = 200;

/** Refuses a text that cannot be a run's key. */
export function checkRunKey(runKey: string, field = "run_key"): void {
  if (runKey.trim() === "") throw invalid(field, "must not be empty");
  if (runKey.includes("\0") || Buffer.byteLength(runKey) > MAX_KEY) throw invalid(field, "is too long");
}

/** For those who may touch all roles' runs: that of the role that the query names. */
export function scopeOfRole(scope: Scope, query: Query): Scope {
  const named = query.get("role");
  if (named === undefined) return scope;
  if (!isRole(named)) throw invalid("role", "must be letters, digits, _ and -");
  return scope.role === undefined ? { ...scope, role: named } : scope;
}
