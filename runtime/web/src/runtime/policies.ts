/** Owns draft policies by name: a source of tokens and a stop rule, composed for one answer; and the simple stop rule. */

import { NO_DRAFTS, type Drafter } from "./drafter.js";
import { demand } from "./errors.js";
import type { Clock } from "./model.js";
import { NgramSource } from "./ngram.js";
import { TokenDrafter, type StopRule, type TokenOffer, type TokenSource } from "./tokenDrafter.js";

/** The policies by name, some of Python's: no drafts, drafts of a fixed length, and drafts by lookup in the text. */
export const POLICIES = ["plain", "fixed", "ngram"] as const;
export type Policy = (typeof POLICIES)[number];

/** The longest draft that the page offers. */
export const LONGEST_DRAFT = 8;

/** A policy by name, with the number that some of them take. */
export interface PolicyChoice {
  readonly name: Policy;
  readonly draftLength: number;
}

/** Parts of a policy: the model's source of tokens, asked for where the policy drafts by it, and a clock for its passes. */
export interface PolicyParts {
  source(): TokenSource;
  readonly clock?: Clock;
}

/** Return the drafter of the policy that a choice names, for one answer over `parts`. */
export function buildDrafter({ name, draftLength }: PolicyChoice, parts: PolicyParts): Drafter {
  demand(POLICIES.includes(name), `policy: expected one of ${POLICIES.join(", ")}`, { got: name });
  demand(Number.isInteger(draftLength) && draftLength >= 1, "draft length must be at least 1", { got: draftLength });
  if (name === "plain") return NO_DRAFTS;
  const source = name === "ngram" ? new NgramSource() : parts.source();
  return new TokenDrafter(source, new FixedLength(draftLength), parts.clock);
}

/** Takes the first offer until `draftLength` tokens are drafted. */
export class FixedLength implements StopRule {
  constructor(private readonly draftLength: number) {}

  choose(offers: readonly TokenOffer[], drafted: number): TokenOffer | null {
    return drafted < this.draftLength ? (offers[0] ?? null) : null;
  }
}
