// The package as a user gets it: packed, installed in a fresh folder, started as its README says.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { test } from "node:test";

import { ended, folder, keys, nodes, root } from "./programs.mjs";

const readme = readFileSync(join(root, "README.md"), "utf8");

/** The first block of the README in a language that has this text. */
function block(language, text) {
  const blocks = [...readme.matchAll(/```(\w+)\n(.*?)```/gs)].filter(([, name]) => name === language);
  return blocks.map(([, , code]) => code).find((code) => code.includes(text));
}

function token(user, role) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1000);
  const claims = { type: "agent", user_id: user, agent_role: role, sub: `wombat:${role}`, iss: "wombat", iat, exp: iat + 300, jti: randomUUID() };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", keys.AGENT_JWT_SECRET).update(signed).digest("base64url")}`;
}

async function started(t, node, dir) {
  const env = { ...process.env, ...keys, PORT: "0" };
  const child = spawn(node, ["app.mjs"], { cwd: dir, env, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => ended(child));
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /listening on (\d+)/.exec(line)?.[1];
    if (port) return `http://127.0.0.1:${port}`;
  }
  throw new Error("the application has ended");
}

test("packed, installed and started as the README says", { timeout: 300_000 }, async (t) => {
  const dir = folder(t);
  const run = (program, ...args) => execFileSync(program, args, { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const packed = JSON.parse(execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", dir], { cwd: root, encoding: "utf8" }));
  const files = packed[0].files.map(({ path }) => path);
  assert.ok(files.includes("README.md") && files.includes("dist/index.d.ts") && files.includes("dist/client/index.js"), files.join());
  assert.ok(!files.some((path) => path.startsWith("src/") || path.startsWith("test/")), files.join());
  writeFileSync(join(dir, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  run("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", `./${packed[0].filename}`, "express@5.3.0");
  writeFileSync(join(dir, "app.mjs"), block("js", "openSqlite(\"app.db\")"));
  for (const node of nodes()) {
    const url = await started(t, node, dir);
    assert.equal(await (await fetch(url)).text(), "the application");
    const call = (user, path, init = {}) => fetch(url + path, { ...init, headers: { "x-agent-token": token(user, "scout"), "content-type": "application/json" } });
    const greeted = await call("ann", "/api/tools/greet", { method: "POST", body: "{}" });
    assert.deepEqual(await greeted.json(), { said: "Hello Ann" });
    const wrong = await call("ann", "/api/tools/greet", { method: "POST", body: '{"arguments": {"loud": true}}' });
    assert.equal(wrong.status, 400);
    const nobody = await call("eve", "/api/mission-control/tasks");
    assert.equal(nobody.status, 404);
    assert.equal((await call("ann", "/api/mission-control/tasks")).status, 200);
  }
  // A program in TypeScript sees the types of the package alone.
  const program = `import { MissionControl, type Options } from "wombat-mission-control";
import { openSqlite } from "wombat-mission-control/sqlite";
import { Wombat, type StreamEvent } from "wombat-mission-control/client";
const options: Options<{ name: string }> = { tokens: { secret: "x".repeat(32) }, user: (id) => ({ name: id }) };
export const mc = new MissionControl(openSqlite(":memory:"), options);
export const shown = (event: StreamEvent): string => (event.type === "chunk" ? event.data : event.type);
export const wombat = new Wombat({ url: "http://127.0.0.1:8081" });
`;
  writeFileSync(join(dir, "program.ts"), program);
  const flags = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2023", "--lib", "es2023,dom", "program.ts"];
  run(process.execPath, join(root, "node_modules/typescript/bin/tsc"), ...flags);
});
