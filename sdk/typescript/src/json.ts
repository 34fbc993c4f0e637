/**
 * JSON as the contract wants it: a number that JavaScript cannot hold exactly comes back as it was written, and
 * two texts are the same where their values are.
 */

/** Any JSON value. A number that is not exact as a double is a raw one, see {@link parseJson}. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A JSON object. */
export type JsonObject = { [name: string]: Json };

interface RawJson {
  readonly rawJSON: string;
}

/** JSON.parse source text access (ES2026), which Node has from 22 on. */
const native = JSON as unknown as {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
};

if (typeof native.rawJSON !== "function") throw new Error("wombat-mission-control needs Node 22.13 or newer");

/** Numbers with so many digits are the same once they were read as a double. */
const EXACT_DIGITS = 15;

function keep(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== "number" || source === undefined) return value;
  const digits = (source.split(/[eE]/, 1)[0] ?? "").replace(/[-.]/g, "").replace(/^0+|0+$/g, "");
  const isLost = !Number.isFinite(value) || (value === 0 && digits !== "");
  if (digits.length <= EXACT_DIGITS && !isLost) return value;
  return String(value) === source ? value : native.rawJSON(source);
}

/**
 * Parses JSON. Numbers with more digits than a double has stay as they were written, when the value is written
 * again with {@link toJson}.
 *
 * @throws SyntaxError where the text is no JSON
 */
export function parseJson(text: string): Json {
  return native.parse(text, keep) as Json;
}

/** Writes JSON, with all digits that {@link parseJson} has kept. */
export function toJson(value: unknown): string {
  return JSON.stringify(value);
}

/** Reads JSON that a column holds; `undefined` where it holds none. */
export function fromColumn<T extends Json>(text: string | null | undefined): T | undefined {
  return text === null || text === undefined ? undefined : (parseJson(text) as T);
}

/** Whether a value is a number that no double holds. */
export function isRaw(value: unknown): value is RawJson {
  return native.isRawJSON(value);
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRaw(value);
}

/** The one text of a value: fields in the order of their names, whatever order they came in. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return toJson(value);
  const names = Object.keys(value).filter((name) => value[name] !== undefined);
  names.sort();
  return `{${names.map((name) => `${toJson(name)}:${canonical(value[name])}`).join(",")}}`;
}
