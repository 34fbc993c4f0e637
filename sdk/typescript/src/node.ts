/** Requests of Node's own HTTP server, which Express, Fastify and NestJS pass on. */

import type { IncomingMessage, ServerResponse } from "node:http";

import { ContractError } from "./errors.js";
import { type Incoming, type Outgoing, refusal, tooLarge } from "./http.js";
import { toJson } from "./json.js";
import type { MissionControl } from "./mission-control.js";

/** Headers that say who calls, for whom, and which call it is. */
const ONCE = [
  "X-Agent-Token",
  "X-Internal-Token",
  "X-On-Behalf-Of",
  "X-Session-Fence",
  "Idempotency-Key",
  "Last-Event-ID",
  "Authorization",
];

/** Refuses a header that comes twice: which of two counts differs from program to program. */
function checkOnce({ rawHeaders }: IncomingMessage): void {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]?.toLowerCase() ?? "";
    const shown = ONCE.find((one) => one.toLowerCase() === name);
    if (shown !== undefined && seen.has(name)) {
      const text = `the header ${shown} is sent more than once; send it once, as UTF-8 text`;
      throw new ContractError(400, "invalid_header", text, { header: shown });
    }
    seen.add(name);
  }
}

/** How long a body may take to arrive, in milliseconds. */
const BODY_TIMEOUT_MS = 30_000;

/** Reads a body. One that is too large is not kept, and the caller may finish sending it. */
function readBody(request: IncomingMessage & { body?: unknown }, most: number): Promise<Uint8Array> {
  // Some middleware of the application has read it before.
  if (request.readableEnded) return Promise.resolve(parsedBefore(request.body, most));
  if (Number(request.headers["content-length"] ?? 0) > most) {
    request.resume();
    return Promise.reject(tooLarge(most));
  }
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let size = 0;
    const late = () => done(() => reject(new ContractError(408, "request_timeout", "timeout: the body did not arrive in time")));
    const timer = setTimeout(late, BODY_TIMEOUT_MS);
    const done = (then: () => void) => {
      clearTimeout(timer);
      request.off("data", take).off("end", end).off("close", gone).off("error", gone);
      request.on("error", () => undefined);
      request.resume();
      then();
    };
    const take = (piece: Buffer) => {
      size += piece.length;
      if (size > most) done(() => reject(tooLarge(most)));
      else pieces.push(piece);
    };
    const end = () => done(() => resolve(Buffer.concat(pieces)));
    const gone = () =>
      done(() => reject(new ContractError(400, "malformed_json", "the connection closed before the body was complete")));
    request.on("data", take).once("end", end).once("close", gone).once("error", gone);
  });
}

function parsedBefore(body: unknown, most: number): Uint8Array {
  if (body === undefined || body === null) return new Uint8Array();
  const bytes = body instanceof Uint8Array ? body : Buffer.from(typeof body === "string" ? body : toJson(body));
  if (bytes.length > most) throw tooLarge(most);
  return bytes;
}

function incoming(request: IncomingMessage & { originalUrl?: string }, signal: AbortSignal): Incoming {
  return {
    method: request.method ?? "GET",
    // Express cuts off what a router is mounted at.
    url: request.originalUrl ?? request.url ?? "/",
    header: (name) => {
      const value = request.headers[name];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    body: (most) => readBody(request, most),
    signal,
  };
}

/** Writes an answer, as fast as its reader takes it. */
async function send(response: ServerResponse, { status, headers, body }: Outgoing, signal: AbortSignal): Promise<void> {
  if (typeof body === "string" || body instanceof Uint8Array) {
    const length = { "content-length": String(Buffer.byteLength(body)) };
    response.writeHead(status, status === 204 || status === 304 ? headers : { ...headers, ...length });
    response.end(body);
    return;
  }
  response.writeHead(status, headers);
  response.flushHeaders();
  for await (const piece of body) {
    if (signal.aborted) break;
    if (!response.write(piece)) await drained(response, signal);
  }
  response.end();
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go);
      signal.removeEventListener("abort", go);
      resolve();
    };
    response.once("drain", go);
    signal.addEventListener("abort", go, { once: true });
  });
}

/** Answers one request of Node's HTTP server. */
export async function answerNode(mc: MissionControl, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  let answer: Outgoing;
  try {
    checkOnce(request);
    answer = await mc.answer(incoming(request, gone.signal));
  } catch (error) {
    answer = refusal(error, mc.log);
  }
  try {
    await send(response, answer, gone.signal);
  } catch (error) {
    mc.log(error);
    response.destroy();
  }
}

/** A listener for `http.createServer`: the control plane as a server of its own. */
export function nodeListener(mc: MissionControl): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => void answerNode(mc, request, response);
}
