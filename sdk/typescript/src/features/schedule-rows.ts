/** Schedules as they are stored. */

import type { Selectable } from "kysely";

import { stamp } from "../ids.js";
import { fromColumn } from "../json.js";
import { compact } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import { Times } from "./schedule-times.js";

/** A schedule's row. */
export type ScheduleRow = Selectable<Tables["wombat_schedules"]>;

/** A moment as it is answered: without fractions of a second that are none. */
export const momentText = (text: string | null): string | null => text?.replace(/\.000Z$/, "Z") ?? null;

/** A schedule as it is answered. */
export const scheduleOf = (row: ScheduleRow) => ({
  ...compact({
    id: row.id,
    user_id: row.user_id,
    at: momentText(row.at_time),
    local_at: row.local_at,
    cron: row.cron,
    timezone: row.timezone,
    role: row.role,
    content: row.content,
    task_id: row.task_id,
    until: momentText(row.until_at),
    max_runs: row.max_runs,
    catch_up: row.catch_up,
    status: row.status,
    next_at: momentText(row.next_at),
    last_slot: momentText(row.last_slot),
    created_by: fromColumn(row.created_by),
    created_at: row.created_at,
    updated_at: row.updated_at,
  }),
  runs: row.runs,
});

/** When a schedule is due. */
export const timesOf = (row: ScheduleRow): Times =>
  Times.read({
    at: row.local_at ?? row.at_time ?? undefined,
    cron: row.cron ?? undefined,
    timezone: row.timezone ?? undefined,
    until: row.until_at === null ? undefined : Date.parse(row.until_at),
  });

/** The columns that times make. */
export const columnsOf = (times: Times) => ({
  at_time: times.at === undefined ? null : stamp(times.at),
  local_at: times.localAt ?? null,
  cron: times.cron?.text ?? null,
  timezone: times.zone ?? null,
  until_at: times.until === undefined ? null : stamp(times.until),
});
