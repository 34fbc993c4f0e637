// Programs that the tests start: servers of the library on either database, PostgreSQL, the conformance suite.

import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { chownSync, chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** The secrets of the tests' servers. */
export const keys = {
  AGENT_JWT_SECRET: "a-secret-of-the-tests-with-more-than-32-bytes",
  INTERNAL_API_TOKEN: "an-internal-token-of-the-tests",
};

/** Node's oldest and newest version that the library is for, where they are installed; else this one. */
export function nodes() {
  const found = ["oldest", "newest"].map((age) => join(root, `node_modules/node-${age}/bin/node`));
  return found.map((path) => (existsSync(path) ? path : process.execPath));
}

/** The program with the conformance suite; `undefined` where it is not built. */
export const missionControl = process.env.WOMBAT_MISSION_CONTROL;

/** Why tests of the whole must be skipped; a failure where none may be. */
export function skipped(why) {
  if (process.env.WOMBAT_TEST_ALL) throw new Error(`${why}, and WOMBAT_TEST_ALL is set`);
  return why;
}

/** A folder that is deleted at the end of a test. */
export function folder(t) {
  const made = mkdtempSync(join(tmpdir(), "wombat-sdk-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A port that nobody listens on. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function postgresBin() {
  const all = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  const found = all.map((version) => `/usr/lib/postgresql/${version}/bin`).filter((bin) => existsSync(join(bin, "initdb")));
  return found.at(-1);
}

/** Starts PostgreSQL; a function that makes a database and gives its address, or `undefined` where it is not installed. */
export async function postgres(t) {
  const bin = postgresBin();
  if (bin === undefined) return undefined;
  const data = folder(t);
  // It refuses to run as root.
  const isRoot = process.getuid() === 0;
  const uid = isRoot ? Number(execFileSync("id", ["-u", "postgres"])) : process.getuid();
  chmodSync(data, 0o700);
  chownSync(data, uid, -1);
  const as = (program, args) => (isRoot ? ["runuser", ["-u", "postgres", "--", join(bin, program), ...args]] : [join(bin, program), args]);
  const [init, initArgs] = as("initdb", ["-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]);
  execFileSync(init, initArgs, { stdio: "ignore", cwd: "/" });
  const port = await freePort();
  const settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"];
  const [program, args] = as("postgres", ["-D", data, "-p", String(port), "-k", data, ...settings]);
  const server = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], cwd: "/" });
  t.after(async () => {
    // It waits for its clients.
    await Promise.all([...applications].map((child) => ended(child, "SIGKILL")));
    await ended(server, "SIGINT");
  });
  await said(server.stderr, "ready to accept connections");
  return (name) => {
    const address = `postgres://postgres@127.0.0.1:${port}/${name}`;
    if (name !== "postgres") execFileSync(join(bin, "createdb"), ["-h", "127.0.0.1", "-p", String(port), "-U", "postgres", name]);
    return address;
  };
}

/** Waits until a program says something; what it said. */
function said(stream, text) {
  return new Promise((resolve, reject) => {
    let heard = "";
    const late = setTimeout(() => reject(new Error(`${text} was not said: ${heard}`)), 30_000);
    createInterface({ input: stream }).on("line", (line) => {
      heard = `${heard}\n${line}`.slice(-4_000);
      if (!line.includes(text)) return;
      clearTimeout(late);
      resolve(line);
    });
  });
}

/** Ends a program, and waits until it has. */
export function ended(child, signal = "SIGTERM") {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  return gone;
}

/** Applications that were started. */
const applications = new Set();

/** Starts an application with the library; its address. */
export async function application(t, framework, database, node = process.execPath) {
  const args = ["--no-warnings", join(root, "test/server.mjs"), framework, database];
  const child = spawn(node, args, { env: { ...process.env, ...keys }, stdio: ["ignore", "pipe", "inherit"] });
  applications.add(child);
  t.after(() => ended(child));
  const url = await said(child.stdout, "http://");
  return { url, child };
}

/** Runs the conformance suite against a backend; its checks. */
export async function conformance(t, url) {
  const { readFileSync } = await import("node:fs");
  const report = join(folder(t), "report.json");
  const child = spawn(missionControl, ["conformance", "--url", url, "--json", report], { env: { ...process.env, ...keys }, stdio: "ignore" });
  await new Promise((resolve) => child.once("exit", resolve));
  return JSON.parse(readFileSync(report, "utf8")).checks;
}
