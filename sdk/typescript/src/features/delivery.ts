/** What is urgent, and when: quiet hours, and dead letters as their user sees them. */

import { sql } from "kysely";

import type { Call } from "../call.js";
import { invalid, notFound } from "../errors.js";
import { cursorOf, type Fields, isUserId, type Paging } from "../fields.js";
import { json, nothing } from "../http.js";
import { now, stamp } from "../ids.js";
import type { Feature } from "../routing.js";
import { serviceScope } from "../scope.js";
import type { Mine } from "../store/mine.js";
import { PAGE_BYTES, type Page, rowsFor } from "../store/pages.js";
import type { Tx } from "../store/tx.js";
import type { Job } from "../upkeep.js";
import { isZone, midnight, momentOf, nextDay, clockAt } from "../zones.js";
import { toJson } from "../json.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Nobody's role: agents do not hear of dead letters. */
const NO_ROLE = "";

const MAX_IDS = 1_000;
const MAX_TOLD = 5;
const MAX_CAUSE = 200;

interface QuietHours {
  readonly timezone: string;
  readonly from: string;
  readonly to: string;
}

/** Minutes after midnight of a clock's time, such as `22:00`. */
function minutesOf(text: string): number | undefined {
  const form = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text);
  return form === null ? undefined : Number(form[1]) * 60 + Number(form[2]);
}

/** Whether hours are on at a moment. A time that the clock leaves out counts as the end of the gap. */
export function areQuiet({ timezone, from, to }: QuietHours, at: number): boolean {
  const [begin = 0, end = 0] = [minutesOf(from), minutesOf(to)];
  const today = midnight(clockAt(at, timezone));
  for (const day of [today - DAY_MS, today]) {
    const begins = momentOf(day + begin * MINUTE_MS, timezone);
    const ends = momentOf((end < begin ? nextDay(day) : day) + end * MINUTE_MS, timezone);
    if (begins <= at && at < ends) return true;
  }
  return false;
}

/** The users with something in the queue whose quiet hours are on. */
export async function quietUsers(tx: Tx): Promise<string[]> {
  const rows = await tx.q
    .selectFrom("wombat_quiet_hours as q")
    .selectAll()
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom("wombat_notifications as n")
          .select("n.seq")
          .whereRef("n.user_id", "=", "q.user_id")
          .where("n.delivered_at", "is", null)
          .where("n.dead_at", "is", null),
      ),
    )
    .execute();
  const at = Date.now();
  const quiet = rows.filter((row) => areQuiet({ timezone: row.timezone, from: row.from_clock, to: row.to_clock }, at));
  return quiet.map(({ user_id }) => user_id);
}

function hoursOf(body: Fields): QuietHours {
  const hours = { timezone: body.text("timezone"), from: body.text("from"), to: body.text("to") };
  if (!isZone(hours.timezone)) throw invalid("timezone", "is not known: it must be an IANA name, such as Europe/Berlin");
  for (const field of ["from", "to"] as const) {
    if (minutesOf(hours[field]) === undefined) throw invalid(field, "must be a time of the clock, such as 22:00");
  }
  if (hours.from === hours.to) throw invalid("to", "must be another time than from");
  return hours;
}

/** The user of the path; a person may name nobody else. */
async function userOf(call: Call): Promise<string> {
  const who = await call.serviceOrPerson();
  const userId = call.id();
  if (!isUserId(userId) || (who.type === "person" && who.userId !== userId)) throw notFound("user");
  await call.plane.known(userId, undefined);
  return userId;
}

interface Group {
  readonly cause: string;
  readonly session_key: string;
  readonly count: number;
  readonly first_at: string;
  readonly last_at: string;
  readonly seq: number;
}

/** What died after a moment, by session and cause; those of the newest notifications first. */
async function groups(mine: Mine, since: string, before: number | undefined, limit: number): Promise<Group[]> {
  const cause = sql<string>`coalesce(error, '')`;
  const rows = await mine
    .from("wombat_notifications")
    .select(({ fn }) => [
      cause.as("cause"),
      "session_key",
      fn.countAll<number>().as("count"),
      fn.min("dead_at").as("first_at"),
      fn.max("dead_at").as("last_at"),
      fn.max("seq").as("seq"),
    ])
    .where("dead_at", ">", since)
    .groupBy([cause, "session_key"])
    .having(({ fn }) => fn.max("seq"), "<", before ?? Number.MAX_SAFE_INTEGER)
    .orderBy(({ fn }) => fn.max("seq"), "desc")
    .limit(limit)
    .execute();
  return rows as Group[];
}

