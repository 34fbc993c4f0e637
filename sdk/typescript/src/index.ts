/**
 * The control plane contract of Wombat in your own application and database.
 *
 * @packageDocumentation
 */

export { ContractError } from "./errors.js";
export type { Incoming, Outgoing } from "./http.js";
export type { Json, JsonObject } from "./json.js";
export { MissionControl } from "./mission-control.js";
export type { Options, Tool } from "./plane.js";
export type { Actor, Fence, Scope } from "./scope.js";
export { migrate, migrations } from "./store/migrations.js";
export { Mine } from "./store/mine.js";
export type { Tables } from "./store/schema.js";
export { KyselyStorage, type Storage } from "./store/storage.js";
export { type Claims, type TokenKey, TokenVerifier } from "./tokens.js";
