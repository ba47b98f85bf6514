/** Owns `Sampler`: one draft token from a drafter's logits, the best one or one drawn at random. */

import type { IndexMap } from "./indexMap.js";
import type { Random } from "./random.js";
import { adjusted, draw, probabilities, readsContext, type Probabilities, type Sampling } from "./sampling.js";
import { greedyChoice, largest, requireFinite } from "./verify.js";

/** A drafted token and the distribution over the target's vocabulary that it was drawn from; null if not drawn. */
export interface DraftToken {
  readonly tokenId: number;
  readonly byDrafter: Probabilities | null;
}

/** Draws draft tokens. It must not look at how long the draft is going to be. */
export interface Sampler {
  /** Choose the draft token after `contextIds` from the drafter's logits (K,); null where the settings leave none to draft. */
  draw(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): DraftToken | null;
}

/** Takes the drafter's best token. */
export class GreedySampler implements Sampler {
  draw(logits: Float32Array, indexMap: IndexMap): DraftToken {
    return { tokenId: indexMap.toTarget(greedyChoice(logits, "the drafter")), byDrafter: null };
  }
}

/** Draws by `settings`: what shapes the target's distribution shapes the drafter's, so that drafts agree often. */
export class RandomSampler implements Sampler {
  constructor(
    private readonly settings: Sampling,
    private readonly random: Random,
  ) {}

  draw(logits: Float32Array, indexMap: IndexMap, contextIds: readonly number[]): DraftToken | null {
    requireFinite(Number.isFinite(largest(logits)), "the drafter");
    const bias = this.draftBias(indexMap);
    if (!logits.some((score, draftId) => Number.isFinite(score) && bias.get(draftId) !== -Infinity)) return null;
    const seen = readsContext(this.settings) ? indexMap.toDraft([...new Set(contextIds)]) : [];
    const distribution = probabilities(adjusted(logits, this.settings, seen, bias), this.settings);
    const byDrafter = new Float64Array(indexMap.targetVocabSize);
    distribution.forEach((share, draftId) => (byDrafter[indexMap.toTarget(draftId)] = share));
    return { tokenId: indexMap.toTarget(draw(distribution, this.random)), byDrafter };
  }

  /** Return the logit bias by draft id, of the tokens that can be drafted. */
  private draftBias(indexMap: IndexMap): ReadonlyMap<number, number> {
    const draftable = [...this.settings.logitBias].filter(([tokenId]) => indexMap.holds([tokenId]));
    return new Map(draftable.map(([tokenId, bias]) => [indexMap.toDraft([tokenId])[0] as number, bias]));
  }
}
