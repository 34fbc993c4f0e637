// Errors in the contract's shape: {error, code, details?}.

import type { NextFunction, Request, Response } from "express";
import { ZodError } from "zod";

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details?: unknown,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** Also for what is another user's: for this one it does not exist. */
export const notFound = (what: string) => new Problem(404, "not_found", `there is no such ${what}`);

export const invalid = (why: string) => new Problem(400, "invalid_request", why);

export function notAllowed(): never {
  throw new Problem(405, "method_not_allowed", "not with this method");
}

/** What is wrong, in words that a model can act on; a fault of ours is for the log. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof ZodError) {
    const problems = error.issues.map(({ path, message }) => ({ at: path.join("."), is: message }));
    const first = problems[0];
    const text = first?.at ? `${first.at}: ${first.is}` : "the body must be a JSON object";
    return new Problem(400, "invalid_request", text, { problems });
  }
  // Express and its body parser say their own problems with a status.
  const { status, message } = error as { status?: unknown; message?: string };
  if (status === 413) return new Problem(413, "too_large", "the body is too large");
  if (status === 415) return new Problem(415, "unsupported_media_type", String(message));
  if (typeof status === "number" && status >= 400 && status < 500) return invalid(String(message));
  console.error(error);
  return new Problem(500, "internal_error", "something went wrong; the log says more");
}

/** Express's error handler; it is known by its four parameters. */
export function say(error: unknown, _req: Request, res: Response, next: NextFunction): void {
  if (res.headersSent) return next(error);
  const { status, code, message, details, headers } = problemOf(error);
  res.status(status).set(headers).json({ error: message, code, details });
}
