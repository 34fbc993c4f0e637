/** Questions: how agents ask them, and what counts as an answer. */

import { invalid } from "../errors.js";
import { Fields } from "../fields.js";
import { stamp } from "../ids.js";
import { type Json, type JsonObject, parseJson, toJson } from "../json.js";
import { compileSchema } from "../json-schema.js";
import { mentionedRoles } from "../mentions.js";

const MAX_QUESTION = 2_000;
const MAX_SCHEMA = 8 * 1024;
const MAX_OPTION = 200;
const [FEWEST_OPTIONS, MOST_OPTIONS] = [2, 20];

/** For how long a question waits, and for how long at most, in seconds. */
const DEFAULT_TTL = 604_800;
export const MAX_TTL = 366 * 24 * 3_600;

/** A question. */
export interface Question {
  readonly question: string;
  readonly schema: Json | undefined;
  readonly options: string[] | undefined;
}

/** The question of a request's arguments, which were checked before they were stored. */
export function questionOf(args: JsonObject): Question {
  const fields = new Fields(args);
  return { question: fields.text("question"), schema: args.schema ?? undefined, options: fields.maybeTexts("options") };
}

/** The schema of what answers a question. */
export function answerSchema({ schema, options }: Question): Json {
  if (options !== undefined) return { enum: options };
  return schema ?? { type: "string" };
}

const isSame = (one: string, other: string): boolean => one.trim().toLowerCase() === other.trim().toLowerCase();

/** Refuses a question that cannot be asked. */
export function checkQuestion(args: Fields): Question {
  const question = args.text("question", { most: MAX_QUESTION });
  const schema = args.any("schema") ?? undefined;
  const options = args.maybeTexts("options");
  const wrong = (field: string, why: string) => invalid(`arguments.${field}`, why);
  if (schema !== undefined && options !== undefined) throw wrong("schema", "cannot be beside arguments.options: give one of them");
  if (schema !== undefined) {
    if (Buffer.byteLength(toJson(schema)) > MAX_SCHEMA) throw wrong("schema", `must have at most ${MAX_SCHEMA} bytes`);
    try {
      compileSchema(schema);
    } catch (error) {
      throw wrong("schema", (error as Error).message);
    }
  }
  if (options !== undefined) {
    if (options.length < FEWEST_OPTIONS || options.length > MOST_OPTIONS) {
      throw wrong("options", `must be ${FEWEST_OPTIONS} to ${MOST_OPTIONS}`);
    }
    if (options.some((one) => one.trim() === "" || [...one].length > MAX_OPTION)) {
      throw wrong("options", `must be filled texts of at most ${MAX_OPTION} characters`);
    }
    const isTwice = options.some((one, at) => options.slice(0, at).some((other) => isSame(one, other)));
    if (isTwice) throw wrong("options", "must differ, capitals and outer spaces aside");
  }
  return { question, schema, options };
}

/** Until when something of a body holds: in the future, and within 366 days. */
export function checkUntil(field: string, until: number | undefined): void {
  if (until === undefined) return;
  if (until <= Date.now()) throw invalid(field, "must be in the future");
  if (until > Date.now() + MAX_TTL * 1000) throw invalid(field, "must be within 366 days");
}

/** Until when a question waits. */
export function expiresAt(body: Fields): string {
  const seconds = body.maybeWhole("ttl_secs", 1, MAX_TTL);
  const until = body.maybeTime("expires_at");
  if (seconds !== undefined && until !== undefined) throw invalid("ttl_secs", "cannot be beside expires_at: give one of them");
  checkUntil("expires_at", until);
  return stamp(until ?? Date.now() + (seconds ?? DEFAULT_TTL) * 1000);
}

/** An answer that fits, or what is wrong with it. */
export type Given = { readonly answer: Json } | { readonly errors: string[] };

/** The answer that a JSON value is: an option as the question writes it, a text, or what fits the schema. */
export function givenAnswer({ schema, options }: Question, value: Json): Given {
  if (options !== undefined) {
    const option = options.find((one) => typeof value === "string" && isSame(one, value));
    if (option !== undefined) return { answer: option };
    return { errors: [`must be one of the options: ${options.join(", ")}`] };
  }
  if (schema === undefined) {
    return typeof value === "string" && value.trim() !== "" ? { answer: value } : { errors: ["must be a text"] };
  }
  const errors = compileSchema(schema)(value);
  return errors.length === 0 ? { answer: value } : { errors };
}

/** A text without white space around it, and without the role that it is addressed to. */
function addressedTo(role: string, text: string): string {
  const whole = text.trim();
  if (!whole.startsWith(`@${role}`) || mentionedRoles(whole)[0] !== role) return whole;
  const rest = whole.slice(role.length + 1).replace(/^[,:]/, "");
  return /^\S/.test(rest) ? whole : rest.trim();
}

/** The answer that a person's text is: an option, a text, or else JSON. */
export function writtenAnswer(question: Question, role: string, text: string): Given {
  const said = addressedTo(role, text);
  const asText = givenAnswer(question, said);
  if (question.schema === undefined || "answer" in asText) return asText;
  try {
    return givenAnswer(question, parseJson(said));
  } catch (error) {
    return { errors: [`must be JSON that fits the question's schema; ${(error as Error).message}`] };
  }
}
