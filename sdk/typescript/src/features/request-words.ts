/** What is said of requests and decisions. */

import { createHash } from "node:crypto";

import { conflict, ContractError } from "../errors.js";
import { canonical, type Json, type JsonObject } from "../json.js";
import type { Actor } from "../scope.js";

/** The SHA-256 of the canonical form of a schema or arguments. */
export const hashOf = (value: Json): string => createHash("sha256").update(canonical(value)).digest("hex");

/** Who decides, as it is kept with a request. */
export function decidedBy(actor: Actor): JsonObject {
  switch (actor.type) {
    case "person":
      return { type: "person", id: actor.userId };
    case "agent":
      return { type: "agent", id: actor.role };
    case "service":
    case "system":
      return { type: actor.type };
  }
}

/** 409: a decision is final. */
export const alreadyDecided = (status: string): ContractError =>
  conflict("already_decided", `the request is ${status} already`, { status });

/** What a decision about a question lacks. */
export const NO_ANSWER = "this is a question: give it an answer, or deny it, so that nobody answers";

/** 400: an answer or arguments do not fit what was asked. */
export const mismatch = (code: "answer_mismatch" | "arguments_mismatch", errors: string[]): ContractError =>
  new ContractError(400, code, errors.join("; "), { errors });
