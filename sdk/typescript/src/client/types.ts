/** What goes over the wire between an application and the daemon. */

/** A message to an agent. */
export interface SendRequest {
  /** The user whom the agent acts for. */
  user_id: string;
  /** `user:{user_id}:{role}`. */
  session_key: string;
  /** What the user said; may be left out beside `resume_run_key`. */
  message?: string;
  /** Earlier turns; without them the daemon loads the task's thread. */
  messages?: { role: "user" | "assistant" | "system"; content: string }[];
  task_id?: string;
  /** A task that is found by its exact title, or made. */
  task_title?: string;
  task_description?: string;
  task_metadata?: { [name: string]: unknown };
  metadata?: { [name: string]: unknown };
  /** Makes the run safe to repeat. The client makes one where it is absent. */
  idempotency_key?: string;
  /** A journaled run to go on with. */
  resume_run_key?: string;
  /** Answers to that run's questions, by their ids. */
  answers?: { [id: string]: unknown };
  /** The reply has to be JSON of this schema. */
  output?: { schema: unknown; name?: string; strict?: boolean };
  attachments?: ({ file_id: string } | { name: string; media_type: string; data: string })[];
  limits?: { max_steps?: number; max_output_tokens?: number; max_cost_usd?: number; timeout_secs?: number };
  webhook?: { url: string; secret?: string; headers?: { [name: string]: string } };
  /** Whether the run goes on when its caller leaves. */
  detached?: boolean;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  cached_tokens?: number;
  /** Whether some of the counts are estimates. */
  estimated?: boolean;
}

export interface Cost {
  model: string;
  inputCost: number;
  outputCost: number;
  totalCost: number;
  currency: string;
  /** Whether the price of all models is known. */
  known: boolean;
}

/** A call that waits for a person, or a question. */
export interface WaitingRequest {
  id: string;
  kind: "approval" | "question";
  tool: string;
  arguments: { [name: string]: unknown };
  question?: string;
  options?: string[];
  /** The JSON Schema of the tool's arguments, or of the answer. */
  parameters?: unknown;
  expires_at?: string;
}

/** The end of a run, or of a part of it that waits for a person. */
export interface RunAnswer {
  status: "ok" | "awaiting_approval" | "awaiting_answer";
  run_id: string;
  run_key: string;
  task_id: string;
  trace_id: string;
  /** The stored reply; `null` while the run waits for a person. */
  message_id: string | null;
  response: string;
  finish_reason?: string;
  usage: Usage;
  cost: Cost;
  model?: string;
  provider?: string;
  steps: { kind: string; name: string; arguments: unknown; ok: boolean; duration_ms: number; error?: string }[];
  output?: unknown;
  output_errors?: string[];
  tool_requests?: WaitingRequest[];
  /** Whether the reply was stored by an earlier run with the same key. */
  replayed?: boolean;
  [name: string]: unknown;
}

/** An event of a run's stream. `event_id` is that of a detached run's events, after which a reader can go on. */
export type StreamEvent = { event_id?: number } & (
  | { type: "start"; run_id: string; task_id: string; trace_id: string; run_key: string }
  /** More text of a turn. */
  | { type: "chunk"; data: string; step: number }
  /** Drop this turn's text from this character (code point) on; the chunks that follow replace it. */
  | { type: "restarted"; step?: number; from: number; reason: string }
  | { type: "tool_call"; id: string; name: string; arguments: unknown }
  | { type: "tool_result"; id: string; name: string; ok: boolean; duration_ms: number; error?: string }
  /** The end of the stream, as {@link RunAnswer}. */
  | ({ type: "done" } & RunAnswer)
  /** The end of the stream: the run has failed. */
  | { type: "error"; error: string; code: string; details?: { [name: string]: unknown } }
);

/** Where a run can stand. */
export type RunStatus =
  | "queued"
  | "running"
  | "awaiting_approval"
  | "awaiting_answer"
  | "completed"
  | "failed"
  | "interrupted"
  | "cancelled";

/** A detached run that was started. */
export interface RunStarted {
  run_key: string;
  task_id: string;
  status: RunStatus;
  /** The path of its stream. */
  stream: string;
  replayed?: boolean;
}

/** Where a detached run stands. */
export interface RunState {
  run_key: string;
  task_id: string;
  status: RunStatus;
  created_at?: string;
  updated_at?: string;
  steps: unknown[];
  last_event_id: number;
  answer?: RunAnswer;
  error?: { status: number; error: string; code: string; details?: { [name: string]: unknown } };
  tool_requests?: WaitingRequest[];
  [name: string]: unknown;
}

/** A tool request, as the backend has it. */
export interface ToolRequest extends WaitingRequest {
  status: "pending" | "approved" | "denied" | "answered" | "expired" | "cancelled";
  task_id: string;
  run_key: string;
  session_key: string;
  reason?: string;
  note?: string;
  edited?: { arguments: { [name: string]: unknown } };
  answer?: unknown;
  created_at?: string;
  decided_at?: string;
}

/** A person's word about a call. */
export interface Decision {
  status: "approved" | "denied";
  note?: string;
  /** Other arguments than the agent's. */
  edited?: { arguments: { [name: string]: unknown } };
  /** A standing rule for further calls. */
  rule?: { expires_at: string; when?: { [argument: string]: unknown }; max_uses?: number };
}

/** A change of one of the user's objects, as the backend tells it. */
export interface BackendEvent {
  /** Its number; none where it is not kept, such as `run.delta`. */
  event_id?: number;
  type: string;
  user_id?: string;
  [name: string]: unknown;
}
