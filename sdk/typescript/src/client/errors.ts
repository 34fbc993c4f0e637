/** What can go wrong with a call. */

/** The other side refused a call, or could not do it. */
export class WombatError extends Error {
  override readonly name = "WombatError";

  constructor(
    /** The HTTP status; 0 where there was no answer. */
    readonly status: number,
    /** What programs tell it by, such as `session_busy`. */
    readonly code: string,
    message: string,
    readonly details: { [name: string]: unknown } | undefined,
    /** After how many seconds to try again, where the other side says so. */
    readonly retryAfter: number | undefined,
    cause?: unknown,
  ) {
    super(message, { cause });
  }

  /** Whether the same call may work later. */
  get isRetryable(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 503 || this.status === 502 || this.status === 504;
  }
}

/** The error that an answer is. */
export async function errorOf(response: Response): Promise<WombatError> {
  const body: unknown = await response.json().catch(() => undefined);
  const { error, code, details } = (typeof body === "object" && body !== null ? body : {}) as {
    error?: unknown;
    code?: unknown;
    details?: { [name: string]: unknown };
  };
  const wait = response.headers.get("retry-after");
  return new WombatError(
    response.status,
    typeof code === "string" ? code : "unknown",
    typeof error === "string" ? error : `the answer has status ${response.status}`,
    details,
    wait !== null && /^\d+$/.test(wait) ? Number(wait) : undefined,
  );
}

/** The error that no answer is. */
export const unreachable = (url: string, cause: unknown): WombatError =>
  new WombatError(0, "unreachable", `${new URL(url).host} does not answer`, undefined, undefined, cause);
