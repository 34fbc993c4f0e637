#!/usr/bin/env bash
# hapi-swagger documents `Joi.string().valid("", "draft")` as an enum without "".
#
# One would guess: the enum has what the validation takes, "" and "draft".
# What happens: the enum is ["draft"], in Swagger 2.0 and in OpenAPI 3.0, while the server takes "". A client that checks
# its requests against the document refuses a value that the server takes.
#
# Versions: hapi-swagger 17.3.2, @hapi/hapi 21.4.10, joi 17.13.3. Needs node and npm.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" hapi-swagger@17.3.2 @hapi/hapi@21.4.10 @hapi/inert@7.1.2 \
  @hapi/vision@7.0.3 joi@17.13.3
cat > "$dir/documents.mjs" <<'JS'
import { createRequire } from "node:module";

import Hapi from "@hapi/hapi";
import Inert from "@hapi/inert";
import Vision from "@hapi/vision";
import HapiSwagger from "hapi-swagger";
import Joi from "joi";

const require = createRequire(import.meta.url);
for (const name of ["hapi-swagger", "@hapi/hapi", "joi"]) console.log(name, require(`${name}/package.json`).version);

const payload = Joi.object({ status: Joi.string().valid("", "draft") }).label("Item");
let same = true;
for (const [options, path] of [[{ OAS: "v2" }, "/swagger.json"], [{ OAS: "v3.0" }, "/openapi.json"]]) {
  const server = Hapi.server();
  await server.register([Inert, Vision, { plugin: HapiSwagger, options }]);
  const described = { tags: ["api"], validate: { payload } };
  server.route({ method: "POST", path: "/items", options: described, handler: () => "taken" });
  const sent = { status: "" };
  const { statusCode } = await server.inject({ method: "POST", url: "/items", payload: sent });
  console.log(options.OAS, JSON.stringify(sent), "is answered", statusCode);
  const document = (await server.inject(path)).result;
  const schemas = document.definitions ?? document.components.schemas;
  const { status } = schemas.Item.properties;
  const of = status.$ref ? schemas[status.$ref.split("/").pop()] : status;
  console.log(options.OAS, "status:", JSON.stringify(of));
  same &&= statusCode === 200 && JSON.stringify(of.enum) === '["draft"]';
}
process.exit(same ? 0 : 1);
JS
cd "$dir"
node documents.mjs
