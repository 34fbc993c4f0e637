/** The control plane in a Fastify application. */

import type { IncomingMessage, ServerResponse } from "node:http";

import { answerNode } from "./node.js";
import type { MissionControl } from "./mission-control.js";

interface Hooked {
  addHook(
    name: "onRequest",
    hook: (request: { raw: IncomingMessage }, reply: { raw: ServerResponse; hijack(): unknown }, done: () => void) => void,
  ): unknown;
}

/**
 * Answers the contract's paths before Fastify looks for a route or reads a body:
 *
 * ```ts
 * missionControl(fastify, mc);
 * ```
 */
export function missionControl(fastify: Hooked, mc: MissionControl): void {
  fastify.addHook("onRequest", (request, reply, done) => {
    if (!mc.owns(request.raw.url ?? "/")) return done();
    reply.hijack();
    void answerNode(mc, request.raw, reply.raw);
  });
}
