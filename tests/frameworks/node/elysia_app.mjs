import { node } from "@elysiajs/node";
import { openapi } from "@elysiajs/openapi";
import { Elysia, t } from "elysia";

import { freePort, listening, RESERVED, seen } from "./seen.mjs";

const Item = t.Object({
  name: t.String({ minLength: 1, maxLength: 40 }),
  quantity: t.Integer({ minimum: 0 }),
  price: t.Union([t.Integer(), t.Number()]),
  due: t.Union([t.String({ format: "date" }), t.String({ format: "date-time" })]),
  status: t.Optional(t.UnionEnum(["", "draft", "live"])),
  note: t.Optional(t.Nullable(t.String())),
  owner: t.Optional(t.Nullable(t.Object({ name: t.String(), age: t.Optional(t.Nullable(t.Integer())) }))),
  tags: t.Optional(t.Array(t.String())),
});
const params = t.Object({ id: t.Integer() });
const query = t.Object({
  "filter[name]": t.Optional(t.String()),
  limit: t.Optional(t.Integer({ minimum: 1, maximum: 100 })),
  tags: t.Optional(t.Array(t.String())),
});

new Elysia({ adapter: node() })
  .use(openapi())
  .get("/items", ({ query }) => {
    seen("list", { name: query["filter[name]"], limit: query.limit, tags: query.tags });
    return [];
  }, { query })
  .get("/items/:id", ({ params }) => {
    seen("get", params);
    return params;
  }, { params })
  .post("/items", ({ body, status }) => {
    if (body.name === "house") return status(422, { type: "validation", on: "body", property: "/name", message: RESERVED });
    seen("create", { item: body });
    return { id: 8 };
  }, { body: Item })
  .put("/items/:id", ({ params, body }) => {
    seen("update", { id: params.id, item: body });
    return params;
  }, { params, body: Item })
  .delete("/items/:id", ({ params, set }) => {
    seen("delete", params);
    set.status = 204;
  }, { params })
  .post("/items/:id/photo", ({ params, body }) => {
    seen("upload", { id: params.id, bytes: body.photo.size });
    return { bytes: body.photo.size };
  }, { params, body: t.Object({ photo: t.File() }) })
  .listen({ hostname: "127.0.0.1", port: await freePort() }, ({ port }) => listening(port));
