/** JSON Schemas that others wrote: compiled within bounds, and checked by patterns that take no more than linear time. */

import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import { RE2JS } from "re2js";

import { isObject, isRaw, type Json, toJson } from "./json.js";

/** How many things that are wrong are told. */
const MAX_ERRORS = 20;

/** The largest schema, in bytes of JSON, and how deep it is nested. */
const MAX_BYTES = 256 * 1024;
const MAX_DEPTH = 64;

/** A schema that can be checked: what is wrong with a value, each with its place; nothing where it fits. */
export type Check = (value: Json) => string[];

/** Ajv takes regular expressions from here. RE2 cannot be made to run for ever. */
function pattern(text: string): { test(value: string): boolean; toString(): string } {
  const compiled = RE2JS.compile(text);
  // Ajv tells patterns apart by their texts.
  return { test: (value) => compiled.matcher(value).find(), toString: () => text };
}
pattern.code = "pattern";

/** Numbers that no double holds, as the nearest one: schemas compare numbers. */
function plain(value: Json): Json {
  if (isRaw(value)) return Number((value as { rawJSON: string }).rawJSON);
  if (Array.isArray(value)) return value.map(plain);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
  return value;
}

function depthOf(value: Json): number {
  if (typeof value !== "object" || value === null || isRaw(value)) return 0;
  return 1 + Math.max(0, ...Object.values(value).map((one) => depthOf(one as Json)));
}

/** References that lead out of the schema. */
function leadsOut(value: Json): boolean {
  if (Array.isArray(value)) return value.some(leadsOut);
  if (!isObject(value)) return false;
  return Object.entries(value).some(([name, one]) =>
    (name === "$ref" || name === "$dynamicRef") && typeof one === "string" ? !one.startsWith("#") : leadsOut(one as Json),
  );
}

const told = ({ instancePath, message }: ErrorObject): string => `${instancePath === "" ? "" : `${instancePath}: `}${message ?? "does not fit"}`;

/**
 * Compiles a schema.
 *
 * @throws Error whose message goes on after "the schema"
 */
export function compileSchema(schema: Json): Check {
  if (!isObject(schema) && typeof schema !== "boolean") throw new Error("must be an object, true or false");
  if (Buffer.byteLength(toJson(schema)) > MAX_BYTES) throw new Error(`must have at most ${MAX_BYTES} bytes`);
  if (depthOf(schema) > MAX_DEPTH) throw new Error(`must be nested at most ${MAX_DEPTH} levels deep`);
  if (leadsOut(schema)) throw new Error("must not refer to other documents");
  const own = plain(schema);
  // Which draft it says it is of makes no difference to the words that are checked.
  if (isObject(own)) for (const word of ["$schema", "$id", "id"]) delete own[word];
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false, logger: false, code: { regExp: pattern as never } });
  let validate: ReturnType<typeof ajv.compile>;
  try {
    validate = ajv.compile(own as object | boolean);
  } catch (error) {
    throw new Error(`is not valid: ${(error as Error).message}`);
  }
  return (value) => (validate(plain(value)) ? [] : (validate.errors ?? []).slice(0, MAX_ERRORS).map(told));
}
