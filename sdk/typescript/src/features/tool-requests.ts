/** Tool requests: calls that need a person's approval, and questions. */

import type { Selectable } from "kysely";

import { type Call, mustOwnSession } from "../call.js";
import { invalid, notFound } from "../errors.js";
import { Fields, isRole, type Paging, sessionOf, sessionRole } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now } from "../ids.js";
import { canonical, fromColumn, isObject, type Json, type JsonObject, toJson } from "../json.js";
import { systemScope } from "../scope.js";
import type { Plane } from "../plane.js";
import type { Feature } from "../routing.js";
import { checkLease } from "../store/fences.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Job } from "../upkeep.js";
import { insertMessage } from "./messages.js";
import { notify } from "./notifications.js";
import { answerSchema, checkQuestion, expiresAt, type Question, questionOf } from "./questions.js";
import { alreadyDecided, decidedBy, hashOf, mismatch, NO_ANSWER } from "./request-words.js";
import { checkRunKey, checkWaits, findRunOf } from "./run-rows.js";
import { mustHaveTask } from "./tasks.js";

/** What can become of a request. */
export const REQUEST_STATUSES = ["pending", "approved", "denied", "answered", "expired", "cancelled"] as const;

/** What has become of a request. */
export type RequestStatus = (typeof REQUEST_STATUSES)[number];

/** A request's row. */
export type RequestRow = Selectable<Tables["wombat_tool_requests"]>;

const MAX_TOOL = 1_000;
/** The most characters of a reason and of a note, which are kept in the audit log. */
export const MAX_WORDS = 10_000;
const QUOTED = 80;

/** A request as it is answered. */
export const requestOf = (row: RequestRow) => ({
  ...compact({
    id: row.id,
    kind: row.kind,
    status: row.status,
    task_id: row.task_id,
    run_key: row.run_key,
    session_key: row.session_key,
    tool: row.tool,
    reason: row.reason,
    note: row.note,
    created_at: row.created_at,
    decided_at: row.decided_at,
    parameters: fromColumn(row.parameters),
    edited: row.edited === null ? null : { arguments: fromColumn(row.edited) },
    decided_by: fromColumn(row.decided_by),
    asked_by: fromColumn(row.asked_by),
    expires_at: row.expires_at,
    rule_id: row.rule_id,
  }),
  arguments: fromColumn<JsonObject>(row.arguments) ?? {},
  ...(row.answer === null ? {} : { answer: fromColumn(row.answer) ?? null }),
});

/** The question that a request is. */
export const askedOf = (row: RequestRow): Question | undefined =>
  row.kind === "question" ? questionOf(fromColumn<JsonObject>(row.arguments) ?? {}) : undefined;

/** A request that the caller may see. */
export async function findRequest(mine: Mine, id: string): Promise<RequestRow> {
  let rows = mine.from("wombat_tool_requests").selectAll().where("id", "=", id);
  if (mine.scope.role !== undefined) rows = rows.where("session_key", "=", sessionOf(mine.userId, mine.scope.role));
  const row = await rows.executeTakeFirst();
  if (row === undefined) throw notFound("tool request");
  return row;
}

/** Records what a request has become, as an event and in the audit log. */
function tellRequest(mine: Mine, row: RequestRow, reason: string | null): void {
  const name = `tool_request.${row.status === "pending" ? "created" : row.status}`;
  const role = sessionRole(mine.userId, row.session_key);
  mine.tell(name, "tool_request_id", requestOf(row), role);
  const edited = fromColumn<JsonObject>(row.edited);
  const details = compact({
    role,
    run_key: row.run_key,
    tool: row.tool,
    kind: row.kind === "question" ? row.kind : null,
    // What was called instead can be proven by it, without being told in the log.
    edited_sha256: edited === undefined ? null : hashOf(edited),
    rule_id: row.rule_id,
  }) as JsonObject;
  mine.record({ act: name, object: { type: "tool_request", id: row.id }, details, reason: reason ?? undefined });
}

