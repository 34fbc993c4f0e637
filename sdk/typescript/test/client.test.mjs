// The clients, against a daemon that breaks off, stops and refuses.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { Backend, Wombat, WombatError } from "../dist/client/index.js";

/** A server that answers each request with the next of some functions; the requests that it got. */
async function server(t, ...answers) {
  const requests = [];
  const listening = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    requests.push({ method: request.method, url: request.url, headers: request.headers, body: body === "" ? undefined : JSON.parse(body) });
    const answer = answers[Math.min(requests.length, answers.length) - 1];
    answer(response);
  });
  await new Promise((resolve) => listening.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    listening.closeAllConnections();
    listening.close();
  });
  return { url: `http://127.0.0.1:${listening.address().port}`, requests };
}

const json = (body, status = 200, headers = {}) => (response) => {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
};

/** Events, and then the end of the connection. */
const events = (...all) => (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(": connected\n\n");
  for (const { id, ...event } of all) {
    response.write(`${id === undefined ? "" : `id: ${id}\n`}event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }
  response.end();
};

const request = { user_id: "ann", session_key: "user:ann:scout", task_title: "Chat", message: "hello" };
const start = { id: 0, type: "start", run_id: "r", task_id: "t", trace_id: "x", run_key: "k" };
const chunk = (id, data) => ({ id, type: "chunk", data, step: 1 });
const done = { type: "done", status: "ok", response: "ab", run_key: "k" };

async function all(stream) {
  const found = [];
  for await (const one of stream) found.push(one);
  return found;
}

test("a send that was refused for a moment is sent again under the same key", async (t) => {
  const { url, requests } = await server(t, json({ error: "busy", code: "overloaded" }, 503, { "retry-after": "0" }), json({ status: "ok", response: "hi" }));
  const wombat = new Wombat({ url: `${url}/`, key: "secret" });
  assert.equal((await wombat.send(request)).response, "hi");
  assert.equal(requests.length, 2);
  assert.equal(requests[0].headers["x-agent-daemon-key"], "secret");
  assert.ok(requests[0].body.idempotency_key);
  assert.equal(requests[0].body.idempotency_key, requests[1].body.idempotency_key);
});

test("what another try cannot change is told at once", async (t) => {
  const { url, requests } = await server(t, json({ error: "no such role", code: "unknown_role", details: { nearest: "scout" } }, 404));
  const refused = await new Wombat({ url }).send(request).catch((error) => error);
  assert.ok(refused instanceof WombatError);
  assert.deepEqual([refused.status, refused.code, refused.details, requests.length], [404, "unknown_role", { nearest: "scout" }, 1]);
});

test("a detached run is followed over broken streams, and no event comes twice", async (t) => {
  const started = json({ run_key: "k", task_id: "t", status: "running", stream: "" }, 202);
  const { url, requests } = await server(t, started, events(start, chunk(5, "a")), events(chunk(6, "b"), done));
  const heard = await all(new Wombat({ url }).stream({ ...request, detached: true }));
  assert.deepEqual(heard.map(({ type }) => type), ["start", "chunk", "chunk", "done"]);
  assert.deepEqual(heard.map(({ event_id }) => event_id), [0, 5, 6, undefined]);
  assert.equal(requests[1].headers["last-event-id"], undefined);
  assert.equal(requests[2].headers["last-event-id"], "5");
  assert.equal(requests[2].headers["x-wombat-session"], "user:ann:scout");
});

test("a stream that cannot be resumed says that it broke off", async (t) => {
  const { url } = await server(t, events(start, chunk(undefined, "a")));
  const broken = await all(new Wombat({ url }).stream(request)).catch((error) => error);
  assert.equal(broken.code, "stream_broken");
});

test("a caller that goes away ends the call", async (t) => {
  const { url } = await server(t, (response) => response.writeHead(200, { "content-type": "text/event-stream" }).write(": \n\n"));
  const gone = new AbortController();
  setTimeout(() => gone.abort(), 50);
  await assert.rejects(all(new Wombat({ url }).follow("k", "user:ann:scout", { signal: gone.signal })), { name: "AbortError" });
});

test("a person decides about what waits, page by page", async (t) => {
  const page = (id, next) => json({ items: [{ id, kind: "approval", status: "pending" }], ...(next ? { next_cursor: next } : {}) });
  const { url, requests } = await server(t, page("one", "c1"), page("two"), json({ id: "one", status: "approved" }), json({ id: "two", status: "answered" }));
  const backend = new Backend({ url, headers: () => ({ "x-on-behalf-of": "ann" }) });
  assert.deepEqual((await all(backend.pending())).map(({ id }) => id), ["one", "two"]);
  await backend.decide("one", { status: "approved", note: "fine" });
  await backend.answer("two", "Red");
  assert.equal(requests[1].url, "/api/mission-control/tool-requests?status=pending&cursor=c1");
  assert.deepEqual(requests[2].body, { status: "approved", note: "fine" });
  assert.deepEqual(requests[3].body, { answer: "Red" });
  assert.ok(requests[3].headers["idempotency-key"]);
});

test("a backend's events go on after the last one", async (t) => {
  const task = (id, title) => ({ id, type: "task.created", task_id: title });
  const { url, requests } = await server(t, events(task(41, "a")), events(task(42, "b")));
  const heard = [];
  for await (const event of new Backend({ url }).events()) {
    heard.push([event.event_id, event.task_id]);
    if (heard.length === 2) break;
  }
  assert.deepEqual(heard, [[41, "a"], [42, "b"]]);
  assert.equal(requests[1].headers["last-event-id"], "41");
});
