import { serve } from "@hono/node-server";
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";

import { listening, RESERVED, seen } from "./seen.mjs";

const Item = z
  .object({
    name: z.string().min(1).max(40).refine((name) => name !== "house", RESERVED),
    quantity: z.int().min(0),
    price: z.union([z.int(), z.number()]),
    due: z.union([z.iso.date(), z.iso.datetime()]),
    status: z.enum(["", "draft", "live"]).optional(),
    link: z.union([z.url(), z.literal("")]).optional(),
    note: z.string().nullable().optional(),
    owner: z.object({ name: z.string(), age: z.int().nullable().optional() }).nullable().optional(),
    tags: z.array(z.string()).optional(),
  })
  .openapi("Item");
const params = z.object({ id: z.coerce.number().int().openapi({ type: "integer" }) });
const query = z.object({
  "filter[name]": z.string().optional(),
  limit: z.coerce.number().int().min(1).max(100).optional(),
  tags: z.array(z.string()).optional(),
});
const json = { content: { "application/json": { schema: Item } } };
const responses = { 200: { description: "Done." }, 201: { description: "Created." } };
const route = (method, path, request) => createRoute({ method, path, request, responses });

const app = new OpenAPIHono();
app.openapi(route("get", "/items", { query }), (c) => {
  const asked = c.req.valid("query");
  seen("list", { name: asked["filter[name]"], limit: asked.limit, tags: asked.tags });
  return c.json([]);
});
app.openapi(route("get", "/items/{id}", { params }), (c) => {
  const { id } = c.req.valid("param");
  seen("get", { id });
  return c.json({ id });
});
app.openapi(route("post", "/items", { body: json }), (c) => {
  seen("create", { item: c.req.valid("json") });
  return c.json({ id: 8 }, 201);
});
app.openapi(route("put", "/items/{id}", { params, body: json }), (c) => {
  const { id } = c.req.valid("param");
  seen("update", { id, item: c.req.valid("json") });
  return c.json({ id });
});
app.openapi(route("delete", "/items/{id}", { params }), (c) => {
  seen("delete", { id: c.req.valid("param").id });
  return c.body(null, 204);
});
const photo = z.object({ photo: z.instanceof(File).openapi({ type: "string", format: "binary" }) });
const form = { content: { "multipart/form-data": { schema: photo } } };
app.openapi(route("post", "/items/{id}/photo", { params, body: form }), (c) => {
  const bytes = c.req.valid("form").photo.size;
  seen("upload", { id: c.req.valid("param").id, bytes });
  return c.json({ bytes });
});
app.doc("/doc", { openapi: "3.0.0", info: { title: "Shop", version: "1" } });

serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => listening(port));
