/** Verifies agent tokens: one algorithm, the contract's claims, 60 seconds for clocks that differ. */

import { createHash, timingSafeEqual } from "node:crypto";

import { type CryptoKey, importSPKI, type JWTPayload, jwtVerify } from "jose";

import { unauthorized } from "./errors.js";
import { isRole, isUserId } from "./fields.js";

/** What signs agent tokens. The algorithm is yours to say, never the token's. */
export type TokenKey =
  | {
      /** The secret that the daemon has as `AGENT_JWT_SECRET`. */
      readonly secret: string;
      readonly algorithm?: "HS256" | "HS384" | "HS512";
    }
  | {
      /** The public key to the daemon's private one, as PEM (SPKI). */
      readonly publicKey: string;
      readonly algorithm: "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" | "ES256" | "ES384" | "EdDSA";
    };

/** What an agent token says. */
export interface Claims {
  /** The user that the agent acts for. */
  readonly userId: string;
  /** The agent's role. */
  readonly role: string;
  /** When it was issued and when it ends, in seconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Its id. */
  readonly id: string;
  /** Whether it is for storing what the user said, and for nothing else. */
  readonly onBehalfOf: string | undefined;
  /** All claims, as they are in the token. */
  readonly raw: JWTPayload;
}

/** How far the clocks of daemon and backend may be apart, in seconds. */
const LEEWAY = 60;

const SHORTEST_SECRET = 32;

/** Verifies agent tokens. */
export class TokenVerifier {
  readonly #algorithm: string;
  readonly #key: () => Promise<CryptoKey | Uint8Array>;

  constructor(key: TokenKey) {
    if ("secret" in key) {
      const secret = new TextEncoder().encode(key.secret);
      if (secret.length < SHORTEST_SECRET) {
        throw new Error(`the secret of agent tokens must have ${SHORTEST_SECRET} bytes or more, as AGENT_JWT_SECRET of the daemon`);
      }
      this.#algorithm = key.algorithm ?? "HS256";
      this.#key = () => Promise.resolve(secret);
    } else {
      this.#algorithm = key.algorithm;
      const imported = importSPKI(key.publicKey, key.algorithm);
      // Told with the first token, where somebody waits for it.
      imported.catch(() => undefined);
      this.#key = () => imported;
    }
  }

  /**
   * What a token says.
   *
   * @throws {@link ContractError} 401 for a token that is unsigned, wrongly signed, untimely, or lacks a claim
   */
  async verify(token: string): Promise<Claims> {
    const rules = { algorithms: [this.#algorithm], issuer: "wombat", clockTolerance: LEEWAY };
    const verified = await jwtVerify(token, await this.#key(), rules).catch((error: { code?: string }) => {
      throw unauthorized(
        error.code === "ERR_JWT_EXPIRED"
          ? "the agent token has expired or is not valid yet: compare the clocks of both sides"
          : `the agent token is not valid: check key and algorithm (${this.#algorithm}) on both sides`,
      );
    });
    return claimsOf(verified.payload);
  }
}

function claimsOf(raw: JWTPayload): Claims {
  const { type, user_id, agent_role, sub, iat, exp, jti, aud, on_behalf_of } = raw;
  const wrong = (what: string) =>
    unauthorized(`the agent token is signed with the right key, but its claims are not the contract's: ${what}`);
  if (type !== "agent") throw wrong("type must be agent");
  if (typeof user_id !== "string" || !isUserId(user_id)) throw wrong("user_id must name a user");
  if (typeof agent_role !== "string" || !isRole(agent_role)) throw wrong("agent_role must name a role");
  if (sub !== `wombat:${agent_role}`) throw wrong("sub must be wombat:{agent_role}");
  if (!isTime(iat) || !isTime(exp)) throw wrong("iat and exp must be times");
  if (typeof jti !== "string" || jti === "") throw wrong("jti must be a text");
  // A token for another audience is not for us (RFC 7519, section 4.1.3).
  if (aud !== undefined) throw wrong("it is for another audience");
  if (iat > Date.now() / 1000 + LEEWAY) throw wrong("it was issued in the future: compare the clocks of both sides");
  const onBehalfOf = typeof on_behalf_of === "string" ? on_behalf_of : undefined;
  return { userId: user_id, role: agent_role, issuedAt: iat, expiresAt: exp, id: jti, onBehalfOf, raw };
}

const isTime = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;

/**
 * When a token was made, in milliseconds since 1970. `iat` is a little before, for clocks that differ; an id of UUID
 * version 7 tells the moment itself (RFC 9562, section 5.7).
 */
export function madeAt({ issuedAt, expiresAt, id }: Claims): number {
  const from = issuedAt * 1000;
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(id)) return from;
  const made = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  return made > from && made < expiresAt * 1000 ? made : from;
}

/** Whether a text is a secret, in a time that tells nothing about it. */
export function isSecret(given: string, secret: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(secret));
}
