/** What all endpoints share: settings, tokens, storage. */

import type { JsonObject } from "./json.js";
import { notFound } from "./errors.js";
import { Erased } from "./erased.js";
import type { Storage } from "./store/storage.js";
import { type Claims, type TokenKey, TokenVerifier } from "./tokens.js";

/** One of the application's own tools, which agents call as their user. */
export interface Tool<User = unknown> {
  readonly name: string;
  readonly description: string;
  /** The JSON Schema of its arguments. Calls whose arguments do not fit are refused before `run`. */
  readonly parameters: JsonObject;
  /** Does it, for this user and no other. `key` makes a write safe to repeat. */
  run(user: User, args: JsonObject, call: { readonly userId: string; readonly role: string; readonly key: string | undefined }): unknown;
}

/** What the control plane is told. */
export interface Options<User = unknown> {
  /** What agent tokens are signed with. */
  readonly tokens: TokenKey;
  /** The token of services: `INTERNAL_API_TOKEN` of the dispatcher. Without it nobody is a service or a person. */
  readonly internalToken?: string;
  /** Whether agent tokens may come as `Authorization: Bearer`, too (`AGENT_JWT_BEARER` of the daemon). */
  readonly bearer?: boolean;
  /**
   * Your user model: the user that a token or a person's call is for, or `undefined` for nobody, which is a 404.
   * Without it each user id is a user. `claims` are absent where a person calls.
   */
  readonly user?: (userId: string, claims: Claims | undefined) => User | undefined | Promise<User | undefined>;
  /** Roles that may act on the sessions of their user's other roles. */
  readonly leadRoles?: readonly string[];
  /** Where a person sees a task: an address with `{task_id}` and `{user_id}` in it. */
  readonly taskPage?: string;
  /** Your application's own tools. */
  readonly tools?: readonly Tool<User>[];
  /** How often a run is given to another instance before it has failed (5). */
  readonly orphanMaxAttempts?: number;
  /** How many standing rules a user may have in force (100). */
  readonly rulesPerUser?: number;
  /** What a user without a budget of their own may spend in a month, in USD; no limit if absent. */
  readonly defaultBudgetUsd?: number;
  /** The largest file, in bytes (10 MiB), and how many bytes all of a user's files may have (1 GiB). */
  readonly maxFileBytes?: number;
  readonly fileQuotaBytes?: number;
  /** The largest long result of a tool, in bytes (8 MiB), and how many bytes all of a user's may have (256 MiB). */
  readonly maxArtifactBytes?: number;
  readonly artifactQuotaBytes?: number;
  /** For how many seconds a long result is kept after it was last put (7 days). */
  readonly artifactTtlSecs?: number;
  /** After how many days without a change each kind of object goes; kinds that are absent stay. */
  readonly retention?: { readonly [kind: string]: number };
  /** What is told of errors that are not the caller's (the console's `error`). */
  readonly log?: (error: unknown) => void;
}

/** The shared parts. */
export class Plane {
  readonly tokens: TokenVerifier;
  /** Whose data were erased, and when. */
  readonly erased: Erased;
  /** Aborts when the control plane closes: streams end then. */
  readonly closing = new AbortController();

  constructor(
    readonly options: Options<any>,
    readonly storage: Storage,
  ) {
    this.tokens = new TokenVerifier(options.tokens);
    this.erased = new Erased(storage);
  }

  /** The application's user; 404 for one that it does not have. */
  async known(userId: string, claims: Claims | undefined): Promise<unknown> {
    const { user } = this.options;
    if (user === undefined) return userId;
    const found = await user(userId, claims);
    if (found === undefined || found === null) throw notFound("user");
    return found;
  }

  /** Refuses a token that was made before its user's data were erased. */
  checkErased(userId: string, madeAt: number): Promise<void> {
    return this.erased.check(userId, madeAt);
  }
}
