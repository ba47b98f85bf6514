/** Owns `Sampler`: it draws draft tokens from a drafter's logits and verifies them by the target's, greedily or at random. */

import type { IndexMap } from "./indexMap.js";
import type { Logits } from "./model.js";
import type { Random } from "./random.js";
import { adjusted, draw, probabilities, verifyDraws, type Probabilities, type Sampling } from "./sampling.js";
import { acceptedPrefix, greedyChoice, largest, requireFinite } from "./verify.js";

/** A drafted token and the distribution over the target's vocabulary that it was drawn from; null if not drawn. */
export interface DraftToken {
  readonly tokenId: number;
  readonly byDrafter: Probabilities | null;
}

/** Turns logits into tokens. Neither method may depend on how long the draft is going to be. */
export interface Sampler {
  /** Draw the next draft token from the drafter's logits (K,) after `contextIds`. */
  draw(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): DraftToken;
  /** Verify drafts by a target pass: return the accepted ones and one token of the target's own; row i scores what follows i drafts. */
  verify(proposals: readonly DraftToken[], logits: Logits, contextIds: readonly number[]): number[];
}

/** Always takes the best token: speculation then gives the target's own greedy text. */
export class GreedySampler implements Sampler {
  draw(logits: Float32Array, indexMap: IndexMap): DraftToken {
    return { tokenId: indexMap.toTarget(greedyChoice(logits, "the drafter")), byDrafter: null };
  }

  verify(proposals: readonly DraftToken[], logits: Logits): number[] {
    const choices = Array.from({ length: logits.rows }, (_, row) => greedyChoice(logits.row(row), "the target"));
    const drafts = proposals.map((proposal) => proposal.tokenId);
    return choices.slice(0, acceptedPrefix(drafts, choices) + 1);
  }
}

/** Draws by `settings`; speculation then gives text that follows the target's own distribution exactly. */
export class RandomSampler implements Sampler {
  constructor(
    private readonly settings: Sampling,
    private readonly random: Random,
  ) {}

  /** Draw from the drafter's distribution, shaped by the same settings so that the target accepts often. */
  draw(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): DraftToken {
    requireFinite(Number.isFinite(largest(logits)), "the drafter");
    const seen = this.readsContext ? indexMap.toDraft([...new Set(contextIds)]) : [];
    const drawn = probabilities(adjusted(logits, this.settings, seen, this.biasOf(indexMap)), this.settings);
    return { tokenId: indexMap.toTarget(draw(drawn, this.random)), byDrafter: indexMap.scatter(drawn, 0) };
  }

  verify(proposals: readonly DraftToken[], logits: Logits, contextIds: readonly number[]): number[] {
    const drafts = proposals.map((proposal) => proposal.tokenId);
    const byDrafter = proposals.map((proposal) => proposal.byDrafter);
    const byTarget = (position: number): Probabilities => {
      const row = logits.row(position);
      requireFinite(Number.isFinite(largest(row)), "the target");
      const seen = this.readsContext ? [...new Set([...contextIds, ...drafts.slice(0, position)])] : [];
      return probabilities(adjusted(row, this.settings, seen, this.settings.logitBias), this.settings);
    };
    return verifyDraws(drafts, byDrafter, byTarget, this.random);
  }

  /** Return the bias by the drafter's rows, without the tokens that it lacks. */
  private biasOf(indexMap: IndexMap): ReadonlyMap<number, number> {
    const draftable = [...this.settings.logitBias].filter(([tokenId]) => indexMap.holds([tokenId]));
    return new Map(draftable.map(([tokenId, bias]) => [indexMap.toDraft([tokenId])[0] as number, bias]));
  }

  private get readsContext(): boolean {
    return this.settings.repetitionPenalty !== 1;
  }
}

export const GREEDY = new GreedySampler();
