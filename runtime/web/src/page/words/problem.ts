/** Owns how anything thrown becomes words: an error's own where it has them. */

import type { Problem } from "../state.js";

/** The words of anything thrown. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof Error)) return { rule: firstLine(String(error)) };
  const told = error as Error & Partial<Problem>;
  if (typeof told.rule !== "string") return { rule: firstLine(error.message) || error.name };
  return {
    rule: told.rule,
    ...(typeof told.got === "string" ? { got: told.got } : {}),
    ...(typeof told.remedy === "string" ? { remedy: told.remedy } : {}),
  };
}

/** Whether the user asked for this end. */
export function wasStopped(signal: AbortSignal): boolean {
  return signal.aborted;
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0] ?? "";
}
