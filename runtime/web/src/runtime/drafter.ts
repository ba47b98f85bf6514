/** Owns `Drafter`, the interface of everything that drafts: no drafts, and drafts of a fixed length by a model. */

import type { Sampler, DraftToken } from "./sampler.js";
import type { IndexMap } from "./indexMap.js";
import { catchUp, prefill, type LanguageModel } from "./model.js";
import type { Round } from "./rounds.js";

/** The longest draft that the page offers. */
export const LONGEST_DRAFT = 8;

/**
 * Drafts tokens in each round of one answer.
 * Whether and how long to draft may depend on all earlier tokens, never on the value of the token just drawn: sampled text
 * would no longer follow the target's distribution.
 */
export interface Drafter {
  /** Start a new answer; the target has read `promptIds`. */
  begin(promptIds: readonly number[]): Promise<void>;
  /** Draft at most `limit` tokens to follow `committed`; none means a plain step. */
  propose(committed: readonly number[], limit: number, sampler: Sampler): Promise<DraftToken[]>;
  /** Receive the outcome of the last draft. */
  observe(round: Round): void;
}

/** Drafts nothing: the target decodes alone. */
export const NO_DRAFTS: Drafter = {
  begin: async () => {},
  propose: async () => [],
  observe: () => {},
};

/** A model that drafts, and the map from its ids to the target's. */
export class DraftModel {
  constructor(
    readonly model: LanguageModel,
    readonly indexMap: IndexMap,
  ) {}

  /** Read the prompt, unless it is longer than the drafter's context: then nothing can be drafted. */
  async begin(promptIds: readonly number[]): Promise<void> {
    if (promptIds.length <= this.model.contextLength) await prefill(this.model, promptIds);
  }

  /** Return how many tokens may still be drafted after `contextIds`. */
  left(contextIds: readonly number[]): number {
    // One more than fits: the last token drafted is not read by the drafter.
    return this.model.contextLength - contextIds.length + 1;
  }

  /** Return logits (K,) of what follows `contextIds`, of which the model must have read a beginning. */
  score(contextIds: readonly number[]): Promise<Float32Array> {
    return catchUp(this.model, contextIds);
  }

  /** Forget everything after the first `length` tokens. */
  rewind(length: number): void {
    this.model.rewind(Math.min(this.model.length, length));
  }
}

/** Drafts `draftLength` tokens in every round by a model: the plan's policy. */
export class FixedDrafts implements Drafter {
  private committed = 0;

  constructor(
    private readonly drafter: DraftModel,
    private readonly draftLength: number,
  ) {}

  begin(promptIds: readonly number[]): Promise<void> {
    return this.drafter.begin(promptIds);
  }

  async propose(committed: readonly number[], limit: number, sampler: Sampler): Promise<DraftToken[]> {
    const proposals: DraftToken[] = [];
    const context = [...committed];
    this.committed = committed.length;
    while (proposals.length < Math.min(this.draftLength, limit) && this.drafter.left(context) > 0) {
      const proposal = sampler.draw(await this.drafter.score(context), this.drafter.indexMap, context);
      proposals.push(proposal);
      context.push(proposal.tokenId);
    }
    return proposals;
  }

  observe(round: Round): void {
    this.drafter.rewind(this.committed + round.accepted);
  }
}
