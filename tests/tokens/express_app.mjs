// For jsonwebtoken and express-jwt.
import express from "express"
import * as recipe from "./agent_token.mjs"
import { listening } from "./serve.mjs"

const app = express()
app.use(...Object.values(recipe))
const of = (req) => req.agent ?? req.auth
const me = (req) => ({ user_id: of(req).user_id, role: of(req).agent_role })
app.get("/me", (req, res) => res.json(me(req)))
app.get("/users/:id", (req, res) => {
  if (req.params.id !== of(req).user_id) return res.status(404).json({ error: "there is no such user" })
  res.json(me(req))
})
listening(app.listen(0, "127.0.0.1"))
