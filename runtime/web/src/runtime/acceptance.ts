/** Owns `Verifier`: what a target's pass makes of a draft. It commits the accepted tokens and one of the target's own. */

import type { Logits } from "./model.js";
import type { Random } from "./random.js";
import type { DraftToken } from "./sampler.js";
import { adjusted, probabilities, readsContext, verifyDraws, type Probabilities, type Sampling } from "./sampling.js";
import { acceptedPrefix, greedyChoice, largest, requireFinite } from "./verify.js";

/** Decides which drafted tokens the target accepts. */
export interface Verifier {
  /**
   * Return the tokens to commit: the accepted part of `draft`, then one token of the target's own.
   * Row i of `logits` follows `contextIds` and the first i drafted tokens.
   */
  verify(draft: readonly DraftToken[], logits: Logits, contextIds: readonly number[]): number[];
}

/** Accepts what the target would have chosen itself: the text is its own greedy text. */
export class GreedyVerifier implements Verifier {
  verify(draft: readonly DraftToken[], logits: Logits): number[] {
    const choices = Array.from({ length: logits.rows }, (_, row) => greedyChoice(logits.row(row), "the target"));
    const draftIds = draft.map((token) => token.tokenId);
    return choices.slice(0, acceptedPrefix(draftIds, choices) + 1);
  }
}

/** Accepts at random, so that the text follows the target's own distribution under `settings` exactly. */
export class RandomVerifier implements Verifier {
  constructor(
    private readonly settings: Sampling,
    private readonly random: Random,
  ) {}

  verify(draft: readonly DraftToken[], logits: Logits, contextIds: readonly number[]): number[] {
    const draftIds = draft.map((token) => token.tokenId);
    const byDrafter = draft.map((token) => token.byDrafter);
    // Row by row, as far as drafts are accepted: a row of the whole vocabulary takes long to shape.
    const byTarget = (place: number): Probabilities => this.byTarget(logits.row(place), [...contextIds, ...draftIds.slice(0, place)]);
    return verifyDraws(draftIds, byDrafter, byTarget, this.random);
  }

  private byTarget(row: Float32Array, contextIds: readonly number[]): Probabilities {
    requireFinite(Number.isFinite(largest(row)), "the target");
    const seen = readsContext(this.settings) ? [...new Set(contextIds)] : [];
    return probabilities(adjusted(row, this.settings, seen, this.settings.logitBias), this.settings);
  }
}
