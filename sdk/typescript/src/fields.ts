/** Reads the fields of a body or a query, and says of each that is wrong what is. */

import { invalid, invalidFields } from "./errors.js";
import { isObject, isRaw, type Json, type JsonObject } from "./json.js";

/** A name of a role: letters, digits, `_` and `-`, the first of them a letter or digit. */
export const isRole = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(text);

/** The role in a session key of a user, `user:{user_id}:{role}`; `undefined` for another user's. */
export function sessionRole(userId: string, sessionKey: string | null | undefined): string | undefined {
  const before = `user:${userId}:`;
  return sessionKey?.startsWith(before) ? sessionKey.slice(before.length) : undefined;
}

/** The session key of a role of a user. */
export const sessionOf = (userId: string, role: string): string => `user:${userId}:${role}`;

/** The role of a session key; refuses one that is not of this user. */
export function checkSession(userId: string, sessionKey: string): string {
  const role = sessionRole(userId, sessionKey);
  if (role === undefined || !isRole(role) || !isUserId(userId)) {
    throw invalid("session_key", "must be user:{user_id}:{role} of the same user");
  }
  return role;
}

/** Whether a text can be a user's id: not blank, and without colons, which separate the parts of a session key. */
export const isUserId = (text: string): boolean => text.trim() !== "" && !/[:\u0000-\u001f\u007f-\u009f]/.test(text);

/** Counts characters as people do, not UTF-16 units. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** What a text has to be. */
export interface TextRule {
  /** The most characters. */
  readonly most?: number;
  /** Whether a blank text is fine. */
  readonly blank?: boolean;
}

/** A time of RFC 3339 in milliseconds since 1970; `undefined` for other texts. */
export function timeOf(text: string): number | undefined {
  const form = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(Z|z|[+-]\d{2}:\d{2})$/.exec(text);
  if (form === null) return undefined;
  const [, year, month, day, hour, minute, second] = form.map(Number);
  const leap = second === 60;
  const base = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, leap ? 59 : second);
  const back = new Date(base);
  if (back.getUTCDate() !== day || back.getUTCMonth() + 1 !== month || back.getUTCHours() !== hour) return undefined;
  if ((minute ?? 99) > 59 || (second ?? 99) > 60) return undefined;
  const zone = form[8] ?? "Z";
  const offset = /[zZ]/.test(zone) ? 0 : (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)));
  const part = Number(`0.${form[7] ?? "0"}`) * 1000;
  return base + Math.floor(part) + (leap ? 1000 : 0) - offset * 60_000;
}

/** The fields of a JSON object. */
export class Fields {
  constructor(
    /** The object. */
    readonly raw: JsonObject,
    private readonly under = "",
  ) {}

  private name(name: string): string {
    return `${this.under}${name}`;
  }

  /** Whether a field is there; `null` counts as absent. */
  has(name: string): boolean {
    return Object.hasOwn(this.raw, name) && this.raw[name] !== null;
  }

  /** Whether a field is there, be it `null`. */
  names(name: string): boolean {
    return Object.hasOwn(this.raw, name);
  }

  /** Any value. */
  any(name: string): Json | undefined {
    return Object.hasOwn(this.raw, name) ? this.raw[name] : undefined;
  }

