/** The table of long results. */

import { tables } from "./make-tables.js";

/** Makes it. */
export const artifactsTable = tables({
  name: "wombat_artifacts",
  columns: `user_id text!, run_seq int!, sha256 text!, size int!, media_type text!, content text!, created_at text!, expires_at text!`,
  key: "run_seq, sha256",
  indexes: ["(user_id, expires_at, size)", "(expires_at)"],
});
