// Lints the daemon's OpenAPI document, and lets clients that two generators make of it talk to the daemon. They
// are compiled as strictly as TypeScript can.
const { execFileSync } = require("node:child_process");
const { copyFileSync, readFileSync, writeFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { join } = require("node:path");
const packages = createRequire(join(process.cwd(), "node_modules/"));
const core = packages("@redocly/openapi-core");

const run = (path, ...args) => execFileSync(process.execPath, [join("node_modules", path), ...args], { stdio: ["ignore", "pipe", "inherit"] });

async function main() {
  const config = await core.createConfig({ extends: ["recommended"] });
  const found = await core.lintFromString({ source: readFileSync("openapi.json", "utf8"), config });
  const problems = found.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`);

  run("openapi-typescript/bin/cli.js", "openapi.json", "-o", "schema.d.ts");
  run("@hey-api/openapi-ts/bin/run.js", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch");
  copyFileSync(join(process.env.PEERS, "generated.ts"), "generated.ts");
  const compilerOptions = {
    strict: true, module: "commonjs", moduleResolution: "node10", esModuleInterop: true, target: "es2022",
    lib: ["es2022", "dom", "dom.iterable"], types: [], outDir: "out",
  };
  writeFileSync("tsconfig.json", JSON.stringify({ compilerOptions, files: ["generated.ts"] }));
  try {
    run("typescript/bin/tsc", "-p", ".");
  } catch (error) {
    console.error(error.stdout.toString());
    throw error;
  }
  const said = execFileSync(process.execPath, ["out/generated.js"], { stdio: ["ignore", "pipe", "inherit"] });
  console.log(JSON.stringify({ problems, ...JSON.parse(said) }));
}

main();
