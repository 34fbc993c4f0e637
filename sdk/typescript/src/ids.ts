/** Ids and times as they are stored. */

import { randomBytes } from "node:crypto";

/** The current time as it is stored; sorts as text. */
export const now = (): string => new Date().toISOString();

/** A time as it is stored, of milliseconds since 1970. */
export const stamp = (ms: number): string => new Date(ms).toISOString();

/** A new id: a UUID of version 7, which sorts by time. */
export function newId(): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
