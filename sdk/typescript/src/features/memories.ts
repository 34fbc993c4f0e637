/** What is remembered from run to run: of a user, of a task, of a tenant. */

import type { Selectable } from "kysely";

import type { Agent, Call, Person, Service } from "../call.js";
import { conflict, forbidden, invalid, notFound } from "../errors.js";
import { type Fields, isUserId, type Paging } from "../fields.js";
import { created, json, nothing } from "../http.js";
import { newId, now, stamp } from "../ids.js";
import { fromColumn, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import type { Actor, Scope } from "../scope.js";
import { checkLease } from "../store/fences.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Tx } from "../store/tx.js";
import type { Job } from "../upkeep.js";
import { sameText, searchedWords, stemOf, wordsOf } from "../words.js";
import { tenantOf } from "./profile.js";
import { mustHaveTask } from "./tasks.js";

const SCOPES = ["user", "task", "tenant"] as const;
const MAX_TEXT = 1_000;
const MAX_QUERY = 500;
const MAX_ID = 200;
const MAX_TENANT = 128;

/** How many memories each has at most. */
const MOST = { user: 500, task: 100, tenant: 500 };

type Row = Selectable<Tables["wombat_memories"]>;
type Caller = Agent | Person | Service;

/** Whose memories a call may touch: of a user and of the user's tenant, or everybody's. */
interface Reach {
  readonly userId: string | undefined;
  readonly tenantId: string | undefined;
}

const memoryOf = (row: Row) => ({
  ...compact({
    id: row.id,
    scope: row.scope,
    user_id: row.user_id || null,
    task_id: row.task_id,
    tenant_id: row.tenant_id,
    text: row.text,
    source: fromColumn(row.source),
    expires_at: row.expires_at,
    created_at: row.created_at,
    updated_at: row.updated_at,
  }),
  author: { type: row.author_type, id: row.author_id },
});

/** Who writes, as it is kept with what is written. */
export function authorOf(actor: Actor): { type: string; id: string } {
  switch (actor.type) {
    case "agent":
      return { type: "agent", id: actor.role };
    case "person":
      return { type: "person", id: actor.userId };
    case "service":
    case "system":
      return { type: "service", id: "internal" };
  }
}

/** Memories that are there, within reach. */
function within({ q }: Tx, { userId, tenantId }: Reach) {
  const rows = q.selectFrom("wombat_memories").where(({ or, eb }) => or([eb("expires_at", "is", null), eb("expires_at", ">", now())]));
  return rows.where(({ or, and, eb }) => {
    if (userId !== undefined && tenantId !== undefined) return or([eb("user_id", "=", userId), eb("tenant_id", "=", tenantId)]);
    return and([
      ...(userId === undefined ? [] : [eb("user_id", "=", userId)]),
      ...(tenantId === undefined ? [] : [eb("tenant_id", "=", tenantId)]),
    ]);
  });
}

/** The scope under which a caller's reads and writes are made; a service's is that of the user whom it names. */
function scopeOf(call: Call, who: Caller, userId = ""): Scope {
  return who.type === "service" ? call.serviceScope(userId) : call.writeScope(who);
}

async function reachOf(call: Call, who: Caller): Promise<Reach> {
  const [userId, tenantId] = [call.query.get("user_id"), call.query.get("tenant_id")];
  if (who.type === "service") return { userId, tenantId };
  if (userId !== undefined && userId !== who.userId) throw notFound("user");
  const role = who.type === "agent" ? who.role : undefined;
  const own = await call.plane.storage.read(call.scope(who), (mine) => tenantOf(mine, role));
  if (tenantId !== undefined && tenantId !== own) throw notFound("tenant");
  return { userId: who.userId, tenantId: own };
}

/** How well a text fits words: what has more of them, or rarer ones, comes first. */
function ranked(rows: Row[], q: string, limit: number): Row[] {
  const wanted = searchedWords(q).slice(0, 100).map((word) => [word, stemOf(word)] as const);
  const texts = rows.map((row) => {
    const words = wordsOf(row.text);
    return { row, words: new Set([...words, ...words.map(stemOf)]) };
  });
  const weights = wanted.map(([word, stem]) => {
    const many = texts.filter(({ words }) => words.has(word) || words.has(stem)).length;
    return { word, stem, weight: Math.log(1 + (texts.length - many + 0.5) / (many + 0.5)) };
  });
  const scored = texts.map(({ row, words }) => {
    const hits = weights.filter(({ word, stem }) => words.has(word) || words.has(stem));
    return { row, hits: hits.length, score: hits.reduce((sum, { weight }) => sum + weight, 0) };
  });
  const found = scored.filter(({ hits }) => hits > 0);
  found.sort((one, other) => other.score - one.score || other.row.seq - one.row.seq);
  return found.slice(0, limit).map(({ row }) => row);
}

async function list(tx: Tx, call: Call, reach: Reach, paging: Paging) {
  const { query } = call;
  const scope = query.one("scope", SCOPES);
  const taskId = query.get("task_id");
  const q = query.get("q")?.trim() || undefined;
  let rows = within(tx, reach).selectAll().orderBy("seq", "desc");
  if (scope !== undefined) rows = rows.where("scope", "=", scope);
  if (taskId !== undefined) rows = rows.where(({ or, eb }) => or([eb("scope", "<>", "task"), eb("task_id", "=", taskId)]));
  if (q !== undefined) return { items: ranked(await rows.limit(20_000).execute(), q, paging.limit).map(memoryOf) };
  if (paging.cursor !== undefined) rows = rows.where("seq", "<", paging.cursor);
  return pageOf(await rows.limit(rowsFor(paging)).execute(), paging, memoryOf);
}

interface NewMemory {
  readonly scope: (typeof SCOPES)[number];
  readonly userId: string;
  readonly taskId: string | undefined;
  readonly tenantId: string | undefined;
  readonly text: string;
  readonly source: object | undefined;
  readonly expiresAt: number | undefined;
}

function expiryOf(body: Fields): number | undefined {
  const until = body.maybeTime("expires_at");
  if (until !== undefined && until <= Date.now()) throw invalid("expires_at", "must be in the future, or absent for never");
  return until;
}

function newMemory(who: Caller, body: Fields): NewMemory {
  const scope = body.one("scope", SCOPES);
  const text = body.text("text", { most: MAX_TEXT });
  const source = body.maybeFields("source");
  const [userId, taskId, tenantId] = [body.maybeText("user_id"), body.maybeText("task_id"), body.maybeText("tenant_id", { most: MAX_TENANT })];
  if (scope === "tenant" && who.type !== "service") throw forbidden("only a service with the internal token alone writes a tenant's memories");
  const unfit = (name: string) => invalid(name, `does not go with the scope ${scope}: leave it out`);
  if (userId !== undefined && scope === "tenant") throw unfit("user_id");
  if (taskId !== undefined && scope !== "task") throw unfit("task_id");
  if (tenantId !== undefined && scope !== "tenant") throw unfit("tenant_id");
  if (scope === "task" && taskId === undefined) throw invalid("task_id", "is required");
  if (scope === "tenant" && tenantId === undefined) throw invalid("tenant_id", "is required");
  if (userId !== undefined && !isUserId(userId)) throw invalid("user_id", "is not a user id");
  if (who.type !== "service" && userId !== undefined && userId !== who.userId) throw notFound("user");
  const own = who.type === "service" ? userId : who.userId;
  if (scope !== "tenant" && own === undefined) {
    throw invalid("user_id", "is required, or X-On-Behalf-Of: a service has no memories of its own");
  }
  const named = compact({ run_key: source?.maybeText("run_key", { most: MAX_ID }), message_id: source?.maybeText("message_id", { most: MAX_ID }) });
  return {
    scope,
    userId: scope === "tenant" ? "" : (own ?? ""),
    taskId,
    tenantId,
    text,
    source: Object.keys(named).length === 0 ? undefined : named,
    expiresAt: expiryOf(body),
  };
}

const ownerOf = ({ scope, userId, taskId, tenantId }: NewMemory): string =>
  [scope, scope === "tenant" ? tenantId : userId, ...(scope === "task" ? [taskId] : [])].join("\n");

/** Remembers something, unless its owner has it already: then that one is answered. */
async function insert(mine: Mine, wanted: NewMemory) {
  if (wanted.taskId !== undefined) await mustHaveTask(mine, wanted.taskId);
  const owner = ownerOf(wanted);
  const folded = sameText(wanted.text);
  if (wanted.scope === "tenant") await mine.lock(`wombat:memories:${owner}`);
  await mine.remove("wombat_memories").where("owner", "=", owner).where("expires_at", "<=", now()).execute();
  const all = mine.from("wombat_memories").where("owner", "=", owner);
  const known = await all.selectAll().where("folded", "=", folded).executeTakeFirst();
  if (known !== undefined) return { ...memoryOf(known), deduplicated: true };
  const { count } = await all.select(({ fn }) => fn.countAll<number>().as("count")).executeTakeFirstOrThrow();
  const { scope } = wanted;
  const most = MOST[scope];
  if (Number(count) >= most) throw conflict("memory_full", `${most} memories of this ${scope} are kept already`, { scope, most });
  const author = authorOf(mine.scope.actor);
  const at = now();
  const row = await mine.add("wombat_memories", {
    id: newId(),
    scope,
    owner,
    task_id: wanted.taskId ?? null,
    tenant_id: wanted.tenantId ?? null,
    text: wanted.text,
    folded,
    source: wanted.source === undefined ? null : toJson(wanted.source),
    expires_at: wanted.expiresAt === undefined ? null : stamp(wanted.expiresAt),
    author_type: author.type,
    author_id: author.id,
    created_at: at,
    updated_at: at,
  });
  tell(mine, "memory.created", row);
  return memoryOf(row);
}

/** Notes an act in the audit log, and tells the user's listeners. What a memory says is in neither. */
function tell(mine: Mine, what: string, { id, scope, task_id, user_id }: Row): void {
  const act = { act: what, object: { type: "memory", id }, details: { scope } };
  if (user_id === "") return mine.recordOfNobody(act);
  mine.record(act);
  mine.tell(what, "memory_id", { id, scope, task_id });
}

/** The user of a memory within reach, under whom it is changed. Others' do not exist. */
async function holderOf(call: Call, who: Caller): Promise<string> {
  const reach = await reachOf(call, who);
  const row = await call.plane.storage.look((tx) => within(tx, reach).select("user_id").where("id", "=", call.id()).executeTakeFirst());
  if (row === undefined) throw notFound("memory");
  if (row.user_id === "" && who.type !== "service") throw forbidden("a tenant's memories are changed by services only");
  return row.user_id;
}

async function changeable(mine: Mine, id: string): Promise<Row> {
  await checkLease(mine);
  const row = await mine.from("wombat_memories").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined || (row.expires_at !== null && row.expires_at <= now())) throw notFound("memory");
  if (mine.scope.actor.type === "agent" && row.author_type !== "agent") throw forbidden("an agent changes only what agents wrote");
  return row;
}

