// What the compiler must refuse. `tsc -p test` fails where one of these compiles after all.

import type { Kysely } from "kysely";

import { type Mine, MissionControl, type Scope, type Storage } from "../src/index.js";
import type { StreamEvent } from "../src/client/index.js";

declare const db: Kysely<unknown>;
declare const storage: Storage;
declare const mine: Mine;
declare const scope: Scope;
declare const event: StreamEvent;

interface User {
  readonly id: string;
  readonly plan: "free" | "paid";
}

/** Tools get the application's own user. */
new MissionControl<User>(db, {
  tokens: { secret: "" },
  user: (id) => ({ id, plan: "free" }),
  tools: [{ name: "plan", description: "", parameters: {}, run: (user) => user.plan }],
});

// @ts-expect-error an algorithm goes with its kind of key: a secret is no public key
new MissionControl(db, { tokens: { secret: "", algorithm: "RS256" } });

// @ts-expect-error somebody has to say whose objects
storage.read((mine: Mine) => mine.from("wombat_tasks").execute());

// @ts-expect-error a scope without a user is none
storage.write({ actor: { type: "service" } }, async () => 1);

void storage.read(scope, (mine) => mine.from("wombat_tasks").select("title").execute());

// @ts-expect-error the user of a row is that of the transaction, and cannot be given
void mine.add("wombat_wakes", { user_id: "another", role: "scout", last_at: "" });

// @ts-expect-error the audit log is nobody's own
void mine.from("wombat_audit");

// @ts-expect-error there is no such column
void mine.from("wombat_tasks").select("owner");

if (event.type === "chunk") void event.data.length;
// @ts-expect-error only a chunk has text
else void event.data.length;
