/** Owns the one error class: every message has a rule, the value that broke it, and a remedy. */

/** The parts of an error beside its rule. */
export interface Details {
  got?: unknown;
  remedy?: string;
}

/** An error that the user can fix; its text is one line: `rule, got X - remedy`. */
export class EdgedraftError extends Error {
  readonly rule: string;
  readonly got?: string;
  readonly remedy?: string;

  constructor(rule: string, details: Details = {}) {
    const got = details.got === undefined ? undefined : String(details.got);
    super(`${rule}${got === undefined ? "" : `, got ${got}`}${details.remedy === undefined ? "" : ` - ${details.remedy}`}`);
    this.name = "EdgedraftError";
    this.rule = rule;
    if (got !== undefined) this.got = got;
    if (details.remedy !== undefined) this.remedy = details.remedy;
  }
}

/** Throw `EdgedraftError` unless `condition` holds. */
export function demand(condition: boolean, rule: string, details: Details = {}): asserts condition {
  if (!condition) throw new EdgedraftError(rule, details);
}

/** Return the first line of any error's message, or its class where the message is empty. */
export function firstLine(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).trim();
  const line = text.split("\n", 1)[0] ?? "";
  return line || (error instanceof Error ? error.name : "unknown");
}
