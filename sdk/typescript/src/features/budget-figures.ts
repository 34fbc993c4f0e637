/** What budgets come to: limits, what is spent and reserved, and who is told when little is left. */

import type { Selectable } from "kysely";

import { now, stamp } from "../ids.js";
import type { Plane } from "../plane.js";
import type { Mine } from "../store/mine.js";
import { compact } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Tx } from "../store/tx.js";
import { tenantOf } from "./profile.js";

/** Amounts are kept in billionths of a US dollar: sums stay exact. */
export const NANOS = 1_000_000_000;

export const PERIODS = ["day", "month"] as const;
export type Period = (typeof PERIODS)[number];

/** For whom a call is made. */
export interface Payer {
  readonly userId: string;
  readonly role: string | undefined;
  readonly tenantId: string | undefined;
}

/** The payer of the caller's calls in a role. */
export async function payerOf(mine: Mine, role: string | undefined): Promise<Payer> {
  return { userId: mine.userId, role, tenantId: await tenantOf(mine, role) };
}

type BudgetRow = Selectable<Tables["wombat_budgets"]>;

/** A budget with its current figures; no limit where nobody has set one. */
export interface Figures {
  readonly userId: string;
  readonly tenantId: string;
  readonly role: string;
  readonly limit: number | undefined;
  readonly spent: number;
  readonly reserved: number;
  readonly period: Period;
  readonly end: string;
  readonly warnAt: number | undefined;
}

function boundsOf(period: Period): { start: string; end: string } {
  const at = new Date();
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  if (period === "day") return { start: stamp(Date.UTC(year, month, day)), end: stamp(Date.UTC(year, month, day + 1)) };
  return { start: stamp(Date.UTC(year, month)), end: stamp(Date.UTC(year, month + 1)) };
}

/** Sums over the calls that a budget counts: named parts must be the call's own. */
async function sums(tx: Tx, of: { user_id: string; tenant_id: string; role: string }, since: string) {
  let usage = tx.q.selectFrom("wombat_usage").select(({ fn }) => fn.sum("cost_nano").as("sum")).where("created_at", ">=", since);
  let open = tx.q.selectFrom("wombat_reservations").select(({ fn }) => fn.sum("amount_nano").as("sum"));
  open = open.where("settled_at", "is", null).where("expires_at", ">", now());
  for (const name of ["user_id", "tenant_id", "role"] as const) {
    if (of[name] === "") continue;
    usage = usage.where(name, "=", of[name]);
    open = open.where(name, "=", of[name]);
  }
  const [spent, reserved] = [await usage.executeTakeFirst(), await open.executeTakeFirst()];
  return { spent: Number(spent?.sum ?? 0), reserved: Number(reserved?.sum ?? 0) };
}

/** A budget's figures. */
export async function figuresOf(tx: Tx, row: Omit<BudgetRow, "limit_nano"> & { limit_nano: number | null }): Promise<Figures> {
  const period = row.period as Period;
  const { start, end } = boundsOf(period);
  return {
    userId: row.user_id,
    tenantId: row.tenant_id,
    role: row.role,
    limit: row.limit_nano ?? undefined,
    ...(await sums(tx, row, start)),
    period,
    end,
    warnAt: row.warn_at ?? undefined,
  };
}

/** The budgets that calls of a payer count in; of any of the user's roles, those that any agent's do. */
async function matching(mine: Mine, payer: Payer | "any"): Promise<BudgetRow[]> {
  const tenants = new Set<string>([""]);
  const byRole = new Map<string, string>();
  if (payer === "any") {
    for (const row of await mine.from("wombat_profiles").select(["role", "tenant_id"]).execute()) {
      byRole.set(row.role, row.tenant_id ?? "");
      tenants.add(row.tenant_id ?? "");
    }
  } else tenants.add(payer.tenantId ?? "");
  const rows = await mine.shared(({ q }) =>
    q
      .selectFrom("wombat_budgets")
      .selectAll()
      .where("tenant_id", "in", [...tenants])
      .where("user_id", "in", ["", mine.userId])
      .orderBy("tenant_id")
      .orderBy("user_id")
      .orderBy("role")
      .execute(),
  );
  if (payer !== "any") return rows.filter(({ role }) => role === "" || role === payer.role);
  const tenantOfRole = (role: string) => byRole.get(role) ?? byRole.get("") ?? "";
  return rows.filter(({ tenant_id, role }) => tenant_id === "" || role === "" || tenantOfRole(role) === tenant_id);
}

