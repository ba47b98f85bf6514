/** Owns what to draft in a round: the policy interface, no drafts, and drafts of a fixed length. */

import type { Chooser, Proposal } from "./chooser.js";
import type { IndexMap } from "./indexMap.js";
import { catchUp, prefill, type LanguageModel } from "./model.js";
import type { Round } from "./rounds.js";

/** The longest draft that a user is offered. */
export const LONGEST_DRAFT = 8;

/**
 * Decides what is drafted in each round of one answer.
 * Whether and how long to draft may depend on everything settled or drafted before, never on the value just drawn:
 * sampled text would leave the target's distribution.
 */
export interface DraftPolicy {
  /** A new answer starts; the target has read `promptIds`. */
  begin(promptIds: readonly number[]): Promise<void>;
  /** Drafts that may follow `settled`, at most `room`; none means a plain step. */
  propose(settled: readonly number[], room: number, chooser: Chooser): Promise<Proposal[]>;
  /** What the target made of the last proposals. */
  learn(turn: Round): void;
}

/** Decoding by the target alone. */
export const NO_DRAFTS: DraftPolicy = {
  begin: async () => {},
  propose: async () => [],
  learn: () => {},
};

/** A model that proposes tokens, and what its ids mean to the target. */
export class Drafter {
  constructor(
    readonly model: LanguageModel,
    readonly indexMap: IndexMap,
  ) {}

  /** Read the prompt, unless it is longer than the memory: nothing can be drafted then. */
  async begin(promptIds: readonly number[]): Promise<void> {
    if (promptIds.length <= this.model.contextLength) await prefill(this.model, promptIds);
  }

  /** How many tokens may still be drafted after `contextIds`. */
  room(contextIds: readonly number[]): number {
    return this.model.contextLength - contextIds.length + 1;
  }

  /** Logits (K,) of what follows `contextIds`; the memory must hold a beginning of them. */
  score(contextIds: readonly number[]): Promise<Float32Array> {
    return catchUp(this.model, contextIds);
  }

  /** Forget what was drafted after the first `length` tokens. */
  keep(length: number): void {
    this.model.rewind(Math.min(this.model.length, length));
  }
}

/** Always `draftLength` tokens by the drafter: the plan's policy. */
export class FixedDrafts implements DraftPolicy {
  private settled = 0;

  constructor(
    private readonly drafter: Drafter,
    private readonly draftLength: number,
  ) {}

  begin(promptIds: readonly number[]): Promise<void> {
    return this.drafter.begin(promptIds);
  }

  async propose(settled: readonly number[], room: number, chooser: Chooser): Promise<Proposal[]> {
    const proposals: Proposal[] = [];
    const context = [...settled];
    this.settled = settled.length;
    while (proposals.length < Math.min(this.draftLength, room) && this.drafter.room(context) > 0) {
      const proposal = chooser.propose(await this.drafter.score(context), this.drafter.indexMap, context);
      proposals.push(proposal);
      context.push(proposal.tokenId);
    }
    return proposals;
  }

  learn(turn: Round): void {
    this.drafter.keep(this.settled + turn.accepted);
  }
}