async function update(mine: Mine, id: string, body: Fields) {
  const text = body.maybeText("text", { most: MAX_TEXT });
  const until = expiryOf(body);
  const row = await changeable(mine, id);
  const folded = text === undefined ? row.folded : sameText(text);
  const others = mine.from("wombat_memories").selectAll().where("owner", "=", row.owner).where("folded", "=", folded);
  const other = await others.where("id", "<>", id).executeTakeFirst();
  if (other !== undefined && (other.expires_at === null || other.expires_at > now())) {
    throw conflict("memory_exists", "another memory says the same", { id: other.id });
  }
  if (other !== undefined) await mine.remove("wombat_memories").where("seq", "=", other.seq).execute();
  // What somebody else writes is theirs from then on.
  const author = text === undefined || text === row.text ? { type: row.author_type, id: row.author_id } : authorOf(mine.scope.actor);
  const changed = {
    text: text ?? row.text,
    folded,
    expires_at: body.names("expires_at") ? (until === undefined ? null : stamp(until)) : row.expires_at,
    author_type: author.type,
    author_id: author.id,
    updated_at: now(),
  };
  await mine.update("wombat_memories").set(changed).where("seq", "=", row.seq).execute();
  tell(mine, "memory.updated", row);
  return memoryOf({ ...row, ...changed });
}

