/** Owns drafting by lookup: the tokens that followed the last few tokens at an earlier place in the text. */

import type { Sampler, DraftToken } from "./sampler.js";
import type { Drafter } from "./drafter.js";
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

  /** Add the new tokens of `textIds`, which must begin with all tokens added before. */
  extend(textIds: readonly number[]): void {
    for (let place = this.tokenIds.length; place < textIds.length; place += 1) {
      for (let length = Math.min(this.longest, place); length >= this.shortest; length -= 1) {
        this.places.set(this.tokenIds.slice(place - length).join(), place);
      }
      this.tokenIds.push(textIds[place] as number);
    }
  }

  /** Find the token that followed the longest known ending of `contextIds`; null where no ending is known. */
  find(contextIds: readonly number[]): Match | null {
    for (let length = Math.min(this.longest, contextIds.length); length >= this.shortest; length -= 1) {
      const place = this.places.get(contextIds.slice(-length).join());
      if (place !== undefined) return { tokenId: this.tokenIds[place] as number, length };
    }
    return null;
  }
}

/** Drafts up to `draftLength` tokens a round by lookup, without a model: prompt-lookup decoding. */
export class NgramDrafts implements Drafter {
  private index = new NgramIndex();

  constructor(private readonly draftLength: number) {}

  async begin(): Promise<void> {
    this.index = new NgramIndex();
  }

  async propose(committed: readonly number[], limit: number, _sampler: Sampler): Promise<DraftToken[]> {
    this.index.extend(committed);
    const context = [...committed];
    while (context.length - committed.length < Math.min(this.draftLength, limit)) {
      const match = this.index.find(context);
      if (match === null) break;
      context.push(match.tokenId);
    }
    return context.slice(committed.length).map((tokenId) => ({ tokenId, byDrafter: null }));
  }

  observe(): void {}
}