/** What becomes of a request. */
export interface Settled {
  readonly status: RequestStatus;
  readonly note?: string | undefined;
  readonly edited?: JsonObject | undefined;
  readonly answer?: Json | undefined;
  readonly ruleId?: string | undefined;
  readonly key?: string | undefined;
  readonly body?: string | undefined;
}

/** Writes what has become of a request that waits, and notifies its session. */
export async function settle(mine: Mine, row: RequestRow, settled: Settled): Promise<RequestRow> {
  const changed = {
    status: settled.status,
    note: settled.note ?? null,
    edited: settled.edited === undefined ? null : toJson(settled.edited),
    answer: settled.answer === undefined ? null : toJson(settled.answer),
    rule_id: settled.ruleId ?? null,
    decided_key: settled.key ?? null,
    decided_body: settled.body ?? null,
    decided_by: toJson(decidedBy(mine.scope.actor)),
    decided_at: now(),
  };
  await mine.update("wombat_tool_requests").set(changed).where("seq", "=", row.seq).execute();
  const decided = { ...row, ...changed };
  tellRequest(mine, decided, decided.note);
  await notifyOf(mine, decided);
  return decided;
}

function sentenceOf(row: RequestRow): string {
  const asked = askedOf(row);
  let said = `The call of ${row.tool} was ${row.status}.`;
  if (asked !== undefined) {
    const letters = [...asked.question];
    const quoted = letters.length > QUOTED ? `${letters.slice(0, QUOTED).join("")}…` : asked.question;
    if (row.status === "answered") said = `The question “${quoted}” was answered.`;
    else if (row.status === "expired") said = `Nobody answered the question “${quoted}” in time.`;
    else said = `Nobody is going to answer the question “${quoted}”.`;
  }
  const note = row.note?.trim();
  return note ? `${said} ${note}` : said;
}

/** Notifies the session, so that its run goes on. */
async function notifyOf(mine: Mine, row: RequestRow): Promise<void> {
  const run = await findRunOf(mine, sessionRole(mine.userId, row.session_key) ?? "", row.run_key);
  const metadata: JsonObject = {
    tool_request_id: row.id,
    tool_request_status: row.status,
    ...(row.kind === "question" ? { tool_request_kind: "question" } : {}),
    ...(run?.detached === 1 ? { detached: true } : {}),
  };
  const { session_key: sessionKey, task_id: taskId, run_key: runKey } = row;
  await notify(mine, { sessionKey, taskId, runKey, metadata, content: sentenceOf(row), priority: "high" });
}

/** Cancels the pending requests of a role's cancelled run. */
export async function cancelRequests(mine: Mine, role: string, runKey: string): Promise<void> {
  const rows = await mine
    .from("wombat_tool_requests")
    .selectAll()
    .where("run_key", "=", runKey)
    .where("status", "=", "pending")
    .where("session_key", "=", sessionOf(mine.userId, role))
    .execute();
  const changed = { status: "cancelled", decided_at: now() };
  for (const row of rows) {
    await mine.update("wombat_tool_requests").set(changed).where("seq", "=", row.seq).execute();
    tellRequest(mine, { ...row, ...changed }, null);
  }
}

/** Withdraws what a role's session asks people on behalf of these runs. */
export async function withdrawRequests(mine: Mine, role: string, askers: { role: string; run_key: string }[]): Promise<void> {
  const rows = await mine
    .from("wombat_tool_requests")
    .selectAll()
    .where("status", "=", "pending")
    .where("session_key", "=", sessionOf(mine.userId, role))
    .where("asked_by", "is not", null)
    .orderBy("seq")
    .execute();
  for (const row of rows) {
    const asker = fromColumn<JsonObject>(row.asked_by);
    const isOne = askers.some((one) => one.role === asker?.role && one.run_key === asker?.run_key);
    if (isOne) await settle(mine, row, { status: "cancelled" });
  }
}

