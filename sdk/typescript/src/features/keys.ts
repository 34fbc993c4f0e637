/** Idempotency keys are kept for two days. */

import { stamp } from "../ids.js";
import type { Job } from "../upkeep.js";

const KEPT_MS = 48 * 3_600_000;

/** Deletes old keys, and heartbeats' slots. */
export const oldKeys: Job = {
  everyMs: 600_000,
  work: async ({ storage }) => {
    const before = stamp(Date.now() - KEPT_MS);
    await storage.everybody(async ({ q }) => {
      await q.deleteFrom("wombat_keys").where("created_at", "<", before).execute();
      await q.deleteFrom("wombat_slots").where("created_at", "<", stamp(Date.now() - 15 * KEPT_MS)).execute();
    });
  },
};