const isOwn = (mine: Mine, row: { user_id: string; tenant_id: string; role: string }): boolean =>
  row.user_id === mine.userId && row.tenant_id === "" && row.role === "";

/** All limits that a call must fit, the user's own first, which may have no limit. */
export async function limitsOf(mine: Mine, payer: Payer | "any", { options }: Plane): Promise<Figures[]> {
  const rows = await matching(mine, payer);
  // Of what several users share only one reservation is made at a time.
  if (rows.some(({ user_id }) => user_id === "")) await mine.lock("wombat:budgets");
  const fallback = options.defaultBudgetUsd;
  const none = {
    user_id: mine.userId,
    tenant_id: "",
    role: "",
    limit_nano: fallback === undefined ? null : Math.round(fallback * NANOS),
    period: "month",
    warn_at: null,
    updated_at: "",
  };
  const own = rows.find((row) => isOwn(mine, row)) ?? none;
  const others = rows.filter((row) => !isOwn(mine, row));
  return mine.shared(async (tx) => {
    const figures = [];
    for (const row of [own, ...others]) figures.push(await figuresOf(tx, row));
    return figures;
  });
}

/** The user's own. */
export function ownLimit(limits: Figures[]): Figures {
  const [own] = limits;
  if (own === undefined) throw new Error("there is always a user's own");
  return own;
}

const left = ({ limit, spent, reserved }: Figures): number => (limit === undefined ? Number.POSITIVE_INFINITY : limit - spent - reserved);

/** The limit that an amount does not fit: of several the one with the least left. Where nothing is left nothing fits. */
export function refusalOf(limits: Figures[], amount: number): Figures | undefined {
  const full = limits.filter((one) => !(left(one) > 0 && amount <= left(one)));
  return full.sort((one, other) => left(one) - left(other))[0];
}

/** A limit as it is answered. */
export function scopedOf(figures: Figures) {
  const { userId, tenantId, role, limit, spent, reserved, period, end, warnAt } = figures;
  return {
    ...compact({ user_id: userId || null, tenant_id: tenantId || null, role: role || null }),
    limit_usd: limit === undefined ? null : limit / NANOS,
    spent_usd: spent / NANOS,
    reserved_usd: reserved / NANOS,
    remaining_usd: limit === undefined ? null : Math.max(0, left(figures)) / NANOS,
    period,
    period_end: end,
    ...(warnAt === undefined ? {} : { warn_at: warnAt }),
  };
}

/** Tells of each budget of which so much is spent by now that it is to be told: once for its period and limit. */
export async function book(mine: Mine, payer: Payer, runId: string): Promise<void> {
  for (const row of await matching(mine, payer)) {
    if (row.warn_at === null) continue;
    const figures = await mine.shared((tx) => figuresOf(tx, row));
    if (figures.spent < Math.round(row.limit_nano * row.warn_at)) continue;
    const { tenant_id, user_id, role, period, limit_nano } = row;
    const noted = { tenant_id, user_id, role, period, limit_nano, period_end: figures.end };
    const done = await mine.shared(({ q }) =>
      q.insertInto("wombat_budget_warnings").values(noted).onConflict((on) => on.doNothing()).executeTakeFirst(),
    );
    if (Number(done.numInsertedOrUpdatedRows ?? 0) === 0) continue;
    // Other roles need not hear of a role's budget.
    mine.tell("budget.warned", "budget_id", { budget: scopedOf(figures), run_id: runId }, role || undefined);
  }
}
