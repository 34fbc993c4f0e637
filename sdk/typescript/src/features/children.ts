/** Runs that other runs have asked for: they write under the lease of the one at the top, and end with it. */


import { fromColumn, isObject, type JsonObject } from "../json.js";
import { now } from "../ids.js";
import { type Fence, ownRole } from "../scope.js";
import type { Mine } from "../store/mine.js";
import { systemScope } from "../scope.js";
import { cancelRequests, withdrawRequests } from "./tool-requests.js";
import { changeRun, findRunOf, isFinal, type RunRow, type RunStatus, tellRun } from "./run-rows.js";

/** How many runs below one end with it, in one transaction: more than the daemon lets them be. */
const MOST = 600;

/** How far up the run at the top is looked for. */
const MOST_ABOVE = 64;

/** The kind of a step that names runs below its own. */
const CALLING = "calling";

interface Named {
  readonly run_key: string;
  readonly role: string;
}

/** The runs that a step names. */
function namedBy(payload: string): Named[] {
  const step = fromColumn<JsonObject>(payload);
  const children = isObject(step) && Array.isArray(step.children) ? step.children : [];
  return children.filter(isObject).map(({ run_key, role }) => ({ run_key: String(run_key), role: String(role) }));
}

/** The runs with a key whose journals name others, the oldest first, and whom each names. */
async function callersOf(mine: Mine, runKey: string): Promise<{ run: RunRow; children: Named[] }[]> {
  const runs = await mine.from("wombat_runs").selectAll().where("run_key", "=", runKey).orderBy("seq").execute();
  const callers = [];
  for (const run of runs) {
    const steps = await mine
      .from("wombat_steps")
      .select("payload")
      .where("run_seq", "=", run.seq)
      .where("kind", "=", CALLING)
      .orderBy("step_index")
      .execute();
    callers.push({ run, children: steps.flatMap(({ payload }) => namedBy(payload)) });
  }
  return callers;
}

const names = (children: readonly Named[], runKey: string, role: string): boolean =>
  children.some((child) => child.run_key === runKey && child.role === role);

/** Whether the journal of a run that works under this lease names a run of the caller's role as its child. */
export async function isNamedChild(mine: Mine, fence: Fence, runKey: string, parentKey: string): Promise<boolean> {
  const role = ownRole(mine.scope);
  if (role === undefined) return false;
  const callers = await callersOf(mine, parentKey);
  return callers.some(({ run, children }) => run.lease_id === fence.leaseId && names(children, runKey, role));
}

/** The run that has asked for one: of several that name it the one under whose lease it was written, else the oldest. */
async function parentOf(mine: Mine, child: RunRow): Promise<RunRow | undefined> {
  if (child.parent_run_key === null) return undefined;
  const naming = (await callersOf(mine, child.parent_run_key)).filter(({ children }) => names(children, child.run_key, child.role));
  const same = naming.find(({ run }) => run.lease_id !== null && run.lease_id === child.lease_id);
  return (same ?? naming[0])?.run;
}

/** The run at the top of those that one belongs to. */
async function topOf(mine: Mine, of: RunRow): Promise<RunRow> {
  let top = of;
  for (let depth = 0; depth < MOST_ABOVE; depth += 1) {
    const parent = await parentOf(mine, top);
    if (parent === undefined) break;
    top = parent;
  }
  return top;
}

/** Whether a run is below another one. */
export async function isBelow(mine: Mine, child: RunRow, role: string, runKey: string): Promise<boolean> {
  let next = await parentOf(mine, child);
  for (let depth = 0; depth < MOST_ABOVE && next !== undefined; depth += 1) {
    if (next.role === role && next.run_key === runKey) return true;
    next = await parentOf(mine, next);
  }
  return false;
}

/** The runs below one. */
async function below(mine: Mine, of: RunRow): Promise<RunRow[]> {
  const known = new Set<number>();
  const found: RunRow[] = [];
  const left = [of];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const children = await mine
      .from("wombat_runs")
      .selectAll()
      .where("parent_run_key", "=", next.run_key)
      .orderBy("seq", "desc")
      .limit(MOST)
      .execute();
    for (const child of children) {
      if (found.length >= MOST || known.has(child.seq)) continue;
      const parent = await parentOf(mine, child);
      if (parent?.seq !== next.seq) continue;
      known.add(child.seq);
      found.push(child);
      left.push(child);
    }
  }
  return found;
}

/** An instance that sleeps writes no more for a run that was cancelled because its lease had run out. */
export async function shutOut(mine: Mine, leaseId: string | null): Promise<void> {
  if (leaseId === null) return;
  const ended = mine.update("wombat_leases").set({ freed_at: now() }).where("id", "=", leaseId);
  await ended.where("freed_at", "is", null).where("expires_at", "<=", now()).execute();
}

/** Ends a run that no instance works on. */
export async function endRun(mine: Mine, row: RunRow, status: RunStatus, extra?: string): Promise<void> {
  const changed = { status, updated_at: now(), orphan_until: null, orphan_attempts: 0, ended_at: row.ended_at ?? now() };
  const ended = await changeRun(mine, row, extra === undefined ? changed : { ...changed, extra });
  tellRun(mine, ended);
  if (status !== "cancelled") return;
  await shutOut(mine, row.lease_id);
  await cancelRequests(mine.as(systemScope(mine.userId)), row.role, row.run_key);
}

/**
 * What becomes of the runs below one that has this status from now on: a cancelled one's are cancelled, and nobody
 * works on those of one that was interrupted or has failed. Of one that is to be cancelled, they are to be, too.
 */
export async function follow(mine: Mine, of: RunRow, status: string, isToBe: boolean): Promise<void> {
  const ends = status === "cancelled" ? "cancelled" : status === "interrupted" || status === "failed" ? "interrupted" : undefined;
  if (ends === undefined && !isToBe) return;
  for (const child of await below(mine, of)) {
    const isRunning = child.status === "running";
    if (ends === undefined) {
      if (isRunning) await changeRun(mine, child, { cancel_requested: 1, updated_at: now() });
    } else if (!isFinal(child.status) && (ends === "cancelled" || isRunning)) {
      await endRun(mine, child, ends);
    }
  }
}

/** Withdraws what people are asked on behalf of a run that is cancelled while the one at the top goes on. */
export async function withdraw(mine: Mine, run: RunRow): Promise<void> {
  if (run.parent_run_key === null) return;
  const cancelled = await findRunOf(mine, run.role, run.run_key);
  if (cancelled === undefined) return;
  const top = await topOf(mine, cancelled);
  if (top.seq === cancelled.seq) return;
  const askers = [cancelled, ...(await below(mine, cancelled))].map(({ role, run_key }) => ({ role, run_key }));
  await withdrawRequests(mine, top.role, askers);
}

