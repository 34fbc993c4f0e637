/** Notifications, as their user sees them. */

import type { Selectable } from "kysely";

import { invalid, notFound } from "../errors.js";
import { checkSession, type Fields, type Paging, sessionOf, sessionRole } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now } from "../ids.js";
import { type JsonObject, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import { mustHaveTask } from "./tasks.js";

/** How urgent something is; the first comes first. */
export const PRIORITIES = ["high", "normal", "low"] as const;

/** How urgent something is. */
export type Priority = (typeof PRIORITIES)[number];

type Row = Selectable<Tables["wombat_notifications"]>;

const notificationOf = (row: Row) => ({
  ...compact({
    id: row.id,
    user_id: row.user_id,
    session_key: row.session_key,
    content: row.content,
    task_id: row.task_id,
    run_key: row.run_key,
    created_at: row.created_at,
    collapse_key: row.collapse_key,
    priority: PRIORITIES[row.priority],
    collapsed: row.collapsed > 0 ? row.collapsed : null,
  }),
  read: row.read_at !== null,
  delivered: row.delivered_at !== null,
});

/** A new notification. */
export interface NewNotification {
  readonly sessionKey: string;
  readonly content: string;
  readonly taskId?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly collapseKey?: string | undefined;
  /** The journaled run that the session resumes with it. */
  readonly runKey?: string | undefined;
  /** Passed on with the delivery. */
  readonly metadata?: JsonObject | undefined;
}

/** What waits in a session. */
const waiting = (mine: Mine, sessionKey: string) =>
  mine
    .from("wombat_notifications")
    .where("session_key", "=", sessionKey)
    .where("delivered_at", "is", null)
    .where("dead_at", "is", null);

/** Puts a text in the place of what waits under its key, where that was given to nobody yet. */
async function collapse(mine: Mine, wanted: NewNotification, collapseKey: string) {
  let there = waiting(mine, wanted.sessionKey).selectAll().where("leased_until", "is", null);
  there = there.where("collapse_key", "=", collapseKey).orderBy("seq", "desc").limit(1);
  const row = await (mine.postgres ? there.forUpdate() : there).executeTakeFirst();
  if (row === undefined) return undefined;
  const changed = {
    content: wanted.content,
    task_id: wanted.taskId ?? null,
    read_at: null,
    collapsed: row.collapsed + 1,
    priority: Math.min(row.priority, PRIORITIES.indexOf(wanted.priority ?? "normal")),
  };
  await mine.update("wombat_notifications").set(changed).where("seq", "=", row.seq).execute();
  return { ...row, ...changed };
}

/** Makes a notification, or collapses it into one that waits. */
export async function notify(mine: Mine, wanted: NewNotification) {
  const { sessionKey, content, taskId, priority, collapseKey, runKey, metadata } = wanted;
  if (taskId !== undefined) await mustHaveTask(mine, taskId);
  const collapsed = collapseKey === undefined ? undefined : await collapse(mine, wanted, collapseKey);
  const newest = await waiting(mine, sessionKey).select("created_at").orderBy("seq", "desc").limit(1).executeTakeFirst();
  const at = now();
  const row =
    collapsed ??
    (await mine.add("wombat_notifications", {
      id: newId(),
      session_key: sessionKey,
      content,
      task_id: taskId ?? null,
      run_key: runKey ?? null,
      metadata: metadata === undefined ? null : toJson(metadata),
      priority: PRIORITIES.indexOf(priority ?? "normal"),
      collapse_key: collapseKey ?? null,
      collapsed: 0,
      attempts: 0,
      // Clocks of instances differ; in a session the newer one is never the older one.
      created_at: newest !== undefined && newest.created_at > at ? newest.created_at : at,
    }));
  const made = notificationOf(row);
  tellOf(mine, "notification.created", row);
  return made;
}

/** Tells of a notification. About a run only its role hears. */
export function tellOf(mine: Mine, kind: string, row: Row): void {
  const role = row.run_key === null ? undefined : sessionRole(mine.userId, row.session_key);
  mine.tell(kind, "notification_id", notificationOf(row), role);
}

async function list(mine: Mine, unread: boolean, paging: Paging): Promise<Page<object>> {
  const { role } = mine.scope;
  let rows = mine.from("wombat_notifications").selectAll().orderBy("seq").limit(rowsFor(paging));
  if (unread) rows = rows.where("read_at", "is", null);
  if (role !== undefined) {
    const own = sessionOf(mine.userId, role);
    rows = rows.where(({ or, eb }) => or([eb("run_key", "is", null), eb("session_key", "=", own)]));
  }
  if (paging.cursor !== undefined) rows = rows.where("seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, notificationOf);
}

/** The most characters of a key under which notifications collapse. */
const MAX_COLLAPSE_KEY = 64;

function newNotification(body: Fields): NewNotification & { userId: string } {
  body.require("user_id", "session_key", "content");
  const userId = body.text("user_id");
  const sessionKey = body.text("session_key");
  checkSession(userId, sessionKey);
  return {
    userId,
    sessionKey,
    content: body.text("content"),
    taskId: body.maybeText("task_id"),
    collapseKey: body.maybeText("collapse_key", { most: MAX_COLLAPSE_KEY }),
    priority: body.maybeOne("priority", PRIORITIES),
  };
}

/** The endpoints of notifications. */
export const notifications: Feature = {
  names: ["notifications"],
  routes: [
    {
      method: "GET",
      path: "/notifications",
      answer: async (call) => {
        const who = await call.tenant();
        const paging = call.query.paging();
        const unread = call.query.get("unread") === "true";
        return json(await call.plane.storage.read(call.scope(who), (mine) => list(mine, unread, paging)));
      },
    },
    {
      method: "POST",
      path: "/notifications",
      answer: async (call) => {
        await call.service();
        const body = await call.body();
        const wanted = newNotification(body);
        await call.plane.known(wanted.userId, undefined);
        const key = body.key();
        if (key !== undefined && key.length > 1000) throw invalid("idempotency_key", "is too long");
        return created(
          await call.plane.storage.write(call.serviceScope(wanted.userId), (mine) =>
            createOnce(mine, "notifications", key, body.raw, () => notify(mine, wanted)),
          ),
        );
      },
    },
    {
      method: "POST",
      path: "/notifications/:id/read",
      answer: async (call) => {
        const who = await call.person();
        const read = async (mine: Mine) => {
          const rows = mine.from("wombat_notifications").selectAll().where("id", "=", call.id());
          const row = await rows.executeTakeFirst();
          if (row === undefined) throw notFound("notification");
          const changed = { read_at: row.read_at ?? now() };
          await mine.update("wombat_notifications").set(changed).where("seq", "=", row.seq).execute();
          return notificationOf({ ...row, ...changed });
        };
        return json(await call.plane.storage.write(call.scope(who), read));
      },
    },
  ],
};
