// For jsonwebtoken in strict TypeScript, and the two functions of docs/BESIDE.md.
import express from "express"
import type { Request, Response } from "express"
import type { JwtPayload } from "jsonwebtoken"
import { agent } from "./agent_token.mts"
import { listening } from "./serve.mjs"

const app = express()
app.use(agent)
const me = (res: Response) => {
  const claims = res.locals["agent"] as JwtPayload
  return { user_id: claims["user_id"] as string, role: claims["agent_role"] as string }
}
app.get("/me", (_req: Request, res: Response) => void res.json(me(res)))
app.get("/users/:id", (req: Request, res: Response) => {
  if (req.params["id"] !== me(res).user_id) return void res.status(404).json({ error: "there is no such user" })
  res.json(me(res))
})
listening(app.listen(0, "127.0.0.1"))
