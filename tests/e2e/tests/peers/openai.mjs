// The official `openai` package of npm against the daemon. One part of the round for each start.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(`${process.env.WOMBAT_TEST_NODE}/`);
const OpenAI = require("openai").default;

const own = JSON.parse(process.env.WITH);
const baseURL = `${process.env.DAEMON_URL}/v1`;
const client = new OpenAI({ baseURL, apiKey: process.env.DAEMON_KEY });
const question = { model: "scout", user: "ann", messages: [{ role: "user", content: "Do it." }] };
const session = { "X-Wombat-Session": "Conversation 7" };

async function failure(work) {
  try {
    await work();
    return { kind: "none" };
  } catch (error) {
    const { code, param, type, status } = error;
    return { kind: error.constructor.name, code, param, type, status };
  }
}

const ask = (more, options) => client.chat.completions.create({ ...question, ...more }, options);

const parts = {
  async models() {
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    const stranger = new OpenAI({ baseURL, apiKey: "wrong" });
    return {
      models,
      one: (await client.models.retrieve("scout")).id,
      unknown: await failure(() => client.models.retrieve("nobody")),
      wrong_key: await failure(() => stranger.models.list()),
    };
  },
  async whole() {
    const headers = { ...session };
    if (own.key) headers["Idempotency-Key"] = own.key;
    if (own.resume) headers["X-Wombat-Resume-Run-Key"] = own.resume;
    const answer = await ask({}, { headers });
    const { status, message_id, run_key, steps } = answer.wombat;
    return {
      text: answer.choices[0].message.content,
      finish_reason: answer.choices[0].finish_reason,
      total_tokens: answer.usage.total_tokens,
      tools: steps.map((step) => step.name),
      status, message_id, run_key,
    };
  },
  async stream() {
    const stream = await ask({ stream: true, stream_options: { include_usage: true } }, { headers: session });
    const seen = { text: "", chunks: 0 };
    for await (const chunk of stream) {
      seen.chunks += 1;
      seen.text += chunk.choices[0]?.delta?.content ?? "";
      seen.finish_reason ??= chunk.choices[0]?.finish_reason;
      seen.tools ??= chunk.wombat?.steps.map((step) => step.name);
      seen.total_tokens = chunk.usage?.total_tokens ?? seen.total_tokens;
    }
    return seen;
  },
  async bad() {
    const image = [{ type: "image_url", image_url: { url: "data:," } }];
    const tool = { type: "function", function: { name: "f", parameters: {} } };
    return {
      no_user: await failure(() => ask({ user: undefined })),
      no_messages: await failure(() => ask({ messages: undefined })),
      own_tools: await failure(() => ask({ tools: [tool] })),
      an_image: await failure(() => ask({ messages: [{ role: "user", content: image }] })),
      no_question: await failure(() => ask({ messages: [{ role: "assistant", content: "Hi." }] })),
      no_role: await failure(() => ask({ model: "nobody" })),
    };
  },
  async failures() {
    const whole = await failure(() => ask({}));
    const stream = await failure(async () => {
      for await (const _ of await ask({ stream: true })) {
      }
    });
    return { whole, stream };
  },
  async typed() {
    const schema = { type: "object", properties: { sum: { type: "integer" } }, required: ["sum"], additionalProperties: false };
    const response_format = { type: "json_schema", json_schema: { name: "bill", schema, strict: true } };
    const answer = await ask({ response_format });
    const pieces = [];
    for await (const chunk of await ask({ response_format, stream: true })) {
      const piece = chunk.choices[0]?.delta?.content;
      if (piece) pieces.push(piece);
    }
    return {
      whole: JSON.parse(answer.choices[0].message.content).sum,
      output: answer.wombat.output,
      streamed: JSON.parse(pieces.join("")).sum,
      pieces,
      never: await failure(() => ask({ response_format })),
    };
  },
  async files() {
    const look = (url) => {
      const word = { type: "file", file: { filename: "a.txt", file_data: "data:text/plain;base64,U29tZSB3b3Jkcy4=" } };
      const content = [{ type: "text", text: "Look." }, { type: "image_url", image_url: { url } }, word];
      return [{ role: "user", content }, { role: "assistant", content: "A cat." }, { role: "user", content: "And what more?" }];
    };
    const near = look(`data:image/png;base64,${own.png}`);
    const first = await ask({ messages: near.slice(0, 1) });
    const later = await ask({ messages: near });
    return {
      first: first.wombat.attachments,
      later: later.wombat.attachments,
      far: await failure(() => ask({ messages: look("https://example.com/cat.png").slice(0, 1) })),
    };
  },
  async asking() {
    const { status, tool_requests } = (await ask({}, { headers: session })).wombat;
    return { status, asked: tool_requests };
  },
  async leave() {
    const stream = await ask({ stream: true });
    for await (const _ of stream) {
      while (!existsSync(own.leave_at)) await new Promise((done) => setTimeout(done, 20));
      break;
    }
    return { left: true };
  },
};

console.log(JSON.stringify(await parts[process.argv[2]]()));
