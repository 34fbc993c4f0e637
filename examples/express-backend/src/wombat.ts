// The daemon, through a client whose types are generated of its own description: npm run generate.

import createClient from "openapi-fetch";

import { Problem } from "./errors.js";
import type { components, paths } from "./generated/wombat.js";

const key = process.env.AGENT_DAEMON_API_KEY;

export const wombat = createClient<paths>({
  baseUrl: process.env.WOMBAT_URL || "http://127.0.0.1:8081",
  headers: key ? { "X-Agent-Daemon-Key": key } : {},
});

type ErrorBody = components["schemas"]["ErrorBody"];

/** What the person may be told as it is. Everything else is between the two services. */
const TOLD = [402, 409, 422, 429, 503, 504];

/** What the daemon refused, as an error of this application. */
export function refusal(error: ErrorBody | undefined, response: Response): Problem {
  const { code, error: text } = { code: "agent_failed", error: "the agent could not answer", ...error };
  const retryAfter = response.headers.get("retry-after");
  const headers: Record<string, string> = retryAfter ? { "Retry-After": retryAfter } : {};
  if (TOLD.includes(response.status)) {
    return new Problem(response.status, code, text, undefined, headers);
  }
  console.error(`the daemon answered ${response.status}:`, code, text);
  return new Problem(502, "agent_failed", "the agent could not answer");
}

/** The daemon is not there, or its answer broke off. */
export function unreachable(cause: unknown): never {
  console.error("the daemon cannot be reached:", cause);
  const headers = { "Retry-After": "5" };
  throw new Problem(503, "agent_unavailable", "the agent cannot be reached", undefined, headers);
}
