/** Files of users. One that no message names is gone a day after it was last put. */

import { createHash } from "node:crypto";

import type { Selectable } from "kysely";

import type { Call } from "../call.js";
import { ContractError, invalid } from "../errors.js";
import { json, nothing, type Outgoing } from "../http.js";
import { newId, now, stamp } from "../ids.js";
import { essenceOf, mediaTypeOf } from "../media-type.js";
import type { Feature } from "../routing.js";
import { systemScope } from "../scope.js";
import { checkLease } from "../store/fences.js";
import type { Mine } from "../store/mine.js";
import type { Tables } from "../store/schema.js";
import type { Job } from "../upkeep.js";

const UNREFERENCED_MS = 24 * 3_600_000;
const MAX_NAME = 255;
const DEFAULT_BYTES = 20 * 1024 * 1024;
const DEFAULT_QUOTA = 1024 * 1024 * 1024;

/** As how many bytes a small file counts, and how many files a user has in a small quota. */
const LEAST = 4 * 1024;
const MOST_FILES = 256 * 1024;

type Meta = Omit<Selectable<Tables["wombat_files"]>, "bytes">;

const META = ["seq", "id", "user_id", "created_at", "name", "media_type", "size", "sha256", "is_attached", "put_at"] as const;

const metaOf = ({ id, name, media_type, size, sha256 }: Meta) => ({ file_id: id, name, media_type, size, sha256 });

/** What was put before it is gone by now, unless a message names it. */
const goneBefore = () => stamp(Date.now() - UNREFERENCED_MS);

/** The user's files that are not gone. */
const there = (mine: Mine) =>
  mine.from("wombat_files").where(({ or, eb }) => or([eb("is_attached", "=", 1), eb("put_at", ">", goneBefore())]));

async function find(mine: Mine, fileId: string): Promise<Meta> {
  const row = await there(mine).select(META).where("id", "=", fileId).executeTakeFirst();
  if (row !== undefined) return row;
  throw new ContractError(404, "file_not_found", "there is no such file", { file_id: fileId });
}

/** The files that a new message names, each once, which are kept from now on. */
export async function attach(mine: Mine, named: readonly string[]): Promise<object[]> {
  const attached: object[] = [];
  for (const fileId of new Set(named)) {
    const row = await find(mine, fileId);
    await mine.update("wombat_files").set({ is_attached: 1, put_at: now() }).where("seq", "=", row.seq).execute();
    attached.push(metaOf(row));
  }
  return attached;
}

/** Deletes the user's files that no message names and that are old. */
async function forgetGone(mine: Mine): Promise<void> {
  const rows = await mine.from("wombat_files").select(META).where("is_attached", "=", 0).where("put_at", "<=", goneBefore()).limit(20).execute();
  for (const row of rows) {
    await mine.remove("wombat_files").where("seq", "=", row.seq).execute();
    const system = mine.as(systemScope(mine.userId));
    system.record({ act: "file.deleted", object: { type: "file", id: row.id }, details: { size: row.size, unreferenced: true } });
  }
}

/** Deletes files that no message names. */
export const goneFiles: Job = {
  everyMs: 600_000,
  work: async ({ storage }) => {
    const users = await storage.look((tx) =>
      tx.q.selectFrom("wombat_files").select("user_id").distinct().where("is_attached", "=", 0).where("put_at", "<=", goneBefore()).execute(),
    );
    for (const { user_id } of users) await storage.write(systemScope(user_id), forgetGone);
  },
};

interface Limits {
  readonly maxBytes: number;
  readonly quota: number;
}

function limitsOf({ plane: { options } }: Call): Limits {
  return { maxBytes: options.maxFileBytes ?? DEFAULT_BYTES, quota: options.fileQuotaBytes ?? DEFAULT_QUOTA };
}

