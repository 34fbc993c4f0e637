/** Whose objects a call may touch, under which lease, and who makes it. */

/** Who acts, for the audit log. */
export type Actor =
  | { readonly type: "person"; readonly userId: string }
  | { readonly type: "agent"; readonly userId: string; readonly role: string }
  | { readonly type: "service" }
  | { readonly type: "system" };

/** The session lease that a write belongs to, as `X-Session-Fence` names it. */
export interface Fence {
  readonly leaseId: string;
  readonly fence: number;
}

/** What limits a call. Every query of a user's objects is made with one. */
export interface Scope {
  /** The user whose objects it may touch. */
  readonly userId: string;
  /** The one role whose sessions, runs, leases and tool requests it may touch; all of the user's if absent. */
  readonly role?: string;
  /** Who makes the call. */
  readonly actor: Actor;
  /** The lease of the write. */
  readonly fence?: Fence;
  /** When the token was made, in milliseconds since 1970. */
  readonly madeAt?: number;
  /** The caller's trace, for the audit log. */
  readonly traceId?: string;
}

/** The role of the agent that makes the call, lead or not. */
export const ownRole = ({ actor }: Scope): string | undefined => (actor.type === "agent" ? actor.role : undefined);

/** All of a user's objects, as the backend itself sees them. */
export const systemScope = (userId: string): Scope => ({ userId, actor: { type: "system" } });

/** All of a user's objects, for a service. */
export const serviceScope = (userId: string): Scope => ({ userId, actor: { type: "service" } });
