/** The control plane. */

import type { Kysely } from "kysely";

import { Call } from "./call.js";
import { recordDenied } from "./features/audit.js";
import { ContractError } from "./errors.js";
import { checkErasedWrite } from "./erased.js";
import { features, required } from "./features/index.js";
import { fromRequest, type Incoming, json, type Outgoing, refusal, toResponse } from "./http.js";
import { type Options, Plane } from "./plane.js";
import { type Feature, Router } from "./routing.js";
import { migrate } from "./store/migrations.js";
import { KyselyStorage } from "./store/storage.js";
import { Upkeep } from "./upkeep.js";

/** The contract's version that is kept. */
const CONTRACT_VERSION = "v1";

/**
 * The contract with the agents' daemon, in your own database:
 *
 * ```ts
 * const mc = new MissionControl(db, { tokens: { secret }, internalToken, user: (id) => users.find(id) });
 * await mc.migrate();
 * app.use(missionControl(mc));
 * ```
 */
export class MissionControl<User = unknown> {
  /** Where errors go that are not the caller's. */
  readonly log: (error: unknown) => void;
  readonly #db: Kysely<any>;
  readonly #plane: Plane;
  readonly #router: Router;
  readonly #upkeep: Upkeep;

  /**
   * @param db a Kysely instance on PostgreSQL or SQLite, such as your application's own
   */
  constructor(db: Kysely<any>, options: Options<User>) {
    this.#db = db;
    this.log = options.log ?? ((error) => console.error(error));
    this.#plane = new Plane(options, new KyselyStorage(db, [checkErasedWrite]));
    this.#router = new Router([...required, ...features, this.#capabilities()]);
    this.#upkeep = new Upkeep(this.#plane, this.log);
  }

  /** Brings the tables up to date. Use `migrations` with your own migrator instead, if you have one. */
  migrate(): Promise<void> {
    return migrate(this.#db);
  }

  /** Whether a request's path is one of the contract's. */
  owns(url: string): boolean {
    return this.#router.owns(url.split("?", 1)[0] ?? "");
  }

  /** Answers a request of the web's own kind. */
  async handle(request: Request): Promise<Response> {
    return toResponse(await this.answer(fromRequest(request)));
  }

  /** Answers a request. It never throws: what goes wrong is an answer, too. */
  async answer(incoming: Incoming): Promise<Outgoing> {
    this.#upkeep.start();
    let denied: { call: Call; path: string } | undefined;
    try {
      const [path = "", search = ""] = split(incoming.url);
      const { route, path: named } = this.#router.find(incoming.method, path);
      const call = new Call(this.#plane, incoming, named, search);
      denied = { call, path: route.path };
      return await route.answer(call);
    } catch (error) {
      if (denied !== undefined && error instanceof ContractError && error.status === 403) {
        await recordDenied(denied.call, denied.path).catch(this.log);
      }
      return refusal(error, this.log);
    }
  }

  /** Ends streams and what is done at times. The database stays open: it is yours. */
  async close(): Promise<void> {
    this.#plane.closing.abort();
    await this.#upkeep.stop();
  }

  #capabilities(): Feature {
    const names = features.flatMap(({ names }) => names);
    const { taskPage } = this.#plane.options;
    const body = {
      contract_version: CONTRACT_VERSION,
      features: Object.fromEntries(names.map((name) => [name, true])),
      ...(taskPage === undefined ? {} : { pages: { task: taskPage } }),
    };
    const answer = async (call: Call) => {
      if (call.incoming.header("x-internal-token") !== undefined) await call.service();
      else await call.anyAgent();
      return json(body);
    };
    return { names: [], routes: [{ method: "GET", path: "/capabilities", answer }] };
  }
}

function split(url: string): [string, string] {
  const at = url.indexOf("?");
  return at < 0 ? [url, ""] : [url.slice(0, at), url.slice(at + 1)];
}
