/** Lists of runs, and what they come to together. */

import { type Selectable, sql } from "kysely";

import { type Agent, type Call, mustActAs, type Person, type Service } from "../call.js";
import { invalid, notFound } from "../errors.js";
import { isRole, type Paging } from "../fields.js";
import { json } from "../http.js";
import { stamp } from "../ids.js";
import { fromColumn } from "../json.js";
import type { Feature } from "../routing.js";
import { compact, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Tx } from "../store/tx.js";
import { wordsOf } from "../words.js";
import { checkRunKey, RUN_STATUSES } from "./run-rows.js";

const MAX_QUERY = 500;
const MAX_LABEL = 100;
const SHOWN = 200;
const MOST_TOTALS = 500;
const OVER = ["completed", "failed", "cancelled", "interrupted"];

type Row = Selectable<Tables["wombat_runs"]>;
type Caller = Agent | Person | Service;

/** Whose runs a caller asks about: its own, or those of the user that a service names. */
export function userOf(call: Call, who: Caller): string | undefined {
  const named = call.query.get("user_id");
  if (who.type === "service") return named;
  if (named !== undefined && named !== who.userId) throw notFound("user");
  return who.userId;
}

function roleOf(call: Call, who: Caller): string | undefined {
  const named = call.query.get("role");
  if (named !== undefined && !isRole(named)) throw invalid("role", "must be letters, digits, _ and -");
  if (who.type !== "agent") return named;
  if (named !== undefined) mustActAs(who, "role", named);
  return named ?? (who.isLead ? undefined : who.role);
}

const beginning = (text: string | null): string | null => (text === null ? null : [...text].slice(0, SHOWN).join(""));

const listedOf = (row: Row) => {
  const isOver = OVER.includes(row.status);
  return {
    ...compact({
      run_key: row.run_key,
      status: row.status,
      user_id: row.user_id,
      role: row.role,
      task_id: row.task_id,
      model: row.model,
      provider: row.provider,
      workspace: row.workspace,
      workspace_digest: row.workspace_digest,
      profile_digest: row.profile_digest,
      started_at: row.created_at,
      ended_at: isOver ? (row.ended_at ?? row.updated_at) : null,
      usage: fromColumn(row.used),
      cost_usd: row.cost_usd,
      error_code: row.status === "failed" ? row.error_code : null,
      asked: beginning(row.asked),
      reply: beginning(row.reply),
    }),
    step_count: row.step_count,
    ratings: { up: row.up_count, down: row.down_count },
    labels: fromColumn<string[]>(row.labels) ?? [],
  };
};

/** The runs that a query asks for, of those that its caller may see. */
function found(tx: Tx, call: Call, who: Caller) {
  const { query } = call;
  let rows = tx.q.selectFrom("wombat_runs");
  const exact = {
    user_id: userOf(call, who),
    role: roleOf(call, who),
    status: query.one("status", RUN_STATUSES),
    model: query.get("model"),
    run_key: query.get("run_key"),
  };
  if (exact.run_key !== undefined) checkRunKey(exact.run_key);
  for (const [name, value] of Object.entries(exact)) {
    if (value !== undefined) rows = rows.where(name as keyof typeof exact, "=", value);
  }
  const digest = query.get("digest");
  if (digest !== undefined) rows = rows.where(({ or, eb }) => or([eb("workspace_digest", "=", digest), eb("profile_digest", "=", digest)]));
  const rating = query.one("rating", ["up", "down", "none"]);
  if (rating === "up") rows = rows.where("up_count", ">", 0);
  if (rating === "down") rows = rows.where("down_count", ">", 0);
  if (rating === "none") rows = rows.where("up_count", "=", 0).where("down_count", "=", 0);
  const [from, to] = [query.time("from"), query.time("to")];
  if (from !== undefined) rows = rows.where("created_at", ">=", stamp(from));
  if (to !== undefined) rows = rows.where("created_at", "<", stamp(to));
  const [label, q] = [query.get("label"), query.get("q")?.trim() ?? ""];
  if (label !== undefined && [...label].length > MAX_LABEL) throw invalid("label", `must have at most ${MAX_LABEL} characters`);
  if ([...q].length > MAX_QUERY) throw invalid("q", `must have at most ${MAX_QUERY} characters`);
  const holds = (column: "labels" | "words", text: string) =>
    tx.postgres ? sql<boolean>`position(${text} in ${sql.ref(column)}) > 0` : sql<boolean>`instr(${sql.ref(column)}, ${text}) > 0`;
  // Labels are kept as a JSON list of texts: with its quotes one is found as a whole.
  if (label !== undefined) rows = rows.where(holds("labels", JSON.stringify(label)));
  if (q !== "") {
    const words = wordsOf(q);
    rows = words.length === 0 ? rows.where(sql<boolean>`1 = 0`) : words.reduce((some, word) => some.where(holds("words", ` ${word} `)), rows);
  }
  return rows;
}

async function list(tx: Tx, call: Call, who: Caller, paging: Paging) {
  let rows = found(tx, call, who).selectAll().orderBy("seq", "desc").limit(rowsFor(paging));
  if (paging.cursor !== undefined) rows = rows.where("seq", "<", paging.cursor);
  return pageOf(await rows.execute(), paging, listedOf);
}

const COLUMNS = { model: "model", role: "role", workspace: "workspace", digest: "workspace_digest" } as const;

async function totals(tx: Tx, call: Call, who: Caller) {
  const by = call.query.one("by", ["model", "role", "workspace", "digest"]);
  if (by === undefined) throw invalid("by", "must be model, role, workspace or digest");
  const rows = await found(tx, call, who)
    .select([COLUMNS[by], "status", "up_count", "down_count", "cost_usd", "duration_ms"])
    .execute();
  const groups = new Map<string | null, typeof rows>();
  for (const row of rows) {
    const key = (row as { [name: string]: unknown })[COLUMNS[by]] as string | null;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const items = [...groups].map(([key, runs]) => {
    const took = runs.flatMap(({ duration_ms }) => (duration_ms === null ? [] : [duration_ms])).sort((one, other) => one - other);
    const sum = (of: (run: (typeof runs)[number]) => number) => runs.reduce((all, run) => all + of(run), 0);
    return {
      key,
      [by]: key,
      runs: runs.length,
      failed: sum(({ status }) => Number(status === "failed")),
      up: sum(({ up_count }) => up_count),
      down: sum(({ down_count }) => down_count),
      cost_usd: sum(({ cost_usd }) => cost_usd ?? 0),
      // Of 100 runs that ended, 95 took at most this long (nearest rank).
      ...(took.length === 0 ? {} : { p95_ms: took[Math.ceil(took.length * 0.95) - 1] }),
    };
  });
  items.sort((one, other) => other.runs - one.runs || String(one.key).localeCompare(String(other.key)));
  return { by, items: items.slice(0, MOST_TOTALS) };
}

/** The endpoints of lists of runs. */
export const runLists: Feature = {
  names: ["runs_list"],
  routes: [
    {
      method: "GET",
      path: "/runs",
      answer: async (call) => {
        const who = await call.anyone();
        const paging = call.query.paging();
        return json(await call.plane.storage.look((tx) => list(tx, call, who, paging)));
      },
    },
    {
      method: "GET",
      path: "/runs/summary",
      answer: async (call) => {
        const who = await call.anyone();
        return json(await call.plane.storage.look((tx) => totals(tx, call, who)));
      },
    },
  ],
};
