/** The journal of runs: where each stands, and its steps. */

import type { Selectable } from "kysely";

import { mustOwnSession } from "../call.js";
import { conflict, invalid, notFound, runFinished } from "../errors.js";
import { type Fields, sessionRole } from "../fields.js";
import { json } from "../http.js";
import { now } from "../ids.js";
import { canonical, fromColumn, type Json, type JsonObject, toJson } from "../json.js";
import { ownRole, type Scope } from "../scope.js";
import type { Feature } from "../routing.js";
import { checkLease, heldLease } from "../store/fences.js";
import type { Mine } from "../store/mine.js";
import type { Tables } from "../store/schema.js";
import { follow, isNamedChild, shutOut, withdraw } from "./children.js";
import { isErasedRun } from "./erasure.js";
import { isHeld, isLive } from "./leases.js";
import { factsOf } from "./run-facts.js";
import {
  beginRun,
  changeRun,
  checkRunKey,
  findRun,
  findRunOf,
  isAnswered,
  isFinal,
  isKnownRun,
  mustFindRun,
  noteOf,
  RUN_STATUSES,
  type RunRow,
  type RunStatus,
  runOf,
  scopeOfRole,
  tellRun,
} from "./run-rows.js";
import { mustHaveTask } from "./tasks.js";
import { cancelRequests } from "./tool-requests.js";

/** The largest step, and the largest run without its steps, in bytes. */
const MAX_STEP = 8 * 1024 * 1024;

/** The most bytes that the steps of a run have. */
const MAX_JOURNAL = 64 * 1024 * 1024;

/** The contract's fields of a run, and texts that are kept elsewhere; what else is sent is given back. */
const OWN_FIELDS = new Set([
  ..."run_key status session_key task_id workspace_digest workspace profile_digest detached parent_run_key".split(" "),
  ..."cancel_requested steps created_at updated_at asked reply".split(" "),
]);

const stepOf = (row: Selectable<Tables["wombat_steps"]>) => ({
  index: row.step_index,
  kind: row.kind,
  payload: fromColumn(row.payload) ?? null,
});

/** What is answered about a run that an erasure has cancelled: nothing of it is stored any more. */
const erasedNote = (runKey: string) => ({ run_key: runKey, status: "cancelled", cancel_requested: true });

/** A write about a run. A child's may come under its parent's lease. */
async function checkRunLease(mine: Mine, runKey: string, parentKey: string | undefined): Promise<void> {
  const { fence } = mine.scope;
  if (fence === undefined) return;
  const isChild = parentKey !== undefined && (await isNamedChild(mine, fence, runKey, parentKey));
  const { role: _, ...everyRole } = mine.scope;
  await heldLease(isChild ? mine.as(everyRole) : mine, fence);
}

/** A field that is set once: required when the run is made, and the same ever after. */
function setOnce(field: "session_key" | "task_id", known: string | null, given: string | undefined, isNew: boolean): string | null {
  if (known === null && given === undefined && isNew) throw invalid(field, "is required when the run is created");
  if (known !== null && given !== undefined && known !== given) {
    throw conflict("run_conflict", `the run has another ${field}`, { [field]: known });
  }
  return known ?? given ?? null;
}

/** Statuses of a run that has stopped, and may be resumed. */
const STOPPED = ["failed", "interrupted", "awaiting_approval", "awaiting_answer"];

/** The status of a run after a caller asks for one. */
async function nextStatus(mine: Mine, run: RunRow, wanted: RunStatus | undefined): Promise<string> {
  // The answer tells whoever runs it that it was cancelled; that is final.
  if (run.status === "cancelled") return "cancelled";
  if (wanted === undefined) return run.status;
  if (run.status === "completed") {
    if (wanted === "completed") return wanted;
    throw runFinished("the run is completed; its status cannot change any more", run.status);
  }
  const isToStop = run.cancel_requested === 1 && STOPPED.includes(wanted);
  if (wanted !== "cancelled" && !isToStop) return wanted;
  const answered = await isAnswered(mine, run);
  if (wanted === "cancelled" && answered) throw runFinished("the run's reply stands; write that it is completed", run.status);
  // It has stopped, and must not be resumed.
  return answered ? wanted : "cancelled";
}

