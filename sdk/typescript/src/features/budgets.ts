/** Budgets: limits, reservations before a model call, usage after it. */

import { mustActAs } from "../call.js";
import { ContractError, forbidden, invalid, notFound } from "../errors.js";
import { type Fields, isRole, isUserId } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now, stamp } from "../ids.js";
import { ownRole } from "../scope.js";
import type { Plane } from "../plane.js";
import type { Feature } from "../routing.js";
import { append } from "../store/audit-log.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact } from "../store/pages.js";
import { book, figuresOf, limitsOf, NANOS, ownLimit, type Payer, type Period, payerOf, PERIODS, refusalOf, scopedOf } from "./budget-figures.js";

/** How long an unsettled reservation counts: longer than any model call takes. */
const RESERVED_MS = 15 * 60_000;
const MAX_LIMIT = 1_000_000_000;
const MAX_CALL = 1_000_000;

const nanosOf = (body: Fields, name: string, most: number): number => Math.round(body.number(name, 0, most) * NANOS);

async function budgetOf(mine: Mine, plane: Plane) {
  const role = ownRole(mine.scope);
  const isPerson = mine.scope.actor.type === "person";
  const limits = await limitsOf(mine, isPerson ? "any" : await payerOf(mine, role), plane);
  const { limit, spent, reserved, period, end } = ownLimit(limits);
  const usd = (nanos: number) => nanos / NANOS;
  return {
    limit_usd: limit === undefined ? null : usd(limit),
    spent_usd: usd(spent),
    reserved_usd: usd(reserved),
    remaining_usd: limit === undefined ? null : usd(Math.max(0, limit - spent - reserved)),
    period,
    period_end: end,
    budgets: limits.flatMap((one) => (one.limit === undefined ? [] : [scopedOf(one)])),
  };
}

interface Put {
  readonly userId: string;
  readonly tenantId: string;
  readonly role: string;
  readonly limit: number;
  readonly period: Period;
  readonly warnAt: number | undefined;
}

function newBudget(body: Fields): Put {
  const userId = body.maybeText("user_id");
  const tenantId = body.maybeText("tenant_id", { most: 128 });
  const role = body.maybeText("role");
  if (userId === undefined && tenantId === undefined && role === undefined) {
    throw invalid("user_id", "is required, or tenant_id, or role");
  }
  if (userId !== undefined && !isUserId(userId)) throw invalid("user_id", "is not a user id");
  if (role !== undefined && !isRole(role)) throw invalid("role", "is not a role");
  return {
    userId: userId ?? "",
    tenantId: tenantId ?? "",
    role: role ?? "",
    limit: nanosOf(body, "limit_usd", MAX_LIMIT),
    period: body.one("period", PERIODS),
    warnAt: body.maybeNumber("warn_at", 0, 1),
  };
}

async function reserve(mine: Mine, plane: Plane, runId: string, amount: number) {
  const payer = await payerOf(mine, ownRole(mine.scope));
  const limits = await limitsOf(mine, payer, plane);
  const full = refusalOf(limits, amount);
  if (full !== undefined) {
    const details = { ...(await budgetOf(mine, plane)), budget: scopedOf(full) };
    throw new ContractError(402, "budget_exceeded", "the call does not fit the budget", details);
  }
  const row = { id: newId(), expires_at: stamp(Date.now() + RESERVED_MS) };
  const { tenantId, role } = payer;
  const of = { role: role ?? null, tenant_id: tenantId ?? null, run_id: runId, amount_nano: amount, settled_at: null };
  await mine.add("wombat_reservations", { ...row, ...of, created_at: now() });
  return { reservation_id: row.id, expires_at: row.expires_at };
}

interface Used {
  readonly runId: string;
  readonly reservationId: string | undefined;
  readonly role: string;
  readonly model: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cost: number;
  readonly estimated: boolean;
}

function usedOf(body: Fields): Used {
  body.require("run_id", "role", "model", "idempotency_key");
  return {
    runId: body.text("run_id"),
    reservationId: body.maybeText("reservation_id"),
    role: body.text("role"),
    model: body.text("model"),
    promptTokens: body.whole("prompt_tokens"),
    completionTokens: body.whole("completion_tokens"),
    cost: nanosOf(body, "cost_usd", MAX_CALL),
    estimated: body.bool("estimated"),
  };
}