async function store(mine: Mine, file: { name: string; media_type: string; bytes: Buffer }, { quota }: Limits) {
  await checkLease(mine);
  await forgetGone(mine);
  const { name, media_type, bytes } = file;
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const equal = there(mine).select(META).where("sha256", "=", sha256).where("name", "=", name).where("media_type", "=", media_type);
  const known = await equal.executeTakeFirst();
  if (known !== undefined) {
    await mine.update("wombat_files").set({ put_at: now() }).where("seq", "=", known.seq).execute();
    return { meta: metaOf(known), isNew: false };
  }
  const least = Math.min(Math.max(Math.floor(quota / MOST_FILES), 1), LEAST);
  const sizes = await mine.from("wombat_files").select("size").execute();
  const used = sizes.reduce((sum, { size }) => sum + Math.max(size, least), 0);
  if (used + Math.max(bytes.length, least) > quota) {
    const details = { quota_bytes: quota, used_bytes: used };
    throw new ContractError(413, "quota_exceeded", "the user's files have as many bytes as they may", details);
  }
  const at = now();
  const row = { id: newId(), name, media_type, size: bytes.length, sha256, is_attached: 0, put_at: at, created_at: at };
  await mine.add("wombat_files", { ...row, bytes });
  mine.record({ act: "file.stored", object: { type: "file", id: row.id }, details: { size: row.size } });
  return { meta: metaOf({ ...row, seq: 0, user_id: mine.userId }), isNew: true };
}

function nameOf({ query }: Call): string {
  const name = query.text("name");
  if (name === "") throw invalid("name", "must not be empty");
  if (Buffer.byteLength(name) > MAX_NAME) throw invalid("name", `must have at most ${MAX_NAME} bytes`);
  if (/[/\\\p{Cc}]/u.test(name)) throw invalid("name", "must hold no /, \\ and no control characters");
  return name;
}

async function put(call: Call): Promise<Outgoing> {
  const who = await call.tenant();
  const scope = call.writeScope(who);
  const name = nameOf(call);
  const said = call.incoming.header("content-type");
  const declared = said === undefined ? undefined : essenceOf(said);
  if (said !== undefined && declared === undefined) throw invalid("Content-Type", "must be a media type, such as text/csv");
  const limits = limitsOf(call);
  const bytes = await call.bytes(limits.maxBytes).catch((error: unknown) => {
    if (!(error instanceof ContractError) || error.status !== 413) throw error;
    throw new ContractError(413, "file_too_large", `a file may have ${limits.maxBytes} bytes`, { max_bytes: limits.maxBytes });
  });
  const file = { name, bytes: Buffer.from(bytes), media_type: mediaTypeOf(declared, name, Buffer.from(bytes)) };
  const { meta, isNew } = await call.plane.storage.write(scope, (mine) => store(mine, file, limits));
  return json(meta, isNew ? 201 : 200);
}

/** Characters that nobody sees, or that turn a name round. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

/** `attachment` with the file's name (RFC 6266): in ASCII, and as it is. */
function disposition(name: string): string {
  const seen = name.replace(UNSEEN, "") || "file";
  const ascii = [...seen].map((letter) => (/^[ -~]$/.test(letter) && !/["%\\]/.test(letter) ? letter : "_")).join("");
  const whole = encodeURIComponent(seen).replace(/['()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${ascii}"; filename*=UTF-8''${whole}`;
}

async function get(call: Call): Promise<Outgoing> {
  const who = await call.tenant();
  const wantsMeta = call.query.one("meta", ["true", "false"]) === "true";
  const { storage } = call.plane;
  if (wantsMeta) return json(await storage.read(call.scope(who), async (mine) => metaOf(await find(mine, call.id()))));
  const found = await storage.read(call.scope(who), async (mine) => {
    const meta = await find(mine, call.id());
    const { bytes } = await mine.from("wombat_files").select("bytes").where("seq", "=", meta.seq).executeTakeFirstOrThrow();
    return { meta, bytes };
  });
  // A file is saved, never shown, and nothing in it runs.
  const headers = {
    "content-type": found.meta.media_type,
    "content-disposition": disposition(found.meta.name),
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox",
    "cache-control": "private, no-store",
  };
  return { status: 200, headers, body: found.bytes };
}

/** The endpoints of files. */
export const files: Feature = {
  names: ["files"],
  routes: [
    { method: "PUT", path: "/files", answer: put },
    { method: "GET", path: "/files/:id", answer: get },
    {
      method: "DELETE",
      path: "/files/:id",
      answer: async (call) => {
        const who = await call.person();
        await call.plane.storage.write(call.scope(who), async (mine) => {
          const row = await find(mine, call.id());
          await mine.remove("wombat_files").where("seq", "=", row.seq).execute();
          mine.record({ act: "file.deleted", object: { type: "file", id: row.id }, details: { size: row.size } });
        });
        return nothing();
      },
    },
  ],
};
