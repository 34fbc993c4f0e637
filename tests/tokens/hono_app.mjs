import { serve } from "@hono/node-server"
import { Hono } from "hono"
import { agent } from "./agent_token.mjs"
import { listening } from "./serve.mjs"

const app = new Hono()
app.use(...[agent].flat())
const me = (c) => c.json({ user_id: c.get("agent").user_id, role: c.get("agent").agent_role })
app.get("/me", me)
app.get("/users/:id", (c) => (c.req.param("id") === c.get("agent").user_id ? me(c) : c.json({ error: "no" }, 404)))
listening(serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }))
