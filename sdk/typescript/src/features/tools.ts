/** The application's own tools. */

import { ContractError, forbidden, notFound } from "../errors.js";
import { json } from "../http.js";
import { compileSchema } from "../json-schema.js";
import type { Feature } from "../routing.js";

/** The endpoints of tools. */
export const tools: Feature = {
  names: ["tools"],
  routes: [
    {
      method: "GET",
      path: "/api/tools",
      answer: async (call) => {
        await call.anyAgent();
        const all = call.plane.options.tools ?? [];
        return json({ tools: all.map(({ name, description, parameters }) => ({ name, description, parameters })) });
      },
    },
    {
      method: "POST",
      path: "/api/tools/:name",
      answer: async (call) => {
        if (call.incoming.header("x-internal-token") !== undefined) {
          await call.service();
          throw forbidden("tools are called by agents");
        }
        const who = await call.agent();
        const user = await call.plane.known(who.userId, await call.claims());
        const body = await call.body();
        const tool = (call.plane.options.tools ?? []).find(({ name }) => name === call.id("name"));
        if (tool === undefined) throw notFound("tool");
        const args = body.maybeObject("arguments") ?? {};
        const errors = compileSchema(tool.parameters)(args);
        if (errors.length > 0) {
          const fields = Object.fromEntries(errors.map((error) => [/^\/([^/:]+)/.exec(error)?.[1] ?? missing(error), error]));
          throw new ContractError(400, "invalid_payload", errors.join("; "), { fields });
        }
        const answer = await tool.run(user, args, { userId: who.userId, role: who.role, key: call.key });
        return json(answer === undefined ? null : answer);
      },
    },
  ],
};

/** The property that a schema misses, or has too many. */
const missing = (error: string): string => /property '([^']+)'/.exec(error)?.[1] ?? "arguments";