/** Whether a question's time is over, though nobody has written that yet. */
export const isDue = (row: RequestRow): boolean => row.status === "pending" && row.expires_at !== null && row.expires_at <= now();

/** Ends questions whose time is over. */
export async function expireQuestions({ storage }: Plane): Promise<void> {
  const due = await storage.look((tx) =>
    tx.q
      .selectFrom("wombat_tool_requests")
      .select(["id", "user_id"])
      .where("status", "=", "pending")
      .where("kind", "=", "question")
      .where("expires_at", "<=", now())
      .limit(100)
      .execute(),
  );
  for (const { id, user_id } of due) {
    await storage.write(systemScope(user_id), async (mine) => {
      const row = await findRequest(mine, id);
      if (isDue(row)) await settle(mine, row, { status: "expired" });
    });
  }
}

/** Ends them without being asked. */
export const questionEnds: Job = { everyMs: 1_000, work: expireQuestions };

interface NewRequest {
  readonly taskId: string;
  readonly runKey: string;
  readonly sessionKey: string;
  readonly tool: string;
  readonly arguments: JsonObject;
  readonly reason: string | undefined;
  readonly parameters: Json | undefined;
  readonly question: Question | undefined;
  readonly askedBy: JsonObject | undefined;
  readonly expiresAt: string | undefined;
}

function newRequest(body: Fields): NewRequest {
  body.require("task_id", "run_key", "session_key", "tool", "idempotency_key");
  const runKey = body.text("run_key");
  checkRunKey(runKey);
  const asker = body.maybeFields("asked_by");
  if (asker !== undefined) {
    checkRunKey(asker.text("run_key"));
    if (!isRole(asker.text("role"))) throw invalid("asked_by.role", "must be letters, digits, _ and -");
  }
  const args = body.object("arguments");
  const isQuestion = body.maybeOne("kind", ["approval", "question"]) === "question";
  const question = isQuestion ? checkQuestion(new Fields(args, "arguments.")) : undefined;
  const parameters = body.any("parameters") ?? undefined;
  if (!isQuestion) {
    for (const name of ["ttl_secs", "expires_at"]) {
      if (body.has(name)) throw invalid(name, "is for questions: an approval waits until it is decided");
    }
    if (parameters !== undefined && !isObject(parameters) && typeof parameters !== "boolean") {
      throw invalid("parameters", "must be a JSON Schema");
    }
  }
  return {
    taskId: body.text("task_id"),
    runKey,
    sessionKey: body.text("session_key"),
    tool: body.text("tool", { most: MAX_TOOL }),
    arguments: args,
    reason: body.maybeText("reason", { most: MAX_WORDS, blank: true }),
    parameters: question === undefined ? parameters : answerSchema(question),
    question,
    askedBy: asker && { run_key: asker.text("run_key"), role: asker.text("role") },
    expiresAt: isQuestion ? expiresAt(body) : undefined,
  };
}

/** Stores a request; of a question, with the agent's message that asks it. */
async function insert(mine: Mine, wanted: NewRequest) {
  await mustHaveTask(mine, wanted.taskId);
  const role = sessionRole(mine.userId, wanted.sessionKey) ?? "";
  await checkWaits(mine, role, wanted.runKey);
  const row = await mine.add("wombat_tool_requests", {
    id: newId(),
    task_id: wanted.taskId,
    run_key: wanted.runKey,
    session_key: wanted.sessionKey,
    kind: wanted.question === undefined ? "approval" : "question",
    status: "pending",
    tool: wanted.tool,
    arguments: toJson(wanted.arguments),
    parameters: wanted.parameters === undefined ? null : toJson(wanted.parameters),
    reason: wanted.reason ?? null,
    asked_by: wanted.askedBy === undefined ? null : toJson(wanted.askedBy),
    expires_at: wanted.expiresAt ?? null,
    created_at: now(),
  });
  tellRequest(mine, row, row.reason);
  if (wanted.question !== undefined) {
    // In the session's name: who asks for another role does not speak as that one.
    const message = { taskId: wanted.taskId, content: wanted.question.question, toolRequestId: row.id };
    await insertMessage(mine, { type: "agent", role }, message);
  }
  return requestOf(row);
}

