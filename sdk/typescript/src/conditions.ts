/**
 * Conditions over the arguments of a call: `{argument: schema}`. What is missing, or is of another type than a word is
 * for, fits no condition: JSON Schema would have it that `maximum` fits every text.
 */

import { compileSchema } from "./json-schema.js";
import { isObject, isRaw, type Json, type JsonObject, toJson } from "./json.js";

const MAX_BYTES = 8 * 1024;
const MAX_ARGUMENTS = 32;
const MAX_DEPTH = 16;

/** Short words, and those of JSON Schema that they stand for. */
const SHORT: { [word: string]: string } = {
  gt: "exclusiveMinimum",
  gte: "minimum",
  lt: "exclusiveMaximum",
  lte: "maximum",
  eq: "const",
  in: "enum",
};

type Kind = "null" | "boolean" | "number" | "string" | "array" | "object";

/** Words that say something of values of one kind. */
const OF_KIND = new Map<string, Kind>([
  ...["exclusiveMinimum", "minimum", "exclusiveMaximum", "maximum", "multipleOf"].map((word) => [word, "number"] as const),
  ...["minLength", "maxLength", "pattern"].map((word) => [word, "string"] as const),
  ...["minItems", "maxItems", "uniqueItems"].map((word) => [word, "array"] as const),
  ...["minProperties", "maxProperties", "required", "dependentRequired"].map((word) => [word, "object"] as const),
]);

/** Words that hold schemas: of one, of a list, by names. */
const ONE = ["not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"];
const MANY = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED = ["properties", "patternProperties", "dependentSchemas"];
const NOTES = ["title", "description", "$comment", "default", "examples", "deprecated"];
const PLAIN = ["type", "const", "enum"];

/** What a rule says of a value; unclear counts as no, and stays unclear where it is negated. */
type Outcome = "yes" | "no" | "unclear";
type Rule = (value: Json) => Outcome;

function kindOf(value: Json): Kind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (isRaw(value)) return "number";
  return typeof value as Kind;
}

/** Of several outcomes: unclear comes first, then no. */
const all = (outcomes: Outcome[]): Outcome => {
  if (outcomes.includes("unclear")) return "unclear";
  return outcomes.includes("no") ? "no" : "yes";
};

const any = (outcomes: Outcome[]): Outcome => {
  if (outcomes.includes("yes")) return "yes";
  return outcomes.includes("unclear") ? "unclear" : "no";
};

const exactlyOne = (outcomes: Outcome[]): Outcome => {
  if (outcomes.includes("unclear")) return "unclear";
  return outcomes.filter((one) => one === "yes").length === 1 ? "yes" : "no";
};

const negated = (outcome: Outcome): Outcome => (outcome === "unclear" ? outcome : outcome === "yes" ? "no" : "yes");

function ofKind(kinds: Kind[], rule: Rule): Rule {
  return (value) => (kinds.includes(kindOf(value)) ? rule(value) : "unclear");
}

function simple(word: string, given: Json): Rule {
  const check = compileSchema({ [word]: given });
  return (value) => (check(value).length === 0 ? "yes" : "no");
}

class Reader {
  readonly problems: string[] = [];

  read(schema: Json, place: string): Rule {
    if (typeof schema === "boolean") return () => (schema ? "yes" : "no");
    if (!isObject(schema)) {
      this.problems.push(`${place}: must be an object, such as {"eq": ${toJson(schema)}}`);
      return () => "unclear";
    }
    const words: { [word: string]: Json } = {};
    for (const [written, value] of Object.entries(schema)) {
      const word = Object.hasOwn(SHORT, written) ? (SHORT[written] ?? written) : written;
      if (Object.hasOwn(words, word)) this.problems.push(`${place}: two words say the same; leave ${written} out`);
      else words[word] = value;
    }
    const rules = Object.entries(words).flatMap(([word, value]) => this.#word(words, word, value, place) ?? []);
    return (value) => all(rules.map((rule) => rule(value)));
  }

  #word(words: { [word: string]: Json }, word: string, given: Json, place: string): Rule | undefined {
    const at = `${place}.${word}`;
    if (NOTES.includes(word) || word === "then" || word === "else") return this.#branch(words, word, at);
    const kind = OF_KIND.get(word);
    if (kind !== undefined || PLAIN.includes(word)) return this.#simple(word, given, kind, at);
    if (ONE.includes(word)) return this.#one(words, word, given, place);
    if (MANY.includes(word)) return this.#many(word, given, at);
    if (NAMED.includes(word)) return this.#named(word, given, at);
    if (word === "minContains" || word === "maxContains") {
      if (!Number.isInteger(given)) this.problems.push(`${at}: must be a whole number`);
      return ofKind(["array"], () => "yes");
    }
    this.problems.push(`${place}: ${word} is no word of a condition; known ones are gt, gte, lt, lte, eq, in and those of JSON Schema`);
    return undefined;
  }

