/** Whether a write's session lease counts still. */

import { staleFence } from "../errors.js";
import { sessionOf } from "../fields.js";
import type { Fence } from "../scope.js";
import type { Mine } from "./mine.js";

/** The session and task of a lease. */
export interface Held {
  readonly session_key: string;
  readonly task_id: string;
}

/**
 * Refuses a write under a lease that was released or followed by another one, or another role's. One that has only
 * expired counts still: nobody has written since.
 */
export async function checkLease(mine: Mine): Promise<void> {
  const { fence } = mine.scope;
  if (fence !== undefined) await heldLease(mine, fence);
}

/** The lease that a write names, where it counts still. */
export async function heldLease(mine: Mine, fence: Fence): Promise<Held> {
  const lease = await mine.from("wombat_leases").selectAll().where("id", "=", fence.leaseId).executeTakeFirst();
  if (lease === undefined || lease.fence !== fence.fence || lease.freed_at !== null) throw staleFence();
  const { session_key, task_id } = lease;
  const newer = await mine
    .from("wombat_leases")
    .select("fence")
    .where("session_key", "=", session_key)
    .where("task_id", "=", task_id)
    .where("fence", ">", lease.fence)
    .limit(1)
    .executeTakeFirst();
  if (newer !== undefined) throw staleFence();
  const { role } = mine.scope;
  if (role === undefined || sessionOf(mine.userId, role) === session_key) return { session_key, task_id };
  // Another role's, where a run of this role works for the one that holds it.
  const child = await mine
    .from("wombat_runs")
    .select("seq")
    .where("session_key", "=", sessionOf(mine.userId, role))
    .where("task_id", "=", task_id)
    .where("status", "=", "running")
    .where("lease_id", "=", fence.leaseId)
    .where("parent_run_key", "is not", null)
    .limit(1)
    .executeTakeFirst();
  if (child === undefined) throw staleFence();
  return { session_key, task_id };
}
