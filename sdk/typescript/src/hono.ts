/** The control plane in a Hono application. */

import type { MissionControl } from "./mission-control.js";

/**
 * Middleware that answers the contract's paths and passes all others on:
 *
 * ```ts
 * app.use(missionControl(mc));
 * ```
 */
export function missionControl(
  mc: MissionControl,
): (context: { req: { raw: Request } }, next: () => Promise<void>) => Promise<Response | void> {
  return async ({ req }, next) => {
    if (!mc.owns(new URL(req.raw.url).pathname)) return next();
    return mc.handle(req.raw);
  };
}
