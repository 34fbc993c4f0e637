// The application as a whole.

import express, { type NextFunction, type Request, type Response } from "express";

import { authenticate, login } from "./auth.js";
import { chat } from "./chat.js";
import { Problem, say } from "./errors.js";
import { missionControl } from "./mission-control.js";
import { schools } from "./schools.js";

const MAX_BODY = "1mb";

/** Bodies are JSON, or there is none. */
function onlyJson(req: Request, _res: Response, next: NextFunction): void {
  if (req.is("application/json") === false) {
    throw new Problem(415, "unsupported_media_type", "the body must be JSON");
  }
  next();
}

const json = [onlyJson, express.json({ limit: MAX_BODY })];

export const app = express();
app.disable("x-powered-by");
app.get("/healthz", (_req, res) => void res.json({ status: "ok" }));
app.post("/login", json, login);
// Who calls is asked before anything of the body is read.
app.use("/chat", authenticate, json, chat);
app.use("/api/mission-control", authenticate, json, missionControl);
app.use("/api/schools", authenticate, json, schools);
app.use(() => {
  throw new Problem(404, "not_found", "there is no such endpoint");
});
app.use(say);
