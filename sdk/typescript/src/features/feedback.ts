/** What people think of runs. */

import type { Call, Person, Service } from "../call.js";
import { conflict, invalid, notFound } from "../errors.js";
import { type Fields, isRole, isUserId, type Paging } from "../fields.js";
import { created, json } from "../http.js";
import { now } from "../ids.js";
import { fromColumn, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Tx } from "../store/tx.js";
import type { Selectable } from "kysely";
import { authorOf } from "./memories.js";
import { checkRunKey, type RunRow } from "./run-rows.js";

const MAX_LABELS = 10;
const MAX_LABEL = 100;
const MAX_COMMENT = 2_000;

type Row = Selectable<Tables["wombat_feedback"]>;

const feedbackOf = (row: Row, run: Pick<RunRow, "run_key" | "role">) => ({
  ...compact({
    run_key: run.run_key,
    user_id: row.user_id,
    role: run.role,
    message_id: row.message_id,
    rating: row.rating,
    comment: row.comment,
    created_at: row.created_at,
    updated_at: row.updated_at,
  }),
  labels: fromColumn<string[]>(row.labels) ?? [],
  author: { type: row.author_type, id: row.author_id },
});

interface Of {
  readonly userId: string | undefined;
  readonly runKey: string | undefined;
  readonly role: string | undefined;
  readonly messageId: string | undefined;
}

/** The run that is meant. */
async function runOf({ q }: Tx, { userId, runKey, role, messageId }: Of): Promise<RunRow> {
  let rows = q.selectFrom("wombat_runs").selectAll().orderBy("seq", "desc").limit(20);
  if (userId !== undefined) rows = rows.where("user_id", "=", userId);
  if (runKey !== undefined) rows = rows.where("run_key", "=", runKey);
  if (role !== undefined) rows = rows.where("role", "=", role);
  if (messageId !== undefined) rows = rows.where("message_id", "=", messageId);
  const found = await rows.execute();
  const [first] = found;
  if (first === undefined) throw notFound(runKey === undefined ? "message of a run" : "run");
  if (found.length === 1) return first;
  throw conflict("run_ambiguous", "several runs are meant: name the user and the role", { roles: found.map((run) => run.role) });
}

function userOf(who: Person | Service, named: string | undefined): string | undefined {
  if (named !== undefined && !isUserId(named)) throw invalid("user_id", "is not a user id");
  if (who.type === "service") return named;
  if (named !== undefined && named !== who.userId) throw notFound("user");
  return who.userId;
}

interface Given {
  readonly rating: string | undefined;
  readonly labels: string[];
  readonly comment: string | undefined;
}

function givenIn(body: Fields): Given {
  const rating = body.maybeOne("rating", ["up", "down"]);
  const labels = body.maybeTexts("labels");
  const comment = body.maybeText("comment", { most: MAX_COMMENT, blank: true });
  if (rating === undefined && labels === undefined && comment === undefined) {
    throw invalid("rating", "is required, or labels, or a comment");
  }
  const all = (labels ?? []).map((label) => label.trim());
  if (all.length > MAX_LABELS) throw invalid("labels", `are more than ${MAX_LABELS}`);
  if (all.some((label) => label === "" || [...label].length > MAX_LABEL)) {
    throw invalid("labels", `must be filled texts of at most ${MAX_LABEL} characters`);
  }
  return { rating, labels: [...new Set(all)].sort(), comment };
}

/** Keeps what somebody thinks of a run, in place of what they thought before. */
async function put(mine: Mine, run: RunRow, messageId: string | undefined, { rating, labels, comment }: Given) {
  const author = authorOf(mine.scope.actor);
  const all = mine.from("wombat_feedback").selectAll().where("run_seq", "=", run.seq);
  const known = await all.where("author_type", "=", author.type).where("author_id", "=", author.id).executeTakeFirst();
  const at = now();
  const said = { message_id: messageId ?? run.message_id, rating: rating ?? null, labels: toJson(labels), comment: comment ?? null, updated_at: at };
  let row: Row;
  if (known === undefined) {
    row = await mine.add("wombat_feedback", { run_seq: run.seq, author_type: author.type, author_id: author.id, created_at: at, ...said });
  } else {
    await mine.update("wombat_feedback").set(said).where("seq", "=", known.seq).execute();
    row = { ...known, ...said };
  }
  await count(mine, run.seq);
  mine.record({ act: "feedback.set", object: { type: "run", id: run.run_key }, details: { rating: row.rating, role: run.role } });
  return feedbackOf(row, run);
}

/** Counts the ratings and the labels of a run anew. */
async function count(mine: Mine, runSeq: number): Promise<void> {
  const rows = await mine.from("wombat_feedback").selectAll().where("run_seq", "=", runSeq).execute();
  const rated = (wanted: string) => rows.filter(({ rating }) => rating === wanted).length;
  const labels = [...new Set(rows.flatMap((row) => fromColumn<string[]>(row.labels) ?? []))].sort();
  const counted = { up_count: rated("up"), down_count: rated("down"), labels: toJson(labels) };
  await mine.update("wombat_runs").set(counted).where("seq", "=", runSeq).execute();
}

async function give(call: Call) {
  const who = await call.serviceOrPerson();
  const body = await call.body();
  const given = givenIn(body);
  const [runKey, messageId, role] = [body.maybeText("run_key"), body.maybeText("message_id"), body.maybeText("role")];
  if (runKey === undefined && messageId === undefined) throw invalid("run_key", "is required, or message_id");
  if (runKey !== undefined) checkRunKey(runKey);
  if (role !== undefined && !isRole(role)) throw invalid("role", "must be letters, digits, _ and -");
  const of = { userId: userOf(who, body.maybeText("user_id")), runKey, role, messageId };
  const { storage } = call.plane;
  const run = await storage.look((tx) => runOf(tx, of));
  const scope = who.type === "person" ? call.scope(who) : call.serviceScope(run.user_id);
  const key = body.key();
  return created(
    await storage.write(scope, (mine) => createOnce(mine, "feedback", key, body.raw, () => put(mine, run, messageId, given))),
  );
}

async function said(tx: Tx, run: RunRow, paging: Paging) {
  let rows = tx.q.selectFrom("wombat_feedback").selectAll().where("run_seq", "=", run.seq).orderBy("seq").limit(rowsFor(paging));
  if (paging.cursor !== undefined) rows = rows.where("seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, (row) => feedbackOf(row, run));
}

/** The endpoints of feedback. */
export const feedback: Feature = {
  names: ["feedback"],
  routes: [
    { method: "POST", path: "/feedback", answer: give },
    {
      method: "GET",
      path: "/feedback",
      answer: async (call) => {
        const who = await call.serviceOrPerson();
        const paging = call.query.paging();
        const of = { userId: userOf(who, call.query.get("user_id")), runKey: call.query.text("run_key"), role: call.query.get("role"), messageId: undefined };
        return json(await call.plane.storage.look(async (tx) => said(tx, await runOf(tx, of), paging)));
      },
    },
  ],
};