/** Deletes what has expired. */
export const oldMemories: Job = {
  everyMs: 600_000,
  work: async ({ storage }) => {
    await storage.everybody(({ q }) => q.deleteFrom("wombat_memories").where("expires_at", "<=", now()).execute());
  },
};

/** The endpoints of memories. */
export const memories: Feature = {
  names: ["memories"],
  routes: [
    {
      method: "GET",
      path: "/memories",
      answer: async (call) => {
        const who = await call.anyone();
        const paging = call.query.paging();
        const q = call.query.get("q") ?? "";
        if ([...q].length > MAX_QUERY) throw invalid("q", `must have at most ${MAX_QUERY} characters`);
        if (q.trim() !== "" && call.query.has("cursor")) throw invalid("cursor", "does not go with q, whose answer is one page");
        const reach = await reachOf(call, who);
        return json(await call.plane.storage.look((tx) => list(tx, call, reach, paging)));
      },
    },
    {
      method: "POST",
      path: "/memories",
      answer: async (call) => {
        const who = await call.anyone();
        const body = await call.body();
        const wanted = newMemory(who, body);
        if (who.type === "service" && wanted.userId !== "") await call.plane.known(wanted.userId, undefined);
        const key = body.key();
        const scope = scopeOf(call, who, wanted.userId);
        return created(
          await call.plane.storage.write(scope, (mine) => createOnce(mine, "memories", key, body.raw, () => insert(mine, wanted))),
        );
      },
    },
    {
      method: "PATCH",
      path: "/memories/:id",
      answer: async (call) => {
        const who = await call.anyone();
        const body = await call.body();
        const scope = scopeOf(call, who, await holderOf(call, who));
        return json(await call.plane.storage.write(scope, (mine) => update(mine, call.id(), body)));
      },
    },
    {
      method: "DELETE",
      path: "/memories/:id",
      answer: async (call) => {
        const who = await call.anyone();
        const scope = scopeOf(call, who, await holderOf(call, who));
        await call.plane.storage.write(scope, async (mine) => {
          const row = await changeable(mine, call.id());
          await mine.remove("wombat_memories").where("seq", "=", row.seq).execute();
          tell(mine, "memory.deleted", row);
        });
        return nothing();
      },
    },
  ],
};
