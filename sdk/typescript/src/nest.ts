/** The control plane in a NestJS application, on Express or Fastify. */

import { missionControl as express } from "./express.js";
import { missionControl as fastify } from "./fastify.js";
import type { MissionControl } from "./mission-control.js";

interface NestApplication {
  getHttpAdapter(): { getType(): string; getInstance(): unknown };
  use(...middleware: unknown[]): unknown;
}

/**
 * Answers the contract's paths before NestJS's own pipeline. Create the application without its body parser, or call
 * this before `listen` and `init`, so that bodies are read here:
 *
 * ```ts
 * const app = await NestFactory.create(AppModule);
 * missionControl(app, mc);
 * await app.listen(3000);
 * ```
 */
export function missionControl(app: NestApplication, mc: MissionControl): void {
  const adapter = app.getHttpAdapter();
  if (adapter.getType() === "fastify") fastify(adapter.getInstance() as Parameters<typeof fastify>[0], mc);
  else app.use(express(mc));
}
