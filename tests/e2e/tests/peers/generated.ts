// What the generated clients do: each call and each field is checked by the compiler.
import createClient from "openapi-fetch";
import { client } from "./hey/client.gen";
import { agents, send } from "./hey/sdk.gen";
import type { paths } from "./schema";

declare const process: { env: Record<string, string> };
const baseUrl = process.env.DAEMON_URL;
const key = { "X-Agent-Daemon-Key": process.env.DAEMON_KEY };
const body = { user_id: "ann", session_key: "user:ann:scout", message: "Do it.", task_title: "Work" };
const wrong = { ...body, session_key: "scout" };

async function openapiFetch() {
  const mine = createClient<paths>({ baseUrl, headers: key });
  const stranger = createClient<paths>({ baseUrl, headers: { "X-Agent-Daemon-Key": "wrong" } });
  const roles = await mine.GET("/api/agents");
  const answer = await mine.POST("/api/agents/send", { body });
  const refused = await mine.POST("/api/agents/send", { body: wrong });
  const refusedStranger = await stranger.GET("/api/agents");
  return {
    roles: roles.data?.agents.map((agent) => agent.role),
    reply: answer.data?.response,
    total_tokens: answer.data?.usage.total_tokens,
    refused: refused.error?.code,
    stranger: refusedStranger.error?.code,
  };
}

async function heyApi() {
  client.setConfig({ baseUrl, headers: key });
  const roles = await agents();
  const answer = await send({ body });
  const refused = await send({ body: wrong });
  const stranger = await agents({ headers: { "X-Agent-Daemon-Key": "wrong" } });
  return {
    roles: roles.data?.agents.map((agent) => agent.role),
    reply: answer.data?.response,
    total_tokens: answer.data?.usage.total_tokens,
    refused: refused.error?.code,
    stranger: stranger.error?.code,
  };
}

async function main() {
  console.log(JSON.stringify({ openapi_fetch: await openapiFetch(), hey_api: await heyApi() }));
}

main();
