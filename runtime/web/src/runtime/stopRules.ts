/** Owns stop rules that need no clock. */

import type { StopRule, TokenOffer } from "./tokenDrafter.js";

/** Takes the first offer until `draftLength` tokens are drafted. */
export class FixedLength implements StopRule {
  constructor(private readonly draftLength: number) {}

  choose(offers: readonly TokenOffer[], drafted: number): TokenOffer | null {
    return drafted < this.draftLength ? (offers[0] ?? null) : null;
  }
}
