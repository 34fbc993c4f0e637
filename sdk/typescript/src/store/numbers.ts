/** Whole numbers as numbers: drivers of PostgreSQL give those of 64 bits as texts. */

import type { KyselyPlugin, PluginTransformQueryArgs, PluginTransformResultArgs, QueryResult, RootOperationNode, UnknownRow } from "kysely";

/** The columns that hold whole numbers. All are below 2⁵³. */
const COLUMNS = new Set(
  `seq priority collapsed attempts detached cancel_requested step_count step_bytes orphan_attempts orphan_steps last_delta
  delta_bytes deltas_expired paced_ms duration_ms run_seq step_index first_id last_id fence ttl_secs uses max_uses count
  prompt_tokens completion_tokens estimated limit_nano spent_nano reserved_nano amount_nano cost_nano size is_attached rule_seq up_count down_count failed up down p95_ms runs
  max_runs is_cron due at_ms turn many`.split(/\s+/),
);

/** A plugin of Kysely for this library's own queries. */
export class WholeNumbers implements KyselyPlugin {
  transformQuery(args: PluginTransformQueryArgs): RootOperationNode {
    return args.node;
  }

  transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    for (const row of result.rows) {
      for (const name in row) {
        const value = row[name];
        if (typeof value === "string" && COLUMNS.has(name)) row[name] = Number(value);
      }
    }
    return Promise.resolve(result);
  }
}
