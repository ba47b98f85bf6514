/** Owns turning anything thrown into words. */

import type { Problem } from "../state.js";

/** Return the rule, value and remedy of our own errors, or the first line of any other. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof Error)) return { rule: firstLine(String(error)) };
  const own = error as Error & Partial<Problem>;
  if (typeof own.rule !== "string") return { rule: firstLine(error.message) || error.name };
  return {
    rule: own.rule,
    ...(typeof own.got === "string" ? { got: own.got } : {}),
    ...(typeof own.remedy === "string" ? { remedy: own.remedy } : {}),
  };
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0] ?? "";
}
