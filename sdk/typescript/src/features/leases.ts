/** Session leases: who may run a session on a task, with fencing tokens for its writes. */

import type { Selectable } from "kysely";

import { mustOwnSession } from "../call.js";
import { ContractError, notFound } from "../errors.js";
import { sessionOf } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now, stamp } from "../ids.js";
import type { Feature } from "../routing.js";
import { checkLease, heldLease } from "../store/fences.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import type { Tables } from "../store/schema.js";
import { mustHaveTask } from "./tasks.js";

/** The longest lease, in seconds. */
const MAX_TTL = 3_600;

/** The longest `Retry-After` in seconds: the lease may be released early. */
const MAX_RETRY_AFTER = 5;

const leaseOf = ({ id, fence, expires_at }: Pick<Selectable<Tables["wombat_leases"]>, "id" | "fence" | "expires_at">) => ({
  lease_id: id,
  fence,
  expires_at,
});

interface Wish {
  readonly sessionKey: string;
  readonly taskId: string;
  readonly holder: string;
  readonly ttl: number;
}

/** Grants the lease, unless somebody else holds it. */
async function grant(mine: Mine, { sessionKey, taskId, holder, ttl }: Wish) {
  await mustHaveTask(mine, taskId);
  const newest = await mine
    .from("wombat_leases")
    .selectAll()
    .where("session_key", "=", sessionKey)
    .where("task_id", "=", taskId)
    .orderBy("fence", "desc")
    .limit(1)
    .executeTakeFirst();
  const at = Date.now();
  if (newest !== undefined && newest.freed_at === null && newest.expires_at > stamp(at)) {
    const left = Math.ceil((Date.parse(newest.expires_at) - at) / 1000);
    const wait = Math.min(Math.max(left, 1), MAX_RETRY_AFTER);
    throw new ContractError(409, "session_busy", `the session is held by ${newest.holder}`, { holder: newest.holder }, wait);
  }
  const row = {
    id: newId(),
    session_key: sessionKey,
    task_id: taskId,
    fence: (newest?.fence ?? 0) + 1,
    holder,
    ttl_secs: ttl,
    expires_at: stamp(at + ttl * 1000),
    freed_at: null,
    created_at: stamp(at),
  };
  await mine.add("wombat_leases", row);
  return leaseOf(row);
}

function own(mine: Mine, id: string) {
  const { role } = mine.scope;
  const rows = mine.from("wombat_leases").selectAll().where("id", "=", id);
  return role === undefined ? rows : rows.where("session_key", "=", sessionOf(mine.userId, role));
}

/** Renews a lease, also one that has expired, as long as nobody else got it since. */
async function renew(mine: Mine, id: string, ttl: number | undefined) {
  await checkLease(mine);
  const row = await own(mine, id).where("freed_at", "is", null).executeTakeFirst();
  if (row === undefined) throw notFound("lease");
  await heldLease(mine, { leaseId: id, fence: row.fence });
  const seconds = ttl ?? row.ttl_secs;
  const changed = { ttl_secs: seconds, expires_at: stamp(Date.now() + seconds * 1000) };
  await mine.update("wombat_leases").set(changed).where("id", "=", id).execute();
  return leaseOf({ ...row, ...changed });
}

/** Releases a lease. Repeating it is harmless. */
async function free(mine: Mine, id: string): Promise<void> {
  const row = await own(mine, id).executeTakeFirst();
  if (row === undefined) throw notFound("lease");
  if (row.freed_at === null) await mine.update("wombat_leases").set({ freed_at: now() }).where("id", "=", id).execute();
}

/** Whether anybody holds the lease of a session and task at present. */
export async function isHeld(mine: Mine, sessionKey: string | null, taskId: string | null): Promise<boolean> {
  if (sessionKey === null || taskId === null) return false;
  const row = await mine
    .from("wombat_leases")
    .select("id")
    .where("session_key", "=", sessionKey)
    .where("task_id", "=", taskId)
    .where("freed_at", "is", null)
    .where("expires_at", ">", now())
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether a lease is held at present. */
export async function isLive(mine: Mine, id: string): Promise<boolean> {
  const row = await mine
    .from("wombat_leases")
    .select("id")
    .where("id", "=", id)
    .where("freed_at", "is", null)
    .where("expires_at", ">", now())
    .executeTakeFirst();
  return row !== undefined;
}

/** The endpoints of session leases. */
export const leases: Feature = {
  names: ["session_leases"],
  routes: [
    {
      method: "POST",
      path: "/sessions/lease",
      answer: async (call) => {
        const who = await call.tenant();
        const body = await call.body();
        body.require("session_key", "task_id", "holder", "ttl_secs");
        const wish = {
          sessionKey: body.text("session_key"),
          taskId: body.text("task_id"),
          holder: body.text("holder"),
          ttl: body.whole("ttl_secs", 1, MAX_TTL),
        };
        mustOwnSession(who, wish.sessionKey);
        const key = body.key();
        return created(
          await call.plane.storage.write(call.scope(who), (mine) =>
            createOnce(mine, "sessions/lease", key, body.raw, () => grant(mine, wish)),
          ),
        );
      },
    },
    {
      method: "PUT",
      path: "/sessions/lease/:id",
      answer: async (call) => {
        const who = await call.tenant();
        const ttl = (await call.body()).maybeWhole("ttl_secs", 1, MAX_TTL);
        return json(await call.plane.storage.write(call.scope(who), (mine) => renew(mine, call.id(), ttl)));
      },
    },
    {
      method: "DELETE",
      path: "/sessions/lease/:id",
      answer: async (call) => {
        const who = await call.tenant();
        await call.plane.storage.write(call.scope(who), (mine) => free(mine, call.id()));
        return json({ status: "freed" });
      },
    },
  ],
};
