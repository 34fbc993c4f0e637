/** The audit log's chain: entries are added in the transaction of their act, one transaction after the other. */

import { createHash, randomUUID } from "node:crypto";

import { canonical, type JsonObject, toJson } from "../json.js";
import { now } from "../ids.js";
import type { Actor } from "../scope.js";
import { compact } from "./pages.js";
import type { Tx } from "./tx.js";

/** What was done. */
export interface Act {
  readonly act: string;
  readonly object?: { readonly type: string; readonly id: string } | undefined;
  /** Further facts. No user's id and nothing that a person wrote: it is hashed, and stays. */
  readonly details: JsonObject;
  /** Why, in a person's words: kept beside, so that it can be erased. */
  readonly reason?: string | undefined;
}

/** An act, who did it, and whom it concerns. */
export interface FullAct extends Act {
  readonly actor: Actor;
  readonly userId?: string | undefined;
  readonly traceId?: string | undefined;
}

/** What the first entry follows. */
const FIRST_PREV = "0".repeat(64);

/** The random text that stands for a user in the log. */
export async function subjectOf(tx: Tx, userId: string): Promise<string> {
  const known = await knownSubject(tx, userId);
  if (known !== undefined) return known;
  const subject = randomUUID().replaceAll("-", "");
  const into = tx.q.insertInto("wombat_subjects").values({ user_id: userId, subject });
  await into.onConflict((conflict) => conflict.doNothing()).execute();
  return (await knownSubject(tx, userId)) ?? subject;
}

/** The same for one that is known. */
export async function knownSubject(tx: Tx, userId: string): Promise<string | undefined> {
  const rows = tx.q.selectFrom("wombat_subjects").select("subject").where("user_id", "=", userId);
  return (await rows.executeTakeFirst())?.subject;
}

/** The actor as an entry has it. */
export async function actorOf(tx: Tx, actor: Actor): Promise<{ type: string; subject: string; role?: string }> {
  switch (actor.type) {
    case "person":
      return { type: "person", subject: await subjectOf(tx, actor.userId) };
    case "agent":
      return { type: "agent", subject: await subjectOf(tx, actor.userId), role: actor.role };
    case "service":
      return { type: "service", subject: "internal" };
    case "system":
      return { type: "system", subject: "backend" };
  }
}

/** Adds an entry; it is answered as it is listed. */
export async function append(tx: Tx, act: FullAct) {
  await tx.lock("wombat:audit");
  const actor = await actorOf(tx, act.actor);
  const subject = act.userId === undefined ? undefined : await subjectOf(tx, act.userId);
  const last = await tx.q.selectFrom("wombat_audit").select(["seq", "hash"]).orderBy("seq", "desc").limit(1).executeTakeFirst();
  const prev = last?.hash ?? FIRST_PREV;
  const hashed = compact({
    seq: (last?.seq ?? 0) + 1,
    at: now(),
    actor,
    act: act.act,
    subject,
    object: act.object,
    details: act.details,
    trace_id: act.traceId,
  });
  const hash = createHash("sha256").update(`${prev}\n${canonical(hashed)}`).digest("hex");
  await tx.q
    .insertInto("wombat_audit")
    .values({
      seq: (last?.seq ?? 0) + 1,
      at: hashed.at ?? "",
      actor_type: actor.type,
      actor_subject: actor.subject,
      actor_role: actor.role ?? null,
      act: act.act,
      subject: subject ?? null,
      object_type: act.object?.type ?? null,
      object_id: act.object?.id ?? null,
      details: toJson(act.details),
      trace_id: act.traceId ?? null,
      reason: act.reason ?? null,
      prev,
      hash,
    })
    .execute();
  const own = "userId" in act.actor && act.actor.userId !== act.userId ? act.actor.userId : undefined;
  return { ...hashed, prev, hash, ...compact({ user_id: act.userId, actor_user_id: own, reason: act.reason }) };
}