  #branch(words: { [word: string]: Json }, word: string, at: string): undefined {
    if (!NOTES.includes(word) && words.if === undefined) this.problems.push(`${at}: stands without if`);
    return undefined;
  }

  #simple(word: string, given: Json, kind: Kind | undefined, at: string): Rule | undefined {
    try {
      const rule = simple(word, given);
      if (kind !== undefined) return ofKind([kind], rule);
      if (word === "const") return ofKind([kindOf(given)], rule);
      if (word !== "enum") return rule;
      if (!Array.isArray(given) || given.length === 0) throw new Error("must be a list of values");
      return ofKind(given.map(kindOf), rule);
    } catch (error) {
      this.problems.push(`${at}: ${(error as Error).message}`);
      return undefined;
    }
  }

  #one(words: { [word: string]: Json }, word: string, given: Json, place: string): Rule {
    const rule = this.read(given, `${place}.${word}`);
    switch (word) {
      case "not":
        return (value) => negated(rule(value));
      case "if": {
        const then = words.then === undefined ? undefined : this.read(words.then, `${place}.then`);
        const otherwise = words.else === undefined ? undefined : this.read(words.else, `${place}.else`);
        return (value) => {
          const outcome = rule(value);
          if (outcome === "unclear") return outcome;
          return (outcome === "yes" ? then : otherwise)?.(value) ?? "yes";
        };
      }
      case "contains":
        return ofKind(["array"], (value) => this.#contains(words, (value as Json[]).map(rule)));
      case "items": {
        const before = Array.isArray(words.prefixItems) ? words.prefixItems.length : 0;
        return ofKind(["array"], (value) => all((value as Json[]).slice(before).map(rule)));
      }
      case "propertyNames":
        return ofKind(["object"], (value) => all(Object.keys(value as JsonObject).map(rule)));
      default:
        return ofKind(["object"], (value) => all(this.#others(words, value as JsonObject).map(rule)));
    }
  }

  #contains(words: { [word: string]: Json }, outcomes: Outcome[]): Outcome {
    if (outcomes.includes("unclear")) return "unclear";
    const many = outcomes.filter((one) => one === "yes").length;
    const [from, to] = [Number(words.minContains ?? 1), Number(words.maxContains ?? Number.POSITIVE_INFINITY)];
    return many >= from && many <= to ? "yes" : "no";
  }

  /** The values of properties that no other word names. */
  #others(words: { [word: string]: Json }, value: JsonObject): Json[] {
    const named = isObject(words.properties) ? Object.keys(words.properties) : [];
    const patterns = isObject(words.patternProperties) ? Object.keys(words.patternProperties).map((one) => simple("pattern", one)) : [];
    const isOther = (name: string) => !named.includes(name) && !patterns.some((fits) => fits(name) === "yes");
    return Object.entries(value).filter(([name]) => isOther(name)).map(([, one]) => one);
  }

  #many(word: string, given: Json, at: string): Rule | undefined {
    if (!Array.isArray(given) || given.length === 0) {
      this.problems.push(`${at}: must be a list of schemas`);
      return undefined;
    }
    const rules = given.map((one, index) => this.read(one, `${at}.${index}`));
    if (word === "prefixItems") {
      return ofKind(["array"], (value) => all((value as Json[]).slice(0, rules.length).map((one, index) => rules[index]?.(one) ?? "yes")));
    }
    const together = word === "allOf" ? all : word === "anyOf" ? any : exactlyOne;
    return (value) => together(rules.map((rule) => rule(value)));
  }

  #named(word: string, given: Json, at: string): Rule | undefined {
    if (!isObject(given)) {
      this.problems.push(`${at}: must be an object of schemas`);
      return undefined;
    }
    const rules = Object.entries(given).map(([name, one]) => ({ name, rule: this.read(one, `${at}.${name}`) }));
    return ofKind(["object"], (value) => {
      const object = value as JsonObject;
      const has = (name: string) => Object.hasOwn(object, name);
      if (word === "dependentSchemas") return all(rules.filter(({ name }) => has(name)).map(({ rule }) => rule(object)));
      if (word === "properties") return all(rules.filter(({ name }) => has(name)).map(({ name, rule }) => rule(object[name] ?? null)));
      const fitting = rules.flatMap(({ name, rule }) => {
        const fits = simple("pattern", name);
        return Object.entries(object).filter(([key]) => fits(key) === "yes").map(([, one]) => rule(one));
      });
      return all(fitting);
    });
  }
}

function depthOf(value: Json): number {
  if (typeof value !== "object" || value === null || isRaw(value)) return 0;
  return 1 + Math.max(0, ...Object.values(value).map((one) => depthOf(one as Json)));
}

/** A condition: what is wrong with the arguments of a call; `undefined` where they fit. */
export type Condition = (args: JsonObject) => string | undefined;

/** Reads a condition: it, or what is wrong with it. */
export function readCondition(when: Json): Condition | string {
  if (!isObject(when)) return 'must be an object of schemas by the names of arguments, such as {"amount": {"lte": 50}}';
  if (depthOf(when) > MAX_DEPTH) return `is nested too deep; the limit is ${MAX_DEPTH} levels`;
  const named = Object.entries(when);
  if (named.length > MAX_ARGUMENTS) return `names ${named.length} arguments; the limit is ${MAX_ARGUMENTS}`;
  if (Buffer.byteLength(toJson(when)) > MAX_BYTES) return `must have at most ${MAX_BYTES} bytes`;
  const reader = new Reader();
  const rules = named.map(([name, schema]) => {
    const path = name.split(".");
    if (path.some((part) => part.trim() === "")) reader.problems.push(`${name}: must name an argument, with dots between names`);
    return { name, path, rule: reader.read(schema, name) };
  });
  if (reader.problems.length > 0) return reader.problems.join("; ");
  return (args) => {
    for (const { name, path, rule } of rules) {
      const value = path.reduce<Json | undefined>((inside, part) => (isObject(inside) && Object.hasOwn(inside, part) ? inside[part] : undefined), args);
      if (value === undefined) return `${name}: is missing`;
      const outcome = rule(value);
      if (outcome === "unclear") return `${name}: is of another type than the rule is for`;
      if (outcome === "no") return `${name}: does not fit the rule`;
    }
    return undefined;
  };
}
