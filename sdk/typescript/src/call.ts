/** A call: who makes it, and what it says. Whoever is let in is proved by the value that a handler gets. */

import { ContractError, forbidden, invalid, notFound, roleMismatch, unauthorized } from "./errors.js";
import { checkSession, Fields, isUserId, Query } from "./fields.js";
import type { Incoming } from "./http.js";
import { isObject, parseJson } from "./json.js";
import type { Fence, Scope } from "./scope.js";
import { type Claims, isSecret, madeAt } from "./tokens.js";
import type { Plane } from "./plane.js";

/** An agent of a user. */
export interface Agent {
  readonly type: "agent";
  readonly userId: string;
  readonly role: string;
  /** Whether it may act on the sessions of the user's other roles. */
  readonly isLead: boolean;
  /** Whether its token is for storing what the user said. */
  readonly speaksForUser: boolean;
  /** When its token ends, in seconds since 1970. */
  readonly expiresAt: number;
  readonly madeAt: number;
}

/** A person, on whose behalf a service acts. */
export interface Person {
  readonly type: "person";
  readonly userId: string;
}

/** A service with the internal token, which acts for nobody in particular. */
export interface Service {
  readonly type: "service";
}

/** Whoever has objects of a user's own. */
export type Tenant = Agent | Person;

/** The largest body of most endpoints, in bytes. */
const MAX_BODY = 2 * 1024 * 1024;

/** One call of the contract's API. */
export class Call {
  readonly query: Query;
  #claims: Promise<Claims> | undefined;

  constructor(
    readonly plane: Plane,
    readonly incoming: Incoming,
    /** The parts of the path that have names. */
    readonly path: { readonly [name: string]: string },
    search: string,
  ) {
    this.query = new Query(new URLSearchParams(search));
  }

