// tsoa makes the document and the routes from the controller's types.
import express from "express";
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";
import { generateSpecAndRoutes } from "tsoa";

import { listening } from "./seen.mjs";

const configuration = {
  entryFile: "tsoa_controller.ts",
  noImplicitAdditionalProperties: "throw-on-extras",
  spec: { outputDirectory: "." },
  routes: { routesDir: ".", middleware: "express", esm: true, rewriteRelativeImportExtensions: false },
};
await generateSpecAndRoutes({ configuration });
const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, experimentalDecorators: true };
for (const name of ["tsoa_controller", "routes"]) {
  writeFileSync(`${name}.js`, ts.transpileModule(readFileSync(`${name}.ts`, "utf8"), { compilerOptions }).outputText);
}
const { RegisterRoutes } = await import("./routes.js");

const app = express();
app.use(express.json());
RegisterRoutes(app);
app.get("/swagger.json", (_request, response) => response.type("json").send(readFileSync("swagger.json")));
app.use((error, _request, response, _next) =>
  response.status(error.status ?? 500).json({ message: error.message, details: error.fields }),
);
const server = app.listen(0, "127.0.0.1", () => listening(server.address().port));