async function put(mine: Mine, runKey: string, body: Fields) {
  const parentKey = body.maybeText("parent_run_key");
  await checkRunLease(mine, runKey, parentKey);
  const session = body.maybeText("session_key");
  const wanted = body.maybeOne("status", RUN_STATUSES);
  const named = mine.scope.role ?? sessionRole(mine.userId, session) ?? ownRole(mine.scope);
  const found = mine.scope.role === undefined && named !== undefined ? await findRunOf(mine, named, runKey) : await findRun(mine, runKey);
  const isNew = found === undefined;
  if (isNew && (await isErasedRun(mine, runKey))) return erasedNote(runKey);
  const known = found ?? (await beginRun(mine, named ?? "", runKey));
  const role = known.role === "" ? (named ?? "") : known.role;
  const sessionKey = setOnce("session_key", known.session_key, session, isNew);
  const taskId = setOnce("task_id", known.task_id, body.maybeText("task_id"), isNew);
  if (known.task_id === null && taskId !== null) await mustHaveTask(mine, taskId);
  const status = await nextStatus(mine, { ...known, role }, wanted);
  const leaseId = mine.scope.fence?.leaseId;
  const detached = body.maybeBool("detached");
  const put = await changeRun(mine, known, {
    role,
    session_key: sessionKey,
    task_id: taskId,
    status,
    workspace_digest: body.maybeText("workspace_digest", { blank: true }) ?? known.workspace_digest,
    workspace: body.maybeText("workspace", { blank: true }) ?? known.workspace,
    profile_digest: body.maybeText("profile_digest", { blank: true }) ?? known.profile_digest,
    parent_run_key: parentKey ?? known.parent_run_key,
    detached: detached === undefined ? known.detached : Number(detached),
    extra: toJson({ ...fromColumn<JsonObject>(known.extra), ...extraOf(body) }),
    lease_id: leaseId ?? known.lease_id,
    // Whoever was to take it up has done so once it is written under another lease.
    orphan_until: leaseId !== undefined && leaseId !== known.lease_id ? null : known.orphan_until,
    updated_at: now(),
    ...factsOf(body.raw, known, status),
  });
  const hasChanged = put.status !== known.status;
  if (isNew || hasChanged) tellRun(mine, put);
  if (status === "cancelled") {
    if (known.cancel_requested === 0 && hasChanged) recordCancel(mine, put);
    await cancelRequests(mine, role, runKey);
  }
  if (hasChanged) {
    if (status === "cancelled") await withdraw(mine, put);
    await follow(mine, put, status, false);
  }
  return noteOf(put);
}

function extraOf({ raw }: Fields): JsonObject {
  return Object.fromEntries(Object.entries(raw).filter(([name]) => !OWN_FIELDS.has(name)));
}

function recordCancel(mine: Mine, { run_key, role, status }: RunRow): void {
  mine.record({ act: "run.cancelled", object: { type: "run", id: run_key }, details: { role, status } });
}

async function putStep(mine: Mine, runKey: string, index: number, kind: string, value: Json) {
  await checkLease(mine);
  let run = await findRun(mine, runKey);
  if (run === undefined) {
    // Whoever writes to a run without having begun one means the run of the other role.
    if (await isKnownRun(mine, runKey)) throw notFound("run");
    if (await isErasedRun(mine, runKey)) return erasedNote(runKey);
    run = await beginRun(mine, mine.scope.role ?? ownRole(mine.scope) ?? "", runKey);
    tellRun(mine, run);
  }
  const steps = mine.from("wombat_steps").selectAll().where("run_seq", "=", run.seq);
  const there = await steps.where("step_index", "=", index).executeTakeFirst();
  if (there !== undefined) {
    if (there.kind === kind && canonical(fromColumn(there.payload) ?? null) === canonical(value)) return noteOf(run);
    throw conflict("step_exists", "another step is at this index", { step: stepOf(there) });
  }
  const payload = toJson(value);
  const bytes = run.step_bytes + Buffer.byteLength(payload);
  if (bytes > MAX_JOURNAL) throw invalid("payload", "does not fit: the steps of a run have 64 MiB at most");
  const at = now();
  await mine.add("wombat_steps", { run_seq: run.seq, step_index: index, kind, payload, created_at: at });
  const leaseId = mine.scope.fence?.leaseId ?? run.lease_id;
  await changeRun(mine, run, {
    updated_at: at,
    step_count: run.step_count + 1,
    step_bytes: bytes,
    lease_id: leaseId,
    orphan_until: leaseId === run.lease_id ? run.orphan_until : null,
  });
  mine.tell("run.step", "run_key", { run_key: runKey, index, kind }, run.role);
  return noteOf(run);
}

