/**
 * Clients of Wombat for Node and browsers: {@link Wombat} for the daemon, {@link Backend} for what people decide.
 *
 * @packageDocumentation
 */

export { Backend, type BackendOptions } from "./backend.js";
export { type DaemonOptions, type FollowOptions, Wombat } from "./daemon.js";
export { WombatError } from "./errors.js";
export type { CallOptions, ClientOptions } from "./http.js";
export type * from "./types.js";
