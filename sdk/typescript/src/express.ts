/** The control plane in an Express application (4 or 5). */

import type { IncomingMessage, ServerResponse } from "node:http";

import { answerNode } from "./node.js";
import type { MissionControl } from "./mission-control.js";

/**
 * Middleware that answers the contract's paths and passes all others on.
 *
 * Put it before `express.json()`, so that it reads bodies itself and numbers keep all their digits:
 *
 * ```ts
 * app.use(missionControl(mc));
 * app.use(express.json());
 * ```
 */
export function missionControl(
  mc: MissionControl,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void {
  return (request, response, next) => {
    const { originalUrl } = request as { originalUrl?: string };
    if (mc.owns(originalUrl ?? request.url ?? "/")) void answerNode(mc, request, response);
    else next();
  };
}
