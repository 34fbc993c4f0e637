// What an application saw of a call, and the address at which it is served.
import { createServer } from "node:net";


export const RESERVED = "the name 'house' is reserved: choose one that says what the thing is";

/** Tells the test what came: one line on standard output. */
export function seen(operation, values) {
  process.stdout.write(`seen ${JSON.stringify({ operation, ...values })}\n`);
}

export function listening(port) {
  process.stdout.write(`listening on http://127.0.0.1:${port}\n`);
}

/** For a server that does not say which port it got: free until the server takes it. */
export function freePort() {
  return new Promise((resolve) => {
    const taken = createServer().listen(0, "127.0.0.1", () => {
      const { port } = taken.address();
      taken.close(() => resolve(port));
    });
  });
}
