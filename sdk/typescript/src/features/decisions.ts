/** A person's word about a request: yes or no, other arguments, a rule for further calls, or an answer. */

import type { Agent, Call } from "../call.js";
import { forbidden, invalid } from "../errors.js";
import { type Fields, sessionRole } from "../fields.js";
import { json } from "../http.js";
import { canonical, fromColumn, isRaw, type Json, type JsonObject } from "../json.js";
import { compileSchema } from "../json-schema.js";
import type { Feature } from "../routing.js";
import { checkLease } from "../store/fences.js";
import type { Mine } from "../store/mine.js";
import { isBelow } from "./children.js";
import { givenAnswer } from "./questions.js";
import { findRunOf } from "./run-rows.js";
import { insertRule, type NewRule, ruleWithin } from "./rules.js";
import { alreadyDecided, mismatch, NO_ANSWER } from "./request-words.js";
import {
  askedOf,
  expireQuestions,
  findRequest,
  isDue,
  MAX_WORDS,
  REQUEST_STATUSES,
  type RequestRow,
  requestOf,
  type RequestStatus,
  settle,
} from "./tool-requests.js";

/** A decision that fits what was asked. */
interface Fitting {
  readonly status: RequestStatus;
  readonly edited?: JsonObject | undefined;
  readonly answer?: Json | undefined;
  readonly rule?: NewRule | undefined;
}

/** An agent may answer the questions of its own session, with what its person has said to it, and nothing else. */
function agentMay(agent: Agent, row: RequestRow, body: Fields): void {
  const isOwn = sessionRole(agent.userId, row.session_key) === agent.role;
  if (row.kind !== "question" || !isOwn) {
    throw forbidden("only a person may decide this; an agent may answer the questions of its own session");
  }
  const more = ["status", "note", "edited", "rule"].some((name) => body.has(name));
  if (!body.names("answer") || more) throw forbidden("an agent may give an answer, and nothing beside it");
}

function fitQuestion(row: RequestRow, body: Fields): Fitting {
  for (const name of ["edited", "rule"]) {
    if (body.has(name)) throw invalid(name, "is for a call to approve, and this is a question");
  }
  const status = body.maybeOne("status", REQUEST_STATUSES);
  const answer = body.names("answer") ? body.any("answer") : undefined;
  if ((answer === undefined || answer === null) && status === "denied") return { status: "denied" };
  if (answer === undefined) throw mismatch("answer_mismatch", [NO_ANSWER]);
  if (status !== undefined && status !== "answered") throw invalid("status", "cannot be beside an answer: leave it out");
  const question = askedOf(row);
  if (question === undefined) throw new Error("a question without its arguments");
  const given = givenAnswer(question, answer);
  if ("errors" in given) throw mismatch("answer_mismatch", given.errors);
  return { status: "answered", answer: given.answer };
}

function fitApproval(userId: string, row: RequestRow, body: Fields): Fitting {
  if (body.has("answer")) {
    throw mismatch("answer_mismatch", ["this is a call to approve: send its status, approved or denied"]);
  }
  const status = body.one("status", ["approved", "denied"]);
  const edited = body.maybeFields("edited");
  const rule = body.maybeFields("rule");
  if (status === "denied") {
    for (const name of ["edited", "rule"]) if (body.has(name)) throw invalid(name, "is for a call that is approved");
    return { status };
  }
  const args = edited?.object("arguments");
  if (args !== undefined) fitArguments(row, args);
  const isEdited = args !== undefined && canonical(args) !== canonical(fromColumn(row.arguments) ?? {});
  // A run below the one that waits makes its calls as its own role.
  const asker = fromColumn<JsonObject>(row.asked_by)?.role;
  const role = typeof asker === "string" ? asker : (sessionRole(userId, row.session_key) ?? "");
  return { status, edited: isEdited ? args : undefined, rule: rule && ruleWithin(rule, role, row) };
}

/** Numbers with more digits than are kept everywhere. */
function lost(value: Json): string | undefined {
  if (isRaw(value)) return (value as { rawJSON: string }).rawJSON;
  if (typeof value !== "object" || value === null) return undefined;
  for (const one of Object.values(value)) {
    const found = lost(one as Json);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Checks a person's arguments as the tool's schema has them. */
function fitArguments(row: RequestRow, args: JsonObject): void {
  const wrong = (errors: string[]) => mismatch("arguments_mismatch", errors);
  const number = lost(args);
  if (number !== undefined) {
    throw wrong([`edited.arguments: the number ${number.slice(0, 60)} has more digits than are kept: write fewer, or a text`]);
  }
  const parameters = fromColumn(row.parameters);
  if (parameters === undefined) return;
  let check: ReturnType<typeof compileSchema>;
  try {
    check = compileSchema(parameters);
  } catch (error) {
    const why = `the tool's schema ${(error as Error).message}, so that other arguments cannot be checked: approve the call as it is, or deny it`;
    throw wrong([why]);
  }
  const errors = check(args);
  if (errors.length > 0) throw wrong(errors);
}

/** Refuses a rule for the role that an agent says asks below it, where that role has no such run below it. */
async function checkAsker(mine: Mine, row: RequestRow): Promise<void> {
  const asker = fromColumn<JsonObject>(row.asked_by);
  if (asker === undefined) return;
  const run = await findRunOf(mine, String(asker.role), String(asker.run_key));
  const role = sessionRole(mine.userId, row.session_key) ?? "";
  if (run !== undefined && (await isBelow(mine, run, role, row.run_key))) return;
  throw invalid("rule", "would be for a role that has no such run below this one: decide without a rule");
}

async function decide(mine: Mine, call: Call, body: Fields, agent: Agent | undefined): Promise<RequestRow> {
  await checkLease(mine);
  const row = await findRequest(mine, call.id());
  if (agent !== undefined) agentMay(agent, row, body);
  const note = body.maybeText("note", { most: MAX_WORDS, blank: true });
  const { key } = call;
  const sent = canonical(body.raw);
  if (row.status !== "pending") {
    if (key !== undefined && row.decided_key === key && row.decided_body === sent) return row;
    throw alreadyDecided(row.status);
  }
  if (isDue(row)) throw alreadyDecided("expired");
  const fitting = row.kind === "question" ? fitQuestion(row, body) : fitApproval(mine.userId, row, body);
  let ruleId: string | undefined;
  if (fitting.rule !== undefined) {
    await checkAsker(mine, row);
    ruleId = String((await insertRule(mine, fitting.rule, call.plane)).id);
  }
  const { status, edited, answer } = fitting;
  return settle(mine, row, { status, note, edited, answer, ruleId, key, body: sent });
}

/** The endpoint of decisions. */
export const decisions: Feature = {
  names: ["decisions"],
  routes: [
    {
      method: "POST",
      path: "/tool-requests/:id/decision",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = call.writeScope(who);
        const body = await call.body();
        await expireQuestions(call.plane);
        const agent = who.type === "agent" ? who : undefined;
        return json(requestOf(await call.plane.storage.write(scope, (mine) => decide(mine, call, body, agent))));
      },
    },
  ],
};
