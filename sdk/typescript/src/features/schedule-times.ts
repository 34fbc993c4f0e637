/** When a schedule is due: what its fields say, which slots are to be made at a moment, and which comes next. */

import { Cron } from "../cron.js";
import { ContractError, invalid } from "../errors.js";
import { timeOf } from "../fields.js";
import { isZone, momentOf } from "../zones.js";

/** A slot that is so late is caught up with. */
const LATE_MS = 300_000;

/** How many late slots are made one by one at most, how many of an agent's are looked at, and how close they may be. */
const MAX_CAUGHT_UP = 100;
const LOOKED_AT = 100;
const CLOSEST_MS = 15 * 60_000;

/** The end of the year 9999: later times would not be in order as texts. */
const LAST_MS = 253_402_300_799_999;

export const CATCH_UPS = ["last", "skip", "all"] as const;
export type CatchUp = (typeof CATCH_UPS)[number];

/** A slot that is to be made, and how many others it stands for. */
export interface Made {
  readonly slot: number;
  readonly missed: number;
}

/** What the fields of a schedule say of its times. */
export interface TimeFields {
  readonly at: string | undefined;
  readonly cron: string | undefined;
  readonly timezone: string | undefined;
  readonly until: number | undefined;
}

/** A time of the clock, such as `2026-10-25T02:30`, as the milliseconds that UTC's would show it at. */
function clockOf(text: string): number | undefined {
  const form = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?$/.exec(text);
  return form === null ? undefined : timeOf(`${form[1]}${form[2] ?? ":00"}Z`);
}

/** When a schedule is due. */
export class Times {
  private constructor(
    /** The one moment, where it is due once. */
    readonly at: number | undefined,
    /** What the clock of the zone shows then, where that is what counts. */
    readonly localAt: string | undefined,
    readonly cron: Cron | undefined,
    readonly zone: string | undefined,
    readonly until: number | undefined,
  ) {}

  /** Reads what the fields say. */
  static read({ at, cron, timezone, until }: TimeFields): Times {
    if (timezone !== undefined && !isZone(timezone)) {
      throw invalid("timezone", "names an unknown time zone: it must be an IANA name, such as Europe/Berlin");
    }
    if (at !== undefined && cron !== undefined) throw invalid("at", "cannot be beside cron: name one");
    if (cron !== undefined) {
      let line: Cron;
      try {
        line = new Cron(cron);
      } catch (error) {
        throw new ContractError(400, "invalid_cron", `cron: ${(error as Error).message}`);
      }
      if (timezone === undefined) throw invalid("timezone", "is required with cron");
      return new Times(undefined, undefined, line, timezone, until);
    }
    if (at === undefined) throw invalid("at", "is required where there is no cron");
    const moment = timeOf(at);
    const clock = moment === undefined ? clockOf(at) : undefined;
    if (moment === undefined && clock === undefined) {
      throw invalid("at", "must be a time of RFC 3339, such as 2026-10-25T09:00:00Z, or one without offset beside timezone");
    }
    if (clock !== undefined && timezone === undefined) throw invalid("timezone", "is required with an at that has no offset");
    const when = moment ?? momentOf(clock ?? 0, timezone ?? "UTC");
    if (when < 0 || when > LAST_MS) throw invalid("at", "must be before the year 10000");
    return new Times(when, clock === undefined ? undefined : at, undefined, timezone, until);
  }

  /** All slots from a moment on, which counts too. One at `until` counts. */
  *slots(from: number): Generator<number> {
    const all = this.cron === undefined ? [this.at ?? 0].filter((at) => at >= from) : this.cron.slots(this.zone ?? "UTC", from);
    for (const slot of all) {
      if (this.until !== undefined && slot > this.until) return;
      yield slot;
    }
  }

  /** The first slot after a moment. */
  nextAfter(moment: number): number | undefined {
    for (const slot of this.slots(moment)) if (slot > moment) return slot;
    return undefined;
  }

  /** The first slot that is not handled: of a line after the moment up to which it is, and a single time itself. */
  nextUnhandled(handledTo: number): number | undefined {
    if (this.at === undefined) return this.nextAfter(handledTo);
    for (const slot of this.slots(this.at)) return slot;
    return undefined;
  }

  /** Refuses a time of a new schedule that is over, and a last moment that leaves nothing; the first slot. */
  checkNew(at: number): number {
    if (this.at !== undefined && at - this.at > LATE_MS) throw invalid("at", "is over: name a time to come");
    const first = this.nextUnhandled(at);
    if (first === undefined) throw invalid("until", "is before the first slot");
    return first;
  }

  /** Refuses an agent's slots that are too close, of the next ones that are made. */
  checkOften(at: number, left: number | undefined): void {
    let [last, count] = [Number.NEGATIVE_INFINITY, 0];
    for (const slot of this.slots(at)) {
      if (count >= Math.min(LOOKED_AT, left ?? LOOKED_AT)) return;
      if (slot - last < CLOSEST_MS) {
        const text = "the schedule is due more often than every 15 minutes, and an agent's may not be: choose slots further apart";
        throw new ContractError(400, "too_often", text);
      }
      last = slot;
      count += 1;
    }
  }

  /** What is due at a moment, from the first slot that was not handled, and the next slot after it. */
  due(first: number, at: number, catchUp: CatchUp, left: number | undefined): { made: Made[]; next: number | undefined } {
    let made: Made[] = [];
    let next: number | undefined;
    let missed = 0;
    for (const slot of this.slots(first)) {
      if (slot > at) {
        next = slot;
        break;
      }
      const last = made.at(-1);
      if (at - slot <= LATE_MS) made.push({ slot, missed: 0 });
      else if (catchUp === "last") {
        missed += made.length;
        made = [{ slot, missed }];
      } else if (catchUp === "all" && made.length < MAX_CAUGHT_UP) made.push({ slot, missed: 0 });
      // What is left out is told with the last that is made.
      else if (catchUp === "all" && last !== undefined) made[made.length - 1] = { ...last, missed: last.missed + 1 };
    }
    const isOver = left !== undefined && left <= made.length;
    return { made: left === undefined ? made : made.slice(0, left), next: isOver ? undefined : next };
  }
}
