/** Events as they happen: server-sent events, read from the database as fast as the reader takes them. */

import type { Call } from "../call.js";
import { ContractError, invalid } from "../errors.js";
import { stamp } from "../ids.js";
import type { Outgoing } from "../http.js";
import { toJson } from "../json.js";
import type { Plane } from "../plane.js";
import type { Feature } from "../routing.js";
import type { Scope } from "../scope.js";
import type { Tx } from "../store/tx.js";
import type { Job } from "../upkeep.js";
import { toldSince } from "./deltas.js";
import { mustFindRun, scopeOfRole } from "./run-rows.js";

/** How often a comment is sent while nothing happens, so that proxies keep the connection open. */
const KEEP_ALIVE_MS = 15_000;

/** How often the database is looked at: another instance may have written. */
const LOOK_AGAIN_MS = 1_000;

const BATCH = 100;
const KEPT_MS = 48 * 3_600_000;

/** How many streams one role of a user may have open at once, and the user's own pages. */
const MAX_STREAMS = 32;
const MAX_ROLES = 8;

/** Who listens. */
interface Listener {
  /** Whose events; everybody's if absent, which is for services only. */
  readonly userId?: string;
  /** The role that hears nothing of what concerns only the user's others. */
  readonly role?: string;
  /** What holds its place among the user's streams. */
  readonly place: string;
  /** When the stream must end, in milliseconds since 1970. */
  readonly until: number;
  readonly madeAt?: number;
}

interface Heard {
  readonly scope: Scope;
  readonly runKey: string;
  after: number;
}

/** Open streams by user and role. */
class Places {
  readonly #taken = new Map<string, Map<string, number>>();

  take({ userId, place }: Listener): () => void {
    if (userId === undefined) return () => undefined;
    const roles = this.#taken.get(userId) ?? new Map<string, number>();
    const own = roles.get(place) ?? 0;
    const all = [...roles.values()].reduce((sum, many) => sum + many, 0);
    if (own >= MAX_STREAMS || all >= MAX_STREAMS * MAX_ROLES) {
      throw new ContractError(429, "too_many_streams", `${MAX_STREAMS} event streams of this role are open; close one`);
    }
    this.#taken.set(userId, roles.set(place, own + 1));
    return () => {
      const left = (roles.get(place) ?? 1) - 1;
      if (left > 0) roles.set(place, left);
      else roles.delete(place);
      if (roles.size === 0) this.#taken.delete(userId);
    };
  }
}

const places = new WeakMap<Plane, Places>();

async function listenerOf(call: Call): Promise<Listener> {
  const forever = { place: "", until: Number.POSITIVE_INFINITY };
  if (call.incoming.header("x-internal-token") !== undefined) {
    const who = await call.serviceOrPerson();
    return who.type === "person" ? { userId: who.userId, ...forever } : forever;
  }
  const { userId, role, isLead, expiresAt, madeAt } = await call.anyAgent();
  return { userId, ...(isLead ? {} : { role }), place: role, until: expiresAt * 1000, madeAt };
}

/** The run that a query names, from now on. */
async function heardOf(call: Call, { userId, role, place }: Listener): Promise<Heard | undefined> {
  const runKey = call.query.get("run_key");
  if (runKey === undefined) return undefined;
  if (userId === undefined) throw invalid("run_key", "needs a user: send X-On-Behalf-Of beside the internal token");
  const actor = place === "" ? { type: "person" as const, userId } : { type: "agent" as const, userId, role: place };
  const scope = scopeOfRole({ userId, ...(role === undefined ? {} : { role }), actor }, call.query);
  const run = await call.plane.storage.read(scope, (mine) => mustFindRun(mine, runKey));
  return { scope, runKey, after: run.last_delta };
}

async function lastEvent(tx: Tx): Promise<number> {
  const row = await tx.q.selectFrom("wombat_events").select(({ fn }) => fn.max("id").as("last")).executeTakeFirst();
  return Number(row?.last ?? 0);
}

async function eventsAfter(tx: Tx, { userId, role }: Listener, after: number) {
  let rows = tx.q.selectFrom("wombat_events").select(["id", "kind", "data"]).where("id", ">", after).orderBy("id").limit(BATCH);
  if (userId !== undefined) rows = rows.where("user_id", "=", userId);
  if (role !== undefined) rows = rows.where(({ or, eb }) => or([eb("role", "is", null), eb("role", "=", role)]));
  return rows.execute();
}

