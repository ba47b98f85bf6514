/** Owns drafting by looking up: what followed the last few tokens when they stood in the text before. */

import type { Chooser, Proposal } from "./chooser.js";
import type { DraftPolicy } from "./drafting.js";
import { demand } from "./errors.js";

export const SHORTEST = 2;
export const LONGEST = 5;

/** The token that followed the last `length` tokens at their latest earlier place. */
export interface Match {
  readonly tokenId: number;
  readonly length: number;
}

/** The n-grams of a growing text, each with the place behind its latest occurrence. */
export class NgramIndex {
  private readonly tokenIds: number[] = [];
  private readonly places = new Map<string, number>();

  constructor(
    private readonly shortest = SHORTEST,
    private readonly longest = LONGEST,
  ) {
    demand(shortest >= 1 && shortest <= longest, "n-grams: expected 1 <= shortest <= longest", { got: `${shortest}, ${longest}` });
  }

  /** Take in what `textIds`, which begin with everything taken in before, has more. */
  extend(textIds: readonly number[]): void {
    for (let place = this.tokenIds.length; place < textIds.length; place += 1) {
      for (let length = Math.min(this.longest, place); length >= this.shortest; length -= 1) {
        this.places.set(this.tokenIds.slice(place - length).join(), place);
      }
      this.tokenIds.push(textIds[place] as number);
    }
  }

  /** What followed the longest known ending of `contextIds`; null where no ending is known. */
  find(contextIds: readonly number[]): Match | null {
    for (let length = Math.min(this.longest, contextIds.length); length >= this.shortest; length -= 1) {
      const place = this.places.get(contextIds.slice(-length).join());
      if (place !== undefined) return { tokenId: this.tokenIds[place] as number, length };
    }
    return null;
  }
}

/** Up to `draftLength` looked-up tokens a round, no model; prompt-lookup decoding. */
export class NgramDrafts implements DraftPolicy {
  private index = new NgramIndex();

  constructor(private readonly draftLength: number) {}

  async begin(): Promise<void> {
    this.index = new NgramIndex();
  }

  async propose(settled: readonly number[], room: number, _chooser: Chooser): Promise<Proposal[]> {
    this.index.extend(settled);
    const context = [...settled];
    while (context.length - settled.length < Math.min(this.draftLength, room)) {
      const match = this.index.find(context);
      if (match === null) break;
      context.push(match.tokenId);
    }
    return context.slice(settled.length).map((tokenId) => ({ tokenId, byDrafter: null }));
  }

  learn(): void {}
}