async function list(mine: Mine, paging: Paging): Promise<Page<object>> {
  const items: object[] = [];
  let [size, last] = [0, 0];
  for (const { seq, ...group } of await groups(mine, "", paging.cursor, rowsFor(paging))) {
    const ids = await mine
      .from("wombat_notifications")
      .select("id")
      .where("dead_at", "is not", null)
      .where("session_key", "=", group.session_key)
      .where(sql<string>`coalesce(error, '')`, "=", group.cause)
      .orderBy("seq")
      .limit(MAX_IDS)
      .execute();
    const item = { ...group, ids: ids.map(({ id }) => id) };
    size += Buffer.byteLength(toJson(item));
    if (items.length >= paging.limit || (size > PAGE_BYTES && items.length > 0)) return { items, next_cursor: cursorOf(last) };
    items.push(item);
    last = seq;
  }
  return { items };
}

/** Tells a user's people what died since they were last told. */
async function tellDead(mine: Mine, since: string, at: string): Promise<void> {
  const { count } = await mine
    .from("wombat_notifications")
    .select(({ fn }) => fn.countAll<number>().as("count"))
    .where("dead_at", ">", since)
    .executeTakeFirstOrThrow();
  // They may have been put back, or delivered after all.
  if (Number(count) > 0) {
    const told = (await groups(mine, since, undefined, MAX_TOLD)).map(({ seq: _, cause, ...group }) => ({
      ...group,
      cause: [...cause].slice(0, MAX_CAUSE).join(""),
    }));
    const data = { count: Number(count), ...(since === "" ? {} : { since }), items: told };
    mine.tell("dead_letters.digest", "id", data, NO_ROLE);
  }
  await mine.remove("wombat_digests").execute();
  await mine.add("wombat_digests", { sent_at: at, due_at: null });
}

/** Notes that something of the user's has died: it is told at once, or when an hour is over since the last time. */
export async function noteDeadLetter(mine: Mine): Promise<void> {
  const known = await mine.from("wombat_digests").selectAll().executeTakeFirst();
  const at = now();
  if (known === undefined) return tellDead(mine, "", at);
  const due = stamp(Date.parse(known.sent_at) + HOUR_MS);
  if (due <= at) return tellDead(mine, known.sent_at, at);
  if (known.due_at === null) await mine.update("wombat_digests").set({ due_at: due }).execute();
}

/** Tells what is due. */
export const digests: Job = {
  everyMs: 5_000,
  work: async ({ storage }) => {
    const due = await storage.look((tx) =>
      tx.q.selectFrom("wombat_digests").select("user_id").where("due_at", "<=", now()).limit(100).execute(),
    );
    for (const { user_id } of due) {
      await storage.write(serviceScope(user_id), async (mine) => {
        const known = await mine.from("wombat_digests").selectAll().where("due_at", "<=", now()).executeTakeFirst();
        if (known !== undefined) await tellDead(mine, known.sent_at, now());
      });
    }
  },
};

/** The endpoints of quiet hours and dead letters. */
export const deliveryOptions: Feature = {
  names: ["delivery_options"],
  routes: [
    {
      method: "GET",
      path: "/users/:id/quiet-hours",
      answer: async (call) => {
        const userId = await userOf(call);
        const row = await call.plane.storage.read(serviceScope(userId), (mine) =>
          mine.from("wombat_quiet_hours").selectAll().executeTakeFirst(),
        );
        if (row === undefined) throw notFound("quiet hours");
        return json({ timezone: row.timezone, from: row.from_clock, to: row.to_clock });
      },
    },
    {
      method: "PUT",
      path: "/users/:id/quiet-hours",
      answer: async (call) => {
        const userId = await userOf(call);
        const hours = hoursOf(await call.body());
        await call.plane.storage.write(call.serviceScope(userId), async (mine) => {
          await mine.remove("wombat_quiet_hours").execute();
          await mine.add("wombat_quiet_hours", { timezone: hours.timezone, from_clock: hours.from, to_clock: hours.to });
        });
        return json(hours);
      },
    },
    {
      method: "DELETE",
      path: "/users/:id/quiet-hours",
      answer: async (call) => {
        const userId = await userOf(call);
        await call.plane.storage.write(call.serviceScope(userId), (mine) => mine.remove("wombat_quiet_hours").execute());
        return nothing();
      },
    },
    {
      method: "GET",
      path: "/dead-letters",
      answer: async (call) => {
        const who = await call.person();
        const paging = call.query.paging();
        return json(await call.plane.storage.read(call.scope(who), (mine) => list(mine, paging)));
      },
    },
  ],
};
