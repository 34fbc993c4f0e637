/** The tables. Each has the prefix `wombat_`, so that they stand beside an application's own. */

import type { Generated } from "kysely";

/** A text that may be absent. */
type Maybe = string | null;

interface Row {
  seq: Generated<number>;
  id: string;
  user_id: string;
  created_at: string;
}

export interface Tables {
  wombat_tasks: Row & {
    title: string;
    description: Maybe;
    status: string;
    metadata: Maybe;
    updated_at: string;
    completed_at: Maybe;
  };
  wombat_messages: Row & {
    task_id: string;
    content: string;
    actor_type: string;
    agent_role: Maybe;
    actor_id: Maybe;
    attachments: Maybe;
    data: Maybe;
    tool_request_id: Maybe;
    idempotency_key: Maybe;
  };
  wombat_documents: Row & { task_id: Maybe; title: string; content: string; doc_type: Maybe };
  wombat_keys: {
    user_id: string;
    endpoint: string;
    role: string;
    idempotency_key: string;
    body: string;
    response: string;
    created_at: string;
  };
  wombat_events: {
    id: Generated<number>;
    user_id: string;
    role: Maybe;
    kind: string;
    data: string;
    created_at: string;
  };
  wombat_notifications: Row & {
    session_key: string;
    task_id: Maybe;
    content: string;
    run_key: Maybe;
    metadata: Maybe;
    priority: number;
    collapse_key: Maybe;
    collapsed: number;
    attempts: number;
    error: Maybe;
    read_at: Maybe;
    delivered_at: Maybe;
    dead_at: Maybe;
    leased_until: Maybe;
  };
  wombat_wakes: { user_id: string; role: string; last_at: string; note: Maybe; note_at: Maybe };
  wombat_slots: { user_id: string; role: string; slot: string; created_at: string };
  wombat_runs: {
    seq: Generated<number>;
    user_id: string;
    role: string;
    run_key: string;
    status: string;
    session_key: Maybe;
    task_id: Maybe;
    workspace: Maybe;
    workspace_digest: Maybe;
    profile_digest: Maybe;
    parent_run_key: Maybe;
    detached: number;
    cancel_requested: number;
    lease_id: Maybe;
    extra: string;
    step_count: number;
    step_bytes: number;
    orphan_until: Maybe;
    orphan_attempts: number;
    orphan_steps: number;
    last_delta: number;
    delta_bytes: number;
    deltas_expired: number;
    deltas_at: Maybe;
    paced_ms: number;
    model: Maybe;
    provider: Maybe;
    message_id: Maybe;
    used: Maybe;
    cost_usd: number | null;
    error_code: Maybe;
    asked: Maybe;
    reply: Maybe;
    words: string;
    up_count: number;
    down_count: number;
    labels: string;
    ended_at: Maybe;
    duration_ms: number | null;
    created_at: string;
    updated_at: string;
  };
  wombat_steps: { user_id: string; run_seq: number; step_index: number; kind: string; payload: string; created_at: string };
  wombat_deltas: { user_id: string; run_seq: number; first_id: number; last_id: number; events: string };
  wombat_artifacts: {
    user_id: string;
    run_seq: number;
    sha256: string;
    size: number;
    media_type: string;
    content: string;
    created_at: string;
    expires_at: string;
  };
  wombat_leases: {
    id: string;
    user_id: string;
    session_key: string;
    task_id: string;
    fence: number;
    holder: string;
    ttl_secs: number;
    expires_at: string;
    freed_at: Maybe;
    created_at: string;
  };
  wombat_tool_requests: Row & {
    task_id: string;
    run_key: string;
    session_key: string;
    kind: string;
    status: string;
    tool: string;
    arguments: string;
    parameters: Maybe;
    reason: Maybe;
    note: Maybe;
    edited: Maybe;
    answer: Maybe;
    decided_by: Maybe;
    asked_by: Maybe;
    decided_key: Maybe;
    decided_body: Maybe;
    rule_id: Maybe;
    expires_at: Maybe;
    decided_at: Maybe;
  };
  wombat_rules: Row & {
    role: string;
    tool: string;
    fits: Maybe;
    expires_at: string;
    max_uses: number | null;
    uses: number;
    author: string;
    parameters_sha256: Maybe;
    tool_request_id: Maybe;
    revoked_at: Maybe;
  };
  wombat_rule_uses: {
    user_id: string;
    rule_seq: number;
    idempotency_key: string;
    run_key: string;
    body: string;
    uses: number;
    created_at: string;
  };
  wombat_files: Row & {
    name: string;
    media_type: string;
    size: number;
    sha256: string;
    is_attached: number;
    put_at: string;
    bytes: Uint8Array;
  };
  wombat_profiles: { user_id: string; role: string; body: string; tenant_id: Maybe; updated_at: string };
  wombat_budgets: {
    tenant_id: string;
    user_id: string;
    role: string;
    limit_nano: number;
    period: string;
    warn_at: number | null;
    updated_at: string;
  };
  wombat_reservations: {
    id: string;
    user_id: string;
    role: Maybe;
    tenant_id: Maybe;
    run_id: string;
    amount_nano: number;
    expires_at: string;
    settled_at: Maybe;
    created_at: string;
  };
  wombat_usage: Row & {
    run_id: string;
    reservation_id: Maybe;
    role: string;
    model: string;
    prompt_tokens: number;
    completion_tokens: number;
    cost_nano: number;
    estimated: number;
    tenant_id: Maybe;
  };
  wombat_budget_warnings: {
    tenant_id: string;
    user_id: string;
    role: string;
    period: string;
    period_end: string;
    limit_nano: number;
  };
  wombat_memories: Row & {
    scope: string;
    owner: string;
    task_id: Maybe;
    tenant_id: Maybe;
    text: string;
    folded: string;
    source: Maybe;
    expires_at: Maybe;
    author_type: string;
    author_id: string;
    updated_at: string;
  };
  wombat_feedback: {
    seq: Generated<number>;
    user_id: string;
    run_seq: number;
    author_type: string;
    author_id: string;
    message_id: Maybe;
    rating: Maybe;
    labels: string;
    comment: Maybe;
    created_at: string;
    updated_at: string;
  };
  wombat_schedules: Row & {
    role: string;
    content: string;
    task_id: Maybe;
    at_time: Maybe;
    local_at: Maybe;
    cron: Maybe;
    timezone: Maybe;
    until_at: Maybe;
    max_runs: number | null;
    catch_up: string;
    status: string;
    next_at: Maybe;
    handled_to: string;
    last_slot: Maybe;
    runs: number;
    created_by: string;
    updated_at: string;
  };
  wombat_schedule_slots: { user_id: string; schedule_id: string; slot: string; notification_id: string; created_at: string };
  wombat_erased_runs: { who: string; erased_at: string };
  wombat_erased_users: { who: string; erased_at: string };
  wombat_audit: {
    seq: number;
    at: string;
    actor_type: string;
    actor_subject: string;
    actor_role: Maybe;
    act: string;
    subject: Maybe;
    object_type: Maybe;
    object_id: Maybe;
    details: string;
    trace_id: Maybe;
    reason: Maybe;
    prev: string;
    hash: string;
  };
  wombat_subjects: { user_id: string; subject: string };
  wombat_quiet_hours: { user_id: string; timezone: string; from_clock: string; to_clock: string };
  wombat_digests: { user_id: string; sent_at: string; due_at: Maybe };
}

/** The tables whose rows are users' own. */
export type OwnTable = Exclude<keyof Tables & string, "wombat_audit" | "wombat_erased_runs" | "wombat_erased_users">;
