/** A Kysely dialect over Node's own SQLite (`node:sqlite`): nothing to install, nothing to compile. */

import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type DialectAdapter,
  type Driver,
  Kysely,
  type QueryCompiler,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type TransactionSettings,
} from "kysely";

/** A transaction takes its place among the writers at once, and waits there, instead of failing half-way. */
class ImmediateDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection, settings?: TransactionSettings): Promise<void> {
    const text = settings?.accessMode === "read only" ? "begin" : "begin immediate";
    await connection.executeQuery(CompiledQuery.raw(text));
  }
}

/** Whether a statement answers with rows. Node tells so from 22.16 on. */
function hasRows(statement: StatementSync, text: string): boolean {
  if (typeof statement.columns === "function") return statement.columns().length > 0;
  return /^\s*(select|with|values|pragma|explain)\b|\breturning\b/i.test(text);
}

/** A database that Kysely can work on. */
function adapted(file: DatabaseSync): SqliteDatabase {
  return {
    close: () => file.close(),
    prepare(text: string) {
      const statement = file.prepare(text);
      const reader = hasRows(statement, text);
      const bound = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
      return {
        reader,
        all: (parameters) => statement.all(...bound(parameters)),
        run: (parameters) => statement.run(...bound(parameters)),
        iterate: (parameters) => statement.iterate(...bound(parameters)),
      };
    },
  };
}

/** The dialect of {@link openSqlite}, for a Kysely instance of your own. */
export class NodeSqliteDialect implements Dialect {
  constructor(private readonly path: string) {}

  createDriver(): Driver {
    const file = new DatabaseSync(this.path);
    // What is deleted is overwritten with zeros: erased data must not stay in the file.
    const settings = ["busy_timeout = 10000", "journal_mode = wal", "synchronous = full", "foreign_keys = on", "secure_delete = on"];
    for (const setting of settings) file.exec(`pragma ${setting}`);
    return new ImmediateDriver({ database: adapted(file) });
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler();
  }

  createAdapter(): DialectAdapter {
    return new SqliteAdapter();
  }

  createIntrospector(db: Kysely<any>): SqliteIntrospector {
    return new SqliteIntrospector(db);
  }
}

/** Opens a SQLite database file, or one in memory (`:memory:`). */
export function openSqlite(path: string): Kysely<any> {
  return new Kysely({ dialect: new NodeSqliteDialect(path) });
}