/** The event after which the stream begins. */
async function startOf(call: Call): Promise<number> {
  const last = await call.plane.storage.look(lastEvent);
  const seen = call.header("last-event-id")?.trim() ?? "";
  if (seen === "") return last;
  if (!/^\d{1,15}$/.test(seen)) throw invalid("Last-Event-ID", "is not an id of an event");
  // A larger number than the last is another database's: begin with what comes next.
  return Math.min(Number(seen), last);
}

/** Waits until something may have changed, for a while at most. */
class Waker {
  #changed = false;
  #wake: (() => void) | undefined;
  readonly #stop: () => void;

  constructor(plane: Plane) {
    this.#stop = plane.storage.onChange(() => {
      this.#changed = true;
      this.#wake?.();
    });
  }

  async wait(ms: number, signals: AbortSignal[]): Promise<void> {
    if (!this.#changed && !signals.some(({ aborted }) => aborted)) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        for (const signal of signals) signal.addEventListener("abort", this.#wake, { once: true });
      });
      for (const signal of signals) if (this.#wake !== undefined) signal.removeEventListener("abort", this.#wake);
    }
    this.#wake = undefined;
    this.#changed = false;
  }

  stop(): void {
    this.#stop();
  }
}

async function delta(plane: Plane, heard: Heard): Promise<string> {
  const found = await plane.storage.read(heard.scope, (mine) => toldSince(mine, heard.runKey, heard.after));
  const last = found?.events.at(-1);
  if (found === undefined || last === undefined) return "";
  heard.after = Number(last.id);
  const data = { type: "run.delta", user_id: heard.scope.userId, run_key: heard.runKey, events: found.events };
  return `event: run.delta\ndata: ${toJson(data)}\n\n`;
}

async function* stream(call: Call, listener: Listener, start: number, heard: Heard | undefined, free: () => void): AsyncGenerator<string> {
  const { plane } = call;
  const signals = [call.incoming.signal, plane.closing.signal];
  const waker = new Waker(plane);
  let [after, quiet] = [start, Date.now()];
  try {
    // A browser counts a stream as open once the first bytes arrive.
    yield ": connected\n\n";
    while (!signals.some(({ aborted }) => aborted) && Date.now() < listener.until) {
      if (listener.userId !== undefined && listener.madeAt !== undefined) await plane.checkErased(listener.userId, listener.madeAt);
      const events = await plane.storage.look((tx) => eventsAfter(tx, listener, after));
      let text = events.map(({ id, kind, data }) => `id: ${id}\nevent: ${kind}\ndata: ${data}\n\n`).join("");
      after = Number(events.at(-1)?.id ?? after);
      if (heard !== undefined) text += await delta(plane, heard);
      if (text === "" && Date.now() - quiet >= KEEP_ALIVE_MS) text = ": still here\n\n";
      if (text !== "") {
        quiet = Date.now();
        yield text;
      }
      if (events.length < BATCH) await waker.wait(Math.min(LOOK_AGAIN_MS, Math.max(1, listener.until - Date.now())), signals);
    }
  } catch (error) {
    // The reader reconnects, and is told why it may not.
    if (!(error instanceof ContractError)) throw error;
  } finally {
    waker.stop();
    free();
  }
}

/** Deletes old events; the newest stays, so that numbers are never used again. */
export const oldEvents: Job = {
  everyMs: 600_000,
  work: async ({ storage }) => {
    await storage.everybody(async (tx) => {
      const before = stamp(Date.now() - KEPT_MS);
      const last = await lastEvent(tx);
      await tx.q.deleteFrom("wombat_events").where("created_at", "<", before).where("id", "<", last).execute();
    });
  },
};

/** The event stream. */
export const events: Feature = {
  names: ["events_sse"],
  routes: [
    {
      method: "GET",
      path: "/events",
      answer: async (call): Promise<Outgoing> => {
        const listener = await listenerOf(call);
        const heard = await heardOf(call, listener);
        const start = await startOf(call);
        const held = places.get(call.plane) ?? new Places();
        places.set(call.plane, held);
        const free = held.take(listener);
        const headers = { "content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no" };
        return { status: 200, headers, body: stream(call, listener, start, heard, free) };
      },
    },
  ],
};
