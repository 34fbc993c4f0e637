/** Long results of tools, whole: kept with their run until they expire. */

import { createHash } from "node:crypto";

import { sql } from "kysely";

import type { Call } from "../call.js";
import { ContractError, invalid } from "../errors.js";
import { json, type Outgoing } from "../http.js";
import { now, stamp } from "../ids.js";
import { essenceOf } from "../media-type.js";
import type { Plane } from "../plane.js";
import type { Feature } from "../routing.js";
import { checkLease } from "../store/fences.js";
import type { Mine } from "../store/mine.js";
import type { Job } from "../upkeep.js";
import { checkRunKey, findRun, mustFindRun, scopeOfRole } from "./run-rows.js";

const DEFAULT_BYTES = 8 * 1024 * 1024;
const DEFAULT_QUOTA = 256 * 1024 * 1024;
const DEFAULT_TTL_SECS = 7 * 24 * 3_600;

/** As how many bytes a small one counts: what is known of it takes room, too. */
const LEAST = 1024;

/** How many are deleted at a time, so that other writes do not wait long. */
const AT_A_TIME = 50;

interface Limits {
  readonly maxBytes: number;
  readonly quota: number;
  readonly ttlMs: number;
}

function limitsOf({ options }: Plane): Limits {
  const { maxArtifactBytes, artifactQuotaBytes, artifactTtlSecs } = options;
  return {
    maxBytes: maxArtifactBytes ?? DEFAULT_BYTES,
    quota: artifactQuotaBytes ?? DEFAULT_QUOTA,
    ttlMs: (artifactTtlSecs ?? DEFAULT_TTL_SECS) * 1_000,
  };
}

/** A long result as it arrives: its hash is that of its text. */
interface New {
  readonly sha256: string;
  readonly size: number;
  readonly media_type: string;
  readonly content: string;
}

/** How many bytes of long results the user has that have not expired. */
async function used(mine: Mine, at: string): Promise<number> {
  const counted = sql<number>`coalesce(sum(case when size < ${LEAST} then ${LEAST} else size end), 0)`;
  const rows = mine.from("wombat_artifacts").select(counted.as("used")).where("expires_at", ">", at);
  return Number((await rows.executeTakeFirstOrThrow()).used);
}

async function keep(mine: Mine, runKey: string, made: New, { quota, ttlMs }: Limits) {
  await checkLease(mine);
  const { seq } = await mustFindRun(mine, runKey);
  const { sha256, size } = made;
  const at = now();
  const expires_at = stamp(Date.now() + ttlMs);
  const answer = { sha256, size, expires_at };
  const there = mine.update("wombat_artifacts").set({ expires_at }).where("run_seq", "=", seq).where("sha256", "=", sha256);
  const { numUpdatedRows } = await there.where("expires_at", ">", at).executeTakeFirstOrThrow();
  if (numUpdatedRows > 0n) return { answer, isNew: false };
  const used_bytes = await used(mine, at);
  if (used_bytes + Math.max(size, LEAST) > quota) {
    const text = `the user's long results have ${used_bytes} bytes by now, and may have ${quota} with this one`;
    throw new ContractError(413, "quota_exceeded", text, { quota_bytes: quota, used_bytes });
  }
  // One that has expired may not have been deleted yet.
  await mine.remove("wombat_artifacts").where("run_seq", "=", seq).where("sha256", "=", sha256).execute();
  await mine.add("wombat_artifacts", { ...made, run_seq: seq, created_at: at, expires_at });
  return { answer, isNew: true };
}

function hashOf(call: Call): string {
  const sha256 = call.id("sha256");
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw invalid("sha256", "must be 64 hexadecimal digits in lower case");
  return sha256;
}

function mediaType(call: Call): string {
  const said = call.incoming.header("content-type");
  const kind = said === undefined ? "text/plain" : essenceOf(said);
  if (kind === undefined) throw invalid("Content-Type", "must be a media type, such as text/plain");
  return kind;
}

/** The body: text whose hash is the one in the path. */
async function textOf(call: Call, sha256: string, maxBytes: number): Promise<{ content: string; size: number }> {
  const bytes = await call.bytes(maxBytes).catch((error: unknown) => {
    if (!(error instanceof ContractError) || error.status !== 413) throw error;
    const text = `the result is larger than is kept, ${maxBytes} bytes`;
    throw new ContractError(413, "artifact_too_large", text, { max_bytes: maxBytes });
  });
  if (createHash("sha256").update(bytes).digest("hex") !== sha256) throw invalid("sha256", "is not that of the body");
  const content = decoded(bytes);
  if (content === undefined || content.includes("\0")) throw invalid("body", "must be UTF-8 without NUL");
  return { content, size: bytes.length };
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

async function put(call: Call): Promise<Outgoing> {
  const who = await call.tenant();
  const scope = scopeOfRole(call.writeScope(who), call.query);
  const runKey = call.id("run_key");
  checkRunKey(runKey);
  const sha256 = hashOf(call);
  const media_type = mediaType(call);
  const limits = limitsOf(call.plane);
  const text = await textOf(call, sha256, limits.maxBytes);
  const { answer, isNew } = await call.plane.storage.write(scope, (mine) => keep(mine, runKey, { sha256, media_type, ...text }, limits));
  return json(answer, isNew ? 201 : 200);
}

async function get(call: Call): Promise<Outgoing> {
  const who = await call.tenant();
  const sha256 = hashOf(call);
  const found = await call.plane.storage.read(scopeOfRole(call.scope(who), call.query), async (mine) => {
    const run = await findRun(mine, call.id("run_key"));
    if (run === undefined) return undefined;
    const rows = mine.from("wombat_artifacts").select(["media_type", "content"]).where("run_seq", "=", run.seq);
    return rows.where("sha256", "=", sha256).where("expires_at", ">", now()).executeTakeFirst();
  });
  if (found === undefined) throw new ContractError(404, "artifact_not_found", "there is no such result, or it has expired");
  // It is saved, never shown, and nothing in it runs.
  const headers = {
    "content-type": found.media_type,
    "content-disposition": "attachment",
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox",
    "cache-control": "private, no-store",
  };
  return { status: 200, headers, body: Buffer.from(found.content) };
}

/** Deletes long results that have expired. */
export const oldArtifacts: Job = {
  everyMs: 300_000,
  work: async ({ storage }) => {
    let many: number;
    do {
      const at = now();
      many = await storage.everybody(async ({ q }) => {
        // The time is looked at again for one that is put anew at this moment.
        const gone = await sql`delete from wombat_artifacts where expires_at <= ${at} and (run_seq, sha256) in
          (select run_seq, sha256 from wombat_artifacts where expires_at <= ${at} limit ${AT_A_TIME})`.execute(q);
        return Number(gone.numAffectedRows ?? 0n);
      });
    } while (many === AT_A_TIME);
  },
};

/** The endpoints of long results. */
export const artifacts: Feature = {
  names: ["artifacts"],
  routes: [
    { method: "PUT", path: "/runs/:run_key/artifacts/:sha256", answer: put },
    { method: "GET", path: "/runs/:run_key/artifacts/:sha256", answer: get },
  ],
};
