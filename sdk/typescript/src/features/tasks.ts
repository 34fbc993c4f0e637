/** Tasks. */

import { notFound } from "../errors.js";
import type { Fields, Paging, Query } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now } from "../ids.js";
import { fromColumn, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import { checkLease } from "../store/fences.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Selectable } from "kysely";

/** What a task can be. */
export const TASK_STATUSES = ["pending", "in_progress", "blocked", "completed", "cancelled"] as const;

const taskOf = (row: Selectable<Tables["wombat_tasks"]>) =>
  compact({
    id: row.id,
    title: row.title,
    status: row.status,
    description: row.description,
    metadata: fromColumn(row.metadata),
    created_at: row.created_at,
    updated_at: row.updated_at,
  });

/** A task as it is answered. */
export type Task = ReturnType<typeof taskOf>;

/** Refuses a task that is not the user's. */
export async function mustHaveTask(mine: Mine, id: string): Promise<void> {
  const found = await mine.from("wombat_tasks").select("seq").where("id", "=", id).executeTakeFirst();
  if (found === undefined) throw notFound("task");
}

async function insert(mine: Mine, body: Fields): Promise<Task> {
  const at = now();
  const status = body.maybeOne("status", TASK_STATUSES) ?? "pending";
  const metadata = body.maybeObject("metadata");
  const row = await mine.add("wombat_tasks", {
    id: newId(),
    title: body.text("title"),
    description: body.maybeText("description", { blank: true }) ?? null,
    status,
    metadata: metadata === undefined ? null : toJson(metadata),
    created_at: at,
    updated_at: at,
    completed_at: status === "completed" ? at : null,
  });
  const made = taskOf(row);
  mine.tell("task.created", "task_id", made);
  return made;
}

async function list(mine: Mine, query: Query, paging: Paging): Promise<Page<Task>> {
  const status = query.one("status", TASK_STATUSES);
  const title = query.get("title");
  let rows = mine.from("wombat_tasks").selectAll().orderBy("seq").limit(rowsFor(paging));
  if (status !== undefined) rows = rows.where("status", "=", status);
  if (title !== undefined) rows = rows.where("title", "=", title);
  if (paging.cursor !== undefined) rows = rows.where("seq", ">", paging.cursor);
  return pageOf(await rows.execute(), paging, taskOf);
}

async function find(mine: Mine, id: string): Promise<Task> {
  const row = await mine.from("wombat_tasks").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw notFound("task");
  return taskOf(row);
}

async function update(mine: Mine, id: string, body: Fields): Promise<Task> {
  await checkLease(mine);
  const known = await mine.from("wombat_tasks").selectAll().where("id", "=", id).executeTakeFirst();
  if (known === undefined) throw notFound("task");
  const at = now();
  const status = body.maybeOne("status", TASK_STATUSES) ?? known.status;
  const metadata = body.maybeObject("metadata");
  const changed = {
    title: body.maybeText("title") ?? known.title,
    description: body.maybeText("description", { blank: true }) ?? known.description,
    status,
    metadata: metadata === undefined ? known.metadata : toJson(metadata),
    updated_at: at,
    completed_at: status === "completed" ? (known.completed_at ?? at) : null,
  };
  await mine.update("wombat_tasks").set(changed).where("id", "=", id).execute();
  const updated = taskOf({ ...known, ...changed });
  mine.tell("task.updated", "task_id", updated);
  return updated;
}

/** The endpoints of tasks. */
export const tasks: Feature = {
  names: [],
  routes: [
    {
      method: "GET",
      path: "/tasks",
      answer: async (call) => {
        const who = await call.tenant();
        const paging = call.query.paging();
        return json(await call.plane.storage.read(call.scope(who), (mine) => list(mine, call.query, paging)));
      },
    },
    {
      method: "POST",
      path: "/tasks",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = call.writeScope(who);
        const body = await call.body();
        body.require("title");
        const key = body.key();
        return created(
          await call.plane.storage.write(scope, (mine) => createOnce(mine, "tasks", key, body.raw, () => insert(mine, body))),
        );
      },
    },
  ],
};

/** Reading and changing one. */
export const oneTask: Feature = {
  names: ["tasks_get", "tasks_update"],
  routes: [
    {
      method: "GET",
      path: "/tasks/:id",
      answer: async (call) => {
        const who = await call.tenant();
        return json(await call.plane.storage.read(call.scope(who), (mine) => find(mine, call.id())));
      },
    },
    {
      method: "PATCH",
      path: "/tasks/:id",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = call.writeScope(who);
        const body = await call.body();
        return json(await call.plane.storage.write(scope, (mine) => update(mine, call.id(), body)));
      },
    },
  ],
};
