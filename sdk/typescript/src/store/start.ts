/** The tables of the first version. */

import { tables } from "./make-tables.js";

const ROW = "seq serial, id text!, user_id text!, created_at text!";

/** Makes them. */
export const start = tables(
  {
    name: "wombat_tasks",
    columns: `${ROW}, title text!, description text, status text!, metadata text, updated_at text!, completed_at text`,
    unique: ["id"],
    indexes: ["(user_id, seq)", "(user_id, status, seq)"],
  },
  {
    name: "wombat_messages",
    columns: `${ROW}, task_id text!, content text!, actor_type text!, agent_role text, actor_id text, attachments text,
      data text, tool_request_id text, idempotency_key text`,
    unique: ["id"],
    indexes: ["(user_id, task_id, seq)", "(user_id, idempotency_key)"],
  },
  {
    name: "wombat_documents",
    columns: `${ROW}, task_id text, title text!, content text!, doc_type text`,
    unique: ["id"],
    indexes: ["(user_id, seq)", "(user_id, task_id, seq)"],
  },
  {
    name: "wombat_keys",
    columns: `user_id text!, endpoint text!, role text!, idempotency_key text!, body text!, response text!, created_at text!`,
    key: "user_id, endpoint, role, idempotency_key",
    indexes: ["(created_at)"],
  },
  {
    name: "wombat_events",
    columns: "id serial, user_id text!, role text, kind text!, data text!, created_at text!",
    indexes: ["(user_id, id)"],
  },
  {
    name: "wombat_notifications",
    columns: `${ROW}, session_key text!, task_id text, content text!, run_key text, metadata text, priority int!,
      collapse_key text, collapsed int!, attempts int!, error text, read_at text, delivered_at text, dead_at text,
      leased_until text`,
    unique: ["id"],
    indexes: [
      "(user_id, seq)",
      "(session_key, seq) where delivered_at is null and dead_at is null",
      "(seq) where delivered_at is null and dead_at is null",
      "(seq) where dead_at is not null",
    ],
  },
  {
    name: "wombat_wakes",
    columns: "user_id text!, role text!, last_at text!, note text, note_at text",
    key: "user_id, role",
  },
  {
    name: "wombat_slots",
    columns: "user_id text!, role text!, slot text!, created_at text!",
    key: "user_id, role, slot",
    indexes: ["(created_at)"],
  },
  {
    name: "wombat_runs",
    columns: `seq serial, user_id text!, role text!, run_key text!, status text!, session_key text, task_id text,
      workspace text, workspace_digest text, profile_digest text, parent_run_key text, detached int!,
      cancel_requested int!, lease_id text, extra text!, step_count int!, step_bytes int!, orphan_until text,
      orphan_attempts int!, orphan_steps int!, last_delta int!, delta_bytes int!, deltas_expired int!, deltas_at text,
      paced_ms int!, model text, provider text, message_id text, used text, cost_usd real, error_code text, asked text,
      reply text, words text!, ended_at text, duration_ms int, created_at text!, updated_at text!`,
    unique: ["user_id, run_key, role"],
    indexes: [
      "(user_id, role, seq)",
      "(user_id, parent_run_key)",
      "(session_key, task_id)",
      "(seq) where detached = 1 and status in ('running', 'interrupted')",
    ],
  },
  {
    name: "wombat_steps",
    columns: "user_id text!, run_seq int!, step_index int!, kind text!, payload text!, created_at text!",
    key: "run_seq, step_index",
    indexes: ["(user_id)"],
  },
  {
    name: "wombat_deltas",
    columns: "user_id text!, run_seq int!, first_id int!, last_id int!, events text!",
    key: "run_seq, first_id",
    indexes: ["(user_id)"],
  },
  {
    name: "wombat_leases",
    columns: `id text!, user_id text!, session_key text!, task_id text!, fence int!, holder text!, ttl_secs int!,
      expires_at text!, freed_at text, created_at text!`,
    key: "id",
    unique: ["session_key, task_id, fence"],
    indexes: ["(user_id)"],
  },
  {
    name: "wombat_tool_requests",
    columns: `${ROW}, task_id text!, run_key text!, session_key text!, kind text!, status text!, tool text!,
      arguments text!, parameters text, reason text, note text, edited text, answer text, decided_by text, asked_by text,
      decided_key text, decided_body text, rule_id text, expires_at text, decided_at text`,
    unique: ["id"],
    indexes: ["(user_id, seq)", "(user_id, run_key)", "(expires_at) where status = 'pending' and kind = 'question'"],
  },
  {
    name: "wombat_rules",
    columns: `${ROW}, role text!, tool text!, fits text, expires_at text!, max_uses int, uses int!, author text!,
      parameters_sha256 text, tool_request_id text, revoked_at text`,
    unique: ["id"],
    indexes: ["(user_id, role, tool)"],
  },
  {
    name: "wombat_rule_uses",
    columns: `user_id text!, rule_seq int!, idempotency_key text!, run_key text!, body text!, uses int!, created_at text!`,
    key: "rule_seq, idempotency_key",
    indexes: ["(user_id)"],
  },
  {
    name: "wombat_files",
    columns: `${ROW}, name text!, media_type text!, size int!, sha256 text!, is_attached int!, put_at text!, bytes bytes!`,
    unique: ["id"],
    indexes: ["(user_id, sha256)", "(put_at) where is_attached = 0"],
  },
  { name: "wombat_erased_runs", columns: "user_id text!, run_key text!, until text!", key: "user_id, run_key" },
  {
    name: "wombat_audit",
    columns: `seq int!, at text!, actor_type text!, actor_subject text!, actor_role text, act text!, subject text,
      object_type text, object_id text, details text!, trace_id text, reason text, prev text!, hash text!`,
    key: "seq",
    indexes: ["(subject, seq)", "(actor_subject, at)"],
  },
  { name: "wombat_subjects", columns: "user_id text!, subject text!", key: "user_id", unique: ["subject"] },
  {
    name: "wombat_quiet_hours",
    columns: "user_id text!, timezone text!, from_clock text!, to_clock text!",
    key: "user_id",
  },
  { name: "wombat_digests", columns: "user_id text!, sent_at text!, due_at text", key: "user_id" },
);
