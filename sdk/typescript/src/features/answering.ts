/** Which question a person's message answers. */

import { invalid } from "../errors.js";
import { sessionRole } from "../fields.js";
import { now } from "../ids.js";
import type { Json } from "../json.js";
import { mentionedRoles } from "../mentions.js";
import type { Plane } from "../plane.js";
import { ownRole, type Scope } from "../scope.js";
import type { Mine } from "../store/mine.js";
import type { Author, NewMessage } from "./messages.js";
import { writtenAnswer } from "./questions.js";
import { alreadyDecided, mismatch } from "./request-words.js";
import { askedOf, expireQuestions, findRequest, isDue, type RequestRow, settle } from "./tool-requests.js";

/** The question that a message was found to answer. */
export interface Answering {
  /** The question's request. */
  readonly id: string;
  readonly answer: Json;
  /** The question, if it waits still; refused where the message names one that does not. */
  stillAsked(mine: Mine): Promise<{ role: string } | undefined>;
}

/** The question that waits on a task, if it is the only one. */
async function onlyQuestion(mine: Mine, taskId: string): Promise<RequestRow | undefined> {
  const waiting = await mine
    .from("wombat_tool_requests")
    .selectAll()
    .where("task_id", "=", taskId)
    .where("status", "=", "pending")
    .where("kind", "=", "question")
    .where("expires_at", ">", now())
    .orderBy("seq")
    .limit(2)
    .execute();
  return waiting.length === 1 ? waiting[0] : undefined;
}

const roleOf = (mine: Mine, row: RequestRow): string => sessionRole(mine.userId, row.session_key) ?? "";

async function named(mine: Mine, id: string, wanted: NewMessage): Promise<Answering> {
  const row = await findRequest(mine, id);
  if (row.task_id !== wanted.taskId) throw invalid("tool_request_id", "is of another task than the message");
  const question = askedOf(row);
  if (question === undefined) {
    throw invalid("tool_request_id", "is a call to approve, not a question: decide it at its /decision");
  }
  let answer: Json = null;
  // Where it waits no longer the write says so, or that this very message was stored before.
  if (row.status === "pending") {
    const given = writtenAnswer(question, roleOf(mine, row), wanted.content);
    if ("errors" in given) throw mismatch("answer_mismatch", given.errors);
    answer = given.answer;
  }
  const stillAsked = async (mine: Mine) => {
    const known = await findRequest(mine, id);
    if (known.status !== "pending") throw alreadyDecided(known.status);
    if (isDue(known)) throw alreadyDecided("expired");
    return { role: roleOf(mine, known) };
  };
  return { id, answer, stillAsked };
}

async function guessed(mine: Mine, wanted: NewMessage): Promise<Answering | undefined> {
  const row = await onlyQuestion(mine, wanted.taskId);
  const question = row && askedOf(row);
  if (row === undefined || question === undefined) return undefined;
  const role = roleOf(mine, row);
  if (mentionedRoles(wanted.content).some((mentioned) => mentioned !== role)) return undefined;
  const given = writtenAnswer(question, role, wanted.content);
  if ("errors" in given) return undefined;
  const stillAsked = async (mine: Mine) => {
    const known = await onlyQuestion(mine, wanted.taskId);
    return known?.id === row.id ? { role } : undefined;
  };
  return { id: row.id, answer: given.answer, stillAsked };
}

/**
 * The question that a message answers: the one that it names, or the only one that waits on its task, unless the
 * message is to another role or does not fit. What names a question and does not fit it is refused.
 */
export async function findAnswer(plane: Plane, scope: Scope, author: Author, wanted: NewMessage): Promise<Answering | undefined> {
  const { toolRequestId } = wanted;
  if (author.type === "agent" || (author.type === "told" && toolRequestId === undefined)) return undefined;
  if (toolRequestId !== undefined) {
    await expireQuestions(plane);
    // Whatever roles it leads, an agent speaks in its own session.
    const role = scope.role ?? ownRole(scope);
    const own = role === undefined ? scope : { ...scope, role };
    return plane.storage.read(own, (mine) => named(mine, toolRequestId, wanted));
  }
  return plane.storage.read(scope, (mine) => guessed(mine, wanted));
}

/** Writes the answer, in the transaction of its message. */
export async function settleAnswer(mine: Mine, { id, answer }: Answering): Promise<void> {
  const row = await mine.from("wombat_tool_requests").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  await settle(mine, row, { status: "answered", answer });
}