/** Whether no instance executes a run that says that it is at work. */
async function isLeft(mine: Mine, run: RunRow): Promise<boolean> {
  if (run.detached === 1) return !(await isHeld(mine, run.session_key, run.task_id));
  return run.lease_id !== null && !(await isLive(mine, run.lease_id));
}

async function cancel(mine: Mine, runKey: string) {
  await checkLease(mine);
  const known = await mustFindRun(mine, runKey);
  if (!isFinal(known.status) && (await isAnswered(mine, known))) {
    throw runFinished("the run's reply stands already", known.status);
  }
  if (known.status === "completed") throw runFinished("the run is completed already", known.status);
  // Whoever runs it learns of the request with its next write, and reports the end.
  const goesOn = known.status === "running" && !(await isLeft(mine, known));
  const status = goesOn ? "running" : "cancelled";
  const over = goesOn ? {} : { ended_at: known.ended_at ?? now() };
  const asked = await changeRun(mine, known, { cancel_requested: 1, status, updated_at: now(), ...over });
  const hasChanged = asked.status !== known.status;
  if (known.cancel_requested === 0) {
    tellRun(mine, asked, "cancel_requested");
    if (known.status !== "cancelled") recordCancel(mine, asked);
  }
  if (hasChanged) tellRun(mine, asked);
  if (status === "cancelled") {
    await shutOut(mine, known.lease_id);
    await cancelRequests(mine, known.role, runKey);
    if (hasChanged) await withdraw(mine, asked);
  }
  await follow(mine, asked, status, true);
  return noteOf(asked);
}

async function read(mine: Mine, runKey: string, withSteps: boolean) {
  const run = await mustFindRun(mine, runKey);
  if (!withSteps) return { ...runOf(run), steps: [] };
  const rows = await mine.from("wombat_steps").selectAll().where("run_seq", "=", run.seq).orderBy("step_index").execute();
  return { ...runOf(run), steps: rows.map(stepOf) };
}

function indexOf(text: string): number {
  const index = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(index <= 4_294_967_295)) throw invalid("index", "must be a whole number from 0");
  return index;
}

/** The endpoints of the journal. */
export const runs: Feature = {
  names: ["run_journal"],
  routes: [
    {
      method: "GET",
      path: "/runs/:run_key",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = scopeOfRole(call.scope(who), call.query);
        // Who asks often where a run stands does not want its journal.
        const withSteps = call.query.one("steps", ["true", "false"]) !== "false";
        return json(await call.plane.storage.read(scope, (mine) => read(mine, call.id("run_key"), withSteps)));
      },
    },
    {
      method: "PUT",
      path: "/runs/:run_key",
      answer: async (call) => {
        const who = await call.tenant();
        const scope: Scope = scopeOfRole(call.writeScope(who), call.query);
        const body = await call.body(MAX_STEP);
        const runKey = call.id("run_key");
        checkRunKey(runKey);
        const parentKey = body.maybeText("parent_run_key");
        if (parentKey !== undefined) checkRunKey(parentKey, "parent_run_key");
        const session = body.maybeText("session_key");
        if (session !== undefined) {
          const role = mustOwnSession(who, session);
          if (scope.role !== undefined && scope.role !== role) {
            throw invalid("session_key", "must be of the role that the query names");
          }
        }
        return json(await call.plane.storage.write(scope, (mine) => put(mine, runKey, body)));
      },
    },
    {
      method: "PUT",
      path: "/runs/:run_key/steps/:index",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = scopeOfRole(call.writeScope(who), call.query);
        const body = await call.body(MAX_STEP);
        const runKey = call.id("run_key");
        checkRunKey(runKey);
        const index = indexOf(call.id("index"));
        const kind = body.text("kind");
        if (!body.names("payload")) throw invalid("payload", "is required");
        const payload = body.any("payload") ?? null;
        return json(await call.plane.storage.write(scope, (mine) => putStep(mine, runKey, index, kind, payload)));
      },
    },
    {
      method: "POST",
      path: "/runs/:run_key/cancel",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = scopeOfRole(call.writeScope(who), call.query);
        return json(await call.plane.storage.write(scope, (mine) => cancel(mine, call.id("run_key"))));
      },
    },
  ],
};
