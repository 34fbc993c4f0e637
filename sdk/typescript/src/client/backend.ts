/** The client of the backend, for what people decide and for what changes. */

import { type CallOptions, type ClientOptions, eventsOf, Http, pause, waitOf } from "./http.js";
import { WombatError } from "./errors.js";
import type { BackendEvent, Decision, ToolRequest } from "./types.js";

const PREFIX = "/api/mission-control";

/** What a backend's client is told: `headers` say who calls, as your login or an internal token on behalf of a person. */
export type BackendOptions = ClientOptions;

/**
 * Approvals, answers and events of one user:
 *
 * ```ts
 * const backend = new Backend({ url, headers: { "x-internal-token": token, "x-on-behalf-of": "ann" } });
 * for await (const request of backend.pending()) await backend.decide(request.id, { status: "approved" });
 * ```
 */
export class Backend {
  readonly #http: Http;

  constructor(options: BackendOptions) {
    this.#http = new Http(options);
  }

  /** The calls and questions that wait for a person, the oldest first. */
  async *pending({ signal }: CallOptions = {}): AsyncGenerator<ToolRequest> {
    let cursor: string | undefined;
    do {
      const query = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const path = `${PREFIX}/tool-requests?status=pending${query}`;
      const page = await this.#http.call<{ items: ToolRequest[]; next_cursor?: string }>("GET", path, undefined, signal === undefined ? {} : { signal });
      yield* page.items;
      cursor = page.next_cursor;
    } while (cursor !== undefined);
  }

  /** One request. */
  request(id: string, options: CallOptions = {}): Promise<ToolRequest> {
    return this.#http.call("GET", `${PREFIX}/tool-requests/${encodeURIComponent(id)}`, undefined, options);
  }

  /** Approves a call or denies it, once; also with other arguments, or with a rule for further calls. */
  decide(id: string, decision: Decision, options: CallOptions & { key?: string } = {}): Promise<ToolRequest> {
    return this.#settle(id, decision, options);
  }

  /** Answers a question. */
  answer(id: string, answer: unknown, options: CallOptions & { key?: string } = {}): Promise<ToolRequest> {
    return this.#settle(id, { answer }, options);
  }

  #settle(id: string, body: object, { key = crypto.randomUUID(), ...options }: CallOptions & { key?: string }): Promise<ToolRequest> {
    const path = `${PREFIX}/tool-requests/${encodeURIComponent(id)}/decision`;
    return this.#http.call("POST", path, body, { ...options, headers: { "idempotency-key": key } });
  }

  /**
   * Changes of the user's objects as they happen, or after an event. The stream is opened again where it breaks off, and
   * goes on after the last event.
   *
   * @param runKey a run whose words are told, too (`run.delta`)
   */
  async *events({ after, runKey, signal }: CallOptions & { after?: number; runKey?: string } = {}): AsyncGenerator<BackendEvent> {
    let last = after;
    const query = runKey === undefined ? "" : `?run_key=${encodeURIComponent(runKey)}`;
    for (let attempt = 0; ; attempt += 1) {
      const headers: { [name: string]: string } = { accept: "text/event-stream" };
      if (last !== undefined) headers["last-event-id"] = String(last);
      let failure: unknown;
      try {
        const response = await this.#http.once("GET", `${PREFIX}/events${query}`, undefined, headers, signal);
        for await (const { id, data } of eventsOf(response)) {
          attempt = 0;
          const number = id === undefined || id === "" ? undefined : Number(id);
          last = number ?? last;
          yield { ...(JSON.parse(data) as BackendEvent), ...(number === undefined ? {} : { event_id: number }) };
        }
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (error instanceof WombatError && !error.isRetryable) throw error;
        if (attempt >= this.#http.retries) throw error;
        failure = error;
      }
      await pause(waitOf(attempt, failure), signal);
    }
  }
}