/** Settles a reservation, even late; the tenant for which it was made. */
async function settle(mine: Mine, id: string, payer: Payer): Promise<Payer> {
  const row = await mine.from("wombat_reservations").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw notFound("reservation");
  await mine.update("wombat_reservations").set({ settled_at: row.settled_at ?? now() }).where("id", "=", id).execute();
  return row.role === payer.role ? { ...payer, tenantId: row.tenant_id ?? undefined } : payer;
}

async function use(mine: Mine, used: Used, body: Fields) {
  let payer = await payerOf(mine, used.role);
  if (used.reservationId !== undefined) payer = await settle(mine, used.reservationId, payer);
  const id = newId();
  await mine.add("wombat_usage", {
    id,
    run_id: used.runId,
    reservation_id: used.reservationId ?? null,
    role: used.role,
    model: used.model,
    prompt_tokens: used.promptTokens,
    completion_tokens: used.completionTokens,
    cost_nano: used.cost,
    estimated: Number(used.estimated),
    tenant_id: payer.tenantId ?? null,
    created_at: now(),
  });
  await book(mine, payer, used.runId);
  const { idempotency_key: _, ...recorded } = body.raw;
  return { ...recorded, id };
}

/** The endpoints of budgets. */
export const budgets: Feature = {
  names: ["budgets", "budget_scopes"],
  routes: [
    {
      method: "GET",
      path: "/budget",
      answer: async (call) => {
        const who = await call.tenant();
        return json(await call.plane.storage.read(call.scope(who), (mine) => budgetOf(mine, call.plane)));
      },
    },
    {
      method: "PUT",
      path: "/budget",
      answer: async (call) => {
        const who = await call.serviceOrPerson();
        const put = newBudget(await call.body());
        // On behalf of a person a service sets that person's budgets only.
        if (who.type === "person" && put.userId === "") {
          throw forbidden("only a service sets budgets of several users, for nobody in particular");
        }
        if (who.type === "person" && put.userId !== who.userId) throw notFound("user");
        if (put.userId !== "") await call.plane.known(put.userId, undefined);
        const set = await call.plane.storage.everybody(async (tx) => {
          if (put.userId !== "") await tx.lock(`wombat:user:${put.userId}`);
          await tx.lock("wombat:budgets");
          const { userId: user_id, tenantId: tenant_id, role, limit, period, warnAt } = put;
          const row = { tenant_id, user_id, role, limit_nano: limit, period, warn_at: warnAt ?? null, updated_at: now() };
          const into = tx.q.insertInto("wombat_budgets").values(row);
          const { limit_nano, warn_at, updated_at } = row;
          const again = { limit_nano, period, warn_at, updated_at };
          await into.onConflict((on) => on.columns(["tenant_id", "user_id", "role"]).doUpdateSet(again)).execute();
          const details = compact({ limit_usd: limit / NANOS, period, warn_at: warnAt, role: role || null, tenant_id: tenant_id || null });
          const actor = who.type === "person" ? who : ({ type: "service" } as const);
          await append(tx, { act: "budget.set", details: details as never, actor, userId: user_id || undefined, traceId: call.traceId });
          return figuresOf(tx, row);
        });
        return json(scopedOf(set));
      },
    },
    {
      method: "POST",
      path: "/budget/reserve",
      answer: async (call) => {
        const who = await call.tenant();
        const body = await call.body();
        body.require("run_id", "estimate_usd", "idempotency_key");
        const [runId, amount, key] = [body.text("run_id"), nanosOf(body, "estimate_usd", MAX_CALL), body.key()];
        return created(
          await call.plane.storage.write(call.writeScope(who), (mine) =>
            createOnce(mine, "budget/reserve", key, body.raw, () => reserve(mine, call.plane, runId, amount)),
          ),
        );
      },
    },
    {
      method: "POST",
      path: "/usage",
      answer: async (call) => {
        const who = await call.tenant();
        const body = await call.body();
        const used = usedOf(body);
        mustActAs(who, "role", used.role);
        const key = body.key();
        return created(
          await call.plane.storage.write(call.writeScope(who), (mine) =>
            createOnce(mine, "usage", key, body.raw, () => use(mine, used, body)),
          ),
        );
      },
    },
  ],
};
