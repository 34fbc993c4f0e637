/** Standing rules: calls that need no approval for a while, because a person has said so. */

import type { Selectable } from "kysely";

import { mustActAs } from "../call.js";
import { readCondition } from "../conditions.js";
import { conflict, forbidden, invalid, keyReused, notFound } from "../errors.js";
import { type Fields, isRole, type Paging, sessionOf } from "../fields.js";
import { created, json, nothing } from "../http.js";
import { newId, now, stamp } from "../ids.js";
import { canonical, fromColumn, type Json, type JsonObject, toJson } from "../json.js";
import type { Plane } from "../plane.js";
import type { Feature } from "../routing.js";
import { checkLease } from "../store/fences.js";
import { type Created, createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import { checkUntil } from "./questions.js";
import { checkRunKey, checkWaits } from "./run-rows.js";
import { decidedBy, hashOf, mismatch } from "./request-words.js";
import type { RequestRow } from "./tool-requests.js";

const MAX_USES = 1_000_000_000;
const MAX_TOOL = 1_000;
const MAX_RULES = 100;

type Row = Selectable<Tables["wombat_rules"]>;

/** A rule whose fields were checked. */
export interface NewRule {
  readonly role: string;
  readonly tool: string;
  readonly when: Json | undefined;
  readonly expiresAt: number;
  readonly maxUses: number | undefined;
  readonly hash: string | undefined;
  readonly requestId?: string;
}

const ruleOf = (row: Row) => ({
  ...compact({
    id: row.id,
    role: row.role,
    tool: row.tool,
    when: fromColumn(row.fits),
    expires_at: row.expires_at,
    max_uses: row.max_uses,
    author: fromColumn(row.author),
    parameters_sha256: row.parameters_sha256,
    tool_request_id: row.tool_request_id,
    created_at: row.created_at,
  }),
  uses: row.uses,
});

function newRule(body: Fields, under = "", role = body.text("role"), tool = body.text("tool", { most: MAX_TOOL })): NewRule {
  const wrong = (field: string, why: string) => invalid(`${under}${field}`, why);
  if (!isRole(role)) throw wrong("role", "must be letters, digits, _ and -");
  const expiresAt = body.maybeTime("expires_at");
  if (expiresAt === undefined) throw wrong("expires_at", "is required");
  checkUntil(`${under}expires_at`, expiresAt);
  const hash = body.maybeText("parameters_sha256");
  if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash)) throw wrong("parameters_sha256", "must be 64 hexadecimal digits in lower case");
  const when = body.any("when") ?? undefined;
  const condition = when === undefined ? undefined : readCondition(when);
  if (typeof condition === "string") throw wrong("when", condition);
  return { role, tool, when, expiresAt, maxUses: body.maybeWhole("max_uses", 1, MAX_USES), hash };
}

/** A rule that is made with the decision about a request, of whose role and tool it is. */
export function ruleWithin(body: Fields, role: string, row: RequestRow): NewRule {
  for (const [name, own] of [["role", role], ["tool", row.tool]] as const) {
    const given = body.maybeText(name);
    if (given !== undefined && given !== own) throw invalid(`rule.${name}`, "is not that of the request: leave it out");
  }
  return { ...newRule(body, "rule.", role, row.tool), requestId: row.id };
}

/** The schema of a tool's arguments, as a role's newest request for it had it. */
async function knownHash(mine: Mine, { role, tool }: NewRule, requestId?: string): Promise<string | undefined> {
  let rows = mine.from("wombat_tool_requests").select(["parameters", "asked_by", "session_key"]).where("tool", "=", tool);
  rows = rows.where("kind", "=", "approval").where("parameters", "is not", null).orderBy("seq", "desc").limit(100);
  if (requestId !== undefined) rows = rows.where("id", "=", requestId);
  // Requests of a run below another one stand under that one's session.
  const isOf = (row: { asked_by: string | null; session_key: string }) => {
    const asker = fromColumn<JsonObject>(row.asked_by);
    return asker === undefined ? row.session_key === sessionOf(mine.userId, role) : asker.role === role;
  };
  const found = (await rows.execute()).find((row) => requestId !== undefined || isOf(row));
  const parameters = fromColumn(found?.parameters);
  return parameters === undefined ? undefined : hashOf(parameters);
}

const inForce = (mine: Mine) =>
  mine
    .from("wombat_rules")
    .where("revoked_at", "is", null)
    .where("expires_at", ">", now())
    .where(({ or, eb, ref }) => or([eb("max_uses", "is", null), eb("uses", "<", ref("max_uses"))]));

/** Writes a rule, if the user has few enough in force. */
export async function insertRule(mine: Mine, rule: NewRule, { options }: Plane) {
  const most = options.rulesPerUser ?? MAX_RULES;
  const { count } = await inForce(mine).select(({ fn }) => fn.countAll<number>().as("count")).executeTakeFirstOrThrow();
  if (Number(count) >= most) throw conflict("too_many_rules", `${most} rules are in force already`, { most });
  // Where the request itself has no schema, the role's newest one may.
  const known = rule.hash ?? (await knownHash(mine, rule, rule.requestId)) ?? (await knownHash(mine, rule));
  const row = await mine.add("wombat_rules", {
    id: newId(),
    role: rule.role,
    tool: rule.tool,
    fits: rule.when === undefined ? null : toJson(rule.when),
    expires_at: stamp(rule.expiresAt),
    max_uses: rule.maxUses ?? null,
    uses: 0,
    author: toJson(decidedBy(mine.scope.actor)),
    parameters_sha256: known ?? null,
    tool_request_id: rule.requestId ?? null,
    created_at: now(),
  });
  const when = rule.when === undefined ? {} : { when_sha256: hashOf(rule.when) };
  record(mine, "approval_rule.created", row, { expires_at: row.expires_at, max_uses: row.max_uses, ...when });
  return ruleOf(row);
}

