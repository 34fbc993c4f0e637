import express from "express";
import { fileURLToPath } from "node:url";
import swaggerJsdoc from "swagger-jsdoc";

import { listening, RESERVED, seen } from "./seen.mjs";

const app = express();
app.use(express.json());

/**
 * @openapi
 * components:
 *   schemas:
 *     Item:
 *       type: object
 *       required: [name, quantity, price, due]
 *       properties:
 *         name: { type: string, minLength: 1, maxLength: 40 }
 *         quantity: { type: integer, minimum: 0 }
 *         price: { type: number }
 *         due:
 *           oneOf:
 *             - { type: string, format: date }
 *             - { type: string, format: date-time }
 *         status: { type: string, enum: ["", draft, live] }
 *         note: { type: string, nullable: true }
 *         owner:
 *           type: object
 *           nullable: true
 *           required: [name]
 *           properties:
 *             name: { type: string }
 *             age: { type: integer, nullable: true }
 *         tags: { type: array, items: { type: string } }
 */

/**
 * @openapi
 * /items:
 *   get:
 *     summary: List the items
 *     parameters:
 *       - { in: query, name: "filter[name]", schema: { type: string } }
 *       - { in: query, name: limit, schema: { type: integer, default: 20 } }
 *       - { in: query, name: tags, schema: { type: array, items: { type: string } } }
 *     responses: { 200: { description: Items } }
 */
app.get("/items", ({ query }, response) => {
  seen("list", { name: query["filter[name]"], limit: Number(query.limit ?? 20), tags: query.tags });
  response.json([]);
});

/**
 * @openapi
 * /items:
 *   post:
 *     summary: Create an item
 *     requestBody:
 *       required: true
 *       content:
 *         application/json:
 *           schema: { $ref: "#/components/schemas/Item" }
 *     responses: { 201: { description: Created } }
 */
app.post("/items", ({ body }, response) => {
  if (body.name === "house") return response.status(400).json({ errors: [{ path: "name", msg: RESERVED }] });
  seen("create", { item: body });
  response.status(201).json({ id: 8 });
});

/**
 * @openapi
 * /items/{id}:
 *   parameters:
 *     - { in: path, name: id, required: true, schema: { type: integer } }
 *   get:
 *     summary: Get an item
 *     responses: { 200: { description: An item } }
 *   put:
 *     summary: Replace an item
 *     requestBody:
 *       required: true
 *       content:
 *         application/json:
 *           schema: { $ref: "#/components/schemas/Item" }
 *     responses: { 200: { description: Replaced } }
 *   delete:
 *     summary: Delete an item
 *     responses: { 204: { description: Deleted } }
 */
app.get("/items/:id", ({ params }, response) => {
  seen("get", { id: Number(params.id) });
  response.json({ id: Number(params.id) });
});
app.put("/items/:id", ({ params, body }, response) => {
  seen("update", { id: Number(params.id), item: body });
  response.json({ id: Number(params.id) });
});
app.delete("/items/:id", ({ params }, response) => {
  seen("delete", { id: Number(params.id) });
  response.status(204).end();
});

/**
 * @openapi
 * /items/{id}/photo:
 *   post:
 *     summary: Store a photo
 *     parameters:
 *       - { in: path, name: id, required: true, schema: { type: integer } }
 *     requestBody:
 *       content:
 *         multipart/form-data:
 *           schema:
 *             type: object
 *             properties:
 *               photo: { type: string, format: binary }
 *     responses: { 200: { description: Stored } }
 */
app.post("/items/:id/photo", ({ params }, response) => {
  seen("upload", { id: Number(params.id) });
  response.json({});
});

const definition = { openapi: "3.0.0", info: { title: "Shop", version: "1" } };
const document = swaggerJsdoc({ definition, apis: [fileURLToPath(import.meta.url)] });
app.get("/api-docs.json", (_request, response) => response.json(document));
const server = app.listen(0, "127.0.0.1", () => listening(server.address().port));
