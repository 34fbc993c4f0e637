/** Requests and answers, whatever framework they come through. */

import { ContractError } from "./errors.js";
import { toJson } from "./json.js";

/** A request. */
export interface Incoming {
  readonly method: string;
  /** Path and query, as they were sent. */
  readonly url: string;
  /** A header by its name in lower case, as bytes of ISO 8859-1, as HTTP libraries give them. */
  header(name: string): string | undefined;
  /** Reads the body; 413 where it is larger than `most` bytes. */
  body(most: number): Promise<Uint8Array>;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
}

/** An answer. A body in pieces is a stream that stays open. */
export interface Outgoing {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

/** An answer of JSON. */
export function json(value: unknown, status = 200, headers: { [name: string]: string } = {}): Outgoing {
  return { status, headers: { "content-type": "application/json", ...headers }, body: toJson(value) };
}

/** An answer without a body. */
export const nothing = (): Outgoing => ({ status: 204, headers: {}, body: "" });

/** The answer to a create: says whether it was made earlier, under the same key. */
export function created({ body, replayed }: { body: unknown; replayed: boolean }, status = 200): Outgoing {
  return replayed ? json(body, 200, { "idempotent-replayed": "true" }) : json(body, status);
}

/** The answer that an error is. What is not the caller's business is for the log only. */
export function refusal(error: unknown, log: (error: unknown) => void): Outgoing {
  const known = error instanceof ContractError ? error : undefined;
  if (known === undefined || known.status >= 500) log(error);
  const told = known ?? new ContractError(500, "internal_error", "something went wrong; the log says more");
  const wait = told.retryAfter === undefined ? {} : { "retry-after": String(told.retryAfter) };
  return json(told.body(), told.status, wait);
}

/** 413: more bytes than an endpoint takes. */
export const tooLarge = (most: number): ContractError =>
  new ContractError(413, "payload_too_large", `the body is larger than ${most} bytes`);

/** Reads a request of the web's own kind. */
export function fromRequest(request: Request): Incoming {
  const { pathname, search } = new URL(request.url);
  return {
    method: request.method,
    url: pathname + search,
    header: (name) => request.headers.get(name) ?? undefined,
    body: (most) => readStream(request, most),
    signal: request.signal,
  };
}

async function readStream(request: Request, most: number): Promise<Uint8Array> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > most) throw tooLarge(most);
  if (length !== null) return new Uint8Array(await request.arrayBuffer());
  if (request.body === null) return new Uint8Array();
  const pieces: Uint8Array[] = [];
  let size = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(pieces);
    size += value.length;
    if (size > most) throw tooLarge(most);
    pieces.push(value);
  }
}

/** Statuses that have no body. */
const EMPTY = [204, 304];

/** Makes a response of the web's own kind. */
export function toResponse({ status, headers, body }: Outgoing): Response {
  if (EMPTY.includes(status)) return new Response(null, { status, headers });
  if (typeof body === "string" || body instanceof Uint8Array) return new Response(body as BodyInit, { status, headers });
  const pieces = body[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
    },
    async cancel() {
      await pieces.return?.();
    },
  });
  return new Response(stream, { status, headers });
}
