/** What lists of runs show of a run, as its daemon sends it with the run's status. */

import { now } from "../ids.js";
import { isObject, type JsonObject, toJson } from "../json.js";
import { wordsOf } from "../words.js";
import type { RunRow } from "./run-rows.js";

/** The most characters that are kept of what was asked and answered. */
const MAX_TEXT = 4_000;

const OVER = ["completed", "failed", "cancelled", "interrupted"];

/** What a write says of a run that has this status from now on. Fields of another type than ours say nothing. */
export function factsOf(sent: JsonObject, known: RunRow, status: string): Partial<RunRow> {
  const text = (name: string) => (typeof sent[name] === "string" ? sent[name] : undefined);
  const cut = (name: string) => text(name) && [...(text(name) ?? "")].slice(0, MAX_TEXT).join("");
  const isOver = OVER.includes(status);
  const failed = status === "failed";
  const asked = cut("asked") ?? known.asked;
  const reply = cut("reply") ?? known.reply;
  return {
    model: text("model") ?? known.model,
    provider: text("provider") ?? known.provider,
    message_id: text("message_id") ?? known.message_id,
    used: isObject(sent.usage) ? toJson(sent.usage) : known.used,
    cost_usd: typeof sent.cost_usd === "number" ? sent.cost_usd : known.cost_usd,
    error_code: failed ? (text("error_code") ?? text("error") ?? known.error_code) : null,
    ended_at: isOver ? (known.ended_at ?? now()) : null,
    duration_ms: isOver ? (known.duration_ms ?? Math.max(0, Date.now() - Date.parse(known.created_at))) : null,
    asked,
    reply,
    words: asked === known.asked && reply === known.reply ? known.words : ` ${[...new Set([...wordsOf(asked), ...wordsOf(reply)])].join(" ")} `,
  };
}
