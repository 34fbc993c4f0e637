/** Customers' profiles: what narrows the agents of a user. */

import type { Call } from "../call.js";
import { forbidden, invalid, notFound, roleMismatch } from "../errors.js";
import { type Fields, isRole, isUserId } from "../fields.js";
import { json, type Outgoing } from "../http.js";
import { now } from "../ids.js";
import { fromColumn, isObject, type JsonObject, toJson } from "../json.js";
import type { Feature } from "../routing.js";
import type { Mine } from "../store/mine.js";
import { hashOf } from "./request-words.js";

const MAX_PROMPT = 8_000;
const MAX_TEXT = 128;
const MAX_AGE = 60;

/** The profile of a role of the user, else that of all roles that have none. */
async function profileOf(mine: Mine, role: string | undefined) {
  const rows = await mine.from("wombat_profiles").selectAll().where("role", "in", [role ?? "", ""]).execute();
  return rows.find((row) => row.role === role) ?? rows.find((row) => row.role === "");
}

/** The tenant of the user, in one of the user's roles or as a person. */
export const tenantOf = async (mine: Mine, role: string | undefined): Promise<string | undefined> =>
  (await profileOf(mine, role))?.tenant_id ?? undefined;

interface Named {
  readonly userId: string;
  readonly role: string | undefined;
}

/** The user and role that a service names. */
function namedBy({ query }: Call): Named {
  const userId = query.text("user_id");
  if (!isUserId(userId)) throw invalid("user_id", "is not a user id");
  const role = query.get("role");
  if (role !== undefined && !isRole(role)) throw invalid("role", "is not a role");
  return { userId, role };
}

async function alone(call: Call): Promise<void> {
  const who = await call.serviceOrPerson();
  if (who.type === "person") throw forbidden("only a service may do this, for nobody in particular");
}

async function reader(call: Call): Promise<Named> {
  if (call.incoming.header("x-internal-token") !== undefined) {
    await alone(call);
    const named = namedBy(call);
    await call.plane.known(named.userId, undefined);
    return named;
  }
  const { userId, role } = await call.agent();
  const named = call.query.get("user_id");
  if (named !== undefined && named !== userId) throw notFound("user");
  const asked = call.query.get("role");
  if (asked !== undefined && asked !== role) throw roleMismatch("role", role);
  return { userId, role };
}

function answer(call: Call, body: JsonObject): Outgoing {
  const etag = `"${hashOf(body)}"`;
  const headers = { etag, "cache-control": `private, max-age=${MAX_AGE}` };
  const known = (call.header("if-none-match") ?? "").split(",").map((one) => one.trim().replace(/^W\//, ""));
  if (call.incoming.method === "GET" && (known.includes(etag) || known.includes("*"))) return { status: 304, headers, body: "" };
  return json(body, 200, headers);
}

/** Refuses what is out of bounds. Whether a pattern, a model or a zone can be used, the daemon knows. */
function check(body: Fields): void {
  body.maybeText("prompt_append", { most: MAX_PROMPT, blank: true });
  for (const name of ["tenant_id", "locale", "timezone"]) body.maybeText(name, { most: MAX_TEXT, blank: true });
  const tools = body.maybeFields("tools");
  for (const name of ["allow", "deny", "approval"]) tools?.maybeTexts(name);
  const models = body.maybeFields("models");
  models?.text("default");
  for (const name of ["cheap", "best"]) models?.maybeText(name);
  const limits = body.maybeFields("limits");
  limits?.maybeWhole("max_steps");
  limits?.maybeWhole("max_output_tokens", 1);
  limits?.maybeNumber("max_cost_usd", 0);
  limits?.maybeWhole("timeout_secs", 1);
  const workspace = body.any("workspace") ?? undefined;
  if (workspace === undefined || typeof workspace === "string") return;
  if (!isObject(workspace)) throw invalid("workspace", "must be a name, or percentages by names");
  const shares = Object.values(workspace);
  const isWhole = shares.every((share) => typeof share === "number" && Number.isInteger(share) && share >= 0);
  if (!isWhole || shares.reduce<number>((sum, share) => sum + Number(share), 0) !== 100) {
    throw invalid("workspace", "the percentages must be 100 together");
  }
}

async function put(mine: Mine, role: string, body: Fields): Promise<void> {
  const row = { body: toJson(body.raw), tenant_id: body.maybeText("tenant_id", { blank: true }) || null, updated_at: now() };
  await mine.remove("wombat_profiles").where("role", "=", role).execute();
  await mine.add("wombat_profiles", { role, ...row });
  mine.record({ act: "profile.set", details: { ...(role === "" ? {} : { role }), profile_sha256: hashOf(body.raw) } });
}

/** The endpoints of profiles. */
export const profile: Feature = {
  names: ["profile"],
  routes: [
    {
      method: "GET",
      path: "/profile",
      answer: async (call) => {
        const { userId, role } = await reader(call);
        const row = await call.plane.storage.read(call.serviceScope(userId), (mine) => profileOf(mine, role));
        return answer(call, fromColumn<JsonObject>(row?.body) ?? {});
      },
    },
    {
      method: "PUT",
      path: "/profile",
      answer: async (call) => {
        await alone(call);
        const { userId, role } = namedBy(call);
        await call.plane.known(userId, undefined);
        const body = await call.body();
        check(body);
        await call.plane.storage.write(call.serviceScope(userId), (mine) => put(mine, role ?? "", body));
        return answer(call, body.raw);
      },
    },
  ],
};
