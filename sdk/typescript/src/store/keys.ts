/** Creates that happen at most once for an idempotency key. */

import { sql } from "kysely";

import { keyReused } from "../errors.js";
import { now } from "../ids.js";
import { canonical, type Json, type JsonObject, parseJson, toJson } from "../json.js";
import { ownRole } from "../scope.js";
import { checkLease } from "./fences.js";
import type { Mine } from "./mine.js";

/** The outcome of a create. */
export interface Created {
  readonly body: Json;
  /** Whether it was made earlier, under the same key. */
  readonly replayed: boolean;
}

/**
 * Makes an object, at most once for a key of the user. An agent's keys are its role's own, so that no role takes
 * another one's; those of tasks, which roles share, are the user's.
 *
 * @param body what the caller sent; compared as JSON
 * @param make does the work, in the transaction that keeps the key
 */
export async function createOnce(
  mine: Mine,
  endpoint: string,
  key: string | undefined,
  body: JsonObject,
  make: (mine: Mine) => Promise<object>,
): Promise<Created> {
  await checkLease(mine);
  if (key === undefined) return { body: (await make(mine)) as Json, replayed: false };
  const role = endpoint === "tasks" ? "" : (ownRole(mine.scope) ?? "");
  const known = await mine
    .from("wombat_keys")
    .select(["body", "response"])
    .where("endpoint", "=", endpoint)
    .where("idempotency_key", "=", key)
    // No role's are a person's keys.
    .where("role", "in", [role, ""])
    .orderBy(sql`role desc`)
    .limit(1)
    .executeTakeFirst();
  const sent = canonical(body);
  if (known !== undefined) {
    const response = parseJson(known.response);
    if (known.body === sent) return { body: response, replayed: true };
    throw keyReused(response);
  }
  const response = toJson(await make(mine));
  await mine.add("wombat_keys", { endpoint, role, idempotency_key: key, body: sent, response, created_at: now() });
  return { body: parseJson(response), replayed: false };
}
