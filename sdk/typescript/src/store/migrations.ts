/** The tables as Kysely migrations. */

import type { Kysely } from "kysely";
import { type Migration, Migrator } from "kysely/migration";

import { artifactsTable } from "./artifacts-table.js";
import { start } from "./start.js";

/** All migrations, for an application's own `Migrator`: spread them into what your provider returns. */
export const migrations: { [name: string]: Migration } = {
  wombat_0001_start: start,
  wombat_0002_artifacts: artifactsTable,
};

/**
 * Brings the tables up to date, with a history of their own (`wombat_migrations`).
 *
 * @throws where a migration fails; PostgreSQL is left as it was before
 */
export async function migrate(db: Kysely<any>): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(migrations) },
    migrationTableName: "wombat_migrations",
    migrationLockTableName: "wombat_migrations_lock",
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}
