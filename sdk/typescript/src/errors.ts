/** Errors in the contract's shape: `{error, code?, details?}` with a status. */

import type { Json } from "./json.js";

/** A refusal that the caller is told: its status, a code for programs and a sentence for people. */
export class ContractError extends Error {
  override readonly name = "ContractError";

  constructor(
    /** The HTTP status. */
    readonly status: number,
    /** What programs tell it by. */
    readonly code: string,
    message: string,
    /** What belongs to the code. */
    readonly details?: { [name: string]: unknown },
    /** After how many seconds to try again; 429 and 503 always say so. */
    readonly retryAfter: number | undefined = status === 429 || status === 503 ? 1 : undefined,
  ) {
    super(message);
  }

  /** The body of the answer. */
  body(): { error: string; code: string; details?: { [name: string]: unknown } } {
    const { message, code, details } = this;
    return { error: message, code, ...(details === undefined ? {} : { details }) };
  }
}

/** 400: fields of a request are wrong, each with the reason. */
export function invalidFields(fields: { [name: string]: string }): ContractError {
  const names = Object.keys(fields).sort();
  const text = names.map((name) => `${name} ${fields[name]}`).join("; ");
  return new ContractError(400, "invalid_payload", text, { fields });
}

/** 400: one field is wrong. */
export const invalid = (field: string, why: string): ContractError => invalidFields({ [field]: why });

/** 404: there is no such object, or it is another user's: the two cannot be told apart. */
export const notFound = (what: string): ContractError =>
  new ContractError(404, "not_found", `there is no such ${what}`);

/** 403: the caller is known, and may not do this. */
export const forbidden = (why: string): ContractError => new ContractError(403, "forbidden", why);

/** 401: nobody knows who calls. */
export const unauthorized = (why: string): ContractError => new ContractError(401, "unauthorized", why);

/** 403: a field names another role than the agent token. */
export function roleMismatch(field: string, own: string): ContractError {
  const text = `${field} names another role than the agent token, which is for ${own}: send that role's token`;
  return new ContractError(403, "role_mismatch", text, { field, role: own });
}

/** 409: what is there does not allow it. */
export function conflict(code: string, text: string, details?: { [name: string]: unknown }): ContractError {
  return new ContractError(409, code, text, details);
}

/** 409: the key was used for another body. */
export function keyReused(original: Json): ContractError {
  const text = "this idempotency key was used for another request; send a new key, or the same body";
  return conflict("idempotency_conflict", text, { original });
}

/** 409: somebody else has the session by now. */
export const staleFence = (): ContractError =>
  conflict("stale_fence", "the session lease of this write was released, or somebody else has it by now");

/** 409: the run is over. */
export const runFinished = (why: string, status: string): ContractError =>
  conflict("run_finished", why, { status });
