// With the argument `openapi`, the document is OpenAPI 3; without, Swagger 2.0, which is the plugin's default.
import multipart from "@fastify/multipart";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify from "fastify";

import { listening, RESERVED, seen } from "./seen.mjs";

const owner = {
  type: "object",
  required: ["name"],
  properties: { name: { type: "string" }, age: { type: "integer", nullable: true } },
};
const item = {
  type: "object",
  required: ["name", "quantity", "price", "due"],
  properties: {
    name: { type: "string", minLength: 1, maxLength: 40 },
    quantity: { type: "integer", minimum: 0 },
    price: { type: "number" },
    due: { type: "string", format: "date" },
    status: { type: "string", enum: ["", "draft", "live"] },
    note: { type: "string", nullable: true },
    owner,
    tags: { type: "array", items: { type: "string" } },
  },
};
const params = { type: "object", properties: { id: { type: "integer" } }, required: ["id"] };
const querystring = {
  type: "object",
  properties: {
    "filter[name]": { type: "string" },
    limit: { type: "integer", minimum: 1, maximum: 100, default: 20 },
    tags: { type: "array", items: { type: "string" } },
  },
};

const app = Fastify({ ajv: { plugins: [multipart.ajvFilePlugin] } });
await app.register(swagger, process.argv[2] === "openapi" ? { openapi: {} } : {});
await app.register(swaggerUi);
await app.register(multipart, { attachFieldsToBody: true });

const refuse = () => Object.assign(new Error(RESERVED), { statusCode: 400 });

app.get("/items", { schema: { querystring } }, async ({ query }) => {
  seen("list", { name: query["filter[name]"], limit: query.limit, tags: query.tags });
  return [];
});
app.get("/items/:id", { schema: { params } }, async ({ params: { id } }) => {
  seen("get", { id });
  return { id };
});
app.post("/items", { schema: { body: item } }, async ({ body }) => {
  if (body.name === "house") throw refuse();
  seen("create", { item: body });
  return { id: 8 };
});
app.put("/items/:id", { schema: { params, body: item } }, async ({ params: { id }, body }) => {
  seen("update", { id, item: body });
  return { id };
});
app.delete("/items/:id", { schema: { params } }, async ({ params: { id } }, reply) => {
  seen("delete", { id });
  reply.code(204);
});
const photo = { type: "object", required: ["photo"], properties: { photo: { isFile: true } } };
const upload = { params, consumes: ["multipart/form-data"], body: photo };
app.post("/items/:id/photo", { schema: upload }, async ({ params: { id }, body }) => {
  const bytes = (await body.photo.toBuffer()).length;
  seen("upload", { id, bytes });
  return { bytes };
});

await app.listen({ host: "127.0.0.1", port: 0 });
listening(app.server.address().port);
