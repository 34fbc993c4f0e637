/** Messages, and the notifications that they make. */

import type { Selectable } from "kysely";

import { type Call, type Tenant } from "../call.js";
import { forbidden, invalid, roleMismatch } from "../errors.js";
import { type Fields, isRole, type Paging, sessionOf } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now } from "../ids.js";
import { fromColumn, type Json, type JsonObject, toJson } from "../json.js";
import { mentionedRoles } from "../mentions.js";
import { ownRole } from "../scope.js";
import type { Feature } from "../routing.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import { type Answering, findAnswer, settleAnswer } from "./answering.js";
import { attach } from "./files.js";
import { notify } from "./notifications.js";
import { mustHaveTask } from "./tasks.js";

/** Who wrote a message. */
export type Author =
  /** An agent: the roles that it names are notified. */
  | { readonly type: "agent"; readonly role: string }
  /** A person: each `@role` of the text is notified, but the one whose question the text answers. */
  | { readonly type: "person"; readonly answers?: string }
  /** A person, as the daemon stores it: nobody is notified, for that call has its agent. */
  | { readonly type: "told" };

/** A new message. */
export interface NewMessage {
  readonly taskId: string;
  readonly content: string;
  readonly actorId?: string | undefined;
  readonly attachments?: string[] | undefined;
  readonly data?: Json | undefined;
  readonly toolRequestId?: string | undefined;
  readonly key?: string | undefined;
  readonly mentions?: string[] | undefined;
  readonly chain?: JsonObject | undefined;
}

const MAX_MENTIONS = 50;
const MAX_CHAIN = 100;
const MAX_RUN_KEY = 200;
const MAX_ATTACHMENTS = 100;

type Row = Selectable<Tables["wombat_messages"]>;

/** A message as it is answered. */
const messageOf = (row: Row) => ({
  ...compact({
    id: row.id,
    task_id: row.task_id,
    content: row.content,
    actor_type: row.actor_type,
    agent_role: row.agent_role,
    actor_id: row.actor_id,
    tool_request_id: row.tool_request_id,
    created_at: row.created_at,
  }),
  attachments: fromColumn<Json[]>(row.attachments) ?? [],
  ...(row.data === null ? {} : { data: fromColumn(row.data) }),
});

/** Writes a message, and the notifications that it makes. */
export async function insertMessage(mine: Mine, author: Author, wanted: NewMessage) {
  await mustHaveTask(mine, wanted.taskId);
  const files = await attach(mine, wanted.attachments ?? []);
  const row = await mine.add("wombat_messages", {
    id: newId(),
    task_id: wanted.taskId,
    content: wanted.content,
    actor_type: author.type === "agent" ? "agent" : "user",
    agent_role: author.type === "agent" ? author.role : null,
    actor_id: wanted.actorId ?? null,
    attachments: files.length === 0 ? null : toJson(files),
    data: wanted.data === undefined ? null : toJson(wanted.data),
    tool_request_id: wanted.toolRequestId ?? null,
    idempotency_key: wanted.key ?? null,
    created_at: now(),
  });
  const made = messageOf(row);
  mine.tell("message.created", "message_id", made);
  for (const role of notified(author, wanted)) {
    await notify(mine, {
      sessionKey: sessionOf(mine.userId, role),
      content: wanted.content,
      taskId: wanted.taskId,
      // A person waits for an answer.
      priority: author.type === "person" ? "high" : "normal",
      ...(author.type === "agent" && wanted.chain !== undefined ? { metadata: { chain: wanted.chain } } : {}),
    });
  }
  return made;
}

function notified(author: Author, { content, mentions }: NewMessage): Set<string> {
  switch (author.type) {
    case "agent":
      return new Set(mentions ?? []);
    case "person":
      return new Set(mentionedRoles(content).filter((role) => role !== author.answers));
    case "told":
      return new Set();
  }
}

function authorOf(who: Tenant, body: Fields): Author {
  const actor = body.maybeOne("actor_type", ["agent", "user"]);
  const role = body.maybeText("agent_role");
  if (who.type === "person") {
    if (actor === "agent") throw forbidden("only an agent token writes as an agent");
    return { type: "person" };
  }
  if (actor === "user" && !who.speaksForUser) throw forbidden("an agent cannot write as the user");
  if (role !== undefined && role !== who.role) throw roleMismatch("agent_role", who.role);
  if (actor !== "user") return { type: "agent", role: who.role };
  const actorId = body.maybeText("actor_id");
  if (actorId !== undefined && actorId !== who.userId) throw forbidden("an agent cannot write as another user than its own");
  if (body.key() === undefined) throw invalid("idempotency_key", "is required: a run stores its message once");
  return { type: "told" };
}

