/** Calls with retries, and event streams. Nothing here is Node's own: it works in browsers, too. */

import { errorOf, unreachable, WombatError } from "./errors.js";

/** How calls are made. */
export interface CallOptions {
  /** Ends the call. */
  signal?: AbortSignal;
}

/** What clients have in common. */
export interface ClientOptions {
  /** Where the other side listens, such as `http://127.0.0.1:8081`. */
  url: string;
  /** Headers of each call. */
  headers?: { [name: string]: string } | (() => { [name: string]: string } | Promise<{ [name: string]: string }>);
  /** How often a call that is safe to repeat is tried again (4). */
  retries?: number;
  /** Another `fetch` than that of the platform. */
  fetch?: typeof fetch;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;

/** Waits, unless the call is ended meanwhile. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** How long to wait before a try: longer each time, and never all at once; or as the other side says. */
export function waitOf(attempt: number, error: unknown): number {
  const asked = error instanceof WombatError ? error.retryAfter : undefined;
  if (asked !== undefined) return Math.min(asked * 1000, LONGEST_WAIT_MS);
  return Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
}

/** An event of a stream. */
export interface ServerEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

/** Makes calls. */
export class Http {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, "") };
  }

  /** How often a call that is safe to repeat is tried again. */
  get retries(): number {
    return this.#options.retries ?? 4;
  }

  /** One try: its response, where it is no error. */
  async once(method: string, path: string, body: unknown, headers: { [name: string]: string }, signal: AbortSignal | undefined): Promise<Response> {
    const { url, headers: own, fetch: call = fetch } = this.#options;
    const given = typeof own === "function" ? await own() : own;
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const init: RequestInit = { method, headers: { ...type, ...given, ...headers } };
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal !== undefined) init.signal = signal;
    const response = await call(url + path, init).catch((cause: unknown) => {
      if (signal?.aborted) throw signal.reason;
      throw unreachable(url, cause);
    });
    if (!response.ok) throw await errorOf(response);
    return response;
  }

  /** A call that is safe to repeat, with its retries. */
  async call<T>(method: string, path: string, body?: unknown, options: CallOptions & { headers?: { [name: string]: string } } = {}): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const response = await this.once(method, path, body, options.headers ?? {}, options.signal);
        return (response.status === 204 ? undefined : await response.json()) as T;
      } catch (error) {
        const mayRepeat = error instanceof WombatError && error.isRetryable && attempt < this.retries;
        if (!mayRepeat) throw error;
        await pause(waitOf(attempt, error), options.signal);
      }
    }
  }
}

/** The events of a response, as they come (HTML, 9.2.6). A stream that breaks off ends without an error here. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, id, event] = ["", undefined as string | undefined, undefined as string | undefined];
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      // A carriage return at the end may be the first half of a line's end.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { id, event, data: data.join("\n") };
          [event, data] = [undefined, []];
          id = undefined;
          continue;
        }
        const at = line.indexOf(":");
        const [name, text] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
        if (name === "data") data.push(text);
        else if (name === "event") event = text;
        else if (name === "id" && !text.includes("\0")) id = text;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
