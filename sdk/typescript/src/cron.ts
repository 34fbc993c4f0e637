/** Lines of cron(5), and when they are due on the clock of a time zone. */

import { midnight, nextDay, offsetAt, shownAt, clockAt } from "./zones.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** How far ahead a line is looked for: the days of weeks come round in 28 years, leap days with them. */
const MAX_DAYS = 28 * 366;

const MACROS: { [name: string]: string } = {
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
};

const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const DAYS = "sun mon tue wed thu fri sat".split(" ");

interface FieldSpec {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly names?: string[];
}

const FIELDS: FieldSpec[] = [
  { name: "minute", from: 0, to: 59 },
  { name: "hour", from: 0, to: 23 },
  { name: "day of the month", from: 1, to: 31 },
  { name: "month", from: 1, to: 12, names: MONTHS },
  { name: "day of the week", from: 0, to: 7, names: DAYS },
];

function numberOf(text: string, { name, from, to, names }: FieldSpec): number {
  const named = names?.indexOf(text.toLowerCase()) ?? -1;
  const number = named >= 0 ? named + (name === "month" ? 1 : 0) : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= from && number <= to)) throw new Error(`${JSON.stringify(text)} is no ${name}`);
  return number;
}

function valuesOf(text: string, spec: FieldSpec): Set<number> {
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const [range = "", step, more] = part.split("/");
    if (more !== undefined || (step !== undefined && !/^[1-9]\d{0,2}$/.test(step))) throw new Error(`${JSON.stringify(part)} has no step`);
    let [from, to] = [spec.from, spec.to];
    if (range !== "*") {
      const [first = "", last, rest] = range.split("-");
      if (rest !== undefined) throw new Error(`${JSON.stringify(range)} is no range`);
      from = numberOf(first, spec);
      // A step goes on to the end.
      to = last === undefined ? (step === undefined ? from : spec.to) : numberOf(last, spec);
      if (to < from) throw new Error(`${JSON.stringify(range)} ends before it begins`);
    }
    for (let value = from; value <= to; value += Number(step ?? 1)) values.add(value);
  }
  return values;
}

/** A line of cron(5). */
export class Cron {
  readonly #minutes: number[];
  readonly #hours: number[];
  readonly #days: Set<number>;
  readonly #months: Set<number>;
  readonly #weekdays: Set<number>;
  /** Whether both days are restricted: then either will do. */
  readonly #isEither: boolean;
  /** Whether it names times of the clock, which are due once on each day where clocks change. */
  readonly #isFixed: boolean;

  /** @throws Error that says what is wrong with the line */
  constructor(readonly text: string) {
    const line = text.startsWith("@") ? MACROS[text] : text;
    if (line === undefined) throw new Error(`${JSON.stringify(text)} is none of ${Object.keys(MACROS).join(", ")}`);
    const fields = line.trim().split(/\s+/);
    if (fields.length !== FIELDS.length) throw new Error(`${JSON.stringify(text)} has ${fields.length} fields, and a line has five`);
    const [minutes, hours, days, months, weekdays] = FIELDS.map((spec, at) => valuesOf(fields[at] ?? "", spec));
    const sorted = (values: Set<number> | undefined) => [...(values ?? [])].sort((one, other) => one - other);
    this.#minutes = sorted(minutes);
    this.#hours = sorted(hours);
    this.#days = days ?? new Set();
    this.#months = months ?? new Set();
    this.#weekdays = new Set([...(weekdays ?? [])].map((day) => day % 7));
    const begins = (at: number) => fields[at]?.startsWith("*") ?? false;
    this.#isEither = !begins(2) && !begins(4);
    this.#isFixed = !begins(0) && !begins(1);
    const today = midnight(Date.now());
    let day = today;
    for (let count = 0; count < MAX_DAYS && !this.#has(day); count += 1) day = nextDay(day);
    if (!this.#has(day)) throw new Error(`${JSON.stringify(text)} is never due`);
  }

  /** Whether it is due on a day, which is given as its midnight on a clock. */
  #has(day: number): boolean {
    const date = new Date(day);
    if (!this.#months.has(date.getUTCMonth() + 1)) return false;
    const [ofMonth, ofWeek] = [this.#days.has(date.getUTCDate()), this.#weekdays.has(date.getUTCDay())];
    return this.#isEither ? ofMonth || ofWeek : ofMonth && ofWeek;
  }

  /** The moments of a day, the earliest first, each once. */
  #momentsOf(day: number, zone: string): number[] {
    const clocks = this.#hours.flatMap((hour) => this.#minutes.map((minute) => day + hour * HOUR_MS + minute * MINUTE_MS));
    const [before, after] = [offsetAt(day - DAY_MS, zone), offsetAt(day + 2 * DAY_MS, zone)];
    if (before === after) return clocks.map((clock) => clock - before);
    const moments = clocks.flatMap((clock) => {
      const { moments, gapEnd } = shownAt(clock, zone);
      if (!this.#isFixed) return moments;
      return moments[0] ?? gapEnd ?? [];
    });
    return [...new Set(moments)].sort((one, other) => one - other);
  }

  /** All moments at which it is due in a zone, from one on. */
  *slots(zone: string, from: number): Generator<number> {
    let day = midnight(clockAt(from, zone)) - DAY_MS;
    let last = Number.NEGATIVE_INFINITY;
    for (let count = 0; count < MAX_DAYS; count += 1, day = nextDay(day)) {
      if (!this.#has(day)) continue;
      for (const moment of this.#momentsOf(day, zone)) {
        if (moment < from || moment <= last) continue;
        last = moment;
        count = 0;
        yield moment;
      }
    }
  }
}
