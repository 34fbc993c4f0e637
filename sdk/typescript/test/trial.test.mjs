// Servers that are killed while they write: nothing is lost, nothing is made twice, and each session keeps its order.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { application, ended, folder, keys, nodes, postgres, skipped } from "./programs.mjs";

/** How many notifications, of how many users; and how often servers are killed. */
const MANY = Number(process.env.WOMBAT_SDK_TRIAL ?? 100);
const USERS = 5;
const KILL_EVERY_MS = 1_500;

const internal = { "x-internal-token": keys.INTERNAL_API_TOKEN, "content-type": "application/json" };

async function trial(t, database, instances) {
  const [node] = nodes();
  const servers = await Promise.all(Array.from({ length: instances }, () => application(t, "express", database, node)));
  let [turn, kills, over] = [0, 0, false];

  /** A call at any instance, until one answers. */
  async function call(method, path, body, headers = internal) {
    for (;;) {
      const { url } = servers[turn++ % servers.length];
      const answer = await fetch(`${url}/api/mission-control${path}`, { method, headers, body: body && JSON.stringify(body) }).catch(() => undefined);
      const text = await answer?.text().catch(() => undefined);
      if (text !== undefined && answer.status < 500 && answer.status !== 429) return { status: answer.status, body: JSON.parse(text) };
      await pause(30);
    }
  }

  async function killing() {
    while (!over) {
      await pause(KILL_EVERY_MS);
      const at = kills++ % servers.length;
      await ended(servers[at].child, "SIGKILL");
      servers[at] = await application(t, "express", database, node);
    }
  }

  const users = Array.from({ length: USERS }, (_, at) => `user-${at}`);
  const handed = new Map(users.map((user) => [user, []]));
  const delivered = new Set();

  async function writing(user) {
    for (let n = 0; n < MANY / USERS; n += 1) {
      const body = { user_id: user, session_key: `user:${user}:scout`, content: String(n), idempotency_key: `n-${n}` };
      const made = await call("POST", "/notifications", body);
      assert.ok([200, 201].includes(made.status), JSON.stringify(made));
    }
  }

  async function dispatching() {
    while (delivered.size < MANY) {
      const { body } = await call("POST", "/dispatch/undelivered?limit_users=10&limit_notifications=20&lease_seconds=1", {});
      if (body.deliveries.length === 0) await pause(50);
      for (const one of body.deliveries) {
        const seen = handed.get(one.user_id);
        if (!seen.includes(Number(one.content))) seen.push(Number(one.content));
      }
      const named = body.deliveries.map(({ notification_id, user_id }) => ({ notification_id, user_id }));
      if (named.length === 0) continue;
      const { body: done } = await call("POST", "/dispatch/deliver", { deliveries: named });
      assert.deepEqual(done.not_found, []);
      for (const { notification_id } of named) delivered.add(notification_id);
    }
  }

  const killed = killing();
  await Promise.all([...users.map(writing), dispatching(), dispatching()]);
  over = true;
  await killed;
  assert.ok(kills > 0, "no server was killed");
  for (const user of users) {
    const all = [];
    for (let cursor = ""; cursor !== undefined; ) {
      const { body } = await call("GET", `/notifications?limit=200${cursor}`, undefined, { ...internal, "x-on-behalf-of": user });
      all.push(...body.items);
      cursor = body.next_cursor === undefined ? undefined : `&cursor=${body.next_cursor}`;
    }
    const expected = Array.from({ length: MANY / USERS }, (_, n) => n);
    assert.deepEqual(all.map(({ content }) => Number(content)), expected, "each is there, and once");
    assert.ok(all.every(({ delivered }) => delivered), "each was delivered");
    assert.deepEqual(handed.get(user), expected, "in the session's order");
  }
  t.diagnostic(`${MANY} notifications, ${kills} kills`);
}

test("killed on SQLite", { timeout: 600_000 }, (t) => trial(t, join(folder(t), "mc.db"), 1));

test("killed on PostgreSQL, two instances", { timeout: 600_000 }, async (t) => {
  const database = await postgres(t);
  if (database === undefined) return t.skip(skipped("PostgreSQL is not installed"));
  await trial(t, database("trial"), 2);
});
