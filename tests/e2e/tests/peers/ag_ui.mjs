// The official AG-UI client of npm against the daemon. One part of the round for each start.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(`${process.env.WOMBAT_TEST_NODE}/`);
const own = JSON.parse(process.env.WITH);
// Older versions are installed under names of their own.
const { HttpAgent } = require(own.package ?? "@ag-ui/client");

const question = { id: "m1", role: "user", content: "Do it." };

function agent({ role = "scout", key = process.env.DAEMON_KEY, user = "ann", messages = [question], thread = "T" } = {}) {
  const headers = { Authorization: `Bearer ${key}` };
  if (user) headers["X-Wombat-User"] = user;
  const url = `${process.env.DAEMON_URL}/ag-ui/${role}`;
  const made = new HttpAgent({ url, headers, threadId: thread, initialMessages: messages });
  made.setState({ page: 7 });
  return made;
}

async function play(made, parameters) {
  const seen = { types: [], text: "", calls: [] };
  const subscriber = {
    onEvent: ({ event }) => {
      seen.types.push(event.type);
      if (event.type === "TEXT_MESSAGE_CONTENT") seen.text += event.delta;
      if (event.type === "TOOL_CALL_START") seen.calls.push(event.toolCallName);
    },
    onRunErrorEvent: ({ event }) => void (seen.error = event.code),
    onRunFinishedEvent: ({ event, outcome, interrupts }) => {
      const { message_id, attachments } = event.result ?? {};
      Object.assign(seen, { outcome, interrupts, message_id, attachments });
    },
  };
  try {
    await made.runAgent(parameters, subscriber);
  } catch (error) {
    seen.thrown = error.message ?? String(error);
    Object.assign(seen, { status: error.status, code: error.payload?.code });
  }
  seen.state = made.state;
  return seen;
}

const errors = async (options) => {
  const seen = await play(agent(options), {});
  return seen.types.map((type) => `${type} ${seen.error}`);
};

const parts = {
  run() {
    const context = [{ description: "The person is on the page", value: "7" }];
    const told = own.resume ? {} : { context };
    const made = agent({ thread: own.thread });
    return play(made, { runId: own.run, resume: own.resume, ...told });
  },
  async typed() {
    const made = agent({ thread: "Bills" });
    const seen = await play(made, { runId: own.run, forwardedProps: { output: own.output } });
    return { ...seen, messages: made.messages };
  },
  async files() {
    const file = { type: "binary", mimeType: "text/plain", filename: "a.txt", data: btoa("Some words.") };
    const seen = [];
    for (const image of [
      { type: "binary", mimeType: "image/png", filename: "cat.png", data: own.png },
      { type: "binary", mimeType: "image/png", url: "https://example.com/cat.png" },
    ]) {
      const content = [{ type: "text", text: "Look." }, image, file];
      const { error, attachments } = await play(agent({ thread: "Files", messages: [{ ...question, content }] }), {});
      seen.push({ error, attachments });
    }
    return seen;
  },
  // Several runs one after another, and whether the client took each event.
  async older() {
    const seen = {};
    for (const [name, { run, resume }] of Object.entries(own.runs)) {
      seen[name] = await play(agent({ thread: "Older" }), { runId: run, resume, forwardedProps: own.props });
    }
    return seen;
  },
  async bad() {
    const image = [{ type: "binary", mimeType: "image/png", url: "data:," }];
    return {
      no_role: await errors({ role: "nobody" }),
      no_user: await errors({ user: null }),
      no_messages: await errors({ messages: [] }),
      no_question: await errors({ messages: [{ id: "m1", role: "assistant", content: "Hi." }] }),
      an_image: await errors({ messages: [{ ...question, content: image }] }),
      wrong_key: await play(agent({ key: "wrong" }), {}),
    };
  },
  async leave() {
    const made = agent({ thread: "Left" });
    const run = play(made, {});
    while (!existsSync(own.leave_at)) await new Promise((done) => setTimeout(done, 20));
    made.abortRun();
    const seen = await run;
    return { left: true, seen };
  },
};

console.log(JSON.stringify(await parts[process.argv[2]]()));
process.exit(0);
