/** Which endpoint a request is for. */

import type { Call } from "./call.js";
import { ContractError } from "./errors.js";
import type { Outgoing } from "./http.js";

/** An endpoint. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Its path under `/api/mission-control`, or from the root where it begins with `/api/`; `:name` is any part. */
  readonly path: string;
  readonly answer: (call: Call) => Promise<Outgoing>;
}

/** What belongs to some features of the contract. */
export interface Feature {
  /** Their names, as `capabilities` announces them. */
  readonly names: readonly string[];
  readonly routes: readonly Route[];
}

const PREFIX = "/api/mission-control";

/** The endpoint of a request. */
export interface Found {
  readonly route: Route;
  readonly path: { readonly [name: string]: string };
}

/** Finds endpoints. */
export class Router {
  readonly #routes: { route: Route; parts: string[] }[];

  constructor(features: readonly Feature[]) {
    this.#routes = features.flatMap(({ routes }) =>
      routes.map((route) => {
        const whole = route.path.startsWith("/api/") ? route.path : PREFIX + route.path;
        return { route, parts: whole.split("/") };
      }),
    );
  }

  /** Whether a path is one of the contract's. */
  owns(path: string): boolean {
    if (path === PREFIX || path.startsWith(`${PREFIX}/`)) return true;
    return this.#matching(path).length > 0;
  }

  #matching(path: string): Found[] {
    const given = path.split("/");
    const found: Found[] = [];
    for (const { route, parts } of this.#routes) {
      const named = parts.length === given.length ? match(parts, given) : undefined;
      if (named !== undefined) found.push({ route, path: named });
    }
    // A part that is written out comes before one that is any.
    return found.sort((one, other) => Object.keys(one.path).length - Object.keys(other.path).length);
  }

  /** The endpoint of a method and path; 404 and 405 where there is none. */
  find(method: string, path: string): Found {
    const found = this.#matching(path);
    if (found.length === 0) throw new ContractError(404, "not_found", "there is no such endpoint");
    const fitting = found.find(({ route }) => route.method === method);
    if (fitting === undefined) {
      throw new ContractError(405, "method_not_allowed", "this endpoint does not take that method");
    }
    return fitting;
  }
}

function match(parts: readonly string[], given: readonly string[]): { [name: string]: string } | undefined {
  const named: { [name: string]: string } = {};
  for (const [at, part] of parts.entries()) {
    const value = given[at] ?? "";
    if (!part.startsWith(":")) {
      if (part !== value) return undefined;
      continue;
    }
    try {
      named[part.slice(1)] = decodeURIComponent(value);
    } catch {
      return undefined;
    }
    if (value === "") return undefined;
  }
  return named;
}