  /** A header as text; 400 where it is not UTF-8. */
  header(name: string): string | undefined {
    const value = this.incoming.header(name);
    if (value === undefined) return undefined;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, "latin1"));
    } catch {
      const text = `the header ${name} is not valid UTF-8; send it once, as UTF-8 text`;
      throw new ContractError(400, "invalid_header", text, { header: name });
    }
  }

  private get token(): string | undefined {
    const own = this.header("x-agent-token");
    if (own !== undefined || !this.plane.options.bearer) return own;
    return /^Bearer (.+)$/i.exec(this.header("authorization") ?? "")?.[1];
  }

  /** What the agent token says. */
  claims(): Promise<Claims> {
    this.#claims ??= this.#verify();
    return this.#claims;
  }

  async #verify(): Promise<Claims> {
    const { token } = this;
    if (token === undefined) throw unauthorized("the header X-Agent-Token is missing");
    const claims = await this.plane.tokens.verify(token);
    await this.plane.checkErased(claims.userId, madeAt(claims));
    return claims;
  }

  private get hasAgent(): boolean {
    return this.token !== undefined;
  }

  private get hasInternal(): boolean {
    return this.incoming.header("x-internal-token") !== undefined;
  }

  private async internal(): Promise<void> {
    // An invalid agent token is refused even beside a valid internal one.
    if (this.hasAgent) await this.claims();
    const given = this.header("x-internal-token");
    const { internalToken } = this.plane.options;
    if (given === undefined || !internalToken || !isSecret(given, internalToken)) {
      throw unauthorized("the header X-Internal-Token is missing or wrong");
    }
  }

  /** An agent that may be nobody's, such as the one that asks for the capabilities. */
  async anyAgent(): Promise<Agent> {
    const claims = await this.claims();
    const { userId, role, expiresAt, onBehalfOf } = claims;
    const isLead = this.plane.options.leadRoles?.includes(role) ?? false;
    return { type: "agent", userId, role, isLead, speaksForUser: onBehalfOf === userId, expiresAt, madeAt: madeAt(claims) };
  }

  /** An agent of one of the application's users. */
  async agent(): Promise<Agent> {
    const agent = await this.anyAgent();
    await this.plane.known(agent.userId, await this.claims());
    return agent;
  }

  /** A service. */
  async service(): Promise<Service> {
    if (this.hasAgent && !this.hasInternal) {
      await this.claims();
      throw forbidden("an agent may not do this");
    }
    await this.internal();
    return { type: "service" };
  }

  /** A person. */
  async person(): Promise<Person> {
    // A valid agent is authenticated, but may not do what only a person may: 403, not 401.
    if (this.hasAgent && !this.hasInternal) {
      await this.claims();
      throw forbidden("only a person may do this, not an agent");
    }
    await this.internal();
    const userId = this.header("x-on-behalf-of");
    if (userId === undefined || !isUserId(userId)) {
      throw unauthorized("the header X-On-Behalf-Of is missing or names no user");
    }
    await this.plane.known(userId, undefined);
    return { type: "person", userId };
  }

  /** A service, or the person on whose behalf it acts. */
  async serviceOrPerson(): Promise<Service | Person> {
    const service = await this.service();
    return this.incoming.header("x-on-behalf-of") === undefined ? service : this.person();
  }

  /** An agent, or a service whether or not it acts for somebody. */
  async agentOrService(): Promise<Agent | Service> {
    return this.hasInternal ? this.service() : this.agent();
  }

  /** An agent of a user, or the user. */
  async tenant(): Promise<Tenant> {
    return this.hasInternal ? this.person() : this.agent();
  }

  /** An agent, a person, or a service that acts for nobody in particular. */
  async anyone(): Promise<Tenant | Service> {
    if (!this.hasInternal || this.incoming.header("x-on-behalf-of") !== undefined) return this.tenant();
    return this.service();
  }

  /** Whose objects a tenant's call may touch. */
  scope(who: Tenant): Scope {
    const { traceId } = this;
    const trace = traceId === undefined ? {} : { traceId };
    if (who.type === "person") return { userId: who.userId, actor: who, ...trace };
    const { userId, role, isLead, madeAt } = who;
    const own = isLead ? {} : { role };
    return { userId, ...own, actor: { type: "agent", userId, role }, madeAt, ...trace };
  }

  /** The same for a write, under the session lease that it names. */
  writeScope(who: Tenant): Scope {
    const fence = this.fence();
    return { ...this.scope(who), ...(fence === undefined ? {} : { fence }) };
  }

  /** For a service that writes for a user whom it names. */
  serviceScope(userId: string): Scope {
    const { traceId } = this;
    return { userId, actor: { type: "service" }, ...(traceId === undefined ? {} : { traceId }) };
  }

  /** The caller's trace. */
  get traceId(): string | undefined {
    const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(this.incoming.header("traceparent") ?? "")?.[1];
    const named = this.incoming.header("x-trace-id");
    return parent ?? (named !== undefined && /^[\w.-]{1,64}$/.test(named) ? named : undefined);
  }

  /** `X-Session-Fence: {lease_id}:{fence}`. */
  fence(): Fence | undefined {
    const text = this.header("x-session-fence");
    if (text === undefined) return undefined;
    const form = /^(.+):(\d{1,15})$/s.exec(text.trim());
    if (form?.[1] === undefined || form[1].includes("\0")) throw invalid("X-Session-Fence", "must be {lease_id}:{fence}");
    return { leaseId: form[1], fence: Number(form[2]) };
  }

  /** The header that makes a write safe to repeat. */
  get key(): string | undefined {
    return this.header("idempotency-key");
  }

  /** A part of the path; 404 for a text that nothing has as its id. */
  id(name = "id"): string {
    const value = this.path[name] ?? "";
    if (value.includes("\0")) throw notFound("object");
    return value;
  }

  /** The body, which is a JSON object. An empty body counts as an empty one. */
  async body(most = MAX_BODY): Promise<Fields> {
    const bytes = await this.bytes(most);
    if (bytes.length === 0) return new Fields({});
    const kind = this.incoming.header("content-type")?.toLowerCase() ?? "";
    if (!kind.startsWith("application/json")) {
      throw new ContractError(415, "unsupported_media_type", "the body must be JSON: set Content-Type: application/json");
    }
    return new Fields(objectOf(bytes));
  }

  /** The bytes of the body. */
  async bytes(most: number): Promise<Uint8Array> {
    const coding = this.incoming.header("content-encoding");
    if (coding !== undefined && coding !== "identity") {
      const text = "the body must not be compressed: leave Content-Encoding out";
      throw new ContractError(415, "unsupported_media_type", text);
    }
    return this.incoming.body(most);
  }
}

function objectOf(bytes: Uint8Array) {
  const malformed = (why: string) => new ContractError(400, "malformed_json", why);
  let value: unknown;
  try {
    value = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed(`the body is not valid JSON: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw malformed("the body must be a JSON object");
  return value;
}

/** Refuses a field that names another role than the agent's own, unless that is a lead. */
export function mustActAs(who: Tenant, field: string, role: string): void {
  if (who.type === "agent" && !who.isLead && who.role !== role) throw roleMismatch(field, who.role);
}

/** Refuses a session of another user, or of a role that the agent must not act as; the session's role. */
export function mustOwnSession(who: Tenant, sessionKey: string): string {
  const role = checkSession(who.userId, sessionKey);
  mustActAs(who, "session_key", role);
  return role;
}
