/** Owns `TokenDrafter`, the one draft loop: a source offers the next token, a stop rule decides whether to take it. */

import type { Draft, Drafter } from "./drafter.js";
import type { IndexMap } from "./indexMap.js";
import { stoppedClock, type Clock } from "./model.js";
import type { DraftToken, Sampler } from "./sampler.js";

/** A token known without a pass: it followed the last `length` tokens at their latest earlier place. */
export interface Match {
  readonly tokenId: number;
  readonly length: number;
}

/** A pass that a source can make: `ask` returns logits (K,) of what follows. */
export interface ModelStep {
  ask(): Promise<Float32Array>;
  readonly indexMap: IndexMap;
}

export type TokenOffer = Match | ModelStep;

/** Offers draft tokens one by one: a model or a look-up. A source overrides what it needs; `offers` at least. */
export abstract class TokenSource {
  /** Start an answer; see `Drafter.begin`. */
  async begin(_promptIds: readonly number[]): Promise<void> {}

  /** Start a draft that follows `committed`. */
  start(_committed: readonly number[]): void {}

  /** Return the ways to get the token after `contextIds`, the preferred one first; read no model yet. */
  abstract offers(contextIds: readonly number[]): readonly TokenOffer[];

  /** Forget what was drafted; see `Drafter.rewind`. */
  rewind(_length: number): void {}
}

/** Decides for every token of a draft whether to get it. It never sees the tokens that are drawn. */
export interface StopRule {
  /** Return the offer to take for the token after `drafted` others; null ends the draft. */
  choose(offers: readonly TokenOffer[], drafted: number): TokenOffer | null;
}

/** Drafts by a source of tokens and a stop rule. `clock` times the source's passes. */
export class TokenDrafter implements Drafter {
  private seconds = 0;

  constructor(
    private readonly source: TokenSource,
    private readonly stop: StopRule,
    private readonly clock: Clock = stoppedClock,
  ) {}

  begin(promptIds: readonly number[]): Promise<void> {
    return this.source.begin(promptIds);
  }

  async propose(committed: readonly number[], limit: number, sampler: Sampler): Promise<Draft> {
    this.seconds = 0;
    this.source.start(committed);
    const context = [...committed];
    const tokens: DraftToken[] = [];
    while (tokens.length < limit) {
      const token = await this.next(context, tokens.length, sampler);
      if (token === null) break;
      tokens.push(token);
      context.push(token.tokenId);
    }
    return { tokens, seconds: this.seconds };
  }

  rewind(length: number): void {
    this.source.rewind(length);
  }

  /** Neither sources nor the stop rule learn here; in Python the adaptive one does. */
  observe(): void {}

  /** Return the next token, or null where the draft ends. */
  private async next(context: readonly number[], drafted: number, sampler: Sampler): Promise<DraftToken | null> {
    const offer = this.stop.choose(this.source.offers(context), drafted);
    if (offer === null) return null;
    if ("tokenId" in offer) return { tokenId: offer.tokenId, byDrafter: null };
    const started = this.clock();
    const logits = await offer.ask();
    this.seconds += this.clock() - started;
    return sampler.draw(logits, offer.indexMap, context);
  }
}
