/** What is done at times without being asked: old keys and events go, questions end. */

import { jobs } from "./features/index.js";
import type { Plane } from "./plane.js";

/** Something that is done again and again. */
export interface Job {
  /** How long after the last time, in milliseconds. */
  readonly everyMs: number;
  /** Whether it is done once only, when the control plane starts. */
  readonly once?: boolean;
  readonly work: (plane: Plane) => Promise<void>;
}

/** Does the jobs, each one at a time. */
export class Upkeep {
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #begun = false;

  constructor(
    private readonly plane: Plane,
    private readonly log: (error: unknown) => void,
  ) {}

  /** Begins, with the first call that is answered. */
  start(): void {
    if (this.#begun || this.plane.closing.signal.aborted) return;
    this.#begun = true;
    for (const job of jobs) this.#later(job);
  }

  #later(job: Job): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      const done = job.work(this.plane).catch(this.log).finally(() => {
        this.#running.delete(done);
        if (!job.once && !this.plane.closing.signal.aborted) this.#later(job);
      });
      this.#running.add(done);
    }, job.everyMs);
    // A program that has nothing else to do may end.
    timer.unref();
    this.#timers.add(timer);
  }

  /** Ends, once what is under way is done. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#running);
  }
}
