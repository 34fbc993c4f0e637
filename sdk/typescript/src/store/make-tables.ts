/** Makes tables in either database. */

import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

import { isPostgres } from "./storage.js";

/** A table: columns as `name type` with `!` for those that are never null, its key and its indexes. */
export interface TableSpec {
  readonly name: string;
  readonly columns: string;
  /** The columns of the primary key, where it is not `seq` or `id`. */
  readonly key?: string;
  readonly unique?: readonly string[];
  readonly indexes?: readonly string[];
}

/** `serial` grows with each row, and is the primary key. */
const TYPES: { [kind: string]: { postgres: string; sqlite: string } } = {
  serial: { postgres: "bigserial", sqlite: "integer" },
  text: { postgres: "text", sqlite: "text" },
  int: { postgres: "bigint", sqlite: "integer" },
  real: { postgres: "double precision", sqlite: "real" },
  bytes: { postgres: "bytea", sqlite: "blob" },
};

function columnSql(text: string, postgres: boolean): string {
  const [name, type = "text", ...rest] = text.trim().split(/\s+/);
  const kind = type.replace("!", "");
  const known = TYPES[kind];
  if (name === undefined || known === undefined) throw new Error(`no such column: ${text}`);
  const shown = postgres ? known.postgres : known.sqlite;
  if (kind === "serial") return `${name} ${shown} primary key${postgres ? "" : " autoincrement"}`;
  return [name, shown, type.endsWith("!") ? "not null" : "", ...rest].filter(Boolean).join(" ");
}

async function create(db: Kysely<unknown>, spec: TableSpec): Promise<void> {
  const postgres = isPostgres(db);
  const columns = spec.columns.split(",").map((column) => columnSql(column, postgres));
  if (spec.key !== undefined) columns.push(`primary key (${spec.key})`);
  for (const unique of spec.unique ?? []) columns.push(`unique (${unique})`);
  await sql.raw(`create table ${spec.name} (${columns.join(", ")})`).execute(db);
  for (const [at, index] of (spec.indexes ?? []).entries()) {
    await sql.raw(`create index ${spec.name}_by_${at + 1} on ${spec.name} ${index}`).execute(db);
  }
}

/** A migration that makes tables, and takes them away again. */
export function tables(...specs: TableSpec[]): Migration {
  return {
    up: async (db) => {
      for (const spec of specs) await create(db, spec);
    },
    down: async (db) => {
      for (const spec of [...specs].reverse()) await sql.raw(`drop table ${spec.name}`).execute(db);
    },
  };
}