function chainOf(body: Fields): JsonObject | undefined {
  const chain = body.maybeFields("chain");
  if (chain === undefined) return undefined;
  if (Buffer.byteLength(chain.text("root_run_key")) > MAX_RUN_KEY) throw invalid("chain.root_run_key", "must be the key of a run");
  const roles = chain.maybeTexts("roles") ?? [];
  if (roles.length > MAX_CHAIN || !roles.every(isRole)) throw invalid("chain.roles", `must be at most ${MAX_CHAIN} names of roles`);
  return { root_run_key: chain.text("root_run_key"), roles };
}

function newMessage(author: Author, body: Fields): NewMessage {
  for (const name of ["mentions", "chain"]) {
    if (body.has(name) && author.type !== "agent") throw invalid(name, "is for messages of agents; a person writes @role");
  }
  if (body.has("tool_request_id") && author.type === "agent") {
    throw invalid("tool_request_id", "is for what a person says: a question makes its own message");
  }
  const mentions = body.maybeTexts("mentions");
  if (mentions !== undefined && (mentions.length > MAX_MENTIONS || !mentions.every(isRole))) {
    throw invalid("mentions", `must be at most ${MAX_MENTIONS} names of roles`);
  }
  const attachments = body.has("attachments") ? body.objects("attachments").map((one) => one.text("file_id")) : [];
  if (attachments.length > MAX_ATTACHMENTS) throw invalid("attachments", `are more than ${MAX_ATTACHMENTS}`);
  const data = body.any("data");
  return {
    taskId: body.text("task_id"),
    content: body.text("content"),
    actorId: body.maybeText("actor_id", { blank: true }),
    attachments,
    data: data === null ? undefined : data,
    toolRequestId: body.maybeText("tool_request_id"),
    key: body.key(),
    mentions,
    chain: chainOf(body),
  };
}

/** Writes a message, and the answer that it is. Of several answers the first counts. */
async function insertAnswering(mine: Mine, author: Author, wanted: NewMessage, answering: Answering | undefined) {
  const { toolRequestId: _, ...plain } = wanted;
  const asked = answering && (await answering.stillAsked(mine));
  if (answering === undefined || asked === undefined) return insertMessage(mine, author, plain);
  const answers: Author = author.type === "person" ? { type: "person", answers: asked.role } : author;
  const made = await insertMessage(mine, answers, { ...plain, toolRequestId: answering.id });
  await settleAnswer(mine, answering);
  return made;
}

async function post(call: Call) {
  const who = await call.tenant();
  const scope = call.writeScope(who);
  const body = await call.body();
  body.require("task_id", "content");
  const author = authorOf(who, body);
  const wanted = newMessage(author, body);
  const answering = await findAnswer(call.plane, scope, author, wanted);
  return created(
    await call.plane.storage.write(scope, (mine) =>
      createOnce(mine, "messages", wanted.key, body.raw, () => insertAnswering(mine, author, wanted, answering)),
    ),
  );
}

/** The newest messages of a task, the oldest of them first; the cursor leads to older ones. */
async function list(mine: Mine, taskId: string, paging: Paging): Promise<Page<object>> {
  await mustHaveTask(mine, taskId);
  let rows = mine.from("wombat_messages").selectAll().where("task_id", "=", taskId);
  rows = rows.orderBy("seq", "desc").limit(rowsFor(paging));
  if (paging.cursor !== undefined) rows = rows.where("seq", "<", paging.cursor);
  const page = pageOf(await rows.execute(), paging, messageOf);
  return { ...page, items: page.items.reverse() };
}

/** The message that was written under a key. One that another role wrote under it is none of an agent's. */
async function byKey(mine: Mine, key: string): Promise<Page<object>> {
  let rows = mine.from("wombat_messages").selectAll().where("idempotency_key", "=", key).orderBy("seq").limit(1);
  const role = ownRole(mine.scope);
  if (role !== undefined) rows = rows.where(({ or, eb }) => or([eb("agent_role", "is", null), eb("agent_role", "=", role)]));
  return { items: (await rows.execute()).map(messageOf) };
}

/** The endpoint that every backend has. */
export const messages: Feature = {
  names: [],
  routes: [{ method: "POST", path: "/messages", answer: post }],
};

/** Reading them, and what else they carry. */
export const messageLists: Feature = {
  names: ["messages_list", "message_lookup", "message_data", "user_messages", "agent_mentions"],
  routes: [
    {
      method: "GET",
      path: "/messages",
      answer: async (call) => {
        const who = await call.tenant();
        const key = call.query.get("idempotency_key");
        const { storage } = call.plane;
        if (key !== undefined) return json(await storage.read(call.scope(who), (mine) => byKey(mine, key)));
        const paging = call.query.paging();
        const taskId = call.query.text("task_id");
        return json(await storage.read(call.scope(who), (mine) => list(mine, taskId, paging)));
      },
    },
  ],
};