function record(mine: Mine, act: string, row: Row, more: JsonObject = {}): void {
  const details = { role: row.role, tool: row.tool, ...more };
  mine.record({ act, object: { type: "approval_rule", id: row.id }, details });
}

async function findRule(mine: Mine, id: string): Promise<Row> {
  let rows = mine.from("wombat_rules").selectAll().where("id", "=", id);
  if (mine.scope.role !== undefined) rows = rows.where("role", "=", mine.scope.role);
  const row = await rows.executeTakeFirst();
  if (row === undefined) throw notFound("approval rule");
  return row;
}

async function list(mine: Mine, role: string | undefined, tool: string | undefined, paging: Paging): Promise<Page<object>> {
  let rows = inForce(mine).selectAll().orderBy("seq").limit(rowsFor(paging));
  for (const one of [mine.scope.role, role]) if (one !== undefined) rows = rows.where("role", "=", one);
  if (tool !== undefined) rows = rows.where("tool", "=", tool);
  if (paging.cursor !== undefined) rows = rows.where("seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, ruleOf);
}

async function revoke(mine: Mine, id: string): Promise<void> {
  await checkLease(mine);
  const row = await findRule(mine, id);
  if (row.revoked_at !== null) return;
  await mine.update("wombat_rules").set({ revoked_at: now() }).where("seq", "=", row.seq).execute();
  record(mine, "approval_rule.revoked", row);
}

interface Use {
  readonly runKey: string;
  readonly args: JsonObject;
  readonly hash: string | undefined;
  readonly key: string;
}

/** Why a rule does not hold at this moment. */
function voidReason(row: Row, { hash }: Use): string | undefined {
  if (row.revoked_at !== null) return "revoked";
  if (row.expires_at <= now()) return "expired";
  if (row.max_uses !== null && row.uses >= row.max_uses) return "used_up";
  if (row.parameters_sha256 !== null && hash !== undefined && row.parameters_sha256 !== hash) return "schema";
  return undefined;
}

/** Uses a rule for a call that fits it: this is the moment that counts. */
async function use(mine: Mine, id: string, call: Use): Promise<Created> {
  await checkLease(mine);
  const row = await findRule(mine, id);
  const body = canonical({ run_key: call.runKey, arguments: call.args });
  const uses = mine.from("wombat_rule_uses").selectAll().where("rule_seq", "=", row.seq);
  const known = await uses.where("idempotency_key", "=", call.key).executeTakeFirst();
  if (known !== undefined) {
    const answer = { rule_id: id, uses: known.uses };
    if (known.body !== body) throw keyReused(answer);
    return { body: answer, replayed: true };
  }
  await checkWaits(mine, row.role, call.runKey);
  const reason = voidReason(row, call);
  if (reason !== undefined) throw conflict("rule_void", `the rule does not hold: ${reason}`, { reason });
  const when = fromColumn(row.fits);
  const condition = when === undefined ? undefined : readCondition(when);
  const misfit = typeof condition === "function" ? condition(call.args) : condition;
  if (misfit !== undefined) throw mismatch("arguments_mismatch", [misfit]);
  const counted = row.uses + 1;
  const changed = { uses: counted, parameters_sha256: row.parameters_sha256 ?? call.hash ?? null };
  await mine.update("wombat_rules").set(changed).where("seq", "=", row.seq).execute();
  const { runKey: run_key, key: idempotency_key } = call;
  await mine.add("wombat_rule_uses", { rule_seq: row.seq, idempotency_key, run_key, body, uses: counted, created_at: now() });
  record(mine, "approval_rule.used", row, { run_key, arguments_sha256: hashOf(call.args) });
  return { body: { rule_id: id, uses: counted }, replayed: false };
}

/** The endpoints of standing rules. */
export const rules: Feature = {
  names: ["approval_rules"],
  routes: [
    {
      method: "GET",
      path: "/approval-rules",
      answer: async (call) => {
        const who = await call.tenant();
        const paging = call.query.paging();
        const [role, tool] = [call.query.get("role"), call.query.get("tool")];
        if (role !== undefined) mustActAs(who, "role", role);
        return json(await call.plane.storage.read(call.scope(who), (mine) => list(mine, role, tool, paging)));
      },
    },
    {
      method: "POST",
      path: "/approval-rules",
      answer: async (call) => {
        const who = await call.person();
        const body = await call.body();
        body.require("role", "tool", "expires_at");
        const rule = newRule(body);
        const key = body.key();
        return created(
          await call.plane.storage.write(call.scope(who), (mine) =>
            createOnce(mine, "approval-rules", key, body.raw, () => insertRule(mine, rule, call.plane)),
          ),
        );
      },
    },
    {
      method: "DELETE",
      path: "/approval-rules/:id",
      answer: async (call) => {
        const who = await call.person();
        await call.plane.storage.write(call.scope(who), (mine) => revoke(mine, call.id()));
        return nothing();
      },
    },
    {
      method: "POST",
      path: "/approval-rules/:id/uses",
      answer: async (call) => {
        const who = await call.tenant();
        if (who.type === "person") throw forbidden("a rule is used by the agent that makes the call");
        const body = await call.body();
        body.require("run_key", "arguments", "idempotency_key");
        const runKey = body.text("run_key");
        checkRunKey(runKey);
        const wanted = { runKey, args: body.object("arguments"), hash: body.maybeText("parameters_sha256"), key: body.text("idempotency_key") };
        return created(await call.plane.storage.write(call.writeScope(who), (mine) => use(mine, call.id(), wanted)));
      },
    },
  ],
};
