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
  // As the newest clients call by default: no user in the body, and with state that nobody keeps.
  async responses() {
    const mine = new OpenAI({ baseURL, apiKey: process.env.DAEMON_KEY, defaultHeaders: { "X-Wombat-User": "ann" } });
    const respond = (more) => mine.responses.create({ model: "scout", input: "Do it.", ...more });
    const schema = { type: "object", properties: { sum: { type: "integer" } }, required: ["sum"], additionalProperties: false };
    const text = { format: { type: "json_schema", name: "bill", schema, strict: true } };

    const first = await respond({ instructions: "Be brief." });
    const stream = mine.responses.stream({ model: "scout", input: [...first.output, { role: "user", content: "Go on." }] });
    const types = [];
    for await (const event of stream) types.push(event.type);
    const streamed = await stream.finalResponse();
    const typed = await mine.responses.parse({ model: "scout", input: "How much?", text });
    const typedStream = await mine.responses.stream({ model: "scout", input: "How much?", text }).finalResponse();
    let failed;
    for await (const event of await respond({ stream: true })) {
      if (event.type === "response.failed") failed = event.response.error.code;
    }
    return {
      first: [first.output_text, first.status, first.usage.total_tokens, first.wombat.status],
      types,
      streamed: streamed.output_text,
      reply: streamed.output.at(-1).content[0].text,
      tools: streamed.wombat.steps.map((step) => step.name),
      typed: typed.output_parsed.sum,
      typed_stream: JSON.parse(typedStream.output_text).sum,
      failed,
      whole_failed: await failure(() => respond({})),
      kept: await failure(() => respond({ previous_response_id: first.id })),
      own_tools: await failure(() => respond({ tools: [{ type: "web_search" }] })),
      retrieved: await failure(() => mine.responses.retrieve(first.id)),
      no_user: await failure(() => client.responses.create({ model: "scout", input: "Do it." })),
      other_user: await failure(() => respond({ user: "bob" })),
      no_role: await failure(() => mine.responses.create({ model: "nobody", input: "Do it." })),
      embedded: await failure(() => mine.embeddings.create({ model: "scout", input: "x" })),
    };
  },
  // A conversation with calls of tools that are the client's own.
  async records() {
    const call = { id: "c1", type: "function", function: { name: "look", arguments: "{}" } };
    const messages = [
      { role: "user", content: "Look." },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "c1", content: "A cat." },
      { role: "assistant", content: "I see a cat." },
      { role: "user", content: "Sure?" },
    ];
    const answer = await ask({ user: undefined, messages }, { headers: { "X-Wombat-User": "ann" } });
    return { text: answer.choices[0].message.content };
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
