// Long results: kept with their run, for its user and role, within bounds, until they expire.

import assert from "node:assert/strict";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Kysely, PostgresDialect, sql } from "kysely";
import { Migrator } from "kysely/migration";
import pg from "pg";

import { MissionControl, migrations } from "../dist/index.js";
import { oldArtifacts } from "../dist/features/artifacts.js";
import { expiry } from "../dist/features/retention.js";
import { Plane } from "../dist/plane.js";
import { openSqlite } from "../dist/sqlite.js";
import { KyselyStorage } from "../dist/store/storage.js";
import { folder, keys, postgres, skipped } from "./programs.mjs";

const TEXT = '\ufeff["größe", 1]';
const hash = (content) => createHash("sha256").update(content).digest("hex");
const path = (run, content) => `/runs/${run}/artifacts/${hash(content)}`;

function token(user, role) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1000);
  const claims = { type: "agent", user_id: user, agent_role: role, sub: `wombat:${role}`, iss: "wombat", iat, exp: iat + 300, jti: randomUUID() };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", keys.AGENT_JWT_SECRET).update(signed).digest("base64url")}`;
}

const agent = (user = "ann", role = "scout") => ({ "x-agent-token": token(user, role) });
const person = (user = "ann") => ({ "x-internal-token": keys.INTERNAL_API_TOKEN, "x-on-behalf-of": user });

/** What the tests have opened. */
const opened = [];

/** A control plane in a database, with a run of ann's scout. */
async function control(db, more = {}) {
  const options = { tokens: { secret: keys.AGENT_JWT_SECRET }, internalToken: keys.INTERNAL_API_TOKEN, leadRoles: ["lead"], ...more };
  const mc = new MissionControl(db, options);
  opened.push(mc);
  await mc.migrate();
  const send = async (who, method, to, body, headers = {}) => {
    const all = { "content-type": "application/json", ...who, ...headers };
    const answer = await mc.handle(new Request(`http://mc/api/mission-control${to}`, { method, body, headers: all }));
    const bytes = Buffer.from(await answer.arrayBuffer());
    const json = () => JSON.parse(bytes.toString());
    return { status: answer.status, headers: answer.headers, bytes, json, error: () => [answer.status, json().code] };
  };
  const begin = async (run, user = "ann") => {
    const task = (await send(agent(user), "POST", "/tasks", '{"title": "t"}')).json().id;
    const body = { session_key: `user:${user}:scout`, task_id: task, status: "running" };
    assert.equal((await send(agent(user), "PUT", `/runs/${run}`, JSON.stringify(body))).status, 200);
  };
  const count = async () => Number((await sql`select count(*) as many from wombat_artifacts`.execute(db)).rows[0].many);
  await begin("r1");
  const put = (who, run, content, query = "") => send(who, "PUT", path(run, content) + query, content);
  return { send, put, begin, count, plane: new Plane(options, new KyselyStorage(db)) };
}

/** Ends what works in a database, and closes it. */
async function close(db) {
  await Promise.all(opened.splice(0).map((mc) => mc.close()));
  await db.destroy();
}

/** What is tested on both databases. */
const all = [];
const onBoth = (name, work) => all.push({ name, work });

onBoth("a result is kept once for its user and role", async (db) => {
  const { send, put, count } = await control(db);
  const made = await put(agent(), "r1", TEXT);
  assert.deepEqual([made.status, made.json().sha256, made.json().size], [201, hash(TEXT), Buffer.byteLength(TEXT)]);
  await pause(2);
  const again = await put(agent(), "r1", TEXT);
  assert.equal(again.status, 200);
  assert.ok(again.json().expires_at > made.json().expires_at);
  assert.equal(await count(), 1);
  for (const [who, query] of [[agent(), ""], [person(), ""], [agent("ann", "lead"), ""], [agent("ann", "lead"), "?role=scout"]]) {
    const kept = await send(who, "GET", path("r1", TEXT) + query);
    assert.deepEqual([kept.status, kept.bytes.toString()], [200, TEXT]);
    assert.equal(kept.headers.get("content-type"), "application/json");
    assert.equal(kept.headers.get("content-disposition"), "attachment");
    assert.equal(kept.headers.get("x-content-type-options"), "nosniff");
  }
  for (const [who, query] of [[agent("bob"), ""], [agent("ann", "writer"), ""], [person("bob"), ""], [agent("ann", "lead"), "?role=writer"]]) {
    assert.deepEqual((await send(who, "GET", path("r1", TEXT) + query)).error(), [404, "artifact_not_found"]);
    assert.deepEqual((await put(who, "r1", TEXT, query)).error(), [404, "not_found"]);
  }
  assert.deepEqual((await send(agent(), "GET", path("r1", "other"))).error(), [404, "artifact_not_found"]);
  assert.deepEqual((await send(agent(), "GET", path("r2", TEXT))).error(), [404, "artifact_not_found"]);
  assert.equal((await put(agent(), "r2", TEXT)).status, 404);
});

