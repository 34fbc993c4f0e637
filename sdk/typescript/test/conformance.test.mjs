// Every check of our conformance suite passes, for each feature of the contract.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { application, conformance, folder, missionControl, nodes, postgres, root, skipped } from "./programs.mjs";

const [oldest, newest] = nodes();

/** What the reference backend announces. */
const FEATURES = readFileSync(join(root, "test/features.txt"), "utf8").trim().split(/\s+/);

/** Of all checks only this one cannot be made where tokens are signed with a secret. */
const NOT_HERE = ["public-key-as-secret"];

async function conforms(t, framework, database, node) {
  const { url } = await application(t, framework, database, node);
  const checks = await conformance(t, url);
  const of = (outcome) => checks.filter((check) => check.outcome === outcome).map(({ check, seen }) => `${check}: ${seen}`);
  assert.deepEqual(of("fail"), []);
  assert.deepEqual(of("warning"), []);
  const left = checks.filter(({ outcome, check }) => outcome === "skipped" && !NOT_HERE.includes(check));
  assert.deepEqual(left.map(({ check, seen }) => `${check}: ${seen}`), []);
  assert.ok(checks.length > 200, `${checks.length} checks`);
}

const skip = missionControl === undefined ? skipped("WOMBAT_MISSION_CONTROL names no program with the conformance suite") : false;

test("the contract is kept", { skip, concurrency: true, timeout: 600_000 }, async (t) => {
  const database = await postgres(t);
  const why = database === undefined ? skipped("PostgreSQL is not installed") : false;
  await Promise.all([
    t.test("Express on SQLite", (t) => conforms(t, "express", join(folder(t), "mc.db"), oldest)),
    t.test("Express on PostgreSQL", { skip: why }, (t) => conforms(t, "express", database("express"), newest)),
    t.test("NestJS on SQLite", (t) => conforms(t, "nest", join(folder(t), "mc.db"), newest)),
    t.test("NestJS on PostgreSQL", { skip: why }, (t) => conforms(t, "nest", database("nest"), oldest)),
  ]);
});

for (const framework of ["express", "fastify", "hono", "nest"]) {
  test(`${framework} passes on what is not the contract's`, async (t) => {
    const { url } = await application(t, framework, ":memory:", newest);
    const get = (path) => fetch(url + path);
    assert.deepEqual(await (await get("/own")).json(), { own: true });
    const refused = await get("/api/mission-control/tasks");
    assert.equal(refused.status, 401);
    assert.equal((await refused.json()).code, "unauthorized");
    assert.equal((await get("/elsewhere")).status, 404);
    const headers = { "x-internal-token": process.env.INTERNAL_API_TOKEN ?? "an-internal-token-of-the-tests", "x-on-behalf-of": "ann" };
    const body = JSON.stringify({ title: "Ünë", metadata: { big: 1 } }).replace('"big":1', '"big":12345678901234567890');
    const made = await fetch(`${url}/api/mission-control/tasks`, { method: "POST", body, headers: { ...headers, "content-type": "application/json" } });
    assert.equal(made.status, 200);
    assert.match(await made.text(), /"big":12345678901234567890/);
    const capabilities = await fetch(`${url}/api/mission-control/capabilities`, { headers: { "x-internal-token": headers["x-internal-token"] } });
    const { features } = await capabilities.json();
    assert.deepEqual(Object.keys(features).sort(), [...FEATURES].sort());
  });
}
