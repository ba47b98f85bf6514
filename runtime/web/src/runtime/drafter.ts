/** Owns `Drafter`, the port behind which everything drafts, and decoding without drafts. */

import type { Round } from "./rounds.js";
import type { DraftToken, Sampler } from "./sampler.js";

/** Tokens that may follow the committed text, and the seconds that the drafter's passes took for them. */
export interface Draft {
  readonly tokens: readonly DraftToken[];
  readonly seconds: number;
}

/**
 * Drafts for one answer at a time, and keeps what it needs for the next.
 *
 * The loop calls `begin` once, then for each round `propose`, `rewind` and `observe`. An answer may end after any round.
 * Whether and how long to draft may depend on everything committed or drafted before, never on the token just drawn:
 * sampled text would leave the target's distribution. Python's drafters may also read features of the target's passes;
 * no graph gives them here, so passes are not handed over.
 */
export interface Drafter {
  /** Start an answer; the target has read `promptIds`. */
  begin(promptIds: readonly number[]): Promise<void>;
  /** Draft at most `limit` tokens to follow `committed`; none means a plain step. */
  propose(committed: readonly number[], limit: number, sampler: Sampler): Promise<Draft>;
  /** Forget what is known beyond the first `length` tokens; knowing less is no error. */
  rewind(length: number): void;
  /** Learn what became of the last draft; `outcome` is not cut to any limit. */
  observe(outcome: Round): void;
}

export const EMPTY_DRAFT: Draft = { tokens: [], seconds: 0 };

/** Decoding by the target alone. */
export const NO_DRAFTS: Drafter = {
  begin: async () => {},
  propose: async () => EMPTY_DRAFT,
  rewind: () => {},
  observe: () => {},
};
