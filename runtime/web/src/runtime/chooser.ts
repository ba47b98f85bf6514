/** Owns choosing tokens from logits, greedily or by drawing. The decoding loop calls only a chooser's two methods. */

import type { IndexMap } from "./indexMap.js";
import type { Logits } from "./model.js";
import type { Random } from "./random.js";
import { adjusted, draw, probabilities, settleDraws, type Probabilities, type Sampling } from "./sampling.js";
import { acceptedPrefix, greedyChoice, largest, requireFinite } from "./verify.js";

/** A drafted token and the distribution over the target's vocabulary that it was drawn from; null if not drawn. */
export interface Proposal {
  readonly tokenId: number;
  readonly byDrafter: Probabilities | null;
}

/** Turns logits into tokens. Neither method may depend on how long the draft is going to be. */
export interface Chooser {
  /** Choose the next draft from the drafter's logits (K,) after `contextIds`. */
  propose(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): Proposal;
  /** Verify drafts by a target pass: return the accepted ones and one token of the target's own; row i scores what follows i drafts. */
  settle(proposals: readonly Proposal[], logits: Logits, contextIds: readonly number[]): number[];
}

/** Always takes the best token: speculation then gives the target's own greedy text. */
export class GreedyChooser implements Chooser {
  propose(logits: Float32Array, indexMap: IndexMap): Proposal {
    return { tokenId: indexMap.toTarget(greedyChoice(logits, "the drafter")), byDrafter: null };
  }

  settle(proposals: readonly Proposal[], logits: Logits): number[] {
    const choices = Array.from({ length: logits.rows }, (_, row) => greedyChoice(logits.row(row), "the target"));
    const drafts = proposals.map((proposal) => proposal.tokenId);
    return choices.slice(0, acceptedPrefix(drafts, choices) + 1);
  }
}

/** Draws by `settings`; speculation then gives text that follows the target's own distribution exactly. */
export class SampledChooser implements Chooser {
  constructor(
    private readonly settings: Sampling,
    private readonly random: Random,
  ) {}

  /** Draw from the drafter's distribution, shaped by the same settings so that the target accepts often. */
  propose(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): Proposal {
    requireFinite(Number.isFinite(largest(logits)), "the drafter");
    const seen = this.readsContext ? indexMap.toDraft([...new Set(contextIds)]) : [];
    const drawn = probabilities(adjusted(logits, this.settings, seen, this.biasOf(indexMap)), this.settings);
    return { tokenId: indexMap.toTarget(draw(drawn, this.random)), byDrafter: indexMap.scatter(drawn, 0) };
  }

  settle(proposals: readonly Proposal[], logits: Logits, contextIds: readonly number[]): number[] {
    const drafts = proposals.map((proposal) => proposal.tokenId);
    const byDrafter = proposals.map((proposal) => proposal.byDrafter);
    const byTarget = (position: number): Probabilities => {
      const row = logits.row(position);
      requireFinite(Number.isFinite(largest(row)), "the target");
      const seen = this.readsContext ? [...new Set([...contextIds, ...drafts.slice(0, position)])] : [];
      return probabilities(adjusted(row, this.settings, seen, this.settings.logitBias), this.settings);
    };
    return settleDraws(drafts, byDrafter, byTarget, this.random);
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

export const GREEDY = new GreedyChooser();