  /** A text that may be absent. */
  maybeText(name: string, rule: TextRule = {}): string | undefined {
    const value = this.any(name);
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "string") throw invalid(this.name(name), "must be a text");
    if (value.includes("\0")) throw invalid(this.name(name), "must not hold U+0000");
    if (!rule.blank && value.trim() === "") throw invalid(this.name(name), "must not be empty");
    if (rule.most !== undefined && value.length > rule.most && characters(value) > rule.most) {
      throw invalid(this.name(name), `must have at most ${rule.most} characters`);
    }
    return value;
  }

  /** A text that must be there. */
  text(name: string, rule: TextRule = {}): string {
    const value = this.maybeText(name, rule);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** Texts that must be there: all that are missing or blank are told at once. */
  require(...names: string[]): void {
    const wrong: { [name: string]: string } = {};
    for (const name of names) {
      const value = this.any(name);
      if (value === undefined || value === null) wrong[this.name(name)] = "is required";
      else if (typeof value === "string" && value.trim() === "") wrong[this.name(name)] = "must not be empty";
    }
    if (Object.keys(wrong).length > 0) throw invalidFields(wrong);
  }

  /** One of some texts. */
  maybeOne<const T extends string>(name: string, of: readonly T[]): T | undefined {
    const value = this.maybeText(name);
    if (value === undefined) return undefined;
    const found = of.find((one) => one === value);
    if (found === undefined) throw invalid(this.name(name), `must be ${list(of)}`);
    return found;
  }

  /** One of some texts, which must be there. */
  one<const T extends string>(name: string, of: readonly T[]): T {
    const value = this.maybeOne(name, of);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** A number that may be absent. */
  maybeNumber(name: string, from = -Infinity, to = Infinity): number | undefined {
    const value = this.any(name);
    if (value === undefined || value === null) return undefined;
    const number = isRaw(value) ? Number(value.rawJSON) : value;
    if (typeof number !== "number" || !Number.isFinite(number)) throw invalid(this.name(name), "must be a number");
    if (number < from || number > to) throw invalid(this.name(name), between(from, to));
    return number;
  }

  /** A number that must be there. */
  number(name: string, from = -Infinity, to = Infinity): number {
    const value = this.maybeNumber(name, from, to);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** A whole number that may be absent. */
  maybeWhole(name: string, from = 0, to = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.maybeNumber(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value)) throw invalid(this.name(name), "must be a whole number");
    if (value < from || value > to) throw invalid(this.name(name), between(from, to));
    return value;
  }

  /** A whole number that must be there. */
  whole(name: string, from = 0, to = Number.MAX_SAFE_INTEGER): number {
    const value = this.maybeWhole(name, from, to);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** Yes or no. */
  maybeBool(name: string): boolean | undefined {
    const value = this.any(name);
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "boolean") throw invalid(this.name(name), "must be true or false");
    return value;
  }

  /** Yes or no, which must be there. */
  bool(name: string): boolean {
    const value = this.maybeBool(name);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** An object. */
  maybeObject(name: string): JsonObject | undefined {
    const value = this.any(name);
    if (value === undefined || value === null) return undefined;
    if (!isObject(value)) throw invalid(this.name(name), "must be an object");
    return value;
  }

  /** An object that must be there. */
  object(name: string): JsonObject {
    const value = this.maybeObject(name);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** The fields of an object in a field. */
  maybeFields(name: string): Fields | undefined {
    const value = this.maybeObject(name);
    return value === undefined ? undefined : new Fields(value, `${this.name(name)}.`);
  }

  /** A list. */
  maybeList(name: string): Json[] | undefined {
    const value = this.any(name);
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value)) throw invalid(this.name(name), "must be a list");
    return value;
  }

  /** A list that must be there. */
  list(name: string): Json[] {
    const value = this.maybeList(name);
    if (value === undefined) throw invalid(this.name(name), "is required");
    return value;
  }

  /** A list of texts. */
  maybeTexts(name: string): string[] | undefined {
    return this.maybeList(name)?.map((value) => {
      if (typeof value !== "string" || value.includes("\0")) throw invalid(this.name(name), "must be a list of texts");
      return value;
    });
  }

  /** A list of objects. */
  objects(name: string): Fields[] {
    return this.list(name).map((value, at) => {
      if (!isObject(value)) throw invalid(`${this.name(name)}[${at}]`, "must be an object");
      return new Fields(value, `${this.name(name)}[${at}].`);
    });
  }

  /** A time of RFC 3339, in milliseconds since 1970. */
  maybeTime(name: string): number | undefined {
    const text = this.maybeText(name);
    if (text === undefined) return undefined;
    const time = timeOf(text);
    if (time === undefined) throw invalid(this.name(name), "must be a time of RFC 3339, such as 2026-01-31T09:00:00Z");
    return time;
  }

  /** The key that makes a create safe to repeat. */
  key(): string | undefined {
    return this.maybeText("idempotency_key");
  }
}

function list(of: readonly string[]): string {
  return of.length < 2 ? of.join("") : `${of.slice(0, -1).join(", ")} or ${of.at(-1)}`;
}

function between(from: number, to: number): string {
  if (from === -Infinity) return `must be at most ${to}`;
  if (to === Infinity || to === Number.MAX_SAFE_INTEGER) return `must be at least ${from}`;
  return `must be from ${from} to ${to}`;
}

/** Where a page of a list begins, and how many items it has at most. */
export interface Paging {
  readonly limit: number;
  readonly cursor: number | undefined;
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** The cursor that leads on from a row's number. */
export const cursorOf = (seq: number): string => `c${seq.toString(36)}`;

/** The parameters of a query; the last of several with one name counts. */
export class Query {
  constructor(private readonly all: URLSearchParams) {
    for (const [name, value] of all) if (value.includes("\0")) throw invalid(name, "must not hold U+0000");
  }

  /** Whether it is named at all. */
  has(name: string): boolean {
    return this.all.has(name);
  }

  /** A text. */
  get(name: string): string | undefined {
    return this.all.getAll(name).at(-1);
  }

  /** A text that must be there. */
  text(name: string): string {
    const value = this.get(name);
    if (value === undefined) throw invalid(name, "is required");
    return value;
  }

  /** One of some texts. */
  one<const T extends string>(name: string, of: readonly T[]): T | undefined {
    return new Fields(this.has(name) ? { [name]: this.get(name) ?? "" } : {}).maybeOne(name, of);
  }

  /** A whole number; larger ones count as `most`. */
  whole(name: string, otherwise: number, most: number, least = 0): number {
    const text = this.get(name);
    if (text === undefined) return otherwise;
    if (!/^\d{1,10}$/.test(text)) throw invalid(name, "must be a whole number");
    if (Number(text) < least) throw invalid(name, `must be at least ${least}`);
    return Math.min(Number(text), most);
  }

  /** A time of RFC 3339, in milliseconds since 1970. */
  time(name: string): number | undefined {
    const text = this.get(name);
    return text === undefined ? undefined : new Fields({ [name]: text.replace(" ", "+") }).maybeTime(name);
  }

  /** `limit` and `cursor` of a list. */
  paging(): Paging {
    const limit = this.whole("limit", DEFAULT_LIMIT, MAX_LIMIT, 1);
    const text = this.get("cursor");
    if (text === undefined) return { limit, cursor: undefined };
    const seq = /^c[0-9a-z]{1,11}$/.test(text) ? Number.parseInt(text.slice(1), 36) : Number.NaN;
    if (!Number.isSafeInteger(seq) || cursorOf(seq) !== text) {
      throw invalid("cursor", "is not a cursor from next_cursor");
    }
    return { limit, cursor: seq };
  }
}
