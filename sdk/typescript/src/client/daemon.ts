/** The client of the daemon. */

import { WombatError } from "./errors.js";
import { type CallOptions, type ClientOptions, eventsOf, Http, pause, waitOf } from "./http.js";
import type { RunAnswer, RunStarted, RunState, SendRequest, StreamEvent } from "./types.js";

/** What a daemon's client is told. */
export interface DaemonOptions extends ClientOptions {
  /** The key that the daemon has as `AGENT_DAEMON_API_KEY`. Keep it on your server: whoever has it acts for every user. */
  key?: string;
}

/** What can be said of a stream. */
export interface FollowOptions extends CallOptions {
  /** The id of the last event that was seen. */
  after?: number;
}

/**
 * The daemon's client:
 *
 * ```ts
 * const wombat = new Wombat({ url: "http://127.0.0.1:8081", key });
 * for await (const event of wombat.stream({ user_id: "ann", session_key: "user:ann:scout", task_title: "Chat", message })) {
 *   if (event.type === "chunk") show(event.data);
 * }
 * ```
 */
export class Wombat {
  readonly #http: Http;

  constructor({ key, ...options }: DaemonOptions) {
    const own = options.headers;
    const headers = async () => ({ ...(typeof own === "function" ? await own() : own), ...(key === undefined ? {} : { "x-agent-daemon-key": key }) });
    this.#http = new Http({ ...options, headers });
  }

  /** Runs the agent on a message, and answers when the reply is stored. It is safe to repeat: it has a key. */
  send(request: SendRequest, options: CallOptions = {}): Promise<RunAnswer> {
    return this.#http.call("POST", "/api/agents/send", keyed(request), options);
  }

  /**
   * The same, event by event. The last one is `done` or `error`. When the reader stops, so does the run, unless it is
   * detached; a detached one is followed again where its stream breaks off.
   */
  async *stream(request: SendRequest, options: CallOptions = {}): AsyncGenerator<StreamEvent> {
    if (request.detached) {
      const { detached: _, ...rest } = request;
      const { run_key } = await this.start(rest, options);
      return yield* this.follow(run_key, request.session_key, options);
    }
    const response = await this.#http.once("POST", "/api/agents/stream", keyed(request), { accept: "text/event-stream" }, options.signal);
    for await (const { data } of eventsOf(response)) {
      const event = JSON.parse(data) as StreamEvent;
      yield event;
      if (isEnd(event)) return;
    }
    throw new WombatError(0, "stream_broken", "the stream broke off before its end", undefined, undefined);
  }

  /** Starts a run that goes on without its caller. */
  start(request: SendRequest, options: CallOptions = {}): Promise<RunStarted> {
    return this.#http.call("POST", "/api/agents/runs", keyed(request), options);
  }

  /** Where a detached run stands. */
  run(runKey: string, sessionKey: string, options: CallOptions = {}): Promise<RunState> {
    return this.#http.call("GET", pathOf(runKey), undefined, { ...options, headers: { "x-wombat-session": sessionKey } });
  }

  /**
   * The events of a detached run, from its start or after an event, up to its end. Where the stream breaks off, or its
   * instance stops, it is opened again at whichever instance answers, without a gap and without an event twice.
   */
  async *follow(runKey: string, sessionKey: string, { after, signal }: FollowOptions = {}): AsyncGenerator<StreamEvent> {
    let last = after;
    for (let attempt = 0; attempt <= this.#http.retries; attempt += 1) {
      const headers: { [name: string]: string } = { "x-wombat-session": sessionKey, accept: "text/event-stream" };
      if (last !== undefined) headers["last-event-id"] = String(last);
      let failure: unknown;
      try {
        const response = await this.#http.once("GET", `${pathOf(runKey)}/stream`, undefined, headers, signal);
        for await (const { id, data } of eventsOf(response)) {
          attempt = 0;
          const number = id === undefined || id === "" ? undefined : Number(id);
          const event = { ...(JSON.parse(data) as StreamEvent), ...(number === undefined ? {} : { event_id: number }) } as StreamEvent;
          last = number ?? last;
          yield event;
          if (isEnd(event)) return;
        }
      } catch (error) {
        const broken = !(error instanceof WombatError) && !signal?.aborted && error instanceof TypeError;
        if (!broken && !(error instanceof WombatError && error.isRetryable)) throw error;
        failure = error;
      }
      await pause(waitOf(attempt, failure), signal);
    }
    throw new WombatError(0, "stream_broken", "the stream cannot be opened again", undefined, undefined);
  }

  /** Cancels a run, wherever it is. Repeating it is harmless. */
  cancel(runKey: string, sessionKey: string, options: CallOptions = {}): Promise<{ status: "cancelled" | "cancelling" }> {
    return this.#http.call("DELETE", pathOf(runKey), undefined, { ...options, headers: { "x-wombat-session": sessionKey } });
  }

  /** Goes on with a run once a person has decided, or with answers to its questions. */
  resume(
    run: { user_id: string; session_key: string; run_key: string; task_id?: string },
    answers?: { [id: string]: unknown },
    options: CallOptions = {},
  ): Promise<RunAnswer> {
    const { run_key, ...rest } = run;
    const request = { ...rest, resume_run_key: run_key, ...(answers === undefined ? {} : { answers }) };
    // The run's own key makes it safe to repeat.
    return this.#http.call("POST", "/api/agents/send", request, options);
  }
}

const isEnd = ({ type }: StreamEvent): boolean => type === "done" || type === "error";

const pathOf = (runKey: string): string => `/api/agents/runs/${encodeURIComponent(runKey)}`;

/** A request with a key, so that its repetition is the same run. */
function keyed(request: SendRequest): SendRequest {
  const hasOwn = request.idempotency_key !== undefined || request.resume_run_key !== undefined;
  return hasOwn ? request : { ...request, idempotency_key: crypto.randomUUID() };
}
