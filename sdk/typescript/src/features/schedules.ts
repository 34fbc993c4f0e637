/** Schedules: notifications at a time, or again and again. */

import { type Agent, type Call, mustActAs, type Person, type Service } from "../call.js";
import { conflict, invalid, notFound } from "../errors.js";
import { type Fields, isRole, isUserId } from "../fields.js";
import { created, json, nothing } from "../http.js";
import { newId, stamp } from "../ids.js";
import { type JsonObject, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import type { Actor, Scope } from "../scope.js";
import { checkLease } from "../store/fences.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { pageOf, rowsFor } from "../store/pages.js";
import type { Tx } from "../store/tx.js";
import { columnsOf, momentText, type ScheduleRow, scheduleOf, timesOf } from "./schedule-rows.js";
import { CATCH_UPS, Times } from "./schedule-times.js";
import { mustHaveTask } from "./tasks.js";

const STATUSES = ["active", "paused", "ended"] as const;
const MAX_ACTIVE = 100;
const MAX_CONTENT = 4_000;
const MAX_RUNS = 1_000_000_000;
const MAX_LISTED = 100;

type Row = ScheduleRow;
type Caller = Agent | Person | Service;

function creatorOf(actor: Actor): JsonObject {
  if (actor.type === "person") return { type: "person", id: actor.userId };
  return actor.type === "agent" ? { type: "agent", id: actor.role } : { type: "service" };
}

function record(mine: Mine, act: string, row: Row, more: JsonObject = {}): void {
  mine.record({ act, object: { type: "schedule", id: row.id }, details: { role: row.role, status: row.status, ...more } });
}

/** Refuses one more active schedule than a user may have. */
async function checkRoom(mine: Mine): Promise<void> {
  const active = mine.from("wombat_schedules").select(({ fn }) => fn.countAll<number>().as("count")).where("status", "=", "active");
  const { count } = await active.executeTakeFirstOrThrow();
  if (Number(count) >= MAX_ACTIVE) throw conflict("schedule_limit", `${MAX_ACTIVE} schedules are active already`, { most: MAX_ACTIVE });
}

async function insert(mine: Mine, body: Fields): Promise<object> {
  const at = Date.now();
  const times = Times.read({ at: body.maybeText("at"), cron: body.maybeText("cron"), timezone: body.maybeText("timezone"), until: body.maybeTime("until") });
  const first = times.checkNew(at);
  const maxRuns = body.maybeWhole("max_runs", 1, MAX_RUNS);
  if (mine.scope.actor.type === "agent") times.checkOften(at, maxRuns);
  const taskId = body.maybeText("task_id");
  if (taskId !== undefined) await mustHaveTask(mine, taskId);
  const isPaused = body.maybeBool("paused") ?? false;
  if (!isPaused) await checkRoom(mine);
  const row = await mine.add("wombat_schedules", {
    id: newId(),
    role: body.text("role"),
    content: body.text("content", { most: MAX_CONTENT }),
    task_id: taskId ?? null,
    ...columnsOf(times),
    max_runs: maxRuns ?? null,
    catch_up: body.maybeOne("catch_up", CATCH_UPS) ?? "last",
    status: isPaused ? "paused" : "active",
    next_at: isPaused ? null : stamp(first),
    handled_to: stamp(at),
    last_slot: null,
    runs: 0,
    created_by: toJson(creatorOf(mine.scope.actor)),
    created_at: stamp(at),
    updated_at: stamp(at),
  });
  record(mine, "schedule.created", row);
  return scheduleOf(row);
}

async function find(mine: Mine, id: string): Promise<Row> {
  let rows = mine.from("wombat_schedules").selectAll().where("id", "=", id);
  if (mine.scope.role !== undefined) rows = rows.where("role", "=", mine.scope.role);
  const row = await rows.executeTakeFirst();
  if (row === undefined) throw notFound("schedule");
  return row;
}

/** The times that a change leads to; `null` takes a field away. */
function changedTimes(row: Row, body: Fields): Times {
  const given = (name: string, old: string | null) => (body.names(name) ? body.maybeText(name) : (old ?? undefined));
  const until = body.names("until") ? body.maybeTime("until") : row.until_at === null ? undefined : Date.parse(row.until_at);
  const timezone = given("timezone", row.timezone);
  const isOther = body.has("at") || body.has("cron");
  const at = isOther ? body.maybeText("at") : (row.local_at ?? row.at_time ?? undefined);
  const cron = isOther ? body.maybeText("cron") : (row.cron ?? undefined);
  return Times.read({ at, cron, timezone, until });
}

/**
 * The schedule as a change makes it. A slot that is due and not yet made stays, unless its times were changed, or it
 * was paused: then the next one is after the change.
 */
function changed(row: Row, body: Fields, isAgents: boolean) {
  const at = Date.now();
  const times = changedTimes(row, body);
  const columns = columnsOf(times);
  const hasOtherTimes = Object.entries(columns).some(([name, value]) => row[name as keyof typeof columns] !== value);
  if (hasOtherTimes && (body.has("at") || body.has("timezone")) && times.at !== undefined && times.at <= at) {
    throw invalid("at", "is over: name a time to come");
  }
  const maxRuns = body.names("max_runs") ? (body.maybeWhole("max_runs", 1, MAX_RUNS) ?? null) : row.max_runs;
  const left = maxRuns === null ? undefined : Math.max(0, maxRuns - row.runs);
  if (isAgents && (hasOtherTimes || maxRuns !== row.max_runs)) times.checkOften(at, left);
  const wasPaused = row.status === "paused";
  const isPaused = body.maybeBool("paused") ?? wasPaused;
  const isDropped = hasOtherTimes || isPaused !== wasPaused || row.status === "ended";
  const isDone = times.at !== undefined && row.runs > 0 && !hasOtherTimes;
  const old = row.next_at === null ? undefined : Date.parse(row.next_at);
  const next = left === 0 || isDone ? undefined : isDropped ? times.nextAfter(at) : old;
  // Nothing comes of what is over, paused or not.
  const hasEnded = next === undefined && (!isPaused || isDropped || left === 0);
  const status = hasEnded ? "ended" : isPaused ? "paused" : "active";
  return {
    ...columns,
    role: body.maybeText("role") ?? row.role,
    content: body.maybeText("content", { most: MAX_CONTENT }) ?? row.content,
    task_id: body.names("task_id") ? (body.maybeText("task_id") ?? null) : row.task_id,
    max_runs: maxRuns,
    catch_up: body.maybeOne("catch_up", CATCH_UPS) ?? row.catch_up,
    status,
    next_at: status === "active" && next !== undefined ? stamp(next) : null,
    handled_to: isDropped ? stamp(at) : row.handled_to,
    updated_at: stamp(at),
  };
}

async function update(mine: Mine, id: string, body: Fields): Promise<object> {
  await checkLease(mine);
  const row = await find(mine, id);
  const change = changed(row, body, mine.scope.actor.type === "agent");
  if (body.has("task_id") && change.task_id !== null) await mustHaveTask(mine, change.task_id);
  if (change.status === "active" && row.status !== "active") await checkRoom(mine);
  await mine.update("wombat_schedules").set(change).where("seq", "=", row.seq).execute();
  record(mine, "schedule.updated", { ...row, ...change });
  return scheduleOf({ ...row, ...change });
}

/** Deletes a schedule, and takes back what it has made and nobody has leased. */
async function remove(mine: Mine, id: string): Promise<void> {
  await checkLease(mine);
  const row = await find(mine, id);
  const slots = await mine.from("wombat_schedule_slots").select("notification_id").where("schedule_id", "=", id).execute();
  let withdrawn = 0;
  for (const { notification_id } of slots) {
    const gone = mine.remove("wombat_notifications").where("id", "=", notification_id).where("delivered_at", "is", null);
    const done = await gone.where("dead_at", "is", null).where("leased_until", "is", null).executeTakeFirst();
    withdrawn += Number(done.numDeletedRows);
  }
  await mine.remove("wombat_schedule_slots").where("schedule_id", "=", id).execute();
  await mine.remove("wombat_schedules").where("seq", "=", row.seq).execute();
  record(mine, "schedule.deleted", row, { withdrawn });
}

function checkRole(who: Caller, role: string | undefined): void {
  if (role === undefined) return;
  if (!isRole(role)) throw invalid("role", "must be letters, digits, _ and -");
  if (who.type !== "service") mustActAs(who, "role", role);
}

/** The user whom a caller means: its own, or the one that a service names. */
function userOf(who: Caller, named: string | undefined): string | undefined {
  if (who.type !== "service") {
    if (named !== undefined && named !== who.userId) throw notFound("user");
    return who.userId;
  }
  if (named !== undefined && !isUserId(named)) throw invalid("user_id", "is not a user id");
  return named;
}

/** The scope of a call about one schedule. */
async function scopeOf(call: Call, who: Caller): Promise<Scope> {
  if (who.type !== "service") return call.writeScope(who);
  const rows = call.plane.storage.look(({ q }) => q.selectFrom("wombat_schedules").select("user_id").where("id", "=", call.id()).executeTakeFirst());
  const row = await rows;
  if (row === undefined) throw notFound("schedule");
  return call.serviceScope(row.user_id);
}

async function list(tx: Tx, call: Call, who: Caller) {
  const { query } = call;
  const paging = query.paging();
  const role = query.get("role");
  checkRole(who, role);
  const userId = userOf(who, query.get("user_id"));
  const own = who.type === "agent" && !who.isLead ? who.role : undefined;
  const status = query.one("status", STATUSES);
  let rows = tx.q.selectFrom("wombat_schedules").selectAll().orderBy("seq").limit(rowsFor(paging));
  if (userId !== undefined) rows = rows.where("user_id", "=", userId);
  for (const one of [own, role]) if (one !== undefined) rows = rows.where("role", "=", one);
  if (status !== undefined) rows = rows.where("status", "=", status);
  if (paging.cursor !== undefined) rows = rows.where("seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, scheduleOf);
}

/** One, with some of its slots where a number of them is asked for. */
function shown(row: Row, { query }: Call): object {
  const from = query.time("from") ?? Date.now();
  const text = query.get("slots");
  if (text === undefined) return scheduleOf(row);
  if (!/^\d{1,3}$/.test(text) || Number(text) > MAX_LISTED) throw invalid("slots", `must be a whole number, ${MAX_LISTED} at most`);
  const slots: (string | null)[] = [];
  if (row.status !== "ended") {
    for (const slot of timesOf(row).slots(from)) {
      if (slots.length >= Number(text)) break;
      slots.push(momentText(stamp(slot)));
    }
  }
  return { ...scheduleOf(row), slots };
}

/** The endpoints of schedules. */
export const schedules: Feature = {
  names: ["schedules"],
  routes: [
    {
      method: "GET",
      path: "/schedules",
      answer: async (call) => {
        const who = await call.anyone();
        return json(await call.plane.storage.look((tx) => list(tx, call, who)));
      },
    },
    {
      method: "POST",
      path: "/schedules",
      answer: async (call) => {
        const who = await call.anyone();
        const body = await call.body();
        body.require("role", "content");
        checkRole(who, body.text("role"));
        const userId = userOf(who, body.maybeText("user_id"));
        if (userId === undefined) throw invalid("user_id", "is required from a service");
        if (who.type === "service") await call.plane.known(userId, undefined);
        const scope = who.type === "service" ? call.serviceScope(userId) : call.writeScope(who);
        const key = body.key();
        return created(
          await call.plane.storage.write(scope, (mine) => createOnce(mine, "schedules", key, body.raw, () => insert(mine, body))),
        );
      },
    },
    {
      method: "GET",
      path: "/schedules/:id",
      answer: async (call) => {
        const who = await call.anyone();
        const scope = await scopeOf(call, who);
        return json(await call.plane.storage.read(scope, async (mine) => shown(await find(mine, call.id()), call)));
      },
    },
    {
      method: "PATCH",
      path: "/schedules/:id",
      answer: async (call) => {
        const who = await call.anyone();
        const body = await call.body();
        checkRole(who, body.maybeText("role"));
        const scope = await scopeOf(call, who);
        return json(await call.plane.storage.write(scope, (mine) => update(mine, call.id(), body)));
      },
    },
    {
      method: "DELETE",
      path: "/schedules/:id",
      answer: async (call) => {
        const who = await call.anyone();
        const scope = await scopeOf(call, who);
        await call.plane.storage.write(scope, (mine) => remove(mine, call.id()));
        return nothing();
      },
    },
  ],
};
