// No framework: a handler of requests, as Next.js, Bun, Deno and Workers have them.
import { serve } from "@hono/node-server"
import { agent } from "./agent_token.mjs"
import { listening } from "./serve.mjs"

async function handle(request) {
  const claims = await agent(request)
  if (!claims) return Response.json({ error: "the agent token is not valid" }, { status: 401 })
  const path = new URL(request.url).pathname
  if (path !== "/me" && path !== `/users/${claims.user_id}`) return Response.json({ error: "not found" }, { status: 404 })
  return Response.json({ user_id: claims.user_id, role: claims.agent_role })
}
listening(serve({ fetch: handle, port: 0, hostname: "127.0.0.1" }))
