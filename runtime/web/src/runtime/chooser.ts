/** Owns choosing tokens from logits: greedily or by drawing. The decoding loop knows a chooser by two methods. */

import type { IndexMap } from "./indexMap.js";
import type { Logits } from "./model.js";
import type { Random } from "./random.js";
import { adjusted, draw, probabilities, settleDraws, type Probabilities, type Sampling } from "./sampling.js";
import { acceptedPrefix, greedyChoice, largest, requireFinite } from "./verify.js";

/** A drafted target token and the distribution (target vocabulary) it was drawn from; null: it was not drawn. */
export interface Proposal {
  readonly tokenId: number;
  readonly byDrafter: Probabilities | null;
}

/** Turns logits into tokens. Neither method may look at how long the draft is going to be. */
export interface Chooser {
  /** The next draft from the drafter's logits (K,) after `contextIds`. */
  propose(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): Proposal;
  /** The tokens a target pass settles: the drafts kept and one of its own; row i follows `contextIds` and i drafts. */
  settle(proposals: readonly Proposal[], logits: Logits, contextIds: readonly number[]): number[];
}

/** The best token, always: speculation then gives the target's own greedy text. */
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

  /** The same steps shape the drafter's distribution, so that drafts are kept often. */
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

  /** The bias by the drafter's rows, without the tokens that it lacks. */
  private biasOf(indexMap: IndexMap): ReadonlyMap<number, number> {
    const held = [...this.settings.logitBias].filter(([tokenId]) => indexMap.holds([tokenId]));
    return new Map(held.map(([tokenId, bias]) => [indexMap.toDraft([tokenId])[0] as number, bias]));
  }

  private get readsContext(): boolean {
    return this.settings.repetitionPenalty !== 1;
  }
}

/** Takes the best token. */
export const GREEDY = new GreedyChooser();
