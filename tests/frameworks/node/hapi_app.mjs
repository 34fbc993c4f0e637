import Hapi from "@hapi/hapi";
import Inert from "@hapi/inert";
import Vision from "@hapi/vision";
import HapiSwagger from "hapi-swagger";
import Joi from "joi";

import { listening, RESERVED, seen } from "./seen.mjs";

const Item = Joi.object({
  name: Joi.string().min(1).max(40).required().custom((name, helpers) =>
    name === "house" ? helpers.message(RESERVED) : name,
  ),
  quantity: Joi.number().integer().min(0).required(),
  price: Joi.number().required(),
  due: Joi.date().iso().raw().required(),
  status: Joi.string().valid("", "draft", "live"),
  note: Joi.string().allow(null),
  owner: Joi.object({ name: Joi.string().required(), age: Joi.number().integer().allow(null) }).allow(null).label("Owner"),
  tags: Joi.array().items(Joi.string()),
}).label("Item");
const params = Joi.object({ id: Joi.number().integer().required() });
const query = Joi.object({
  "filter[name]": Joi.string(),
  limit: Joi.number().integer().min(1).max(100),
  tags: Joi.array().items(Joi.string()).single(),
});

const server = Hapi.server({
  host: "127.0.0.1",
  port: 0,
  // The reason of a refusal is told only when an application says so.
  routes: { validate: { failAction: (_request, _h, error) => { throw error; } } },
});
await server.register([Inert, Vision, HapiSwagger]);
const route = (method, path, validate, handler, more = {}) =>
  server.route({ method, path, options: { tags: ["api"], validate, ...more }, handler });

route("GET", "/items", { query }, ({ query: asked }) => {
  seen("list", { name: asked["filter[name]"], limit: asked.limit, tags: asked.tags });
  return [];
});
route("GET", "/items/{id}", { params }, (request) => {
  seen("get", request.params);
  return request.params;
});
route("POST", "/items", { payload: Item }, (request) => {
  seen("create", { item: request.payload });
  return { id: 8 };
});
route("PUT", "/items/{id}", { params, payload: Item }, (request) => {
  seen("update", { id: request.params.id, item: request.payload });
  return request.params;
});
route("DELETE", "/items/{id}", { params }, (request, h) => {
  seen("delete", request.params);
  return h.response().code(204);
});
route(
  "POST",
  "/items/{id}/photo",
  { params, payload: Joi.object({ photo: Joi.any().meta({ swaggerType: "file" }).required() }).label("Photo") },
  (request) => {
    seen("upload", { id: request.params.id });
    return {};
  },
  { payload: { multipart: { output: "data" }, maxBytes: 1_000_000 }, plugins: { "hapi-swagger": { payloadType: "form" } } },
);

await server.start();
listening(server.info.port);
