// Runs an application in TypeScript: `node run.mjs nest_app.ts`. Types are not checked, only removed.
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

const source = process.argv[2];
const compilerOptions = {
  module: ts.ModuleKind.ESNext,
  target: ts.ScriptTarget.ES2022,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
};
const compiled = source.replace(/\.ts$/, ".mjs");
writeFileSync(compiled, ts.transpileModule(readFileSync(source, "utf8"), { compilerOptions }).outputText);
await import(`./${compiled}`);