async function post(call: Call) {
  const who = await call.tenant();
  const scope = call.writeScope(who);
  const body = await call.body();
  const wanted = newRequest(body);
  mustOwnSession(who, wanted.sessionKey);
  const { storage } = call.plane;
  const made = await storage.write(scope, (mine) => createOnce(mine, "tool-requests", body.key(), body.raw, () => insert(mine, wanted)));
  if (!made.replayed) return created(made);
  // A repetition is answered with the current status.
  await expireQuestions(call.plane);
  const id = String((made.body as JsonObject).id);
  return created({ ...made, body: await storage.read(scope, async (mine) => requestOf(await findRequest(mine, id))) });
}

async function list(mine: Mine, { query }: Call, paging: Paging): Promise<Page<object>> {
  const status = query.one("status", REQUEST_STATUSES);
  let rows = mine.from("wombat_tool_requests").selectAll().orderBy("seq").limit(rowsFor(paging));
  if (mine.scope.role !== undefined) rows = rows.where("session_key", "=", sessionOf(mine.userId, mine.scope.role));
  if (status !== undefined) rows = rows.where("status", "=", status);
  for (const name of ["run_key", "task_id"] as const) {
    const value = query.get(name);
    if (value !== undefined) rows = rows.where(name, "=", value);
  }
  if (paging.cursor !== undefined) rows = rows.where("seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, requestOf);
}

/** A person's yes or no, once. A repetition under the same key changes nothing. */
async function decide(mine: Mine, id: string, body: Fields, key: string | undefined): Promise<RequestRow> {
  await checkLease(mine);
  const status = body.one("status", ["approved", "denied"]);
  const row = await findRequest(mine, id);
  const args = body.any("arguments") ?? undefined;
  if (args !== undefined && canonical(args) !== canonical(fromColumn(row.arguments) ?? {})) {
    throw invalid("arguments", "are not those of the request: POST them to its /decision, as edited.arguments");
  }
  if (row.status !== "pending") {
    if (key !== undefined && row.decided_key === key && row.status === status) return row;
    throw alreadyDecided(row.status);
  }
  if (isDue(row)) throw alreadyDecided("expired");
  if (row.kind === "question" && status !== "denied") throw mismatch("answer_mismatch", [NO_ANSWER]);
  return settle(mine, row, { status, note: body.maybeText("note", { most: MAX_WORDS, blank: true }), key });
}

/** The endpoints of tool requests. */
export const toolRequests: Feature = {
  names: ["tool_requests"],
  routes: [
    {
      method: "GET",
      path: "/tool-requests",
      answer: async (call) => {
        const who = await call.tenant();
        const paging = call.query.paging();
        await expireQuestions(call.plane);
        return json(await call.plane.storage.read(call.scope(who), (mine) => list(mine, call, paging)));
      },
    },
    { method: "POST", path: "/tool-requests", answer: post },
    {
      method: "GET",
      path: "/tool-requests/:id",
      answer: async (call) => {
        const who = await call.tenant();
        await expireQuestions(call.plane);
        return json(await call.plane.storage.read(call.scope(who), async (mine) => requestOf(await findRequest(mine, call.id()))));
      },
    },
    {
      method: "PATCH",
      path: "/tool-requests/:id",
      answer: async (call) => {
        const who = await call.person();
        const body = await call.body();
        await expireQuestions(call.plane);
        const decided = await call.plane.storage.write(call.scope(who), (mine) => decide(mine, call.id(), body, call.key));
        return json(requestOf(decided));
      },
    },
  ],
};
