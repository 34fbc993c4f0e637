// The person's chat with the agent: POST /chat {message} waits for the reply, POST /chat/stream tells it
// as it comes. A header Idempotency-Key makes either safe to repeat.

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";

import { type Request, Router } from "express";
import { z } from "zod";

import { type Me, me } from "./auth.js";
import { invalid, notAllowed, Problem } from "./errors.js";
import { createMessage, createTask } from "./mission-control.js";
import { refusal, unreachable, wombat } from "./wombat.js";

const ROLE = "scout";
const LONGEST_MS = 10 * 60 * 1000;

const Said = z.object({ message: z.string().trim().min(1) });

/** What the person said stands in the thread before the agent is asked. */
function order(req: Request) {
  const caller: Me = me(req);
  if (caller.role !== undefined) throw new Problem(403, "forbidden", "only a person chats");
  const { message } = Said.parse(req.body);
  const key = req.get("idempotency-key");
  if (key === "") throw invalid("Idempotency-Key must not be empty");
  const { object: task } = createTask(caller, { title: "Chat", idempotency_key: "app:chat" });
  const said = { task_id: task.id, content: message };
  createMessage(caller, key === undefined ? said : { ...said, idempotency_key: `app:chat:${key}` });
  return {
    user_id: caller.userId,
    session_key: `user:${caller.userId}:${ROLE}`,
    task_id: task.id,
    message,
    ...(key === undefined ? {} : { idempotency_key: key }),
  };
}

export const chat = Router();

chat
  .route("/")
  .post(async (req, res) => {
    const signal = AbortSignal.timeout(LONGEST_MS);
    const asked = wombat.POST("/api/agents/send", { body: order(req), signal });
    const { data, error, response } = await asked.catch(unreachable);
    if (!data) throw refusal(error, response);
    const { response: reply, task_id, message_id, status } = data;
    res.json({ reply, task_id, message_id, status, replayed: data.replayed ?? false });
  })
  .all(notAllowed);

chat
  .route("/stream")
  .post(async (req, res) => {
    // A reader that goes away ends the run and its model call.
    const gone = new AbortController();
    res.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(LONGEST_MS)]);
    const options = { body: order(req), signal, parseAs: "stream" as const };
    const asked = wombat.POST("/api/agents/stream", options);
    const answer = await asked.catch((cause: unknown) => gone.signal.aborted || unreachable(cause));
    if (answer === true) return;
    const { data, error, response } = answer;
    if (!data) throw refusal(error, response);
    const type = { "Content-Type": "text/event-stream" };
    res.writeHead(200, { ...type, "Cache-Control": "no-cache", "X-Accel-Buffering": "no" });
    res.flushHeaders();
    // Headers are out: a stream that breaks off is closed, and has no `done` at its end.
    const events = Readable.fromWeb(data as ReadableStream);
    await pipeline(events, res).catch(() => res.destroy());
  })
  .all(notAllowed);
