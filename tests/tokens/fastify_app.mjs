import fastify from "fastify"
import { agent } from "./agent_token.mjs"
import { listening } from "./serve.mjs"

const app = fastify()
app.decorateRequest("agent", null)
app.addHook("onRequest", agent)
const me = (request) => ({ user_id: request.agent.user_id, role: request.agent.agent_role })
app.get("/me", async (request) => me(request))
app.get("/users/:id", async (request, reply) => {
  if (request.params.id !== request.agent.user_id) return reply.code(404).send({ error: "there is no such user" })
  return me(request)
})
await app.listen({ port: 0, host: "127.0.0.1" })
listening(app.server)
