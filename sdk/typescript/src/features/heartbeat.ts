/** Heartbeats and standups. */

import { mustActAs } from "../call.js";
import { invalid, notFound } from "../errors.js";
import { isRole, isUserId } from "../fields.js";
import { json } from "../http.js";
import { now, stamp } from "../ids.js";
import type { Feature } from "../routing.js";
import { systemScope } from "../scope.js";
import { checkLease } from "../store/fences.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { clockAt, dateText, dayOf, isZone, midnight, momentOf, nextDay } from "../zones.js";
import { insertDocument } from "./documents.js";
import type { JsonObject } from "../json.js";

const MAX_NOTE = 2_000;

/** The most tasks of a kind in a standup. */
const LISTED = 500;
const MAX_TITLE = 300;

async function beat(mine: Mine, role: string, slot: string | undefined, note: string | undefined): Promise<boolean> {
  await checkLease(mine);
  const at = now();
  const known = await mine.from("wombat_wakes").selectAll().where("role", "=", role).executeTakeFirst();
  const isBeat = note === undefined || slot !== undefined;
  if (known === undefined) await mine.add("wombat_wakes", { role, last_at: at, note: note ?? null, note_at: note === undefined ? null : at });
  else {
    const changed = { ...(isBeat ? { last_at: at } : {}), ...(note === undefined ? {} : { note, note_at: at }) };
    await mine.update("wombat_wakes").set(changed).where("role", "=", role).execute();
  }
  return slot === undefined || mine.addNew("wombat_slots", { role, slot, created_at: at });
}

async function pending(mine: Mine) {
  const waiting = mine.from("wombat_notifications").select(({ fn }) => fn.countAll<number>().as("count"));
  const tasks = mine.from("wombat_tasks").select(({ fn }) => fn.countAll<number>().as("count"));
  const unread = await waiting.where("read_at", "is", null).where("delivered_at", "is", null).executeTakeFirstOrThrow();
  const open = await tasks.where("status", "in", ["pending", "in_progress", "blocked"]).executeTakeFirstOrThrow();
  return { notifications: Number(unread.count), tasks: Number(open.count) };
}

interface Listed {
  readonly count: number;
  readonly first: { id: string; title: string; status: string }[];
}

const short = (title: string) => (title.length > MAX_TITLE ? `${[...title].slice(0, MAX_TITLE).join("")}…` : title);

async function done(mine: Mine, from: string, to: string): Promise<Listed> {
  const all = mine.from("wombat_tasks").where("completed_at", ">=", from).where("completed_at", "<", to);
  const { count } = await all.select(({ fn }) => fn.countAll<number>().as("count")).executeTakeFirstOrThrow();
  const first = await all.select(["id", "title", "status"]).orderBy("completed_at").limit(LISTED).execute();
  return { count: Number(count), first };
}

async function active(mine: Mine, status: string, to: string): Promise<Listed> {
  const all = mine.from("wombat_tasks").where("status", "=", status).where("created_at", "<", to);
  const { count } = await all.select(({ fn }) => fn.countAll<number>().as("count")).executeTakeFirstOrThrow();
  const first = await all.select(["id", "title", "status"]).orderBy("seq").limit(LISTED).execute();
  return { count: Number(count), first };
}

function textOf(summary: string, lists: [string, Listed][]): string {
  const parts = lists
    .filter(([, { first }]) => first.length > 0)
    .map(([title, { count, first }]) => {
      const more = count > first.length ? [`- and ${count - first.length} more`] : [];
      return [`## ${title}\n`, ...first.map((task) => `- ${short(task.title)}`), ...more].join("\n");
    });
  return [summary, ...parts].join("\n\n");
}

/** A user's day, which is kept as a document: the same day with the same content is the same one. */
async function dayFor(mine: Mine, timezone: string, day: number) {
  const [from, to] = [stamp(momentOf(day, timezone)), stamp(momentOf(nextDay(day), timezone))];
  const lists = { done: await done(mine, from, to), in_progress: await active(mine, "in_progress", to), blocked: await active(mine, "blocked", to) };
  const summary = `${lists.done.count} done, ${lists.in_progress.count} in progress, ${lists.blocked.count} blocked.`;
  const date = dateText(day);
  const title = `Standup ${date} (${timezone})`;
  const content = textOf(summary, [["Done", lists.done], ["In progress", lists.in_progress], ["Blocked", lists.blocked]]);
  const key = `${date}:${timezone}:${content}`;
  const stored = await createOnce(mine, "standup", key, { title, content }, () =>
    insertDocument(mine, { title, content, docType: "standup", taskId: null }),
  );
  const items = ({ first }: Listed) => first.map((task) => ({ ...task, title: short(task.title) }));
  return {
    date,
    timezone,
    user_id: mine.userId,
    document_id: (stored.body as JsonObject).id,
    summary,
    done: items(lists.done),
    in_progress: items(lists.in_progress),
    blocked: items(lists.blocked),
  };
}

/** The endpoints of heartbeats and standups. */
export const heartbeat: Feature = {
  names: ["heartbeat", "heartbeat_notes", "standup"],
  routes: [
    {
      method: "POST",
      path: "/heartbeat",
      answer: async (call) => {
        const who = await call.agent();
        const body = await call.body();
        if (body.text("user_id") !== who.userId) throw notFound("user");
        const role = body.maybeText("role") ?? who.role;
        if (!isRole(role)) throw invalid("role", "must be letters, digits, _ and -");
        mustActAs(who, "role", role);
        const slot = body.maybeTime("slot");
        const note = body.maybeText("note", { most: MAX_NOTE, blank: true });
        const answer = await call.plane.storage.write(call.scope(who), async (mine) => ({
          status: "ok",
          claimed: await beat(mine, role, slot === undefined ? undefined : stamp(slot), note),
          pending: await pending(mine),
          role,
        }));
        return json(answer);
      },
    },
    {
      method: "POST",
      path: "/standup",
      answer: async (call) => {
        const who = await call.agentOrService();
        const body = await call.body();
        const timezone = body.text("timezone");
        if (!isZone(timezone)) throw invalid("timezone", "names an unknown time zone: it must be an IANA name, such as Europe/Berlin");
        const date = body.maybeText("date");
        const day = date === undefined ? midnight(clockAt(Date.now(), timezone)) : dayOf(date);
        if (day === undefined) throw invalid("date", "must be YYYY-MM-DD");
        const named = body.maybeText("user_id");
        const { storage } = call.plane;
        if (who.type === "agent" && named !== undefined && named !== who.userId) throw notFound("user");
        const one = who.type === "agent" ? who.userId : named;
        if (one !== undefined) {
          if (!isUserId(one)) throw invalid("user_id", "is not a user id");
          if (who.type === "service") await call.plane.known(one, undefined);
          return json(await storage.write(systemScope(one), (mine) => dayFor(mine, timezone, day)));
        }
        const users = await storage.look((tx) => tx.q.selectFrom("wombat_tasks").select("user_id").distinct().orderBy("user_id").execute());
        const items = [];
        for (const { user_id } of users) items.push(await storage.write(systemScope(user_id), (mine) => dayFor(mine, timezone, day)));
        return json({ date: dateText(day), timezone, items });
      },
    },
  ],
};
