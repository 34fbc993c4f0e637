// Mission Control: what Wombat asks of a backend. Five endpoints; three more make it comfortable.

import { randomUUID } from "node:crypto";

import { Router } from "express";
import { z } from "zod";

import { type Me, me } from "./auth.js";
import { invalid, notAllowed, notFound, Problem } from "./errors.js";
import { answer, Paging, Shelf } from "./store.js";

const Text = z.string().trim().min(1);
const Status = z.enum(["pending", "in_progress", "blocked", "completed", "cancelled"]);

const NewTask = z.object({
  title: Text,
  description: z.string().nullish(),
  status: Status.nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  idempotency_key: Text.nullish(),
});
const NewMessage = z.object({
  task_id: Text,
  content: Text,
  actor_type: z.enum(["agent", "user"]).nullish(),
  actor_id: z.string().nullish(),
  attachments: z.unknown().optional(),
  idempotency_key: Text.nullish(),
});
const NewDocument = z.object({
  title: Text,
  content: Text,
  doc_type: z.string().nullish(),
  task_id: z.string().nullish(),
  idempotency_key: Text.nullish(),
});
const TaskFilter = Paging.extend({ status: Status.optional(), title: z.string().optional() });
const MessageFilter = Paging.extend({
  task_id: z.string().optional(),
  idempotency_key: z.string().optional(),
});

interface Made {
  id: string;
  created_at: string;
}
type Task = Made & { title: string; status: string; updated_at: string };
type Message = Made & { task_id: string; content: string; actor_type: string };
type Document = Made & { title: string };

export const tasks = new Shelf<Task>();
export const messages = new Shelf<Message>();
const documents = new Shelf<Document>();

const made = (): Made => ({ id: randomUUID(), created_at: new Date().toISOString() });

/** The user's own task; another's is not there, as if it did not exist. */
function taskOf({ userId }: Me, id: string): Task {
  const task = tasks.find(userId, (task) => task.id === id);
  if (!task) throw notFound("task");
  return task;
}

export function createTask({ userId }: Me, body: unknown) {
  const { idempotency_key, status, ...fields } = NewTask.parse(body);
  return tasks.create(userId, idempotency_key ?? undefined, body, () => {
    const { id, created_at } = made();
    return { id, ...fields, status: status ?? "pending", created_at, updated_at: created_at };
  });
}

export function createMessage(me: Me, body: unknown) {
  const { idempotency_key, actor_type, ...fields } = NewMessage.parse(body);
  const actor = me.role === undefined ? "user" : "agent";
  if (actor_type && actor_type !== actor) {
    throw new Problem(403, "forbidden", `you are the ${actor}, and write as nobody else`);
  }
  return messages.create(me.userId, idempotency_key ?? undefined, body, () => {
    taskOf(me, fields.task_id);
    // The role is what the token says, not what the body says.
    return { ...made(), ...fields, actor_type: actor, agent_role: me.role };
  });
}

export const missionControl = Router();

missionControl
  .route("/capabilities")
  .get((_req, res) => {
    const features = { tasks_get: true, messages_list: true, message_lookup: true };
    res.json({ contract_version: "v1", features });
  })
  .all(notAllowed);

missionControl
  .route("/tasks")
  .get((req, res) => {
    const { status, title, ...paging } = TaskFilter.parse(req.query);
    const fits = (task: Task) =>
      (status === undefined || task.status === status) && (title === undefined || task.title === title);
    res.json(tasks.page(me(req).userId, paging, fits));
  })
  .post((req, res) => answer(res, createTask(me(req), req.body)))
  .all(notAllowed);

missionControl
  .route("/tasks/:id")
  .get((req, res) => void res.json(taskOf(me(req), req.params.id)))
  .all(notAllowed);

missionControl
  .route("/messages")
  .get((req, res) => {
    const { userId } = me(req);
    const { task_id, idempotency_key, ...paging } = MessageFilter.parse(req.query);
    if (idempotency_key !== undefined) {
      return void res.json({ items: messages.byKey(userId, idempotency_key) });
    }
    if (task_id === undefined) throw invalid("task_id or idempotency_key is needed");
    taskOf(me(req), task_id);
    res.json(messages.page(userId, paging, (message) => message.task_id === task_id, true));
  })
  .post((req, res) => answer(res, createMessage(me(req), req.body)))
  .all(notAllowed);

missionControl
  .route("/documents")
  .post((req, res) => {
    const { idempotency_key, ...fields } = NewDocument.parse(req.body);
    const make = () => {
      if (typeof fields.task_id === "string") taskOf(me(req), fields.task_id);
      return { ...made(), doc_type: null, task_id: null, ...fields };
    };
    answer(res, documents.create(me(req).userId, idempotency_key ?? undefined, req.body, make));
  })
  .all(notAllowed);