onBoth("what is no such text or too much is refused", async (db) => {
  const { send, put, begin, count } = await control(db, { maxArtifactBytes: 2_000, artifactQuotaBytes: 3_000 });
  const binary = Buffer.from([255]);
  for (const [to, body] of [[path("r1", "a"), "b"], ["/runs/r1/artifacts/xyz", "b"], [path("r1", "a\0"), "a\0"], [path("r1", binary), binary]]) {
    assert.deepEqual((await send(agent(), "PUT", to, body)).error(), [400, "invalid_payload"]);
  }
  const kind = { "content-type": "no type" };
  assert.deepEqual((await send(agent(), "PUT", path("r1", "a"), "a", kind)).error(), [400, "invalid_payload"]);
  const packed = await send(agent(), "PUT", path("r1", "a"), "a", { "content-encoding": "gzip" });
  assert.deepEqual(packed.error(), [415, "unsupported_media_type"]);
  assert.equal(await count(), 0);
  const large = (await put(agent(), "r1", "x".repeat(2_001))).json();
  assert.deepEqual([large.code, large.details], ["artifact_too_large", { max_bytes: 2_000 }]);
  assert.equal((await put(agent(), "r1", "y".repeat(1_990))).status, 201);
  // A small one counts as a kilobyte, in any run of the user.
  await begin("r2");
  const refused = (await put(agent(), "r2", "z")).json();
  assert.deepEqual([refused.code, refused.details], ["quota_exceeded", { quota_bytes: 3_000, used_bytes: 1_990 }]);
  // What is there takes no more room, and others have their own.
  assert.equal((await put(agent(), "r1", "y".repeat(1_990))).status, 200);
  await begin("r1", "bob");
  assert.equal((await put(agent("bob"), "r1", "z")).status, 201);
});

onBoth("it expires and is deleted then", async (db) => {
  const { send, put, count, plane } = await control(db, { artifactTtlSecs: 1, artifactQuotaBytes: 1_024 });
  await put(agent(), "r1", "text");
  await pause(1_010);
  assert.deepEqual((await send(agent(), "GET", path("r1", "text"))).error(), [404, "artifact_not_found"]);
  // Expired ones take no room, and are put anew.
  assert.equal((await put(agent(), "r1", "text")).status, 201);
  await oldArtifacts.work(plane);
  assert.equal(await count(), 1);
  await pause(1_010);
  await oldArtifacts.work(plane);
  assert.equal(await count(), 0);
});

onBoth("it is exported and goes with its user or its run", async (db) => {
  const { send, put, begin, count, plane } = await control(db, { retention: { runs: 1 } });
  await begin("r2", "bob");
  await put(agent("bob"), "r2", "bob's");
  const texts = [TEXT, ...Array.from({ length: 9 }, (_, at) => `text ${at}`)];
  for (const text of texts) await put(agent(), "r1", text);
  const lines = (await send(person(), "GET", "/users/ann/agent-data")).bytes.toString().trim().split("\n").map((line) => JSON.parse(line));
  const items = lines.filter(({ kind }) => kind === "artifacts").map(({ item }) => item);
  assert.deepEqual(items.map(({ content }) => content).sort(), [...texts].sort());
  assert.ok(items.every(({ run_key, user_id }) => run_key === "r1" && user_id === "ann"));
  const gone = (await send(person(), "DELETE", "/users/ann/agent-data?messages=delete")).json();
  assert.equal(gone.counts.artifacts, texts.length);
  assert.equal(await count(), 1);
  await sql`update wombat_runs set status = 'completed', updated_at = '2001-01-01T00:00:00.000Z'`.execute(db);
  await expiry.work(plane);
  assert.equal(await count(), 0);
});

onBoth("a database of before gets the table", async (db) => {
  const getMigrations = () => Promise.resolve({ wombat_0001_start: migrations.wombat_0001_start });
  const names = { migrationTableName: "wombat_migrations", migrationLockTableName: "wombat_migrations_lock" };
  const { error } = await new Migrator({ db, provider: { getMigrations }, ...names }).migrateToLatest();
  assert.equal(error, undefined);
  const { put } = await control(db);
  assert.equal((await put(agent(), "r1", TEXT)).status, 201);
});

test("long results on SQLite", { timeout: 120_000 }, async (t) => {
  for (const { name, work } of all) {
    await t.test(name, async (t) => {
      const db = openSqlite(join(folder(t), "mc.db"));
      await work(db).finally(() => close(db));
    });
  }
});

test("long results on PostgreSQL", { timeout: 240_000 }, async (t) => {
  const database = await postgres(t);
  if (database === undefined) return t.skip(skipped("PostgreSQL is not installed"));
  for (const [at, { name, work }] of all.entries()) {
    await t.test(name, async () => {
      const pool = new pg.Pool({ connectionString: database(`artifacts_${at}`), max: 4 });
      const db = new Kysely({ dialect: new PostgresDialect({ pool }) });
      await work(db).finally(() => close(db));
    });
  }
});
