/** Clocks of the world, by the rules that Node has (ICU). */

const DAY_MS = 86_400_000;

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  const numeric = "numeric" as const;
  const fields = { year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric };
  const made = new Intl.DateTimeFormat("en-US", { timeZone: zone, calendar: "iso8601", hourCycle: "h23", era: "short", ...fields });
  formats.set(zone, made);
  return made;
}

/** Whether a text is an IANA name of a time zone. */
export function isZone(text: string): boolean {
  // Newer engines take offsets, too, which are no names.
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(text)) return false;
  try {
    formatOf(text);
    return true;
  } catch {
    return false;
  }
}

/** How far the clock of a zone is ahead of UTC at a moment, in milliseconds. */
export function offsetAt(ms: number, zone: string): number {
  if (zone === "UTC") return 0;
  const second = Math.floor(ms / 1000) * 1000;
  const parts: { [name: string]: number } = {};
  for (const { type, value } of formatOf(zone).formatToParts(second)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second: seconds = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, seconds) - second;
}

/** What the clock of a zone shows at a moment, as the milliseconds that UTC's would show it at. */
export const clockAt = (ms: number, zone: string): number => ms + offsetAt(ms, zone);

/** When a clock shows a time: never, in the gap of spring; twice, in the hour that comes again; else once. */
export interface Shown {
  /** The moments, the first first. */
  readonly moments: number[];
  /** Where it is never: when the gap ends. */
  readonly gapEnd: number | undefined;
}

/** When the clock of a zone shows a time, which is given as the milliseconds that UTC's would show it at. */
export function shownAt(clock: number, zone: string): Shown {
  const before = offsetAt(clock - DAY_MS, zone);
  const after = offsetAt(clock + DAY_MS, zone);
  const moments = [...new Set([clock - before, clock - after])].filter((ms) => clockAt(ms, zone) === clock);
  moments.sort((one, other) => one - other);
  if (moments.length > 0) return { moments, gapEnd: undefined };
  let [from, to] = [clock - after, clock - before];
  if (from > to) [from, to] = [to, from];
  // The change is between the two: from has the old offset, to has the new one.
  const old = offsetAt(from, zone);
  while (to - from > 1000) {
    const middle = Math.floor((from + to) / 2000) * 1000;
    if (offsetAt(middle, zone) === old) from = middle;
    else to = middle;
  }
  return { moments, gapEnd: to };
}

/** The moment that a time of a clock counts as: the first where there are two, the end of the gap where there is none. */
export function momentOf(clock: number, zone: string): number {
  const { moments, gapEnd } = shownAt(clock, zone);
  return moments[0] ?? gapEnd ?? clock;
}

/** A day as milliseconds of a clock at midnight; `undefined` for any other text than `YYYY-MM-DD`. */
export function dayOf(text: string): number | undefined {
  const form = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (form === null) return undefined;
  const clock = Date.UTC(Number(form[1]), Number(form[2]) - 1, Number(form[3]));
  return dateText(clock) === text ? clock : undefined;
}

/** The day of a clock's time, as `YYYY-MM-DD`. */
export const dateText = (clock: number): string => new Date(clock).toISOString().slice(0, 10);

/** The day after. */
export const nextDay = (clock: number): number => clock + DAY_MS;

/** Midnight of a clock's time. */
export const midnight = (clock: number): number => Math.floor(clock / DAY_MS) * DAY_MS;
