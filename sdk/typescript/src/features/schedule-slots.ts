/** Slots of schedules: each is made once, in one transaction with what it counts and the slot that comes next. */

import { sessionOf } from "../fields.js";
import { now, stamp } from "../ids.js";
import { canonical, toJson } from "../json.js";
import { systemScope } from "../scope.js";
import type { Mine } from "../store/mine.js";
import type { Job } from "../upkeep.js";
import { notify } from "./notifications.js";
import { columnsOf, momentText, type ScheduleRow, timesOf } from "./schedule-rows.js";
import type { CatchUp, Made } from "./schedule-times.js";

/** Makes the notification of a slot; whether it was not made before. */
async function make(mine: Mine, row: ScheduleRow, { slot, missed }: Made): Promise<boolean> {
  const known = mine.from("wombat_schedule_slots").select("slot").where("schedule_id", "=", row.id).where("slot", "=", stamp(slot));
  if ((await known.executeTakeFirst()) !== undefined) return false;
  const text = momentText(stamp(slot)) ?? "";
  const metadata = { schedule_id: row.id, slot: text, missed };
  const task = row.task_id === null ? undefined : mine.from("wombat_tasks").select("id").where("id", "=", row.task_id);
  // Where its task is gone the agent is told all the same.
  const taskId = (await task?.executeTakeFirst())?.id;
  const made = await notify(mine, { sessionKey: sessionOf(mine.userId, row.role), content: row.content, taskId, metadata });
  await mine.add("wombat_schedule_slots", { schedule_id: row.id, slot: stamp(slot), notification_id: made.id ?? "", created_at: now() });
  const key = { endpoint: "notifications", role: "", idempotency_key: `schedule:${row.id}:${text}` };
  await mine.addNew("wombat_keys", { ...key, body: canonical(metadata), response: toJson(made), created_at: now() });
  return true;
}

/** Makes what is due of a schedule, in one transaction with what it counts and the slot that comes next. */
async function handle(mine: Mine, id: string): Promise<void> {
  const at = Date.now();
  const row = await mine.from("wombat_schedules").selectAll().where("id", "=", id).where("status", "=", "active").executeTakeFirst();
  if (row === undefined || row.next_at === null || row.next_at > stamp(at)) return;
  const times = timesOf(row);
  const first = times.nextUnhandled(Date.parse(row.handled_to)) ?? at;
  const left = row.max_runs === null ? undefined : Math.max(0, row.max_runs - row.runs);
  const due = times.due(first, at, row.catch_up as CatchUp, left);
  let runs = row.runs;
  for (const one of due.made) runs += Number(await make(mine, row, one));
  const last = due.made.at(-1)?.slot;
  const over = due.next === undefined ? { status: "ended", updated_at: stamp(at) } : {};
  const change = {
    runs,
    last_slot: last === undefined ? row.last_slot : stamp(last),
    handled_to: stamp(at),
    next_at: due.next === undefined ? null : stamp(due.next),
    ...over,
  };
  await mine.update("wombat_schedules").set(change).where("seq", "=", row.seq).execute();
}

/** Makes all slots that are due: each once, whichever instance comes first. */
export const dueSlots: Job = {
  everyMs: 1_000,
  work: async ({ storage, options }) => {
    const due = await storage.look(({ q }) =>
      q.selectFrom("wombat_schedules").select(["id", "user_id"]).where("status", "=", "active").where("next_at", "<=", now()).limit(200).execute(),
    );
    for (const { id, user_id } of due) {
      // One that cannot be handled keeps no other one waiting.
      await storage.write(systemScope(user_id), (mine) => handle(mine, id)).catch(options.log ?? console.error);
    }
  },
};

/** Computes the next slots anew: the rules of time zones may be others than when they were computed. */
export const movedSlots: Job = {
  everyMs: 0,
  once: true,
  work: async ({ storage, options }) => {
    const active = await storage.look(({ q }) => q.selectFrom("wombat_schedules").selectAll().where("status", "=", "active").execute());
    const nextOf = (row: ScheduleRow) => timesOf(row).nextUnhandled(Date.parse(row.handled_to));
    const again = async (mine: Mine, id: string) => {
      const row = await mine.from("wombat_schedules").selectAll().where("id", "=", id).executeTakeFirst();
      if (row?.status !== "active") return;
      const next = nextOf(row);
      const change = next === undefined ? { status: "ended", next_at: null } : { next_at: stamp(next), at_time: columnsOf(timesOf(row)).at_time };
      await mine.update("wombat_schedules").set(change).where("seq", "=", row.seq).execute();
    };
    for (const row of active) {
      const next = nextOf(row);
      if (next !== undefined && stamp(next) === row.next_at) continue;
      await storage.write(systemScope(row.user_id), (mine) => again(mine, row.id)).catch(options.log ?? console.error);
    }
  },
};
