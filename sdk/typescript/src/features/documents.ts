/** Documents. */

import { notFound } from "../errors.js";
import type { Fields, Paging, Query } from "../fields.js";
import { created, json } from "../http.js";
import { newId, now } from "../ids.js";
import type { Feature } from "../routing.js";
import { createOnce } from "../store/keys.js";
import type { Mine } from "../store/mine.js";
import { compact, type Page, pageOf, rowsFor } from "../store/pages.js";
import type { Tables } from "../store/schema.js";
import type { Selectable } from "kysely";
import { mustHaveTask } from "./tasks.js";

type Row = Selectable<Tables["wombat_documents"]>;

/** What a create and a list tell: all but the text. */
const shortOf = ({ id, title, doc_type, task_id, created_at }: Omit<Row, "content">) =>
  compact({ id, title, doc_type, task_id, created_at });

/** A new document. */
export interface NewDocument {
  readonly title: string;
  readonly content: string;
  readonly docType: string | null;
  readonly taskId: string | null;
}

/** Writes a document. */
export async function insertDocument(mine: Mine, { title, content, docType, taskId }: NewDocument) {
  if (taskId !== null) await mustHaveTask(mine, taskId);
  const fields = { id: newId(), title, content, doc_type: docType, task_id: taskId, created_at: now() };
  const made = shortOf(await mine.add("wombat_documents", fields));
  mine.tell("document.created", "document_id", made);
  return made;
}

function newDocument(body: Fields): NewDocument {
  body.require("title", "content");
  return {
    title: body.text("title"),
    content: body.text("content"),
    docType: body.maybeText("doc_type", { blank: true }) ?? null,
    taskId: body.maybeText("task_id", { blank: true }) ?? null,
  };
}

async function list(mine: Mine, query: Query, paging: Paging): Promise<Page<object>> {
  const taskId = query.get("task_id");
  const docType = query.get("doc_type");
  let rows = mine
    .from("wombat_documents")
    .select(["seq", "id", "user_id", "title", "doc_type", "task_id", "created_at"])
    .orderBy("seq", "desc")
    .limit(rowsFor(paging));
  if (taskId !== undefined) rows = rows.where("task_id", "=", taskId);
  if (docType !== undefined) rows = rows.where("doc_type", "=", docType);
  if (paging.cursor !== undefined) rows = rows.where("seq", "<", paging.cursor);
  return pageOf(await rows.execute(), paging, shortOf);
}

/** The endpoint that every backend has. */
export const documents: Feature = {
  names: [],
  routes: [
    {
      method: "POST",
      path: "/documents",
      answer: async (call) => {
        const who = await call.tenant();
        const scope = call.writeScope(who);
        const body = await call.body();
        const wanted = newDocument(body);
        const key = body.key();
        return created(
          await call.plane.storage.write(scope, (mine) =>
            createOnce(mine, "documents", key, body.raw, () => insertDocument(mine, wanted)),
          ),
        );
      },
    },
  ],
};

/** Reading them. */
export const documentLists: Feature = {
  names: ["documents_list"],
  routes: [
    {
      method: "GET",
      path: "/documents",
      answer: async (call) => {
        const who = await call.tenant();
        const paging = call.query.paging();
        return json(await call.plane.storage.read(call.scope(who), (mine) => list(mine, call.query, paging)));
      },
    },
    {
      method: "GET",
      path: "/documents/:id",
      answer: async (call) => {
        const who = await call.tenant();
        const row = await call.plane.storage.read(call.scope(who), (mine) =>
          mine.from("wombat_documents").selectAll().where("id", "=", call.id()).executeTakeFirst(),
        );
        if (row === undefined) throw notFound("document");
        return json({ ...shortOf(row), content: row.content });
      },
    },
  ],
};
