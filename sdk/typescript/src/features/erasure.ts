/** What is kept of a user, and its erasure. */

import { now } from "../ids.js";
import type { Mine } from "../store/mine.js";

/** Whether an erasure has taken a run of this key. */
export async function isErasedRun(mine: Mine, runKey: string): Promise<boolean> {
  const rows = mine.from("wombat_erased_runs").select("run_key").where("run_key", "=", runKey).where("until", ">", now());
  return (await rows.executeTakeFirst()) !== undefined;
}
