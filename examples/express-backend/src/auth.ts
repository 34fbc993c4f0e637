// Who calls: the one file that every application can take nearly as it is.
//
// Agents bring X-Agent-Token, a short-lived JWT that the daemon signs with AGENT_JWT_SECRET. Your own
// services bring X-Internal-Token, with X-On-Behalf-Of where they speak for a person. People log in and
// bring what POST /login gave them; put your own login in its place.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

import type { NextFunction, Request, Response } from "express";
import { jwtVerify, SignJWT } from "jose";
import { z } from "zod";

import { Problem } from "./errors.js";

const SECRET = new TextEncoder().encode(process.env.AGENT_JWT_SECRET ?? "");
if (SECRET.length < 32) {
  throw new Error("AGENT_JWT_SECRET must be set as in the daemon, to 32 bytes or more");
}

/** Sessions are signed with a key of their own, which ends with the process: so do all objects here. */
const SESSION_KEY = randomBytes(32);
/** The clocks of this machine and the daemon's may differ by so much. */
const LEEWAY_SECONDS = 60;

/** The user that everything is read and written as, and who does it for them. */
export interface Me {
  readonly userId: string;
  /** The agent's role; none when it is the person. */
  readonly role?: string;
}

const AgentClaims = z.object({
  type: z.literal("agent"),
  user_id: z.string().min(1),
  agent_role: z.string().min(1),
  sub: z.string(),
  iat: z.number(),
  exp: z.number(),
  jti: z.string().min(1),
  // A token for another audience is not for us (RFC 7519, section 4.1.3).
  aud: z.never().optional(),
});

const refused = (what: string) => new Problem(401, "unauthorized", `${what} is refused`);

async function agent(token: string): Promise<Me> {
  // The algorithm is ours to say, never the token's.
  const rules = { algorithms: ["HS256"], issuer: "wombat", clockTolerance: LEEWAY_SECONDS };
  const verified = await jwtVerify(token, SECRET, rules).catch(() => undefined);
  const claims = AgentClaims.safeParse(verified?.payload).data;
  const inTime = claims && claims.iat <= Date.now() / 1000 + LEEWAY_SECONDS;
  if (!inTime || claims.sub !== `wombat:${claims.agent_role}`) throw refused("the agent token");
  return { userId: claims.user_id, role: claims.agent_role };
}

async function person(session: string): Promise<Me> {
  const rules = { algorithms: ["HS256"], requiredClaims: ["exp", "sub"] };
  const verified = await jwtVerify(session, SESSION_KEY, rules).catch(() => undefined);
  if (!verified?.payload.sub) throw refused("the session");
  return { userId: verified.payload.sub };
}

/** Whether a text is a secret, in a time that tells nothing about it; false where there is none. */
function isSecret(given: string, secret: string | undefined): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return Boolean(secret) && timingSafeEqual(hash(given), hash(secret ?? ""));
}

async function whoCalls(req: Request): Promise<Me> {
  const token = req.get("x-agent-token");
  if (token !== undefined) return agent(token);
  const internal = req.get("x-internal-token");
  const userId = req.get("x-on-behalf-of");
  if (internal !== undefined) {
    if (!userId || !isSecret(internal, process.env.INTERNAL_API_TOKEN)) {
      throw refused("the internal token");
    }
    return { userId };
  }
  const session = /^Bearer (.+)$/.exec(req.get("authorization") ?? "")?.[1];
  if (session) return person(session);
  throw new Problem(401, "unauthorized", "an agent token or a session is needed");
}

const known = new WeakMap<Request, Me>();

export async function authenticate(req: Request, _res: Response, next: NextFunction): Promise<void> {
  known.set(req, await whoCalls(req));
  next();
}

/** Who calls; a handler that is reached without `authenticate` fails here, and serves nobody. */
export function me(req: Request): Me {
  const caller = known.get(req);
  if (!caller) throw new Error("this endpoint stands before authenticate");
  return caller;
}

// A colon would end the user's part of a session key.
const Login = z.object({ user: z.string().regex(/^[\w.-]{1,64}$/), password: z.string() });

/** Everybody's password is DEMO_PASSWORD here; without it nobody can log in. */
export async function login(req: Request, res: Response): Promise<void> {
  const { user, password } = Login.parse(req.body);
  if (!isSecret(password, process.env.DEMO_PASSWORD)) throw refused("the password");
  const session = new SignJWT().setProtectedHeader({ alg: "HS256" }).setSubject(user);
  res.json({ session: await session.setExpirationTime("12h").sign(SESSION_KEY) });
}
