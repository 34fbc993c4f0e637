// The official MCP client of npm against the daemon. One part of the round for each start.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(`${process.env.WOMBAT_TEST_NODE}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { EmptyResultSchema } = require("@modelcontextprotocol/sdk/types.js");

const own = JSON.parse(process.env.WITH);
const url = new URL(`${process.env.DAEMON_URL}/mcp`);

async function connect(key, user) {
  const headers = { Authorization: `Bearer ${key}` };
  if (user) headers["X-Wombat-User"] = user;
  const client = new Client({ name: "peer", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  return client;
}

async function failure(work) {
  try {
    await work();
    return { kind: "none" };
  } catch (error) {
    return { kind: error.constructor.name, code: error.code, message: error.message };
  }
}

const ask = (client, more, options) => {
  const given = { message: "Do it.", task_title: "Conversation 7", ...more };
  return client.callTool({ name: "ask_scout", arguments: given }, undefined, options);
};

async function everything(client) {
  const found = [];
  let cursor;
  do {
    const page = await client.listResources(cursor ? { cursor } : {});
    found.push(...page.resources);
    cursor = page.nextCursor;
  } while (cursor);
  return found;
}

const parts = {
  async lists(client) {
    const { tools } = await client.listTools();
    await client.ping();
    return {
      tools: tools.map((tool) => tool.name),
      server: client.getServerVersion().name,
      wrong_key: await failure(() => connect("wrong", "ann")),
    };
  },
  async ask(client) {
    const progress = [];
    const more = own.resume ? { message: undefined, resume_run_key: own.resume } : { idempotency_key: own.key };
    const result = await ask(client, more, { onprogress: (told) => progress.push(told.message) });
    const { status, message_id, run_key, code, steps } = result.structuredContent;
    const tools = steps?.map((step) => step.name);
    return { text: result.content[0].text, is_error: result.isError, progress, tools, status, message_id, run_key, code };
  },
  async typed(client) {
    const { tools } = await client.listTools();
    const schemas = tools.map((tool) => tool.outputSchema ?? null);
    // The client checks each result against the schema.
    const results = [];
    for (let n = 0; n < own.calls; n += 1) results.push(await ask(client, { task_title: `Bill ${n}` }));
    return { schemas, results };
  },
  async bad(client) {
    const nobody = await connect(process.env.DAEMON_KEY);
    const call = (name, given) => failure(() => client.callTool({ name, arguments: given }));
    const read = (uri) => failure(() => client.readResource({ uri }));
    return {
      no_tool: await call("sing", { message: "Hi." }),
      no_role: await call("ask_nobody", { message: "Hi." }),
      no_message: await call("ask_scout", {}),
      a_number: await call("ask_scout", { message: 7 }),
      no_user: await failure(() => ask(nobody, {})),
      bad_cursor: await failure(() => client.listResources({ cursor: "x" })),
      no_method: await failure(() => client.request({ method: "sing" }, EmptyResultSchema)),
      no_resource: await read("mission-control://tasks/none"),
      another_scheme: await read("file:///etc/passwd"),
      a_path: await read("mission-control://tasks/../documents"),
    };
  },
  async resources(client) {
    const found = await everything(client);
    const text = async (uri) => (await client.readResource({ uri })).contents[0].text;
    const named = (name) => found.find((one) => one.name === name).uri;
    const stranger = await connect(process.env.DAEMON_KEY, "bob");
    const task = named("Conversation 7");
    return {
      names: found.map((one) => one.name).sort(),
      templates: (await client.listResourceTemplates()).resourceTemplates.length,
      task: JSON.parse(await text(task)).title,
      thread: JSON.parse(await text(`${task}/messages`)).map((message) => message.content),
      document: await text(named("Report")),
      strangers: await everything(stranger),
      strangers_task: await failure(() => stranger.readResource({ uri: task })),
    };
  },
  async answering(client) {
    const first = await ask(client, {});
    const { run_key, tool_requests, status } = first.structuredContent;
    const [{ id, kind }] = tool_requests;
    const go_on = (answers) => client.callTool({ name: "ask_scout", arguments: { resume_run_key: run_key, answers } });
    return {
      status, kind, text: first.content[0].text,
      misfit: await failure(() => go_on({ [id]: "green" })),
      answer: (await go_on({ [id]: "red" })).content[0].text,
    };
  },
  async files(client) {
    const attachments = [
      { name: "cat.png", media_type: "image/png", data: own.png },
      { name: "a.txt", media_type: "text/plain", data: btoa("Some words.") },
    ];
    const result = await ask(client, { attachments });
    const [link] = result.content.filter((block) => block.type === "resource_link");
    const stranger = await connect(process.env.DAEMON_KEY, "bob");
    return {
      attachments: result.structuredContent.attachments,
      link,
      read: (await client.readResource({ uri: link.uri })).contents[0],
      strangers: await failure(() => stranger.readResource({ uri: link.uri })),
    };
  },
  async cancel(client) {
    const leaving = new AbortController();
    const asked = failure(() => ask(client, {}, { signal: leaving.signal }));
    while (!existsSync(own.leave_at)) await new Promise((done) => setTimeout(done, 20));
    leaving.abort("no more");
    const seen = await asked;
    // The connection stays: it is the notification that ends the run.
    await client.ping();
    return seen;
  },
};

const client = await connect(process.env.DAEMON_KEY, "ann");
console.log(JSON.stringify(await parts[process.argv[2]](client)));
process.exit(0);
