// An application with the control plane, for the tests: node server.mjs FRAMEWORK DATABASE. The database is a file of
// SQLite or an address of PostgreSQL. Prints its own address once it listens.

import { createServer } from "node:http";

import { MissionControl } from "../dist/index.js";

const [framework, database] = process.argv.slice(2);

/** The application's own database. */
async function open() {
  if (!database.startsWith("postgres")) {
    const { openSqlite } = await import("../dist/sqlite.js");
    return openSqlite(database);
  }
  const { Kysely, PostgresDialect } = await import("kysely");
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString: database, max: 16 });
  // A connection that breaks while nobody uses it must not end the program.
  pool.on("error", () => undefined);
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

const db = await open();
const tools = [
  {
    name: "greet",
    description: "Greets the user.",
    parameters: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
    run: (user, { name }) => ({ said: `Hello ${name}`, to: user }),
  },
];
const mc = new MissionControl(db, {
  tokens: { secret: process.env.AGENT_JWT_SECRET },
  internalToken: process.env.INTERNAL_API_TOKEN,
  tools,
  retention: { runs: 90, audit: 400 },
});
await mc.migrate();

/** Listens on any port; the port. */
const frameworks = {
  async express() {
    const { default: express } = await import("express");
    const { missionControl } = await import("../dist/express.js");
    const app = express();
    app.use(missionControl(mc));
    app.use(express.json());
    app.get("/own", (_request, response) => response.json({ own: true }));
    return listening(createServer(app));
  },
  async fastify() {
    const { default: fastify } = await import("fastify");
    const { missionControl } = await import("../dist/fastify.js");
    const app = fastify();
    missionControl(app, mc);
    app.get("/own", async () => ({ own: true }));
    await app.listen({ port: 0, host: "127.0.0.1" });
    return app.server.address().port;
  },
  async hono() {
    const { Hono } = await import("hono");
    const { serve } = await import("@hono/node-server");
    const { missionControl } = await import("../dist/hono.js");
    const app = new Hono();
    app.use(missionControl(mc));
    app.get("/own", (context) => context.json({ own: true }));
    return new Promise((resolve) => {
      serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => resolve(port));
    });
  },
  async nest() {
    await import("reflect-metadata");
    const { NestFactory } = await import("@nestjs/core");
    const { missionControl } = await import("../dist/nest.js");
    class AppModule {}
    const { Module } = await import("@nestjs/common");
    Module({})(AppModule);
    const app = await NestFactory.create(AppModule, { logger: false });
    missionControl(app, mc);
    app.getHttpAdapter().get("/own", (_request, response) => response.json({ own: true }));
    await app.listen(0, "127.0.0.1");
    return app.getHttpServer().address().port;
  },
};

function listening(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

const port = await frameworks[framework]();
console.log(`http://127.0.0.1:${port}`);
process.once("SIGTERM", () => process.exit(0));
